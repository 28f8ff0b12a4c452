"""What a search reads of a partition: its pieces, as they were when it began."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mneme.indexes._basis import Basis
from mneme.indexes._fast import Coded, coding_error, multiply
from mneme.indexes._piece import Piece, Positions
from mneme.indexes._quantise import Columns, decode, estimate, widen
from mneme.indexes._twins import Marks, errors_of
from mneme.ports import Matrix, Vector

__all__ = ["View"]

_GATHERED = 0.5
"""The share of a piece's rows up to which it is cheaper to pick them out than to multiply all."""

_STALLED = 4e-3
"""Seconds that one piece takes only if BLAS had to wait; otherwise it takes a tenth of that."""


class _Part(NamedTuple):
    piece: Piece
    columns: Columns
    at: slice
    """Where its rows are in the stretch."""
    gone: Positions
    """Where in the stretch rows are gone."""


class _Stretch(NamedTuple):
    """Rows of one or more pieces that adjoin."""

    start: int
    rows: int
    """How many."""
    parts: list[_Part]


class View:
    """The rows of some pieces, numbered through from 0. Worked out once, for all searches that see the same pieces."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = tuple(pieces)
        self.starts = np.cumsum([0, *(len(piece.ids) for piece in pieces)])
        self.count = int(self.starts[-1])
        """How many rows, those included that are gone."""
        self.exact = all(errors_of(piece.columns) is None for piece in pieces)
        """Whether every row is held in float32."""

    @cached_property
    def sketched(self) -> list[int]:
        """The numbers of the pieces that have sketches."""
        return [number for number, piece in enumerate(self.pieces) if piece.sketches is not None]

    @cached_property
    def coding_error(self) -> float:
        """How far a query may be from what its products with int8 rows are worked out from; 0 if it is the query."""
        coded = (piece.columns[0].shape[1] for piece in self.pieces if piece.columns[0].dtype == np.int8)
        return max(map(coding_error, coded), default=0.0)

    @cached_property
    def margin(self) -> float:
        """To be added to the bounds, to be certain of them."""
        return max((basis.margin for basis in self._bases), default=0.0)

    @property
    def _bases(self) -> list[Basis]:
        return list({id(basis): basis for piece in self.pieces if (basis := piece.basis) is not None}.values())

    @cached_property
    def plain(self) -> int:
        """How many rows have no sketch."""
        return sum(len(piece.ids) - piece.sketched for piece in self.pieces)

    @cached_property
    def _unbounded(self) -> Positions:
        """Where rows are not sketched, or gone."""
        parts = [
            start + np.concatenate([piece.gone, np.arange(piece.sketched, end - start, dtype=np.intp)])
            for piece, start, end in self._extents()
        ]
        return np.concatenate(parts)

    def and_piece(self, piece: Piece) -> View:
        """This one's rows, and behind them those of a piece that has no sketches."""
        made = View.__new__(View)
        # What was worked out once of the sketches stays true.
        changed = ("plain", "_unbounded", "coding_error", "_without_sketches")
        made.__dict__.update(self.__dict__.copy())  # copied in one step: another search may be working something out
        for name in changed:
            made.__dict__.pop(name, None)
        made.pieces = (*self.pieces, piece)
        made.count = self.count + len(piece.ids)
        made.starts = np.append(self.starts, made.count)
        made.exact = self.exact and errors_of(piece.columns) is None
        return made

    def query_sketches(self, queries: Matrix) -> dict[int, Matrix]:
        """The sketches of the queries, by the identity of the basis."""
        return {id(basis): basis.sketch_queries(queries) for basis in self._bases}

    def bounds(self, queries: dict[int, Matrix], chosen: Positions) -> Matrix:
        """What each row's similarity to the *chosen* queries can be at the most, less the margin.

        Rows that are not sketched, or gone, have minus infinity.
        """
        bounds = np.empty((len(chosen), self.count), np.float32)
        for number in self.sketched:
            piece, start = self.pieces[number], int(self.starts[number])
            piece.check_sketches()
            assert piece.sketches is not None  # noqa: S101 -- see `sketched`
            mine, end = queries[id(piece.basis)][chosen], start + piece.sketched
            # Not `dot`, which would copy the sketches; and of one query not a matrix of one row, which takes longer.
            if len(chosen) == 1:
                np.matmul(mine[0], piece.sketches, out=bounds[0, start:end])
            else:
                np.matmul(mine, piece.sketches, out=bounds[:, start:end])
        bounds[:, self._unbounded] = -np.inf
        return bounds

    def bounds_in(self, number: int, queries: dict[int, Matrix], query: int, count: int) -> Vector:
        """The same for one query and the first so many of the sketched rows of one piece."""
        piece = self.pieces[number]
        piece.check_sketches()
        assert piece.sketches is not None  # noqa: S101 -- as the caller knows
        bounds: Vector = queries[id(piece.basis)][query] @ piece.sketches[:, :count]
        if len(piece.gone):
            bounds[piece.gone[piece.gone < len(bounds)]] = -np.inf
        return bounds

    def products(
        self, queries: Matrix, coded: Coded | None, *, sketched: bool
    ) -> Iterator[tuple[int, Vector | None, Matrix]]:
        """Of every row that has a sketch, or of every one that has none, the estimates: as many at once as adjoin.

        With them come the position of the first and the errors. Where a row is gone the estimate is minus infinity.
        *coded* may be given where there is one query.
        """
        spread = True
        for stretch in self._with_sketches if sketched else self._without_sketches:
            # Not piece by piece: what a search goes through afterwards takes as many steps for few rows as for many.
            estimates = np.empty((len(queries), stretch.rows), np.float32)
            errors = None if self.exact else np.zeros(stretch.rows, np.float32)
            for piece, columns, at, gone in stretch.parts:
                piece.check_rows()
                began = perf_counter()
                if coded is not None and columns[0].dtype == np.int8:
                    np.multiply(multiply(columns[0], coded), columns[2], out=estimates[0, at])
                else:
                    estimate(columns, queries, estimates[:, at], spread=spread)
                # Where another thread or process has the other processors, BLAS waits 8 ms for them, every time.
                spread = spread and perf_counter() - began < _STALLED
                if len(gone):
                    estimates[:, gone] = -np.inf
                theirs = errors_of(columns)
                if errors is not None and theirs is not None:
                    errors[at] = theirs
            yield stretch.start, errors, estimates

    @cached_property
    def _with_sketches(self) -> list[_Stretch]:
        return list(self._stretches([slice(0, piece.sketched) for piece in self.pieces]))

    @cached_property
    def _without_sketches(self) -> list[_Stretch]:
        return list(self._stretches([slice(piece.sketched, len(piece.ids)) for piece in self.pieces]))

    def _stretches(self, chosen: Sequence[slice]) -> Iterator[_Stretch]:
        """The chosen rows of each piece, those that adjoin together."""
        stretch: _Stretch | None = None
        for (piece, start, _), rows in zip(self._extents(), chosen, strict=True):
            count = rows.stop - rows.start
            if not count:
                continue
            if stretch is None or stretch.start + stretch.rows < start + rows.start:
                if stretch is not None:
                    yield stretch
                stretch = _Stretch(start + rows.start, 0, [])
            at = slice(stretch.rows, stretch.rows + count)
            gone = piece.gone[(piece.gone >= rows.start) & (piece.gone < rows.stop)] - rows.start + at.start
            columns = tuple(column[rows] for column in piece.columns)
            stretch = _Stretch(stretch.start, at.stop, [*stretch.parts, _Part(piece, columns, at, gone)])
        if stretch is not None:
            yield stretch

    def estimates(self, positions: Positions, query: Vector, coded: Coded | None) -> Vector:
        """Estimates of the rows at these rising positions; of int8 rows with the *coded* query, if there is one."""
        found = np.empty(len(positions), np.float32)
        if coded is None:
            self._estimate(positions, query, found)
            return found
        for piece, at, part in self._by_piece(positions):
            held = piece.columns[0]
            if held.dtype == np.int8:
                np.multiply(multiply(held.take(at, axis=0), coded), piece.columns[2][at], out=found[part])
            else:
                found[part] = decode((held.take(at, axis=0),)) @ query
        return found

    def _estimate(self, positions: Positions, query: Vector, found: Vector) -> None:
        rows = np.empty((len(positions), len(query)), np.float32)
        scales = None
        for piece, at, part in self._by_piece(positions):
            held = piece.columns[0]
            if held.dtype == np.float32:
                held.take(at, axis=0, out=rows[part], mode="clip")  # which spares a copy; all are in the piece
            else:
                widen(held.take(at, axis=0), rows[part])
            if held.dtype == np.int8:
                scales = np.ones(len(positions), np.float32) if scales is None else scales
                scales[part] = piece.columns[2][at]
        np.dot(rows, query, out=found)
        if scales is not None:
            found *= scales

    def errors(self, positions: Positions) -> Vector | None:
        """How far the rows at these rising positions are from the vectors that they stand for; `None` if none is."""
        if self.exact:
            return None
        found = np.zeros(len(positions), np.float32)
        for piece, at, part in self._by_piece(positions):
            errors = errors_of(piece.columns)
            if errors is not None:
                found[part] = errors[at]
        return found

    def ids(self, positions: Positions | slice) -> npt.NDArray[np.int64]:
        """The ids of the rows at these rising positions, or in this stretch."""
        return self._picked(positions, lambda piece: piece.ids, np.int64)

    def marks(self, positions: Positions | slice) -> Marks:
        """The marks of the rows at these rising positions, or in this stretch."""
        return self._picked(positions, lambda piece: piece.columns[-1], np.uint32)

    def rows(self, positions: Positions) -> Matrix:
        """The rows at these rising positions, which are held in float32."""
        parts = [piece.columns[0].take(at, axis=0) for piece, at, _ in self._by_piece(positions)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _picked(
        self, positions: Positions | slice, column: Callable[[Piece], npt.NDArray[Any]], dtype: npt.DTypeLike
    ) -> npt.NDArray[Any]:
        """What a column says of these rows; a view of it where they are all of a stretch in one piece."""
        if isinstance(positions, slice):
            parts = []
            for piece, start, end in self._extents():
                if start < positions.stop and positions.start < end:
                    piece.check_rows()
                    parts.append(column(piece)[max(0, positions.start - start) : positions.stop - start])
            return parts[0] if len(parts) == 1 else np.concatenate(parts)
        found = np.empty(0, dtype)
        for piece, at, part in self._by_piece(positions):
            stretch = at[-1] - at[0] + 1 == len(at)
            values = column(piece)[at[0] : at[-1] + 1] if stretch else column(piece)[at]
            if len(at) == len(positions):
                return values
            if not len(found):
                found = np.empty(len(positions), dtype)
            found[part] = values
        return found

    def _extents(self) -> Iterator[tuple[Piece, int, int]]:
        starts = self.starts.tolist()
        return zip(self.pieces, starts[:-1], starts[1:], strict=True)

    def _by_piece(self, positions: Positions) -> Iterator[tuple[Piece, Positions, slice]]:
        """The pieces that hold some of these, where in each piece they are, and where among *positions*."""
        if len(self.pieces) == 1:
            self.pieces[0].check_rows()
            yield self.pieces[0], positions, slice(0, len(positions))
            return
        cuts: npt.NDArray[np.intp] = np.searchsorted(positions, self.starts)
        ends = cuts.tolist()
        for number, (start, end) in enumerate(pairwise(ends)):
            if start < end:
                self.pieces[number].check_rows()
                yield self.pieces[number], positions[start:end] - self.starts[number], slice(start, end)
