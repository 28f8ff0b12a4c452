"""The exact index: every row of the partition is multiplied with the query. NumPy and nothing else."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from threading import Lock

import numpy as np

from mneme.errors import CacheClosedError
from mneme.indexes._partition import Partition
from mneme.indexes._quantise import checked_dtype, encode
from mneme.indexes._scan import nothing, scan
from mneme.indexes._vectors import check_vectors
from mneme.ports import Matches, Matrix, VectorDType

__all__ = ["ExactIndex"]

_ENTRY_BYTES = 120  # of the id, the position and the tuple around it; the table itself is measured
_SPARSE_BYTES = 512  # of the table for each id in it: four times what a table of half its size would take, or more
_PARTITION_BYTES = 1200  # of the objects around the arrays of a partition


class ExactIndex:
    """Finds exactly what a scan of all vectors of the partition finds, in time proportional to the partition.

    With float32 the similarities are exact (`Matches.errors` is `None`) and do not depend on what else was searched
    for in the same call. With float16 and int8 they are estimates with a certain error, to be scored again by the
    caller.

    Thread safety: searches run side by side. A change that only adds rows waits for nobody; one that replaces or
    removes rows waits for the searches of the same partitions that are under way. Changes take turns. An `add` that
    fails changes nothing.
    """

    def __init__(self) -> None:
        self._dtype: VectorDType = "float32"
        self._contents: _Contents | None = None
        self._closed = False

    @property
    def name(self) -> str:
        """Always "numpy"."""
        return "numpy"

    @property
    def dtype(self) -> VectorDType:
        """As given to `open`; "float32" before."""
        return self._dtype

    def open(self, dim: int, dtype: VectorDType) -> None:
        """Start empty, for vectors of this dimension. Again forgets everything.

        Raises:
            QuantizationError: The dtype is unknown.
            ValueError: The dimension is less than 1.
            CacheClosedError: The index was closed.
        """
        if self._closed:
            raise CacheClosedError("the index is closed; make a new one")
        if operator.index(dim) < 1:
            raise ValueError(f"dim must be at least 1, not {dim}")
        self._dtype = checked_dtype(dtype)
        self._contents = _Contents(dim, self._dtype)

    def add(self, ids: Sequence[int], partitions: Sequence[bytes], vectors: Matrix) -> None:
        """Hold these unit vectors; an id already held is replaced. Of an id given twice the last counts.

        Raises:
            ValueError: The vectors are not float32 of shape `(n, dim)`, a row is not a unit vector (NaN, infinite or
                zero among them), or the three lengths differ. Nothing was added.
            TypeError: An id is no int, a partition no bytes, or the vectors are no array.
        """
        self._opened().add(ids, partitions, vectors)

    def remove(self, ids: Iterable[int]) -> int:
        """Forget these ids; how many were held. Unknown ids are passed over."""
        return self._opened().remove(ids)

    def search(self, partition: bytes, queries: Matrix, *, floor: float, k: int) -> list[Matches]:
        """For each unit query the best *k* rows of the partition whose similarity may be at least *floor*.

        A partition of which nothing is held gives empty matches.

        Raises:
            ValueError: *k* is less than 1, *floor* is NaN, or the queries are not float32 unit vectors of shape
                `(n, dim)`.
        """
        return self._opened().search(partition, queries, floor, k)

    def size(self) -> int:
        """How many vectors are held."""
        return len(self._opened().places)

    def tombstones(self) -> int:
        """Always 0: a removed row is overwritten at once."""
        self._opened()
        return 0

    def memory_bytes(self) -> int:
        """Memory of the arrays, spare room included, and of the table of ids."""
        return self._opened().memory_bytes()

    def close(self) -> None:
        """Give the memory back. Again is harmless; searches under way finish."""
        self._closed = True
        self._contents = None

    def _opened(self) -> _Contents:
        contents = self._contents
        if self._closed:
            raise CacheClosedError("the index is closed; make a new one")
        if contents is None:
            raise RuntimeError("the index is not open; call open(dim, dtype) first")
        return contents


class _Contents:
    """What is held between `open` and `close`. A verb works on one of them from beginning to end."""

    def __init__(self, dim: int, dtype: VectorDType) -> None:
        self._dim = dim
        self._dtype: VectorDType = dtype
        self._changing = Lock()
        self._partitions: dict[bytes, Partition] = {}
        self.places: dict[int, tuple[bytes, int]] = {}
        # A tuple of the partition's name, not of the partition: the garbage collector need not visit a million of them.

    def add(self, ids: Sequence[int], partitions: Sequence[bytes], vectors: Matrix) -> None:
        check_vectors(vectors, self._dim, "vectors")
        numbers = np.fromiter(map(operator.index, ids), np.int64)
        if not len(numbers) == len(partitions) == len(vectors):
            raise ValueError(
                f"there must be as many ids and partitions as vectors, not {len(numbers)}, {len(partitions)} "
                f"and {len(vectors)}"
            )
        groups = _by_partition(numbers.tolist(), partitions)
        columns = encode(vectors, self._dtype)
        with self._changing, ExitStack() as alone:
            replaced = self._locate(numbers.tolist())
            targets = {key: self._partitions[key] if key in self._partitions else Partition(columns) for key in groups}
            # What can fail for want of memory comes before the first change.
            for key, members in groups.items():
                targets[key].reserve(len(members) - len(replaced.get(key, ())))
            self._discard(replaced, alone)
            for key, members in groups.items():
                whole = len(members) == len(numbers)
                chosen = numbers if whole else numbers[members]
                first = targets[key].extend(chosen, columns if whole else tuple(c[members] for c in columns))
                self._partitions[key] = targets[key]
                self._place(key, chosen.tolist(), range(first, first + len(members)))
            self._tidy(replaced)

    def remove(self, ids: Iterable[int]) -> int:
        with self._changing, ExitStack() as alone:
            removed = self._locate(map(operator.index, ids))
            self._discard(removed, alone)
            self._tidy(removed)
            if sys.getsizeof(self.places) > _SPARSE_BYTES * (len(self.places) + 1):
                self.places = dict(self.places)  # a dict never shrinks by itself
            return sum(map(len, removed.values()))

    def search(self, partition: bytes, queries: Matrix, floor: float, k: int) -> list[Matches]:
        check_vectors(queries, self._dim, "queries")
        if operator.index(k) < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        if math.isnan(floor):
            raise ValueError("floor must be a number, not NaN")
        floor = min(max(float(floor), -2.0), 2.0)  # no similarity lies beyond; float32 could not hold any number
        held = self._partitions.get(partition)
        if held is None:
            return [nothing(self._dtype) for _ in queries]
        with held.gate.shared():
            ids, *columns = held.published
            return list(scan(ids, tuple(columns), np.ascontiguousarray(queries), floor, k))

    def memory_bytes(self) -> int:
        with self._changing:
            arrays = sum(held.nbytes for held in self._partitions.values())
            overhead = len(self.places) * _ENTRY_BYTES + len(self._partitions) * _PARTITION_BYTES
            return arrays + overhead + sys.getsizeof(self.places)

    def _locate(self, ids: Iterable[int]) -> dict[bytes, list[int]]:
        """The ids that are held, each once, by partition."""
        located: dict[bytes, list[int]] = {}
        for number in dict.fromkeys(ids):
            place = self.places.get(number)
            if place is not None:
                located.setdefault(place[0], []).append(number)
        return located

    def _discard(self, located: dict[bytes, list[int]], alone: ExitStack) -> None:
        """Take rows out. Their partitions stay barred to searches until the caller leaves *alone*."""
        # A search holds one gate and waits for no other, and changes take turns: no order of entry can lock up. All
        # gates before the first row: a row that moves between partitions is in neither for no search.
        for key in located:
            alone.enter_context(self._partitions[key].gate.exclusive())
        for key, ids in located.items():
            positions = np.array([self.places.pop(number)[1] for number in ids], np.int64)
            moved, where = self._partitions[key].discard(positions)
            self._place(key, moved.tolist(), where.tolist())

    def _place(self, key: bytes, ids: Iterable[int], positions: Iterable[int]) -> None:
        self.places.update((number, (key, at)) for number, at in zip(ids, positions, strict=True))

    def _tidy(self, touched: Iterable[bytes]) -> None:
        for key in touched:
            if len(self._partitions[key]):
                self._partitions[key].tidy()
            else:
                del self._partitions[key]


def _by_partition(ids: list[int], partitions: Sequence[bytes]) -> dict[bytes, list[int]]:
    """Where in the batch each partition's vectors are. Of an id that comes twice the last place only."""
    groups: dict[bytes, list[int]] = {}
    last = {number: at for at, number in enumerate(ids)}
    for at in last.values():
        groups.setdefault(partitions[at], []).append(at)
    for key in groups:
        if not isinstance(key, bytes):
            raise TypeError(f"a partition must be bytes, not {type(key).__name__}: {key!r}")
    return groups
