"""The rows of a small partition, in plain arrays: scanning a thousand rows takes less time than a graph of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from mneme._rules.similarity import product_error
from mneme.indexes._gate import Gate
from mneme.indexes._hnsw_pick import decided, possible, survivors
from mneme.indexes._quantise import Columns, estimate
from mneme.ports import Matches, Matrix

__all__ = ["Flat"]

_SMALLEST = 4  # rows
_ROW_BYTES = 90  # of the id and its position in the table


class Flat:
    """Parallel arrays of ids and columns. Searched exactly.

    Thread safety: one writer at a time. `stage` and `columns_of` may run beside searches; `hide`, and what `stage`
    returned, need the gate to themselves.
    """

    dead = 0
    """No row is left behind: the last one takes the place of one that goes, and its own is overwritten."""

    def __init__(self, like: Columns) -> None:
        self._ids: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._columns: Columns = tuple(np.empty((0, *c.shape[1:]), c.dtype) for c in like)
        self._positions: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._positions)

    def __contains__(self, entry_id: int) -> bool:
        return entry_id in self._positions

    def ids(self) -> list[int]:
        return list(self._positions)

    def columns_of(self, ids: Sequence[int]) -> Columns:
        positions = [self._positions[entry_id] for entry_id in ids]
        return tuple(column[positions] for column in self._columns)

    def stage(self, ids: Sequence[int], columns: Columns, gate: Gate) -> Callable[[], None]:  # noqa: ARG002 -- as `Graph`
        """Get ready to hold these rows; what is returned shows them, and cannot fail."""
        needed = len(self) + len(ids)
        if needed > len(self._ids):
            self._resize(max(needed, len(self._ids) + len(self._ids) // 2, _SMALLEST))
        return partial(self._show, ids, columns)

    def hide(self, ids: Sequence[int]) -> None:
        """Rows of these ids, if they are here, are no more."""
        for entry_id in ids:
            position = self._positions.pop(entry_id, None)
            if position is None:
                continue
            last = len(self._positions)
            if position < last:
                for array in (self._ids, *self._columns):
                    array[position] = array[last]
                self._positions[int(self._ids[position])] = position
            for array in (self._ids, *self._columns):
                array[last] = 0  # what was to be forgotten must not stay in spare room

    def search(self, queries: Matrix, encoded: Columns, floor: float, k: int) -> list[Matches]:  # noqa: ARG002 -- as `Graph`
        count = len(self)
        ids, columns = self._ids[:count], tuple(column[:count] for column in self._columns)
        found = []
        for query, estimates in zip(queries, estimate(columns, queries), strict=True):
            if len(columns) == 1:
                near = survivors(estimates, np.float32(product_error(len(query))), floor, k)
                found.append(decided(columns[0][near], ids[near], query, floor, k))
            else:
                found.append(possible(estimates, columns[1], ids, query, floor=floor, k=k))
        return found

    def nbytes(self) -> int:
        return self._ids.nbytes + sum(column.nbytes for column in self._columns) + _ROW_BYTES * len(self)

    def _show(self, ids: Sequence[int], columns: Columns) -> None:
        start = len(self)
        end = start + len(ids)
        for array, new in zip((self._ids, *self._columns), (ids, *columns), strict=True):
            array[start:end] = new
        self._positions.update(zip(ids, range(start, end), strict=True))

    def _resize(self, capacity: int) -> None:
        count = len(self)
        arrays = []
        for held in (self._ids, *self._columns):
            array = np.empty((capacity, *held.shape[1:]), held.dtype)
            array[:count] = held[:count]
            arrays.append(array)
        self._ids, self._columns = arrays[0], tuple(arrays[1:])
