"""What belongs to one browser: found by the random name in its cookie, and let go of when too many others came."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Sessions", "new_name"]

T = TypeVar("T")
_LENGTH = 22
"""Characters of a name: 128 bits and more."""


def new_name() -> str:
    """A name that nobody can guess."""
    return secrets.token_urlsafe(16)


class Sessions(Generic[T]):
    """One *T* for each name, made when it is first asked for; of more than *most* the one unused longest goes.

    Thread safety: all methods may be called from any thread. Making and letting go happen under a lock, so both have to
    be quick.
    """

    def __init__(self, make: Callable[[str], T], *, most: int = 32, end: Callable[[T], object] | None = None) -> None:
        if most < 1:
            raise ValueError(f"most must be at least 1, got {most}")
        self._make = make
        self._most = most
        self._end = end
        self._kept: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, name: str) -> T:
        """What belongs to the session of that name.

        Raises:
            ValueError: It is no name that `new_name` makes.
        """
        if not is_name(name):
            raise ValueError("no name of a session")
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
            made = self._kept[name] = self._make(name)
            while len(self._kept) > self._most:
                _, old = self._kept.popitem(last=False)
                if self._end is not None:
                    self._end(old)
            return made

    def known(self, name: str) -> T | None:
        """What belongs to the session of that name, if it was made already."""
        with self._lock:
            return self._kept.get(name)

    def __len__(self) -> int:
        return len(self._kept)


def is_name(name: str) -> bool:
    """Whether it could come from `new_name`: a cookie is typed by whoever likes to."""
    return len(name) == _LENGTH and name.isascii() and all(letter.isalnum() or letter in "-_" for letter in name)
