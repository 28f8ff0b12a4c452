"""The approximate index: a graph of the library usearch or hnswlib, from the extra `hnsw`."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Sequence
from time import perf_counter

from mneme.errors import CacheClosedError, QuantizationError
from mneme.indexes import _hnsw_file
from mneme.indexes._hnsw_base import BACKENDS, Settings, base_maker
from mneme.indexes._hnsw_contents import Contents
from mneme.indexes._quantise import checked_dtype
from mneme.ports import Matches, Matrix, VectorDType

__all__ = ["HnswIndex"]

_WIDEST = 1000
"""Of *m*. The paper calls 5 to 48 a reasonable range."""


class HnswIndex:
    """Finds nearly always what a scan of all vectors finds, in time that hardly grows with the partition.

    It is approximate: a row that belongs to the best may be missing from an answer, one query in fifty at the default
    *ef* among 100,000 rows, and then a question that the cache could have answered counts as a miss. What it does
    return is right: similarities, order and the choice among those found are as exact as those of `ExactIndex`. A
    partition of up to 1000 rows is scanned, and misses nothing.

    Rows that were removed or replaced are never returned. In the graph they stay as dead weight, which `tombstones`
    counts, until there is one for two living ones; then a new graph is built, two rows with every row that is added or
    removed, and takes the place of the old one when it is complete. Vectors that are exactly equal take up one node.

    Thread safety: searches run side by side, save that usearch lets one at a time into the same graph. Changes take
    turns, and a search waits for the part of a change that concerns its partition only: while eight rows a thread are
    added to the graph, and while what a change added becomes visible. An `add` that fails changes nothing.

    Args:
        m: Neighbours of a node, twice as many on the ground level. More find more, and take more memory and time.
        ef_construction: How many candidates a new row chooses its neighbours from.
        ef: How many candidates a search looks at. The one to raise if too much is missed.
        backend: "usearch", "hnswlib", or "auto" for the first of these that is installed.
        threads: How many threads add a batch of rows, 0 for one a processor.

    Raises:
        IndexBackendUnavailableError: The library is not installed.
        TypeError, ValueError: An option does not hold.
    """

    def __init__(
        self, *, m: int = 16, ef_construction: int = 200, ef: int = 64, backend: str = "auto", threads: int = 0
    ) -> None:
        _check("m", m, 2, _WIDEST)
        _check("ef_construction", ef_construction, 1)
        _check("ef", ef, 1)
        _check("threads", threads, 0)
        if backend not in ("auto", *BACKENDS):
            raise ValueError(f"backend must be 'auto', 'usearch' or 'hnswlib', got {backend!r}")
        self._settings = Settings(m, ef_construction, ef, threads or os.cpu_count() or 1)
        self._maker = base_maker(backend)
        self._dtype: VectorDType = "float32"
        self._contents: Contents | None = None
        self._closed = False

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self._dtype} on {self._maker.name}, m={self._settings.m}, ef={self._settings.ef}>"
        )

    @property
    def name(self) -> str:
        """Always "hnsw": what it finds is approximate."""
        return "hnsw"

    @property
    def backend(self) -> str:
        """The library that is used: "usearch" or "hnswlib"."""
        return self._maker.name

    @property
    def dtype(self) -> VectorDType:
        """As given to `open`; "float32" before."""
        return self._dtype

    def open(self, dim: int, dtype: VectorDType) -> None:
        """Start empty, for vectors of this dimension. Again forgets everything.

        Raises:
            QuantizationError: The dtype is unknown, or the library does not hold it (hnswlib: float32 only).
            ValueError: The dimension is less than 1.
            CacheClosedError: The index was closed.
        """
        if self._closed:
            raise CacheClosedError("the index is closed; make a new one")
        if operator.index(dim) < 1:
            raise ValueError(f"dim must be at least 1, not {dim}")
        dtype = checked_dtype(dtype)
        if dtype not in self._maker.dtypes:
            known = " and ".join(self._maker.dtypes)
            raise QuantizationError(f"{self.backend} holds {known} only, not {dtype!r}; use that, or install usearch")
        contents = Contents(dim, dtype, self._maker, self._settings)
        self._dtype, self._contents = contents.dtype, contents

    def add(self, ids: Sequence[int], partitions: Sequence[bytes], vectors: Matrix) -> None:
        """Hold these unit vectors; an id already held is replaced. Of an id given twice the last counts.

        A row takes a search of the graph to add, or three while a new graph is built.

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
        """For each unit query about the best *k* rows of the partition whose similarity may be at least *floor*.

        Rows may be missing; see the class. A partition of which nothing is held gives empty matches.

        Raises:
            ValueError: *k* is less than 1, *floor* is NaN, or the queries are not float32 unit vectors of shape
                `(n, dim)`.
        """
        return self._opened().search(partition, queries, floor, k)

    def size(self) -> int:
        """How many vectors are held."""
        return self._opened().size()

    def tombstones(self) -> int:
        """How many nodes of graphs stand for no vector any more."""
        return self._opened().tombstones()

    def memory_bytes(self) -> int:
        """Memory of graphs, arrays and tables, as far as the library says."""
        return self._opened().memory_bytes()

    def build_seconds(self, rows: int, sample: Matrix) -> float:
        """How long so many rows like those of *sample*, unit vectors of shape `(n, dim)`, may take to add to a graph.

        Measured now by building one of the sample, and reckoned from there: a row costs a search of the graph, which
        takes time in proportion to the logarithm of its rows.
        """
        contents = self._opened()
        trial = Contents(contents.dim, contents.dtype, self._maker, self._settings)
        began = perf_counter()
        trial.add(range(len(sample)), [b""] * len(sample), sample)
        taken = perf_counter() - began
        size = max(2, len(sample))
        return taken * rows / size * math.log(max(rows, 2)) / math.log(size)

    def save(self, path: str, stamp: str) -> None:
        """Write the whole index and *stamp* to one file, readable by its owner alone, in place of the one at *path*.

        Changes wait meanwhile, searches do not.

        Raises:
            OSError: It could not be written. What was at *path* is still there.
        """
        _hnsw_file.save(self._opened(), path, stamp)

    def load(self, path: str, dim: int, dtype: VectorDType) -> str:
        """In place of `open`: hold what was saved; the stamp it was saved with. Nothing is held if that fails.

        Load only what `save` wrote: damage is noticed, malice is not.

        Raises:
            FileNotFoundError: There is no file.
            OSError: It could not be read.
            CorruptCacheError: It is damaged, is something else, or was saved with another dimension, dtype, library,
                *m* or *ef_construction*.
        """
        self.open(dim, dtype)
        contents = self._opened()
        self._contents = None
        stamp = _hnsw_file.load(contents, path)
        self._contents = contents
        return stamp

    def close(self) -> None:
        """Give the memory back. Again is harmless; searches under way finish."""
        self._closed = True
        self._contents = None

    def _opened(self) -> Contents:
        contents = self._contents
        if self._closed:
            raise CacheClosedError("the index is closed; make a new one")
        if contents is None:
            raise RuntimeError("the index is not open; call open(dim, dtype) first")
        return contents


def _check(name: str, value: int, least: int, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {type(value).__name__}")
    if value < least or (most is not None and value > most):
        limits = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{name} must be {limits}, got {value}")
