"""One partition: what answers searches, and the graph that is being built to take its place.

A graph is never changed at one stroke into another. The new one grows beside it, by a few rows with every change, and
nobody waits for more than that; until it is complete, the old one answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mneme.indexes._gate import Gate
from mneme.indexes._hnsw_flat import Flat
from mneme.indexes._hnsw_graph import Graph
from mneme.indexes._quantise import Columns
from mneme.ports import Matches, Matrix

__all__ = ["Partition"]

# Roads not taken. Rebuilding a graph at once: half a minute for 100,000 rows. A thread that rebuilds: the application
# would get threads that it did not ask for. Two graphs that answer together until one is empty: every search twice.

SMALL = 1000
"""Rows up to which a scan is about as fast as a graph, and costs nothing to keep."""
_CARRIED = 2
"""Rows carried over for each row added or removed: a rebuild is complete before the graph has doubled."""
_CARRIED_ON_REMOVAL = 16
"""At the most, in one call: who removes many rows should not have to wait for as many to be added elsewhere."""
_AT_ONCE = 1024  # rows


class Partition:
    """Holds rows, in arrays or in a graph. One writer at a time; `search` may be called at any time.

    `discard`, and what `stage` returned, need the gate to themselves.
    """

    def __init__(self, make_graph: Callable[[], Graph], serving: Flat | Graph) -> None:
        self.gate = Gate()
        self._make_graph = make_graph
        self.serving = serving
        self._coming: Graph | None = None
        self._waiting: list[int] = []
        """Ids to be carried over into the coming graph."""

    def __len__(self) -> int:
        return len(self.serving)

    @property
    def dead(self) -> int:
        return self.serving.dead + (self._coming.dead if self._coming else 0)

    def nbytes(self) -> int:
        coming = self._coming.nbytes() + 8 * len(self._waiting) if self._coming else 0
        return self.serving.nbytes() + coming

    def search(self, queries: Matrix, encoded: Columns, floor: float, k: int) -> list[Matches]:
        with self.gate.shared():
            return self.serving.search(queries, encoded, floor, k)

    def stage(self, ids: Sequence[int], columns: Columns) -> list[Callable[[], None]]:
        """Get ready to hold these rows, which takes its time; what is returned shows them, and cannot fail."""
        if self._coming is None and isinstance(self.serving, Flat) and len(self) + len(ids) > SMALL:
            self._begin()
        if self._coming is None:
            return [self.serving.stage(ids, columns, self.gate)]
        self._carry(self._coming, _CARRIED * len(ids))
        return [
            self.serving.stage(ids, columns, self.gate),
            self._coming.stage(ids, columns, None),
        ]

    def prepare_removal(self, count: int) -> None:
        """Do a share of the work that *count* fewer rows mean. Takes its time."""
        if self._coming is not None:
            self._carry(self._coming, min(_CARRIED * count, _CARRIED_ON_REMOVAL))

    def discard(self, ids: Sequence[int]) -> None:
        self.serving.hide(ids)
        if self._coming is not None:
            self._coming.hide(ids)

    def settle(self) -> None:
        """See whether something else should answer from now on, or be built."""
        if len(self) < SMALL // 2:
            if isinstance(self.serving, Graph):
                self._flatten(self.serving)
            self._coming, self._waiting = None, []
        elif self._coming is not None:
            if not self._waiting:
                self._replace(self._coming)
        elif self.serving.dead > len(self) // 2:
            self._begin()

    def _begin(self) -> None:
        self._coming = self._make_graph()
        self._waiting = self.serving.ids()

    def _carry(self, coming: Graph, count: int) -> None:
        while self._waiting and count > 0:
            some = self._waiting[-min(count, _AT_ONCE) :]
            # What was removed since is not here any more, and what was added since is there already.
            ids = [entry_id for entry_id in some if entry_id in self.serving and entry_id not in coming]
            if ids:
                coming.stage(ids, self.serving.columns_of(ids), None)()
            del self._waiting[-len(some) :]
            count -= len(some)

    def _flatten(self, graph: Graph) -> None:
        ids = graph.ids()
        columns = graph.columns_of(ids)
        flat = Flat(columns)
        flat.stage(ids, columns, self.gate)()
        self._replace(flat)

    def _replace(self, serving: Flat | Graph) -> None:
        old = self.serving
        with self.gate.exclusive():
            self.serving, self._coming, self._waiting = serving, None, []
        del old  # not behind the gate: it may take a while to give its memory back
