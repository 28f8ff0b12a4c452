"""Waiting that crosses event loops: a cache may be used from several, one after another or at the same time.

The locks and events of asyncio belong to the first loop in which anybody has to wait, and refuse all others.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from types import TracebackType

__all__ = ["Lock", "Signal"]

# Re-entrant guards: the garbage collector may end a forgotten coroutine, which then leaves its place in a queue, in the
# middle of anything.


class Signal:
    """Like `asyncio.Event`, set once."""

    def __init__(self) -> None:
        self._guard = threading.RLock()
        self._done = False
        self._waiters: set[asyncio.Future[None]] = set()

    def set(self) -> None:
        with self._guard:
            self._done = True
            waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            _wake(waiter)

    async def wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        with self._guard:
            if self._done:
                return
            self._waiters.add(waiter)
        try:
            await waiter
        finally:
            with self._guard:
                self._waiters.discard(waiter)


class Lock:
    """Like `asyncio.Lock`; handed on in the order of arrival."""

    def __init__(self) -> None:
        self._guard = threading.RLock()
        self._held = False
        self._waiters: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:  # cancelled, or forgotten by a loop that was closed
            with self._guard:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                else:  # the lock was handed over already
                    self._hand_on()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hand_on()

    def _hand_on(self) -> None:
        with self._guard:
            while self._waiters:
                if _wake(self._waiters.popleft()):
                    return
            self._held = False


def _wake(waiter: asyncio.Future[None]) -> bool:
    """Let a waiter go on, in whichever loop it waits; whether that loop can still be reached."""
    loop = waiter.get_loop()
    try:
        here = asyncio.get_running_loop() is loop
    except RuntimeError:
        here = False
    if here:
        _settle(waiter)
        return True
    try:
        loop.call_soon_threadsafe(_settle, waiter)
    except RuntimeError:  # it was closed with its tasks unfinished
        return False
    return True


def _settle(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
