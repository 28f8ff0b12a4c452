"""What an exact index holds between `open` and `close`: the partitions, and where in them each id is."""

from __future__ import annotations

import math
import operator
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, nullcontext
from threading import Lock, Semaphore

import numpy as np

from mneme.indexes._partition import Partition
from mneme.indexes._quantise import Columns, encode
from mneme.indexes._scan import nothing, scan
from mneme.indexes._vectors import check_vectors
from mneme.ports import Matches, Matrix, VectorDType

__all__ = ["Contents"]

_ENTRY_BYTES = 120  # of the id, the position and the tuple around it; the table itself is measured
_SPARSE_BYTES = 512  # of the table for each id in it, from which it is made anew; one in use takes 120 or so
_NOTED = 256  # rows that wait to be added together
_LARGE = 2**17  # numbers in a partition, from which its searches take turns
_PARTITION_BYTES = 1200  # of the objects around the arrays of a partition


class Contents:
    """What is held between `open` and `close`. A verb works on one of them from beginning to end."""

    def __init__(self, dim: int, dtype: VectorDType) -> None:
        self._dim = dim
        self._dtype: VectorDType = dtype
        self._changing = Lock()
        # BLAS spreads a large product over all processors by itself, and its threads spin while they wait: eight
        # searches at once took ten times as long as one after the other. A scan is bound by memory, which half the
        # processors use up. Of the index, not of the module: a child of fork makes a new index with a free semaphore.
        self._turns = Semaphore(max(1, (os.cpu_count() or 1) // 2))
        self._partitions: dict[bytes, Partition] = {}
        self._noted: dict[int, tuple[bytes, Columns]] = {}
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
        columns = encode(vectors, self._dtype)
        if len(numbers) == 1 and self._add_later(int(numbers[0]), partitions[0], columns):
            return
        groups = _by_partition(numbers.tolist(), partitions)
        with self._changing, ExitStack() as alone:
            self._add_noted()
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

    def _add_later(self, number: int, key: bytes, columns: Columns) -> bool:
        """Note a row whose id is not held, to be added with others before anybody looks; whether it was noted.

        A `put` does little else with an index, and one row costs nearly as much to add as a hundred.
        """
        with self._changing:
            if number in self.places or number in self._noted or not isinstance(key, bytes):
                return False
            self._noted[number] = key, tuple(column.copy() for column in columns)
            if len(self._noted) >= _NOTED:
                self._add_noted()
            return True

    def _add_noted(self) -> None:
        """The caller holds the lock."""
        groups: dict[bytes, list[int]] = {}
        for number, (key, _) in self._noted.items():
            groups.setdefault(key, []).append(number)
        for key, members in groups.items():
            columns = tuple(map(np.concatenate, zip(*(self._noted[number][1] for number in members), strict=True)))
            target = self._partitions[key] if key in self._partitions else Partition(columns)
            first = target.extend(np.array(members, np.int64), columns)
            self._partitions[key] = target
            self._place(key, members, range(first, first + len(members)))
            for number in members:
                del self._noted[number]

    def size(self) -> int:
        with self._changing:
            return len(self.places) + len(self._noted)

    def remove(self, ids: Iterable[int]) -> int:
        with self._changing, ExitStack() as alone:
            self._add_noted()
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
        if self._noted:
            with self._changing:
                self._add_noted()
        held = self._partitions.get(partition)
        if held is None:
            return [nothing(self._dtype) for _ in queries]
        large = len(held) * self._dim > _LARGE
        # A turn before the gate: who waits for a turn inside the gate would make writers wait as well.
        with self._turns if large else nullcontext(), held.gate.shared():
            ids, *columns = held.published
            return list(scan(ids, tuple(columns), np.ascontiguousarray(queries), floor, k))

    def memory_bytes(self) -> int:
        with self._changing:
            self._add_noted()
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
