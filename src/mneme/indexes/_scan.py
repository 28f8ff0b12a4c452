"""Searches one partition by multiplying every row, and keeps what may belong to the best. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mneme._rules.similarity import product_error, score
from mneme.indexes._quantise import Columns, estimate, rows_per_block
from mneme.ports import Matches, Matrix, Vector

__all__ = ["nothing", "scan"]

_PRODUCTS_AT_ONCE = 2**24  # 64 MiB of float32: a large batch of queries over a large partition is cut into pieces


def nothing(dtype: str) -> Matches:
    """What is found where nothing is held."""
    errors = None if dtype == "float32" else np.empty(0, np.float32)
    return Matches(np.empty(0, np.int64), np.empty(0, np.float32), errors)


def scan(ids: npt.NDArray[np.int64], columns: Columns, queries: Matrix, floor: float, k: int) -> Iterator[Matches]:
    """For each query the best *k* rows at or above *floor*; where rows are quantised, every row that may be one."""
    step = max(1, _PRODUCTS_AT_ONCE // max(1, len(ids)))
    for start in range(0, len(queries), step):
        part = queries[start : start + step]
        for query, estimates in zip(part, estimate(columns, part), strict=True):
            if len(columns) == 1:
                yield _exact(ids, columns[0], query, estimates, floor=floor, k=k)
            else:
                yield _bounded(ids, columns[1], query, estimates, floor=floor, k=k)


def _exact(
    ids: npt.NDArray[np.int64], rows: Matrix, query: Vector, estimates: Vector, *, floor: float, k: int
) -> Matches:
    slack = product_error(len(query))
    near = np.flatnonzero(estimates >= np.float32(floor - slack))
    if len(near) > k:
        chosen = estimates[near]
        # k rows are estimated at the bar or above, so the k-th best score is at worst one slack below it; a row of that
        # score may itself be estimated one slack too low. Equal scores all stay: the rising id decides between them.
        near = near[chosen >= np.float32(_kth_largest(chosen, k) - 2 * slack)]
    scores = _scores(rows, near, query)
    # In float64: comparing in float32 would round the floor, up or down.
    kept = scores.astype(np.float64) >= floor
    scores, found = scores[kept], ids[near[kept]]
    best = np.lexsort((found, -scores))[:k]
    return Matches(found[best], scores[best], None)


def _bounded(
    ids: npt.NDArray[np.int64], errors: Vector, query: Vector, estimates: Vector, *, floor: float, k: int
) -> Matches:
    length = float(np.sqrt(np.square(query, dtype=np.float64).sum()))
    # Rounded sums of three numbers of size one: another slack covers them.
    reach = errors * np.float32(length) + np.float32(2 * product_error(len(query)))
    # The truth lies in [-1, 1], so moving an estimate there only brings it nearer.
    similarities = np.clip(estimates, np.float32(-1), np.float32(1))
    upper = similarities + reach
    near = np.flatnonzero(upper.astype(np.float64) >= floor)
    if len(near) > k:
        # k rows reach the bar for certain: what cannot reach it is not among the best k.
        bar = _kth_largest(similarities[near] - reach[near], k)
        near = near[upper[near] >= bar]
    found = ids[near]
    best = np.lexsort((found, -upper[near]))
    chosen = near[best]
    return Matches(found[best], similarities[chosen], reach[chosen])


def _kth_largest(values: Vector, k: int) -> Any:
    return np.partition(values, len(values) - k)[len(values) - k]


def _scores(rows: Matrix, positions: npt.NDArray[np.intp], query: Vector) -> Vector:
    step = rows_per_block(len(query))
    if len(positions) <= step:
        return score(rows[positions], query)
    # Thousands of rows at the bar: copies of one another. All must be scored, and not all at once.
    return np.concatenate([score(rows[positions[i : i + step]], query) for i in range(0, len(positions), step)])
