"""Running a flow to its end without an event loop.

Flows are written once, as coroutines. On the blocking face every port answers without suspending, so one `send` runs
the whole flow: about a microsecond, inside a running loop or not. The roads not taken: twins by hand drift apart,
generated twins make one face second-class, and a background loop costs every call a thread switch.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def complete(flow: Coroutine[Any, Any, T]) -> T:
    """The result of *flow*.

    Raises:
        RuntimeError: The flow suspended: something beneath the blocking face is not blocking.
    """
    try:
        flow.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    flow.close()
    raise RuntimeError("a port suspended on the blocking face; pass blocking ports, or use AsyncSemanticCache")
