"""Telling the caller's metrics hook what happened. A hook that raises is logged and never felt."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from mneme.log import log_fields
from mneme.ports import MetricsHook, Record
from mneme.types import Hit

logger = logging.getLogger("mneme")

_BEGAN: ContextVar[float | None] = ContextVar("mneme_lookup_began", default=None)
"""When the lookup under way began: of this thread, or of this task."""
_ANSWERS = frozenset({"hit_exact", "hit_semantic", "miss", "stale"})
"""Events that end a lookup, and say how long it took if the hook wants to know."""


class Events:
    """Sends events to one hook, or nowhere.

    Only a hook with a true attribute `wants_seconds` is told how long things took: measuring costs an exact hit half
    a microsecond.
    """

    __slots__ = ("_hook", "timed", "timer")

    def __init__(self, hook: MetricsHook | None, timer: Callable[[], float]) -> None:
        self._hook = hook
        self.timed = bool(getattr(hook, "wants_seconds", False))
        """Whether the hook wants to know how long things took."""
        self.timer = timer
        """Seconds from some moment on, by a clock that is never set."""

    @property
    def heard(self) -> bool:
        """Whether there is a hook; without one a batch need not be gone through."""
        return self._hook is not None

    def begin(self) -> None:
        """A lookup begins here, for a hook that wants to know how long it takes."""
        _BEGAN.set(self.timer())

    def send(self, event: str, namespace: str, **fields: Any) -> None:
        """Send one event; never called while a lock is held."""
        if self._hook is None:
            return
        if self.timed and event in _ANSWERS and (began := _BEGAN.get()) is not None:
            fields["seconds"] = self.timer() - began
        try:
            self._hook(event, {"namespace": namespace, **fields})
        except Exception as error:
            extra = log_fields("hook_failure", namespace=namespace, error=error, operation=event)
            logger.exception("metrics_hook raised on event %r", event, extra=extra)

    def hit(self, hit: Hit, record: Record) -> None:
        """Send `hit_exact` or `hit_semantic`."""
        if self._hook is not None:
            self.send(
                f"hit_{hit.layer}",
                hit.namespace,
                entry_id=hit.entry_id,
                similarity=hit.similarity,
                score=hit.score,
                confidence=hit.confidence,
                age_seconds=hit.age_seconds,
                seconds_saved=record.compute_seconds,
                cost_saved=record.cost,
            )
