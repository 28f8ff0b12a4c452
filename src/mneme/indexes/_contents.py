"""What an exact index holds between `open` and `close`: the partitions, and in which piece each id is."""

from __future__ import annotations

import itertools
import math
import operator
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from threading import Lock, Semaphore
from time import perf_counter

import numpy as np

from mneme.indexes._partition import Checkpoint, Fresh, Partition, Snapshot
from mneme.indexes._piece import GrowingPiece, Piece
from mneme.indexes._saved import SavedPartition
from mneme.indexes._search import nothing, search
from mneme.indexes._twins import held_as
from mneme.indexes._vectors import check_vectors, without_warnings
from mneme.ports import Matches, Matrix, VectorDType

__all__ = ["Contents"]

_FRESH = 256  # rows that wait to be added together
_ID_BYTES = 32  # of an int; the table that holds it is measured
_SPARSE_BYTES = 512  # of the table for each id in it, from which it is made anew; one in use takes 80 or so
_PARTITION_BYTES = 2200  # of the objects around the arrays of a partition that was searched
_PIECE_BYTES = 1000
_MAPPED_BYTES = 1200  # more of a piece that lies in a file
_MOVED = 512  # rows at once out of a piece of which most are gone
_TIMED = 5  # searches
_ROWS_A_STEP = 2048  # are added for each further step of the chores


