"""Who is next, where only one at a time can be served."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Turns"]


class Turns:
    """A queue in order of arrival. A plain lock would let whoever is quickest pass the others."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    @contextmanager
    def turn(self, stopped: Callable[[], bool]) -> Iterator[bool]:
        """Wait until all who came before are done; false if *stopped* said so first."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
        try:
            with self._changed:
                while self._queue[0] is not ticket and not stopped():
                    self._changed.wait(0.1)  # now and then, to ask whether this one still wants to be served
                mine = self._queue[0] is ticket and not stopped()
            yield mine
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._changed.notify_all()

    @property
    def length(self) -> int:
        """How many are served or wait."""
        with self._changed:
            return len(self._queue)
