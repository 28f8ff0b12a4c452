"""Lets searches in side by side, and a change that overwrites rows in alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

__all__ = ["Gate"]


class Gate:
    """A readers-writer lock: any number inside `shared`, or one inside `exclusive`.

    Whoever waits for `exclusive` holds back those who come later, so it waits for the searches under way and no longer.
    Neither side may be entered again by the thread that is inside.
    """

    __slots__ = ("_counting", "_inside", "_room", "_turnstile")

    def __init__(self) -> None:
        self._turnstile = Lock()
        self._counting = Lock()
        self._inside = 0
        self._room = Lock()  # taken by the first reader in, given back by the last one out, whichever threads they are

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._turnstile, self._counting:
            self._inside += 1
            if self._inside == 1:
                self._room.acquire()  # never waits: a writer keeps the turnstile while it is in the room
        try:
            yield
        finally:
            with self._counting:
                self._inside -= 1
                if self._inside == 0:
                    self._room.release()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._turnstile, self._room:
            yield
