"""Warnings that come in thousands when something is down, told now and then."""

from __future__ import annotations

import threading

EVERY = 60.0
"""Seconds between two warnings of the same kind."""


class Seldom:
    """Says of each occurrence whether it is to be told, and how many were not.

    Thread safety: every method takes one lock for a moment.
    """

    def __init__(self, every: float = EVERY) -> None:
        self._every = every
        self._lock = threading.Lock()
        self._told: dict[str, tuple[float, int]] = {}  # when the last one was told, and how many were not since

    def untold(self, kind: str, now: float) -> int | None:
        """How many of this *kind* were kept back since the last one that was told; `None` to keep this one back too."""
        with self._lock:
            at, kept_back = self._told.get(kind, (None, 0))
            if at is not None and at <= now < at + self._every:
                self._told[kind] = (at, kept_back + 1)
                return None
            self._told[kind] = (now, 0)
            return kept_back
