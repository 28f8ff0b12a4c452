"""Flows that nobody waits for, on the async face: one task, there only while there is anything to do."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque

from mneme._runtime.background import WAITING, Flow


class TaskBackground:
    """Runs flows one after the other, in the loop in which the first that waits was asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # a cache may be used from several loops
        self._waiting: deque[tuple[contextvars.Context, Flow]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    def take(self, flow: Flow) -> bool:
        """Run *flow*, which does not raise, when those before it are done; `False` if too many wait."""
        with self._lock:
            if self._ended or len(self._waiting) >= WAITING:
                return False
            self._waiting.append((contextvars.copy_context(), flow))
            if self._task is None or self._task.done() or self._task.get_loop().is_closed():
                self._task = asyncio.get_running_loop().create_task(self._run(), name="mneme-background")
        return True

    async def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._task = None
                    return
                context, flow = self._waiting.popleft()
            await context.run(asyncio.ensure_future, flow())

    async def end(self) -> None:
        """Take no more, let go of what waits, and cancel the one that runs."""
        with self._lock:
            self._ended = True
            self._waiting.clear()
            task, self._task = self._task, None
        if task is None or task.done() or task is asyncio.current_task():
            return
        loop = task.get_loop()
        if loop is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait([task])
        elif not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)
