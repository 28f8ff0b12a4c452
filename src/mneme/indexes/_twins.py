"""Equal vectors: of any number of them only the first few, by id, can be among the best few of a search.

A row's mark is a number made of all bits of its float32 vector, whatever it is held as. Equal vectors have equal marks.
Different ones have too once in four billion pairs, which is no matter: a mark only ever decides between rows that a
search cannot tell apart.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mneme.indexes._quantise import Columns, encode, rows_per_block
from mneme.ports import Matrix, Vector, VectorDType

__all__ = ["Marks", "errors_of", "first_of_twins", "held_as", "marks_of"]

Marks = npt.NDArray[np.uint32]

_FIRST = 256
_SAMPLED = 256
"""Rows that are looked at to see which kinds of equals there are many of."""
_KINDS = 8
"""So many kinds are looked for. There may be more; then more rows than need be are scored."""


def held_as(vectors: Matrix, dtype: VectorDType) -> Columns:
    """What an exact index holds of these vectors: the columns that stand for them, and last their marks."""
    return (*encode(vectors, dtype), marks_of(vectors))


def errors_of(columns: Columns) -> Vector | None:
    """How far each of the rows held is from its vector; `None` if none is."""
    return None if columns[0].dtype == np.float32 else columns[1]


def marks_of(vectors: Matrix) -> Marks:
    """A mark for each row: multilinear hashing of its 32-bit words (Lemire and Kaser, Strongly universal string
    hashing is fast, 2014).
    """
    words = np.ascontiguousarray(vectors).view(np.uint32)
    factors = _factors(words.shape[1])
    sums = np.empty(len(words), np.uint64)
    step = rows_per_block(words.shape[1])
    for start in range(0, len(words), step):
        # Sums wrap around. Of products of two words at once the upper half would depend on few bits of round numbers.
        np.matmul(words[start : start + step].astype(np.uint64), factors, out=sums[start : start + step])
    marks: Marks = (sums >> np.uint64(32)).astype(np.uint32)
    return marks


@lru_cache(maxsize=16)
def _factors(count: int) -> npt.NDArray[np.uint64]:
    # Always the same: marks are saved.
    factors: npt.NDArray[np.uint64] = np.random.default_rng(count).integers(2**64, size=count, dtype=np.uint64)
    factors |= np.uint64(1)
    return factors


def first_of_twins(ids: npt.NDArray[np.int64], marks: Marks, k: int) -> npt.NDArray[np.intp]:
    """Where among these rows those are, in rising order, that are no later than the *k*-th of their equals by id.

    Where there are many kinds of equals, some that are later are left in.
    """
    if len(ids) <= k:
        return np.arange(len(ids))
    if (marks == marks[:1]).all():
        return _lowest(ids, k)
    # Spread over all rows by a prime, so that no regular order of theirs hides some.
    sample = marks[np.arange(_SAMPLED) * 2654435761 % len(marks)]
    kinds, counts = np.unique(sample, return_counts=True)
    wanted = np.ones(len(ids), np.bool_)
    for kind in kinds[np.argsort(-counts)][: min(_KINDS, np.count_nonzero(counts > 1))]:
        (twins,) = (marks == kind).nonzero()
        wanted[twins] = False
        wanted[twins[_lowest(ids[twins], k)]] = True
    return wanted.nonzero()[0]


def _lowest(ids: npt.NDArray[np.int64], k: int) -> npt.NDArray[np.intp]:
    """Where the *k* lowest are, in rising order."""
    # Ids mostly rise, so that few are below what the first ones set.
    low = np.flatnonzero(ids <= _kth_lowest(ids[: max(k, _FIRST)], k))
    return low[ids[low] <= _kth_lowest(ids[low], k)]


def _kth_lowest(ids: npt.NDArray[np.int64], k: int) -> np.int64:
    """Of fewer the last one."""
    kth = min(k, len(ids)) - 1
    lowest: np.int64 = np.partition(ids, kth)[kth]
    return lowest
