"""Flows that nobody waits for, on the blocking face: one thread, there only while there is anything to do."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from mneme._runtime.drive import complete
from mneme.log import log_fields

Flow: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

logger = logging.getLogger("mneme")

WAITING = 16
"""So many flows wait for their turn; what comes then is not taken."""


class ThreadBackground:
    """Runs flows one after the other, each in the context of whoever asked for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[contextvars.Context, Flow]] = deque()
        self._thread: threading.Thread | None = None
        self._ended = False

    def take(self, flow: Flow) -> bool:
        """Run *flow*, which does not raise, when those before it are done; `False` if too many wait."""
        with self._lock:
            if self._ended or len(self._waiting) >= WAITING:
                return False
            self._waiting.append((contextvars.copy_context(), flow))
            if self._thread is None:
                # A daemon: a process that ends without closing its cache does not wait for a model to answer.
                self._thread = threading.Thread(target=self._run, name="mneme-background", daemon=True)
                self._thread.start()
        return True

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._ended or not self._waiting:
                    self._thread = None
                    return
                context, flow = self._waiting.popleft()
            try:
                context.run(_to_its_end, flow)
            except BaseException as error:
                extra = log_fields("background_failure", error=error)
                logger.warning("a flow in the background ended with an error", exc_info=True, extra=extra)

    async def end(self) -> None:
        """Take no more, let go of what waits, and wait for the one that runs."""
        with self._lock:
            self._ended = True
            self._waiting.clear()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()


def _to_its_end(flow: Flow) -> None:
    complete(flow())
