"""What becomes of open caches in the child of a fork: they are closed, and nothing of the parent's is touched.

A child has copies of connections and locks, and none of the threads behind them. A request on a copied connection mixes
with the parent's; closing it may end the parent's; a lock that another thread held is held for ever. So each cache lets
go of all of it at once, unclosed, and it is kept from being closed by accident. No call pays for that: Python says when
a process has forked. On systems that cannot fork there is nothing to do.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, Protocol

from mneme.errors import CacheClosedError

FORKED = (
    "the cache was opened before this process was forked, and cannot be used here; open it again in the child process"
)


class Forkable(Protocol):
    """What is told of a fork."""

    def forked(self) -> object:
        """Let go of everything shared with the parent, in the child; what must never be closed here."""
        ...


class Gone:
    """A port that was the parent's. Every verb raises `CacheClosedError`."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        async def refuse(*_: Any, **__: Any) -> Any:
            raise CacheClosedError(FORKED)

        return refuse


_watched: weakref.WeakSet[Forkable] = weakref.WeakSet()
_kept: list[object] = []
"""What the parent had open. The garbage collector would close it."""


def watch(one: Forkable) -> None:
    """Tell *one* when this process has been forked, for as long as it lives."""
    _watched.add(one)


def _in_child() -> None:
    _kept.extend([one.forked() for one in list(_watched)])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
