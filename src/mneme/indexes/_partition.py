"""The rows of one partition, in contiguous arrays without holes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mneme.indexes._gate import Gate
from mneme.indexes._quantise import Columns

__all__ = ["Partition"]

_SMALLEST = 4  # rows


class Partition:
    """Parallel arrays of equal capacity: ids, rows, and what belongs to the rows.

    Thread safety: one writer at a time. `published` may be read at any time. Rows within it change in `discard` only,
    which needs `gate.exclusive`; a search that reads them stands inside `gate.shared`. `extend` and `resize` need no
    gate: they write where no published array reaches, then publish.
    """

    # Roads not taken. Copying the arrays on every overwrite: a delete from 100,000 rows would copy 150 MB. Letting the
    # search run freely and repeating it if rows changed meanwhile: under steady eviction it would repeat for ever.
    # One lock held for the whole search: right as well, but two searches of the same partition would take turns.

    __slots__ = ("_arrays", "gate", "published")

    def __init__(self, like: Columns) -> None:
        self.gate = Gate()
        self._arrays: Columns = (np.empty(0, np.int64), *(np.empty((0, *c.shape[1:]), c.dtype) for c in like))
        self.published: Columns = self._arrays
        """Ids, rows and the rest, as many as are held: what a search works on."""

    def __len__(self) -> int:
        return len(self.published[0])

    @property
    def capacity(self) -> int:
        return len(self._arrays[0])

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self._arrays)

    def reserve(self, more: int) -> None:
        """Make room for *more* rows. Grows by half, so that rows are copied three times each at the most on average."""
        needed = len(self) + more
        if needed > self.capacity:
            self._resize(max(needed, self.capacity + self.capacity // 2, _SMALLEST))

    def extend(self, ids: npt.NDArray[np.int64], columns: Columns) -> int:
        """Append rows; the position of the first. A search under way does not see them."""
        start = len(self)
        self.reserve(len(ids))
        for array, new in zip(self._arrays, (ids, *columns), strict=True):
            array[start : start + len(ids)] = new
        self._publish(start + len(ids))
        return start

    def discard(self, positions: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Drop the rows at these positions and fill the gaps from the end; the ids that moved, and where to."""
        remaining = len(self) - len(positions)
        kept_tail = np.ones(len(positions), np.bool_)
        kept_tail[positions[positions >= remaining] - remaining] = False
        movers = np.flatnonzero(kept_tail) + remaining
        gaps = positions[positions < remaining]
        for array in self._arrays:
            array[gaps] = array[movers]
        self._publish(remaining)
        return self.published[0][gaps], gaps

    def tidy(self) -> None:
        """Give memory back when less than a quarter of it is in use."""
        if len(self) < self.capacity // 4 and self.capacity > _SMALLEST:
            self._resize(max(len(self) + len(self) // 2, _SMALLEST))

    def _resize(self, capacity: int) -> None:
        # New arrays rather than ndarray.resize: a search under way still reads the old ones.
        arrays: list[npt.NDArray[Any]] = []
        for held in self.published:
            array = np.empty((capacity, *held.shape[1:]), held.dtype)
            array[: len(held)] = held
            arrays.append(array)
        self._arrays = tuple(arrays)
        self._publish(len(self))

    def _publish(self, count: int) -> None:
        self.published = tuple(array[:count] for array in self._arrays)  # one assignment: seen whole or not at all
