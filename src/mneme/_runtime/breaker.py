"""Not asking a store that is down: after a few failures in a row, calls fail at once instead of after a timeout each.

What counts is a `StoreBackendError`, whatever its cause, as long as no other call succeeds in between. So a store that
refuses writes and answers reads is asked again and again, as it should be; one that refuses everything is not. Any
other error is an answer, of the store or of somebody between, and says nothing of a store that is down.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any, cast

from mneme.errors import CacheClosedError, MnemeError, StoreBackendError
from mneme.log import log_fields
from mneme.ports import AsyncStore, Clock

logger = logging.getLogger("mneme")

FAILURES = 5
"""So many in a row open the breaker: more than one lost connection makes, fewer than anybody would wait out."""
FIRST_DELAY = 1.0
"""Seconds until the store is tried again; twice as many after each try that fails."""
LONGEST_DELAY = 30.0
_UNLIMITED = frozenset({"close"})
"""Verbs that are never refused: what is to be let go of is let go of."""


class NotAskedError(StoreBackendError):
    """The store was not asked, so surely nothing happened."""


class Breaker:
    """Closed: calls pass. Open: they fail at once, but for one at a time that tries whether the store is back.

    Thread safety: every method takes a lock for a moment, and none while all is well.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._since: float | None = None  # it is open since then
        self._retry_at = 0.0
        self._delay = FIRST_DELAY
        self._trying = False
        self._last: StoreBackendError | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls fail at once."""
        return self._since is not None

    def enter(self) -> bool:
        """Whether the call that may be made now is a try.

        Raises:
            NotAskedError: No call may be made now.
        """
        if not self.is_open:
            return False
        with self._lock:
            now, since = self._clock.now(), self._since
            if since is None:
                return False
            self._check(now, since)
            self._trying = True
            return True

    def check(self) -> None:
        """Raise `NotAskedError` if no call may be made now."""
        if self.is_open:
            with self._lock:
                if self._since is not None:
                    self._check(self._clock.now(), self._since)

    def _check(self, now: float, since: float) -> None:
        if self._trying or now < self._retry_at:
            raise NotAskedError(
                f"the store is not asked: it has failed for {max(0.0, now - since):.1f} s, and is tried again in "
                f"{max(0.0, self._retry_at - now):.1f} s; its last error was: {self._last}"
            ) from self._last

    def answered(self) -> None:
        """A call came to an answer."""
        if self._failures == 0:
            return
        with self._lock:
            since, self._since = self._since, None
            self._failures, self._delay, self._last = 0, FIRST_DELAY, None
        if since is not None:
            took = self._clock.now() - since
            logger.warning(
                "the store answers again, after %.1f s", took, extra=log_fields("store_recovered", seconds=took)
            )

    def failed(self, error: StoreBackendError, *, trying: bool) -> None:
        """A call failed."""
        with self._lock:
            now = self._clock.now()
            self._failures += 1
            self._last = StoreBackendError(str(error))  # a copy, which keeps no frames alive
            opens = self._since is None and self._failures >= FAILURES
            if opens:
                self._since = now
            elif trying:
                self._delay = min(2 * self._delay, LONGEST_DELAY)
            if opens or trying:
                self._retry_at = now + self._delay
        if opens:
            logger.warning(
                "the store failed %d times in a row and is asked less often now: %s",
                *(FAILURES, error),
                extra=log_fields("store_asked_less", error=error, failures=FAILURES),
            )

    def tried(self) -> None:
        """A try is over, however it ended: the next one may be made."""
        with self._lock:
            self._trying = False


class GuardedStore:
    """The verbs of *store* behind a breaker; its other attributes as they are."""

    def __init__(self, store: AsyncStore, breaker: Breaker) -> None:
        self._guarded = store
        self.breaker = breaker

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._guarded, name)
        if not callable(attribute) or name in _UNLIMITED:
            return attribute
        verb = cast("Callable[..., Awaitable[Any]]", attribute)
        breaker = self.breaker

        async def asked(*args: Any, **kwargs: Any) -> Any:
            trying = breaker.enter()
            try:
                result = await verb(*args, **kwargs)
            except StoreBackendError as error:
                breaker.failed(error, trying=trying)
                raise
            except MnemeError as error:
                if not isinstance(error, CacheClosedError):
                    breaker.answered()
                raise
            else:
                breaker.answered()
                return result
            finally:
                if trying:
                    breaker.tried()

        # Found without coming back here the next time.
        setattr(self, name, asked)
        return asked


def check_asked(store: AsyncStore) -> None:
    """Raise `NotAskedError` if *store* would not be asked just now: before something dear is done for it."""
    if isinstance(store, GuardedStore):
        store.breaker.check()


def guarded(store: AsyncStore, clock: Clock) -> AsyncStore:
    """*store*, behind a breaker of its own."""
    return cast("AsyncStore", GuardedStore(store, Breaker(clock)))
