"""What an HNSW index holds between `open` and `close`: the partitions, and in which of them each id is."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from threading import Lock

import numpy as np

from mneme.indexes._gate import Gate
from mneme.indexes._hnsw_base import BaseMaker, Settings
from mneme.indexes._hnsw_flat import Flat
from mneme.indexes._hnsw_graph import Graph, GraphState
from mneme.indexes._hnsw_partition import SMALL, Partition
from mneme.indexes._hnsw_pick import nothing
from mneme.indexes._quantise import Columns, encode
from mneme.indexes._vectors import check_vectors, without_warnings
from mneme.ports import Matches, Matrix, VectorDType

__all__ = ["Contents"]

_ENTRY_BYTES = 32  # of an id; the table itself is measured
_PARTITION_BYTES = 2000  # of the objects around the arrays of a partition


class Contents:
    """A verb works on one of these from beginning to end."""

    def __init__(self, dim: int, dtype: VectorDType, maker: BaseMaker, settings: Settings) -> None:
        self.dim = dim
        self.dtype: VectorDType = dtype
        self.maker = maker
        self.settings = settings
        self.like: Columns = encode(np.empty((0, dim), np.float32), dtype)
        """Columns without rows."""
        self._changing = Lock()
        self._partitions: dict[bytes, Partition] = {}
        self._places: dict[int, bytes] = {}

    def add(self, ids: Sequence[int], partitions: Sequence[bytes], vectors: Matrix) -> None:
        check_vectors(vectors, self.dim, "vectors")
        numbers = np.fromiter(map(operator.index, ids), np.int64).tolist()
        if not len(numbers) == len(partitions) == len(vectors):
            raise ValueError(
                f"there must be as many ids and partitions as vectors, not {len(numbers)}, {len(partitions)} "
                f"and {len(vectors)}"
            )
        groups = _by_partition(numbers, partitions)
        columns = encode(np.ascontiguousarray(vectors), self.dtype)
        with self._changing:
            replaced = self._locate(numbers)
            made = {key: self._new(len(members)) for key, members in groups.items() if key not in self._partitions}
            targets = self._partitions | made
            # What takes long or can fail comes before the first change.
            shows: list[Callable[[], None]] = []
            for key, members in groups.items():
                chosen = [numbers[at] for at in members]
                shows += targets[key].stage(chosen, tuple(column[members] for column in columns))
            self._partitions.update(made)
            # All gates before the first row: a row that moves between partitions is in neither for no search. A search
            # holds one gate and waits for no other, and changes take turns: no order of entry can lock up.
            with ExitStack() as alone:
                for key in {*replaced, *groups}:
                    alone.enter_context(self._partitions[key].gate.exclusive())
                for key, gone in replaced.items():
                    self._partitions[key].discard(gone)
                for show in shows:
                    show()
                for key, members in groups.items():
                    self._places.update((numbers[at], key) for at in members)
            self._settle({*replaced, *groups})

    def remove(self, ids: Iterable[int]) -> int:
        with self._changing:
            removed = self._locate(map(operator.index, ids))
            for key, gone in removed.items():
                self._partitions[key].prepare_removal(len(gone))
            with ExitStack() as alone:
                for key in removed:
                    alone.enter_context(self._partitions[key].gate.exclusive())
                for key, gone in removed.items():
                    self._partitions[key].discard(gone)
                    for number in gone:
                        del self._places[number]
            self._settle(removed)
            return sum(map(len, removed.values()))

    def search(self, partition: bytes, queries: Matrix, floor: float, k: int) -> list[Matches]:
        check_vectors(queries, self.dim, "queries")
        if operator.index(k) < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        if math.isnan(floor):
            raise ValueError("floor must be a number, not NaN")
        floor = min(max(float(floor), -2.0), 2.0)  # no similarity lies beyond; float32 could not hold any number
        held = self._partitions.get(partition)
        if held is None or not len(queries):
            return [nothing(exact=self.dtype == "float32") for _ in queries]
        queries = np.ascontiguousarray(queries)
        with without_warnings():
            return held.search(queries, encode(queries, self.dtype), floor, k)

    def size(self) -> int:
        return len(self._places)

    def tombstones(self) -> int:
        with self._changing:
            return sum(held.dead for held in self._partitions.values())

    def memory_bytes(self) -> int:
        with self._changing:
            held = sum(held.nbytes() + _PARTITION_BYTES for held in self._partitions.values())
            return held + sys.getsizeof(self._places) + _ENTRY_BYTES * len(self._places)

    def flat_of(self, ids: Sequence[int], columns: Columns) -> Flat:
        """Rows in arrays, for `fill`."""
        flat = Flat(self.like)
        flat.stage(ids, columns, Gate())()
        return flat

    def graph_of(self, data: bytes | memoryview, state: GraphState) -> Graph:
        """Rows in a graph that was dumped, for `fill`. Raises any `Exception` for what is none."""
        base = self.maker.load(data, self.dim, self.dtype, self.settings)
        return Graph.restored(base, self.settings, state)

    def snapshot(self, use: Callable[[Mapping[bytes, Flat | Graph]], None]) -> None:
        """Call *use* with what answers searches; changes wait, searches do not."""
        with self._changing:
            use({key: held.serving for key, held in self._partitions.items()})

    def fill(self, parts: Mapping[bytes, Flat | Graph]) -> None:
        """Hold these, and nothing else. For contents that nobody has seen yet.

        Raises:
            ValueError: An id is in two of them.
        """
        for key, serving in parts.items():
            self._partitions[key] = Partition(self._new_graph, serving)
            self._places.update(dict.fromkeys(serving.ids(), key))
        if len(self._places) != sum(map(len, parts.values())):
            raise ValueError("an id is in it twice")

    def _new(self, rows: int) -> Partition:
        return Partition(self._new_graph, self._new_graph() if rows > SMALL else Flat(self.like))

    def _new_graph(self) -> Graph:
        return Graph(self.maker(self.dim, self.dtype, self.settings), self.settings, len(self.like) - 1)

    def _locate(self, ids: Iterable[int]) -> dict[bytes, list[int]]:
        """The ids that are held, each once, by partition."""
        located: dict[bytes, list[int]] = {}
        for number in dict.fromkeys(ids):
            key = self._places.get(number)
            if key is not None:
                located.setdefault(key, []).append(number)
        return located

    def _settle(self, touched: Iterable[bytes]) -> None:
        for key in touched:
            if len(self._partitions[key]):
                self._partitions[key].settle()
            else:
                del self._partitions[key]


def _by_partition(ids: list[int], partitions: Sequence[bytes]) -> dict[bytes, list[int]]:
    """Where in the batch each partition's vectors are. Of an id that comes twice the last place only."""
    groups: dict[bytes, list[int]] = {}
    for at in {number: at for at, number in enumerate(ids)}.values():
        groups.setdefault(partitions[at], []).append(at)
    for key in groups:
        if not isinstance(key, bytes):
            raise TypeError(f"a partition must be bytes, not {type(key).__name__}: {key!r}")
    return groups
