"""Several hooks as one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from mneme.log import log_fields
from mneme.ports import MetricsHook

logger = logging.getLogger("mneme")


def compose(*hooks: MetricsHook) -> MetricsHook:
    """A hook that calls each of *hooks* in order; one that raises is logged, and the others are called all the same.

    It wants to know how long things took if any of them does; those that do not are told as well.

    Raises:
        TypeError: One of them cannot be called.
    """
    for hook in hooks:
        if not callable(hook):
            raise TypeError(f"a hook must be callable with an event and its fields, not {type(hook).__name__}")
    return _Composed(hooks)


class _Composed:
    """What `compose` returns."""

    def __init__(self, hooks: tuple[MetricsHook, ...]) -> None:
        self._hooks = hooks
        self.wants_seconds = any(getattr(hook, "wants_seconds", False) for hook in hooks)

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        for hook in self._hooks:
            try:
                hook(event, dict(fields))  # a copy for each: none sees what another made of it
            except Exception as error:  # noqa: PERF203 -- each by itself is the point
                extra = log_fields("hook_failure", error=error, operation=event)
                logger.exception("a metrics hook raised on event %r", event, extra=extra)
