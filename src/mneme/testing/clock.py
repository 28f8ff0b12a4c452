"""A clock that tests move by hand."""

from __future__ import annotations

import threading

__all__ = ["FakeClock"]


class FakeClock:
    """A `Clock` that stands still until it is told otherwise.

    Thread safety: may be read and moved from several threads at once.
    """

    def __init__(self, start: float = 1_000_000_000.0) -> None:
        self._now = float(start)
        self._lock = threading.Lock()

    def now(self) -> float:
        """Seconds since the epoch, as last set."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward by *seconds*; a negative number raises `ValueError`."""
        if seconds < 0:
            raise ValueError(
                f"advance() takes a number of seconds of at least 0, not {seconds!r}; to go back, use set()"
            )
        with self._lock:
            self._now += seconds

    def set(self, t: float) -> None:
        """Jump to *t*, which may lie in the past: that is how a test makes the clock misbehave."""
        with self._lock:
            self._now = float(t)

    def __repr__(self) -> str:
        return f"FakeClock({self._now!r})"
