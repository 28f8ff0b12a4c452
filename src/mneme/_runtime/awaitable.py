"""Any blocking port as its async twin, whatever its verbs are.

One wrapper for all ports, resolved by name on first use, instead of a class of forwarding methods for each: a new verb
in a port needs no line here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

Run = Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]]
"""Runs a blocking call to its end on a worker thread."""


class AwaitablePort:
    """The verbs of *port*, awaited; its other attributes as they are. Without *run* the verbs are called in place."""

    def __init__(self, port: object, run: Run | None = None) -> None:
        self._port = port
        self._run = run

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._port, name)
        if not callable(attribute):
            return attribute
        run = self._run

        async def in_place(*args: Any, **kwargs: Any) -> Any:
            return attribute(*args, **kwargs)

        async def elsewhere(*args: Any, **kwargs: Any) -> Any:
            return await run(lambda: attribute(*args, **kwargs))  # type: ignore[misc]  # only used when there is one

        verb = in_place if run is None else elsewhere

        # Found without coming back here the next time.
        setattr(self, name, verb)
        return verb


def is_async(port: object, verb: str) -> bool:
    """Whether *port* is of the async kind, judged by one of its verbs."""
    return inspect.iscoroutinefunction(getattr(port, verb, None))
