"""How a cache follows what others write to its store: how often it asks, whose turn that is, what it has told of."""

from __future__ import annotations

import logging
import threading

from mneme._runtime.host_lock import HostLock
from mneme.log import log_fields

logger = logging.getLogger("mneme")


class Following:
    """One cache's manner of following.

    Args:
        mode: The user's word for it.
        polls: Whether the store is asked now and then.
        interval: Seconds between two questions.
        shares: What keeps processes of one host from saving the index at the same time, where they share one copy of
            it; `None` where each has its own.
    """

    def __init__(self, mode: str, *, polls: bool, interval: float, shares: HostLock | None = None) -> None:
        self.mode = mode
        self.polls = polls
        self.interval = interval
        self.shares = shares
        self._turn = threading.Lock()
        self._told = False

    def take_turn(self) -> bool:
        """Whether it is the caller's turn to ask, who then must `give_turn` back. Nobody waits for it."""
        return self._turn.acquire(blocking=False)

    def give_turn(self) -> None:
        self._turn.release()

    def tell(self) -> None:
        """Warn that others write: once, those who do not expect it."""
        if self.mode == "single" and not self._told:
            logger.warning(
                "another process or cache writes to the same store; if that is meant to be, pass "
                "multi_process_mode='stale-tolerant'",
                extra=log_fields("other_writer"),
            )
        self._told = True
