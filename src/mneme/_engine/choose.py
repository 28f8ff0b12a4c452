"""`index_backend="auto"`: exact, unless that was measured to be slow and a graph can be had in reasonable time."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from mneme._engine import sync
from mneme._engine.core import Core
from mneme.errors import CorruptCacheError, IndexBackendUnavailableError, QuantizationError
from mneme.log import log_fields

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from mneme.ports import AsyncIndex, Matrix

    class _Measurable(Protocol):
        async def search_seconds(self, floor: float) -> float: ...

    class _Graph(AsyncIndex, Protocol):
        async def build_seconds(self, rows: int, sample: Matrix) -> float: ...


logger = logging.getLogger("mneme")

SLOW = 0.025
"""Seconds of an exact search from which "auto" would rather have a graph: as long as a small embedding model takes."""
PATIENCE = 60.0
"""Seconds that whoever opens a cache may be made to wait for one."""

_NUMBERS_A_SECOND = 2**32
"""That any machine multiplies plainly: below what that makes slow nothing needs to be measured."""
_SAMPLE = 2048
"""Vectors that a graph is built of to see how long it takes."""


@dataclass(slots=True)
class Choice:
    """What "auto" goes by, and how it chose."""

    make_graph: Callable[[], Any]
    """Makes an approximate index that nothing is held in; raises `IndexBackendUnavailableError`."""
    slow: float
    """Seconds that an exact search may take."""
    patience: float
    """Seconds that building a graph may take."""
    taken: bool = False
    """A graph is what it came to."""


async def index(core: Core) -> None:
    """Change to a graph where both measurements say so. The caller holds `writer`, or nobody else knows the cache yet.

    Answers go on being exact where a graph cannot be had. Whatever is chosen is told in the log, if anything was
    measured, and by `health`.
    """
    choice = core.choice
    if choice is None or choice.taken or core.embedder is None or not hasattr(core.index, "search_seconds"):
        return
    size, dim = await core.index.size(), core.embedder.dim
    if size * dim <= choice.slow * _NUMBERS_A_SECOND:
        return
    try:
        seconds = await cast("_Measurable", core.index).search_seconds(core.search_floor(core.threshold))
    except CorruptCacheError:
        return  # a saved index that is damaged: the first search finds that out as well, and reads the vectors anew
    if seconds <= choice.slow:
        extra = log_fields("index_kept", seconds=seconds)
        logger.info("an exact search takes %.1f ms: the index stays exact", seconds * 1e3, extra=extra)
        return
    await _take_graph(core, choice, size, seconds)


async def _take_graph(core: Core, choice: Choice, size: int, seconds: float) -> None:
    dtype = core.index.dtype
    try:
        graph = cast("_Graph", choice.make_graph())
        await graph.open(cast("Any", core.embedder).dim, dtype)
    except (IndexBackendUnavailableError, QuantizationError) as error:
        logger.warning(
            "an exact search takes %.1f ms, and there is no graph to be had: %s",
            *(seconds * 1e3, error),
            extra=log_fields("graph_not_built", error=error, seconds=seconds),
        )
        return
    try:
        sample = await core.store.vectors(limit=_SAMPLE)
        needed = await graph.build_seconds(size, sample.vectors)
        if needed > choice.patience:
            logger.warning(
                "an exact search takes %.1f ms, but a graph of %d rows would take %.0f s to build: the index stays "
                "exact; pass index_backend='hnsw' to have one",
                *(seconds * 1e3, size, needed),
                extra=log_fields("graph_not_built", reason="takes_too_long", seconds=seconds),
            )
            await graph.close()
            return
        await sync.fill_index(core, graph, dtype)
    except (MemoryError, RuntimeError) as error:  # what the libraries raise when they get no memory
        await graph.close()
        extra = log_fields("graph_not_built", error=error, seconds=seconds)
        logger.warning("a graph could not be built (%r): the index stays exact", error, extra=extra)
        return
    except BaseException:
        await graph.close()
        raise
    logger.warning(
        "an exact search takes %.1f ms: from now on the index is approximate (hnsw)",
        seconds * 1e3,
        extra=log_fields("index_changed", seconds=seconds),
    )
    use_graph(core, choice, graph)


def use_graph(core: Core, choice: Choice, graph: AsyncIndex) -> None:
    """From now on this is the index; what follows is made in its kind."""
    core.index, core.make_index = graph, choice.make_graph
    choice.taken = True
    core.saved_seq = None