class Contents:
    """What is held between `open` and `close`. A verb works on one of them from beginning to end."""

    def __init__(self, dim: int, dtype: VectorDType) -> None:
        self.dim = dim
        self._dtype: VectorDType = dtype
        self._changing = Lock()
        # BLAS spreads a large product over all processors by itself, and its threads spin while they wait: eight
        # plain scans at once took ten times as long as one after the other. A scan is bound by memory, which half the
        # processors use up. Of the index, not of the module: a child of fork makes a new index with a free semaphore.
        self._turns = Semaphore(max(1, (os.cpu_count() or 1) // 2))
        self._numbers = itertools.count()
        self._partitions: dict[bytes, Partition] = {}
        self._pieces: dict[int, GrowingPiece] = {}
        self._places: dict[int, int] = {}
        """The number of the piece that holds an id: one int object for all of its ids, none of its own for each."""
        self._unplaced: list[GrowingPiece] = []
        """Pieces whose ids are not in it yet."""
        self._fresh: dict[int, bytes] = {}
        """Ids that wait in the snapshots of their partitions."""

    def add(self, ids: Sequence[int], partitions: Sequence[bytes], vectors: Matrix) -> None:
        check_vectors(vectors, self.dim, "vectors")
        numbers = np.fromiter(map(operator.index, ids), np.int64)
        if not len(numbers) == len(partitions) == len(vectors):
            raise ValueError(
                f"there must be as many ids and partitions as vectors, not {len(numbers)}, {len(partitions)} "
                f"and {len(vectors)}"
            )
        if len(numbers) == 1 and self._add_later(int(numbers[0]), partitions[0], vectors):
            return
        groups = _by_partition(numbers.tolist(), partitions)
        columns = held_as(vectors, self._dtype)
        with self._changing:
            self._add_fresh()
            with self._change(groups, self._held_among(numbers.tolist())) as touched:
                for key, members in groups.items():
                    if len(members) == len(numbers):
                        touched[key].append(numbers, columns, self._numbers)
                    else:
                        touched[key].append(numbers[members], tuple(c[members] for c in columns), self._numbers)
            self._move_out(set(groups), len(numbers))
            for key, members in groups.items():
                if not self._partitions[key].settled:
                    self._partitions[key].do_chores(1 + len(members) // _ROWS_A_STEP)

    def _add_later(self, number: int, key: bytes, vectors: Matrix) -> bool:
        """Keep a vector whose id is not held to be added with others; whether it was kept. A search sees it at once.

        A `put` does little else with an index, and one row costs nearly as much to add as a hundred.
        """
        with self._changing:
            self._place()
            if number in self._places or number in self._fresh or not isinstance(key, bytes):
                return False
            partition = self._partitions.get(key)
            if partition is None:
                partition = self._partitions[key] = Partition(key, self.dim)
            self._fresh[number] = key  # first: what is seen must be known, and not the other way round
            try:
                partition.wait_with((*partition.snapshot.fresh, (number, vectors[0].copy())))
            except MemoryError:
                del self._fresh[number]
                raise
            if len(self._fresh) >= _FRESH:
                with suppress(MemoryError):  # or they wait for longer
                    self._add_fresh()
            elif not partition.settled:
                partition.do_chores(1)
            return True

    def _add_fresh(self) -> None:
        """The caller holds the lock."""
        if not self._fresh:
            return
        with self._change(set(self._fresh.values()), {}) as touched:
            for partition in touched.values():
                fresh = partition.snapshot.fresh
                if fresh:
                    ids = np.array([number for number, _ in fresh], np.int64)
                    partition.append(ids, held_as(_stacked(fresh), self._dtype), self._numbers)

    def remove(self, ids: Iterable[int]) -> int:
        numbers = list(map(operator.index, ids))
        with self._changing:
            self._add_fresh()
            held = self._held_among(numbers)
            with self._change((), held):
                pass
            self._move_out({piece.partition for piece in held}, len(numbers))
            if sys.getsizeof(self._places) > _SPARSE_BYTES * (len(self._places) + 1):
                self._places = dict(self._places)  # a dict never shrinks by itself
            return sum(map(len, held.values()))

    def _move_out(self, keys: Iterable[bytes], removed: int) -> None:
        """Move rows out of pieces that are sparse, a few for each that was removed. The caller holds the lock.

        As a sparse piece holds fewer rows than it has lost, all of it has been paid for by the time that it is due, and
        nobody has to wait for long.
        """
        for key in keys:
            for _ in range(1 + removed // _MOVED):
                partition = self._partitions.get(key)
                piece = None if partition is None else partition.sparse_piece()
                if piece is None:
                    break
                piece.seal()
                with suppress(MemoryError):
                    ids, columns = piece.some(_MOVED)
                    with self._change({key}, {piece: ids.tolist()}) as touched:
                        touched[key].append(ids, columns, self._numbers)

    def size(self) -> int:
        with self._changing:
            return len(self._places) + len(self._fresh) + sum(map(len, self._unplaced))

    def tombstones(self) -> int:
        with self._changing:
            return sum(len(piece.now.gone) for piece in self._pieces.values())

    def let_go(self) -> None:
        """Nothing will be added or removed any more; searches under way finish."""
        with self._changing:
            for partition in self._partitions.values():
                partition.drop_chores()

    def to_save(self) -> list[SavedPartition]:
        """What a file is made of: it goes on being what it is, whatever changes meanwhile."""
        with self._changing:
            self._add_fresh()
            for partition in self._partitions.values():
                partition.catch_up_on_chores()
            return [SavedPartition(key, held.snapshot.view.pieces) for key, held in self._partitions.items()]

    def restore(self, saved: Iterable[SavedPartition]) -> None:
        """Hold what a file holds, where nothing is held yet."""
        for key, pieces in saved:
            restored = [GrowingPiece.sealed(next(self._numbers), key, piece) for piece in pieces]
            self._partitions[key] = Partition.restored(key, self.dim, restored)
            self._pieces.update((piece.number, piece) for piece in restored)
            self._unplaced += restored

    def _place(self) -> None:
        """Enter the ids of a file into the table: not before a change needs them. The caller holds the lock."""
        while self._unplaced:
            piece = self._unplaced[-1]
            self._places.update(dict.fromkeys(piece.ids_from(0), piece.number))
            self._unplaced.pop()

    def memory_bytes(self) -> int:
        with self._changing:
            self._add_fresh()
            arrays = sum(piece.nbytes + _PIECE_BYTES for piece in self._pieces.values())
            arrays += _MAPPED_BYTES * sum(piece.now.unchecked is not None for piece in self._pieces.values())
            table = sys.getsizeof(self._places) + len(self._places) * _ID_BYTES
            samples = sum(partition.sample_bytes for partition in self._partitions.values())
            return arrays + table + samples + len(self._partitions) * _PARTITION_BYTES

    def search(self, key: bytes, queries: Matrix, floor: float, k: int) -> list[Matches]:
        check_vectors(queries, self.dim, "queries")
        if operator.index(k) < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        if math.isnan(floor):
            raise ValueError("floor must be a number, not NaN")
        # No similarity lies beyond, and one that lies there by its rounding is -1.
        floor = -2.0 if floor <= -1 else min(float(floor), 2.0)
        partition = self._partitions.get(key)
        if partition is None:
            return [nothing(self._dtype) for _ in queries]
        if self._fresh or not partition.settled:
            self._tidy_if_free(partition)
        snapshot = partition.snapshot
        view = snapshot.view
        if snapshot.fresh:
            view = view.and_piece(self._piece_of(snapshot.fresh))
        if not view.pieces:
            return [nothing(self._dtype) for _ in queries]
        with without_warnings():
            return list(search(view, np.ascontiguousarray(queries), floor, k, self._turns))

    def search_seconds(self, floor: float) -> float:
        with self._changing:
            self._add_fresh()
            largest = max(self._partitions.values(), key=lambda partition: partition.rows, default=None)
            if largest is None:
                return 0.0
            queries = largest.some_vectors(_TIMED)
        taken = []
        for query in [queries[0], *queries]:  # the first one once more: it pays for what is done on first use
            began = perf_counter()
            self.search(largest.key, query[None], floor, 1)
            taken.append(perf_counter() - began)
        return float(np.median(taken[1:]))

    def _tidy_if_free(self, partition: Partition) -> None:
        """Whoever looks first adds what waits, and does a chore, but waits for nobody."""
        if not self._changing.acquire(blocking=False):
            return
        try:
            self._add_fresh()
            if not partition.settled:
                partition.do_chores(1)
        finally:
            self._changing.release()

    def _piece_of(self, fresh: Fresh) -> Piece:
        ids = np.array([number for number, _ in fresh], np.int64)
        return Piece(ids, held_as(_stacked(fresh), self._dtype), None, None, np.empty(0, np.intp))

    def _held_among(self, ids: Iterable[int]) -> dict[GrowingPiece, list[int]]:
        """Those that are held, each once, by piece."""
        held: dict[GrowingPiece, list[int]] = {}
        self._place()
        if self._places:
            for number in dict.fromkeys(ids):
                place = self._places.get(number)
                if place is not None:
                    held.setdefault(self._pieces[place], []).append(number)
        return held

    @contextmanager
    def _change(
        self, keys: Iterable[bytes], held: Mapping[GrowingPiece, list[int]]
    ) -> Iterator[dict[bytes, Partition]]:
        """Take out what is held of some ids, then let the caller append to the partitions of these keys.

        A search sees all of it in its partition, or nothing; if it fails, nothing ever was. No rows wait to be added,
        but those that the caller appends. The caller holds the lock.
        """
        names = {*keys, *(piece.partition for piece in held)}
        touched = {name: self._partitions.get(name) or Partition(name, self.dim) for name in names}
        before = {name: partition.checkpoint() for name, partition in touched.items()}
        were = {number: piece.number for piece, ids in held.items() for number in ids}
        places: dict[int, int] = {}
        try:
            for name, partition in touched.items():
                partition.remove({piece: ids for piece, ids in held.items() if piece.partition == name})
            yield touched
            for name, partition in touched.items():
                for piece in partition.pieces:
                    ids = piece.ids_from(before[name].lengths.get(piece, 0))
                    places.update(dict.fromkeys(ids, piece.number))
            # All that takes memory comes before what cannot be undone.
            snapshots = {name: partition.prepared(()) for name, partition in touched.items()}
            gone = [number for number in were if number not in places]
            for name, partition in touched.items():
                self._partitions.setdefault(name, partition)
                self._pieces.update((piece.number, piece) for piece in partition.pieces)
            self._places.update(places)
        except BaseException:
            self._undo(touched, before, were, places)
            raise
        try:
            self._commit(touched, before, snapshots, gone)
        except BaseException:  # an interruption
            self._commit(touched, before, snapshots, gone)
            raise

    def _undo(
        self,
        touched: Mapping[bytes, Partition],
        before: Mapping[bytes, Checkpoint],
        were: Mapping[int, int],
        places: Iterable[int],
    ) -> None:
        for number in places:
            if number in were:
                self._places[number] = were[number]
            else:
                self._places.pop(number, None)
        for name, partition in touched.items():
            for piece in partition.pieces:
                if piece not in before[name].lengths:
                    self._pieces.pop(piece.number, None)
            partition.roll_back(before[name])
            if not partition.pieces and not partition.snapshot.fresh:
                self._partitions.pop(name, None)

    def _commit(
        self,
        touched: Mapping[bytes, Partition],
        before: Mapping[bytes, Checkpoint],
        snapshots: Mapping[bytes, Snapshot],
        gone: Iterable[int],
    ) -> None:
        """Twice is as good as once, and half of it and then all."""
        for number in gone:
            self._places.pop(number, None)
        for name, partition in touched.items():
            for piece in before[name].lengths:
                if piece not in partition.pieces:
                    self._pieces.pop(piece.number, None)
            partition.show(snapshots[name])
            if not partition.pieces:
                self._partitions.pop(name, None)
        self._fresh.clear()


def _stacked(fresh: Fresh) -> Matrix:
    return np.concatenate([vector for _, vector in fresh]).reshape(len(fresh), -1)


def _by_partition(ids: list[int], partitions: Sequence[bytes]) -> dict[bytes, list[int]]:
    """Where in the batch each partition's vectors are. Of an id that comes twice the last place only."""
    groups: dict[bytes, list[int]] = {}
    last = {number: at for at, number in enumerate(ids)}
    if len(last) == len(ids) and len(set(partitions)) == 1:
        groups[partitions[0]] = list(last.values())
    else:
        for at in last.values():
            groups.setdefault(partitions[at], []).append(at)
    for key in groups:
        if not isinstance(key, bytes):
            raise TypeError(f"a partition must be bytes, not {type(key).__name__}: {key!r}")
    return groups
