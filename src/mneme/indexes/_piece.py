"""The rows of a partition, in pieces: what is published never changes, and what changes is published anew.

A search takes the tuple of a partition's pieces and reads them for as long as it likes, without a lock. Rows are only
ever written beyond the end of every published piece; a removed row is named in a list of its piece.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from mneme.indexes._basis import Basis
from mneme.indexes._quantise import Columns, decode
from mneme.indexes._twins import errors_of
from mneme.ports import Matrix

__all__ = ["COPIED", "Checkable", "GrowingPiece", "Piece", "Positions", "Unchecked", "room_beside"]

# Roads not taken. One array a partition, grown by half: adding a row to a million copies them all. Many small pieces of
# one size: each costs every search some microseconds. Filling the gap of a removed row from the end: a search under way
# would have to be waited for, or to be repeated.

COPIED = 4096
"""Rows up to which a piece grows by copying it, which takes a millisecond or two."""
_NUMBERS = 2**24
"""In a piece at the most."""
_SMALLEST = 4  # rows

Positions = npt.NDArray[np.intp]


def room_beside(rows: int, dim: int) -> int:
    """How many rows the next piece of a partition that holds *rows* is to have room for.

    As many as there are, so that there are few pieces. What a piece has room for and does not hold takes no memory: the
    system gives it when it is first written to.
    """
    return max(COPIED, min(rows, _NUMBERS // dim))


class Checkable(Protocol):
    """Something that can tell whether it is what it was."""

    def check(self) -> None: ...


class Unchecked(NamedTuple):
    """What of a piece from a file was not checked yet."""

    rows: list[Checkable]
    sketches: list[Checkable]


class Piece(NamedTuple):
    """Rows as a search sees them. The arrays are read, never written."""

    ids: npt.NDArray[np.int64]
    columns: Columns
    sketches: Matrix | None
    """Of the first so many rows, one a column: products with them add up long rows, which BLAS does at the speed of
    memory; with sketches one after another they took twice as long. `None` if of no row."""
    basis: Basis | None
    """What the sketches were made with."""
    gone: Positions
    """Where rows were removed."""
    unchecked: Unchecked | None = None
    """What is to be checked before it is believed, as it comes from a file."""

    def check_rows(self) -> None:
        """Before ids or columns are read: raises `CorruptCacheError` if they are not what was saved."""
        if self.unchecked is not None and self.unchecked.rows:
            _check(self.unchecked.rows)

    def check_sketches(self) -> None:
        """The same before sketches are read."""
        if self.unchecked is not None and self.unchecked.sketches:
            _check(self.unchecked.sketches)

    @property
    def sketched(self) -> int:
        return 0 if self.sketches is None else self.sketches.shape[1]


def _check(sections: list[Checkable]) -> None:
    for section in tuple(sections):  # not emptied one by one: several threads may be here
        section.check()
    sections.clear()


class GrowingPiece:
    """A piece as its writer sees it. One thread at a time."""

    __slots__ = ("_arrays", "_limit", "_sketches", "now", "number", "partition")

    def __init__(self, number: int, partition: bytes, like: Columns, limit: int) -> None:
        """Without rows yet; with columns of the same kind as *like*, and room for *limit* rows."""
        self.number = number
        self.partition = partition
        self._limit = limit
        capacity = limit if limit > COPIED else 0
        self._arrays: Columns = (
            np.empty(capacity, np.int64),
            *(np.empty((capacity, *column.shape[1:]), column.dtype) for column in like),
        )
        self._sketches: Matrix | None = None
        empty = tuple(array[:0] for array in self._arrays)
        self.now = Piece(empty[0], empty[1:], None, None, np.empty(0, np.intp))
        """As published last."""

    @classmethod
    def sealed(cls, number: int, partition: bytes, piece: Piece) -> GrowingPiece:
        """A piece that grows no more, as its arrays are not its own."""
        made = cls(number, partition, (), 0)
        made.now = piece
        return made

    def __len__(self) -> int:
        """Rows, removed ones included."""
        return len(self.now.ids)

    @property
    def alive(self) -> int:
        return len(self.now.ids) - len(self.now.gone)

    @property
    def is_sparse(self) -> bool:
        """Whether most of its rows are gone."""
        return self.alive < len(self.now.gone)

    @property
    def room(self) -> int:
        """How many rows may still be added."""
        return max(0, self._limit - len(self))

    @property
    def nbytes(self) -> int:
        """Of what is held in memory, and not in a file; with the room for more, large pages of which may be in use."""
        sketches = 0 if self._sketches is None else self._sketches.nbytes
        return sum(array.nbytes for array in self._arrays) + sketches + self.now.gone.nbytes

    def seal(self) -> None:
        """Add no more rows."""
        self._limit = 0

    def resembles(self, columns: Columns) -> bool:
        """Whether such rows can be held in this piece."""
        return [c.dtype for c in self.now.columns] == [c.dtype for c in columns]

    def extend(self, ids: npt.NDArray[np.int64], columns: Columns) -> None:
        """Append rows, which must fit; without sketches, until `sketch` is called."""
        start, count = len(self), len(self) + len(ids)
        if count > len(self._arrays[0]):
            self._resize(min(max(count, 2 * len(self._arrays[0]), _SMALLEST), self._limit))
        for array, new in zip(self._arrays, (ids, *columns), strict=True):
            array[start:count] = new
        self.now = self.now._replace(
            ids=self._arrays[0][:count], columns=tuple(array[:count] for array in self._arrays[1:])
        )

    def ids_from(self, start: int) -> list[int]:
        """The ids of the rows from this position on, of which none is gone."""
        self.now.check_rows()
        ids: list[int] = self.now.ids[start:].tolist()
        return ids

    def some(self, count: int) -> tuple[npt.NDArray[np.int64], Columns]:
        """Copies of at most so many rows that are not gone."""
        self.now.check_rows()
        kept = np.ones(len(self), np.bool_)
        kept[self.now.gone] = False
        at = np.flatnonzero(kept)[:count]
        return self.now.ids[at], tuple(column[at] for column in self.now.columns)

    def remove(self, positions: Positions) -> None:
        """Rows at these positions are no more."""
        self.now = self.now._replace(gone=np.concatenate([self.now.gone, positions]))

    def position_of(self, entry_id: int) -> int:
        """Where the row of this id is, which is held here: the last one, as it may have been here before."""
        return int(np.flatnonzero(self.now.ids == entry_id)[-1])

    def positions_of(self, ids: list[int]) -> Positions:
        if len(ids) < 16:
            return np.array([self.position_of(entry_id) for entry_id in ids], np.intp)
        order = np.argsort(self.now.ids, kind="stable")
        after: Positions = np.searchsorted(self.now.ids[order], ids, side="right")
        return order[after - 1]

    def sketch(self, basis: Basis, start: int, count: int) -> None:
        """Put in the sketches of so many rows from *start* on; those before are of the same basis."""
        self.now.check_rows()
        columns = tuple(column[start : start + count] for column in self.now.columns)
        errors = errors_of(columns)
        made = basis.sketch(decode(columns), 0.0 if errors is None else errors)
        capacity = max(len(self), len(self._arrays[0]))
        if start == 0 or self._sketches is None or self._sketches.shape[1] < capacity:
            # Rows a power of two apart share the same few lines of the processor's cache.
            grown = np.empty((basis.columns, capacity + _PADDING), np.float32)[:, :capacity]
            if start:
                grown[:, :start] = self.now.sketches
            self._sketches = grown
        end = start + len(made)
        self._sketches[:, start:end] = made.T
        self.now = self.now._replace(sketches=self._sketches[:, :end], basis=basis)

    def _resize(self, capacity: int) -> None:
        arrays: list[npt.NDArray[Any]] = []
        for held in (self.now.ids, *self.now.columns):
            array = np.empty((capacity, *held.shape[1:]), held.dtype)
            array[: len(held)] = held
            arrays.append(array)
        self._arrays = tuple(arrays)


_PADDING = 16
