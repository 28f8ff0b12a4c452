"""Of candidates with estimated similarities, the matches. Pure functions.

An approximate index may miss a candidate. What it does with those it has is exact: the same rows in the same order as
an exact index would choose from them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mneme._rules.similarity import product_error, score
from mneme.ports import Matches, Matrix, Vector

__all__ = ["decided", "nothing", "possible", "survivors"]

Ids = npt.NDArray[np.int64]
Positions = npt.NDArray[np.intp]


def nothing(*, exact: bool) -> Matches:
    """What is found where nothing is held."""
    errors = None if exact else np.empty(0, np.float32)
    return Matches(np.empty(0, np.int64), np.empty(0, np.float32), errors)


def survivors(estimates: Vector, reach: Any, floor: float, k: int) -> Positions:
    """Which may be among the best *k* at or above *floor*, if none is further than its *reach* from its estimate."""
    upper = estimates + reach
    near = np.flatnonzero(upper.astype(np.float64) >= floor)  # float32 would round the floor, up or down
    if len(near) > k:
        lower = (estimates - reach)[near]
        near = near[upper[near] >= np.partition(lower, len(near) - k)[len(near) - k]]
    return near


def decided(rows: Matrix, ids: Ids, query: Vector, floor: float, k: int) -> Matches:
    """The best *k* at or above *floor* of rows held in float32, ties by rising id."""
    scores = score(rows, query)
    kept = np.flatnonzero(scores.astype(np.float64) >= floor)
    scores, ids = scores[kept], ids[kept]
    best = np.lexsort((ids, -scores))[:k]
    return Matches(ids[best], scores[best], None)


def possible(estimates: Vector, errors: Vector, ids: Ids, query: Vector, *, floor: float, k: int) -> Matches:
    """Every row that may be among the best *k*, where rows are quantised with these *errors*."""
    length = float(np.sqrt(np.square(query, dtype=np.float64).sum()))
    # Rounded sums of three numbers of size one: another slack covers them.
    reach = errors * np.float32(length) + np.float32(2 * product_error(len(query)))
    # The truth lies in [-1, 1], so moving an estimate there only brings it nearer.
    similarities = np.clip(estimates, np.float32(-1), np.float32(1))
    near = survivors(similarities, reach, floor, k)
    similarities, reach, ids = similarities[near], reach[near], ids[near]
    best = np.lexsort((ids, -(similarities + reach)))
    return Matches(ids[best], similarities[best], reach[best])
