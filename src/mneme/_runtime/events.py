"""Telling the caller's metrics hook what happened. A hook that raises is logged and never felt."""

from __future__ import annotations

import logging
from typing import Any

from mneme.ports import MetricsHook

logger = logging.getLogger("mneme")


class Events:
    """Sends events to one hook, or nowhere."""

    __slots__ = ("_hook",)

    def __init__(self, hook: MetricsHook | None) -> None:
        self._hook = hook

    def send(self, event: str, namespace: str, **fields: Any) -> None:
        """Send one event; never called while a lock is held."""
        if self._hook is None:
            return
        try:
            self._hook(event, {"namespace": namespace, **fields})
        except Exception:
            logger.exception("metrics_hook raised on event %r", event)
