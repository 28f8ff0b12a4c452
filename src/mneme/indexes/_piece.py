"""The rows of a partition, in pieces: what is published never changes, and what changes is published anew.

A search takes the tuple of a partition's pieces and reads them for as long as it likes, without a lock. Rows are only
ever written beyond the end of every published piece; a removed row is named in a list of its piece, and leaves when the
piece is written anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from mneme.indexes._basis import Basis
from mneme.indexes._quantise import Columns, decode
from mneme.ports import Matrix

__all__ = ["FULL", "Checkable", "GrowingPiece", "Piece", "Positions", "Unchecked"]

# Roads not taken. One array a partition, grown by half: adding a row to a million copies them all. Filling the gap of
# a removed row from the end: a search under way would have to be waited for, or to be repeated.

FULL = 4096
"""Rows in a piece at the most. Writing one anew takes a few milliseconds; a search spends one on each 500 of them."""

_SMALLEST = 4  # rows

Positions = npt.NDArray[np.intp]


class Checkable(Protocol):
    """Something that can tell whether it is what it was."""

    def check(self) -> None: ...


class Unchecked(NamedTuple):
    """What a piece from a file consists of."""

    rows: Sequence[Checkable]
    sketches: Sequence[Checkable]


class Piece(NamedTuple):
    """Rows as a search sees them. The arrays are read, never written."""

    ids: npt.NDArray[np.int64]
    columns: Columns
    sketches: Matrix | None
    """Of the first so many rows; `None` if of none."""
    basis: Basis | None
    """What the sketches were made with."""
    gone: Positions
    """Where rows were removed."""
    unchecked: Unchecked | None = None
    """What is to be checked before it is believed, as it comes from a file."""

    def check_rows(self) -> None:
        """Before ids or columns are read: raises `CorruptCacheError` if they are not what was saved."""
        if self.unchecked is not None:
            for section in self.unchecked.rows:
                section.check()

    def check_sketches(self) -> None:
        """The same before sketches are read."""
        if self.unchecked is not None:
            for section in self.unchecked.sketches:
                section.check()

    @property
    def sketched(self) -> int:
        return 0 if self.sketches is None else len(self.sketches)


_NOTHING = np.empty(0, np.intp)


class GrowingPiece:
    """A piece as its writer sees it. One thread at a time."""

    __slots__ = ("_arrays", "_sealed", "_sketches", "now", "number", "partition")

    def __init__(self, number: int, partition: bytes, like: Columns) -> None:
        self.number = number
        self.partition = partition
        self._sealed = False
        self._arrays: Columns = (np.empty(0, np.int64), *(np.empty((0, *c.shape[1:]), c.dtype) for c in like))
        self._sketches: Matrix | None = None
        self.now = Piece(self._arrays[0], self._arrays[1:], None, None, _NOTHING)
        """As published last."""

    @classmethod
    def sealed(cls, number: int, partition: bytes, piece: Piece) -> GrowingPiece:
        """A piece that grows no more, as its arrays are not its own."""
        made = cls(number, partition, ())
        made._sealed = True
        made.now = piece
        return made

    @classmethod
    def joined(cls, number: int, pieces: Sequence[GrowingPiece]) -> GrowingPiece:
        """What is left in some pieces, which resemble one another, written anew."""
        made = cls(number, pieces[0].partition, pieces[0].now.columns)
        for piece in pieces:
            piece.now.check_rows()
            piece.now.check_sketches()
            kept = np.ones(len(piece), np.bool_)
            kept[piece.now.gone] = False
            made.extend(piece.now.ids[kept], tuple(column[kept] for column in piece.now.columns))
        bases = {id(piece.now.basis) for piece in pieces}
        sketches = [piece.now.sketches for piece in pieces if piece.now.sketched == len(piece)]
        if len(bases) == 1 and len(sketches) == len(pieces):
            made._sketches = np.concatenate(
                [
                    np.delete(held, piece.now.gone, axis=0)
                    for held, piece in zip(sketches, pieces, strict=True)
                    if held is not None
                ]
            )
            made.now = made.now._replace(sketches=made._sketches, basis=pieces[0].now.basis)
        return made

    def __len__(self) -> int:
        """Rows, removed ones included."""
        return len(self.now.ids)

    @property
    def alive(self) -> int:
        return len(self.now.ids) - len(self.now.gone)

    @property
    def room(self) -> int:
        """How many rows may still be added."""
        return 0 if self._sealed else FULL - len(self)

    @property
    def nbytes(self) -> int:
        """Of the arrays that are its own."""
        sketches = 0 if self._sketches is None else self._sketches.nbytes
        return sum(array.nbytes for array in self._arrays) + sketches + self.now.gone.nbytes

    def resembles(self, other: GrowingPiece) -> bool:
        """Whether rows of both can be held in one."""
        return [c.dtype for c in self.now.columns] == [c.dtype for c in other.now.columns]

    def extend(self, ids: npt.NDArray[np.int64], columns: Columns) -> None:
        """Append rows, which must fit; without sketches, until `sketch` is called."""
        start, count = len(self), len(self) + len(ids)
        if count > len(self._arrays[0]):
            self._resize(min(max(count, 2 * len(self._arrays[0]), _SMALLEST), FULL))
        for array, new in zip(self._arrays, (ids, *columns), strict=True):
            array[start:count] = new
        self._publish(count)

    def ids_from(self, start: int) -> list[int]:
        """The ids of the rows from this position on, of which none is gone."""
        self.now.check_rows()
        ids: list[int] = self.now.ids[start:].tolist()
        return ids

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
        made = basis.sketch(decode(columns), 0.0 if len(columns) == 1 else columns[1])
        capacity = max(len(self), len(self._arrays[0]))
        if start == 0 or self._sketches is None or len(self._sketches) < capacity:
            grown = np.empty((capacity, basis.columns), np.float32)
            if start:
                grown[:start] = self.now.sketches
            self._sketches = grown
        self._sketches[start : start + len(made)] = made
        self.now = self.now._replace(sketches=self._sketches[: start + len(made)], basis=basis)

    def _resize(self, capacity: int) -> None:
        arrays: list[npt.NDArray[Any]] = []
        for held in (self.now.ids, *self.now.columns):
            array = np.empty((capacity, *held.shape[1:]), held.dtype)
            array[: len(held)] = held
            arrays.append(array)
        self._arrays = tuple(arrays)

    def _publish(self, count: int) -> None:
        self.now = self.now._replace(
            ids=self._arrays[0][:count], columns=tuple(array[:count] for array in self._arrays[1:])
        )
