"""The exact index: every row of the partition is multiplied with the query. NumPy and nothing else."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

from mneme.errors import CacheClosedError
from mneme.indexes import _saved
from mneme.indexes._contents import Contents
from mneme.indexes._quantise import checked_dtype
from mneme.ports import Matches, Matrix, VectorDType

__all__ = ["ExactIndex"]


class ExactIndex:
    """Finds exactly what a scan of all vectors of the partition finds, in time proportional to the partition.

    With float32 the similarities are exact (`Matches.errors` is `None`) and do not depend on what else was searched
    for in the same call. With float16 and int8 they are estimates with a certain error, to be scored again by the
    caller.

    Thread safety: searches run side by side, of large partitions as many as do one another good. A change waits for
    nobody but other changes, and a search for no change. An `add` that fails changes nothing.
    """

    def __init__(self) -> None:
        self._dtype: VectorDType = "float32"
        self._contents: Contents | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._dtype}>"

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
        dtype = checked_dtype(dtype)
        self._let_go()
        self._dtype, self._contents = dtype, Contents(dim, dtype)

    def save(self, path: str, stamp: str) -> None:
        """Write a file from which an index of this kind opens without reading the vectors; the *stamp* comes back then.

        The file holds the rows of large partitions as int8 whatever the dtype. It appears whole or not at all, in place
        of the one at *path*, and only its owner may read it. Changes wait for a part of the time, searches do not.

        Raises:
            OSError: It could not be written. What was at *path* is still there.
        """
        contents = self._opened()
        _saved.write(path, stamp, contents.dim, contents.to_save())

    def load(self, path: str, dim: int, dtype: VectorDType) -> str:
        """In place of `open`: hold what the file holds; the stamp it was saved with. Nothing is held if that fails.

        The file is read and checked where and when something in it is needed; if it turns out to be damaged, whatever
        needed it raises `CorruptCacheError`, and the index must be opened and filled anew. Rows that are added are held
        in *dtype*, those of the file stay in the file, most of them as int8: so their similarities come with errors.

        Raises:
            FileNotFoundError, OSError: There is no file, or it cannot be read.
            CorruptCacheError: It is damaged, is something else, or holds vectors of another dimension.
        """
        self.open(dim, dtype)
        contents = self._opened()
        try:
            stamp, partitions = _saved.read(path, dim)
            contents.restore(partitions)
        except BaseException:
            self.open(dim, dtype)
            raise
        return stamp

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
        return self._opened().size()

    def tombstones(self) -> int:
        """How many rows were removed, or replaced, of pieces that still have others."""
        return self._opened().tombstones()

    def memory_bytes(self) -> int:
        """Memory of the arrays, spare room included, and of the table of ids."""
        return self._opened().memory_bytes()

    def search_seconds(self, floor: float) -> float:
        """How long a search of the largest partition takes, measured now; 0.0 where nothing is held.

        The median of a few searches for rows that are held, with this *floor*.
        """
        return self._opened().search_seconds(floor)

    def close(self) -> None:
        """Give the memory back. Again is harmless; searches under way finish."""
        self._closed = True
        self._let_go()

    def _let_go(self) -> None:
        contents, self._contents = self._contents, None
        if contents is not None:
            contents.let_go()

    def _opened(self) -> Contents:
        contents = self._contents
        if self._closed:
            raise CacheClosedError("the index is closed; make a new one")
        if contents is None:
            raise RuntimeError("the index is not open; call open(dim, dtype) first")
        return contents
