"""What is right: a full scan, written without the library, and comparisons with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mneme.ports import Matrix, Vector

BEST = 8
"""How many rows a search is asked for."""
ANY = -2.0
"""A floor below every similarity."""
_ROUNDING = 1e-4
"""More than a float32 product of two unit vectors can be wrong by."""
_AT_ONCE = 2**24


class Found(NamedTuple):
    """Positions of rows, best first, equally near ones in order of position; and their similarities."""

    positions: npt.NDArray[np.int64]
    similarities: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Question:
    """A query that is stored nowhere, its vector, and the best rows at or above the threshold by a full scan."""

    text: str
    vector: Vector
    right: Found


def full_scan(matrix: Matrix, queries: Matrix, *, floor: float, k: int = BEST) -> Iterator[Found]:
    """For each query the best *k* rows at or above *floor*: every row in float32, those in question in float64."""
    step = max(1, _AT_ONCE // len(matrix))
    for start in range(0, len(queries), step):
        part = queries[start : start + step]
        for query, products in zip(part, part @ matrix.T, strict=True):
            bar = max(floor, float(np.partition(products, -k)[-k]) if len(products) > k else ANY)
            near = np.flatnonzero(products >= bar - _ROUNDING)
            yield best_of(near, matrix[near], query, floor=floor, k=k)


def best_of(positions: npt.NDArray[np.integer], rows: Matrix, query: Vector, *, floor: float, k: int = BEST) -> Found:
    """The best *k* of these rows at or above *floor*, each scored by itself in float64."""
    sums = np.multiply(rows, query, dtype=np.float64).sum(axis=1)
    scores = np.clip(sums, -1, 1).astype(np.float32)
    kept = scores.astype(np.float64) >= floor
    named, scores = positions[kept].astype(np.int64), scores[kept]
    order = np.lexsort((named, -scores))[:k]
    return Found(named[order], scores[order])


def identical(found: Found, right: Found) -> None:
    """Raise unless these are the same rows in the same order with the same similarities, to the last bit."""
    assert found.positions.tolist() == right.positions.tolist(), f"{found} is not {right}"
    assert found.similarities.tolist() == right.similarities.tolist(), f"{found} is not {right}"


def equivalent(found: Found, right: Found, *, floor: float, k: int = BEST, tolerance: float = 1e-5) -> None:
    """The same of an engine whose similarities are rounded in another way: rows as near as that may change places."""
    bar = max(floor, float(right.similarities[-1]) if len(right.positions) == k else floor)
    expected = dict(zip(right.positions.tolist(), right.similarities.tolist(), strict=True))
    given = dict(zip(found.positions.tolist(), found.similarities.tolist(), strict=True))
    for position, similarity in expected.items():
        if position in given:
            assert abs(given[position] - similarity) <= tolerance, f"{found} is not {right}"
        else:
            assert similarity <= bar + tolerance, f"{position} is missing in {found}: {right}"
    for position in given.keys() - expected.keys():
        assert abs(given[position] - bar) <= tolerance, f"{position} is too much in {found}: {right}"


def same_first(found: Found, right: Found) -> bool:
    """Whether the nearest row was found, or another just as near."""
    if not len(found.positions) or not len(right.positions):
        return len(found.positions) == len(right.positions)
    return bool(found.positions[0] == right.positions[0] or abs(found.similarities[0] - right.similarities[0]) <= 1e-6)
