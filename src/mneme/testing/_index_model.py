"""The reference of `IndexContract`: a scan of all vectors in which nothing is rounded before the end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mneme.ports import Index, Matches, Matrix, Vector

__all__ = ["Model", "check", "similarity", "some_vectors", "unit"]


_SUMMED = 1e-14
"""By how much a sum in float64 may be off. Rounded to float32 that shows in similarities near 0 alone."""


def similarity(row: Vector, query: Vector) -> np.float32:
    products = row.astype(np.float64) * query.astype(np.float64)  # exact
    rounded: np.float32 = np.float32(min(1.0, max(-1.0, math.fsum(products))))
    return rounded


def best(rows: dict[int, Vector], query: Vector, floor: float, k: int) -> list[tuple[int, float]]:
    """Ids and similarities of the best *k* at or above *floor*, falling, ties by rising id."""
    scored = ((-float(similarity(row, query)), number) for number, row in rows.items())
    return [(number, -negated) for negated, number in sorted(scored) if -negated >= floor][:k]


def check(found: Matches, rows: dict[int, Vector], query: Vector, floor: float, k: int) -> None:
    """Assert that a search of a partition that holds *rows* may answer this."""
    ids, similarities, errors = found
    assert ids.dtype == np.int64, "ids must be int64"
    assert similarities.dtype == np.float32, "similarities must be float32"
    assert ids.shape == similarities.shape == (len(ids),), "ids and similarities must be equally long"
    numbers = ids.tolist()
    assert len(set(numbers)) == len(numbers), "an id was found twice"
    assert set(numbers) <= set(rows), "an id was found that the partition does not hold"
    expected = best(rows, query, floor, k)
    if errors is None:
        assert len(numbers) == len(expected)
        for number, found_at, (right, at) in zip(numbers, similarities.tolist(), expected, strict=True):
            truth = float(similarity(rows[number], query))
            assert abs(found_at - at) <= _SUMMED
            assert abs(truth - at) <= _SUMMED
            assert number == right or truth != at, "ties must come by rising id"
        return
    assert errors.dtype == np.float32, "errors must be float32"
    assert errors.shape == ids.shape, "there must be one error for each id"
    assert (np.abs(similarities) <= 1).all(), "similarities must lie in [-1, 1]"
    truths = np.array([similarity(rows[number], query) for number in numbers], np.float64)
    assert (np.abs(truths - similarities) <= errors).all(), "a similarity is further from the truth than its error says"
    bounds = similarities + errors
    assert (bounds >= floor).all(), "a row was returned that cannot reach the floor"
    order = [(-bound, number) for bound, number in zip(bounds.tolist(), numbers, strict=True)]
    assert order == sorted(order), "matches must come in falling order of similarity + error, ties by rising id"
    assert best({number: rows[number] for number in numbers}, query, floor, k) == expected


def unit(vectors: Any) -> Matrix:
    """Rows divided by their lengths, as float32."""
    rows = np.atleast_2d(np.asarray(vectors, np.float64))
    units: Matrix = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return units


def some_vectors(dim: int, count: int, seed: int) -> Matrix:
    """Unit vectors of which many are equal, opposite, nearly equal, or at exactly equal angles to others."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, dim))
    for at in range(count):
        earlier = rows[rng.integers(at + 1)]
        kind = rng.integers(6)
        if kind == 0:
            rows[at] = earlier
        elif kind == 1:
            rows[at] = -earlier
        elif kind == 2:
            rows[at] = earlier + rng.standard_normal(dim) * 1e-7
        elif kind == 3:
            rows[at] = rng.integers(-1, 2, dim)
    rows[~rows.any(axis=1)] = 1.0
    return unit(rows)


@dataclass
class Model:
    """An index and, beside it, what it should hold."""

    index: Index
    pool: Matrix
    held: dict[int, tuple[bytes, Vector]] = field(default_factory=dict)

    def rows(self, partition: bytes) -> dict[int, Vector]:
        return {number: row for number, (name, row) in self.held.items() if name == partition}

    def add(self, items: list[tuple[int, bytes, int]]) -> None:
        vectors = self.pool[[which % len(self.pool) for *_, which in items]]
        self.index.add([number for number, *_ in items], [name for _, name, _ in items], vectors)
        self.held.update((number, (name, row)) for (number, name, _), row in zip(items, vectors, strict=True))

    def remove(self, ids: list[int]) -> None:
        removed = self.index.remove(iter(ids))
        assert removed == sum(self.held.pop(number, None) is not None for number in set(ids))

    def search(self, wanted: tuple[bytes, list[int], float | tuple[int, bool], int]) -> None:
        partition, which, floor, k = wanted
        queries = self.pool[[at % len(self.pool) for at in which]]
        rows = self.rows(partition)
        if isinstance(floor, tuple):
            row, above = self.pool[floor[0] % len(self.pool)], floor[1]
            at = float(similarity(row, queries[0] if len(queries) else row))
            floor = math.nextafter(at, 2.0) if above else at
        answers = self.index.search(partition, queries, floor=floor, k=k)
        assert len(answers) == len(queries), "there must be one answer for each query"
        for query, found in zip(queries, answers, strict=True):
            check(found, rows, query, floor, k)
