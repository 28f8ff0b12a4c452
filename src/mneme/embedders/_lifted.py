"""What the wrappers of this package have in common: they pass for the embedder that they wrap."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mneme.embedders._shape import is_coroutine_function
from mneme.ports import AsyncEmbedder, Embedder

__all__ = ["Wrapper", "batch_verb", "check_count", "check_seconds", "is_async"]


class Wrapper:
    """Has the dimension and the fingerprint of the embedder it wraps: its vectors are the same."""

    def __init__(self, inner: Embedder | AsyncEmbedder) -> None:
        self._inner = inner

    @property
    def dim(self) -> int:
        return self._inner.dim

    @property
    def fingerprint(self) -> str:
        return self._inner.fingerprint

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._inner!r}>"


def is_async(embedder: object) -> bool:
    """Whether the embedder's `embed` is awaited; `TypeError` if it has none."""
    embed = getattr(embedder, "embed", None)
    if not callable(embed) or isinstance(embedder, type):
        raise TypeError(
            f"{embedder!r} is not an embedder: it needs dim, fingerprint and embed(text); as_embedder() makes one of a "
            f"function or a model"
        )
    return is_coroutine_function(embed)


def batch_verb(embedder: object) -> Callable[[Any], Any] | None:
    """The embedder's `embed_many`, if it has one."""
    many = getattr(embedder, "embed_many", None)
    return many if callable(many) else None


def check_count(name: str, value: object) -> None:
    """Refuse what is not a whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")


def check_seconds(value: object, name: str = "seconds") -> None:
    """Refuse what is not a finite number of seconds above 0."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be finite and above 0, not {value!r}")
