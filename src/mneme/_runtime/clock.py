"""The time of day that never runs backwards."""

from __future__ import annotations

import time


class WallClock:
    """Wall time, carried on by the monotonic clock when the wall clock is set back.

    While the wall clock is behind, time advances at the monotonic clock's pace, so that entries still expire; when the
    wall clock is ahead (it was set forward, or the machine slept) it is believed.
    """

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()

    def now(self) -> float:
        monotonic = time.monotonic()
        # Two threads may race here; the loser's smaller difference is made good by the next call.
        ahead = time.time() - monotonic
        if ahead > self._ahead:  # noqa: PLR1730 -- max() takes twice as long as the rest, and every call asks for the time
            self._ahead = ahead
        return monotonic + self._ahead
