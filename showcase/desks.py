"""What pages need on which every visitor has something of their own: a namespace, and a way to say what went wrong."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from mneme import MnemeError
from showcase.models import ModelError, NoModel
from showcase.state import State
from showcase.work.asking import Asks
from showcase.work.inputs import BadInputError

__all__ = ["Late", "asker_of", "namespace_of", "tried"]

T = TypeVar("T")


def namespace_of(page: str, session: str) -> str:
    """The namespace of a visitor on a page; nobody who reads it learns the name in their cookie."""
    return f"{page}-{hashlib.sha256(session.encode()).hexdigest()[:6]}"


def asker_of(state: State) -> Asks | None:
    """The model, or `None` if there is none: these pages do without."""
    return None if isinstance(state.model, NoModel) else state.asker


def tried(do: Callable[[], T]) -> tuple[T | None, str]:
    """What *do* returns, or else a sentence that says why it did not."""
    try:
        return do(), ""
    except (BadInputError, ModelError, MnemeError) as error:
        text = str(error)
        return None, f"{text[:1].upper()}{text[1:]}."


class Late(Generic[T]):
    """Something that takes seconds to make, made when it is first asked for, once."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: T | None = None
        self._lock = threading.Lock()

    def __call__(self) -> T:
        """It. Whoever asks meanwhile waits; if making fails, the next one tries again."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made
