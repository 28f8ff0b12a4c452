"""Telling the caller's metrics hook what happened. A hook that raises is logged and never felt."""

from __future__ import annotations

import logging
from typing import Any

from mneme.ports import MetricsHook, Record
from mneme.types import Hit

logger = logging.getLogger("mneme")


class Events:
    """Sends events to one hook, or nowhere."""

    __slots__ = ("_hook",)

    def __init__(self, hook: MetricsHook | None) -> None:
        self._hook = hook

    @property
    def heard(self) -> bool:
        """Whether there is a hook; without one a batch need not be gone through."""
        return self._hook is not None

    def send(self, event: str, namespace: str, **fields: Any) -> None:
        """Send one event; never called while a lock is held."""
        if self._hook is None:
            return
        try:
            self._hook(event, {"namespace": namespace, **fields})
        except Exception:
            logger.exception("metrics_hook raised on event %r", event)

    def hit(self, hit: Hit, record: Record) -> None:
        """Send `hit_exact` or `hit_semantic`."""
        if self._hook is not None:
            self.send(
                f"hit_{hit.layer}",
                hit.namespace,
                entry_id=hit.entry_id,
                similarity=hit.similarity,
                confidence=hit.confidence,
                age_seconds=hit.age_seconds,
                seconds_saved=record.compute_seconds,
                cost_saved=record.cost,
            )
