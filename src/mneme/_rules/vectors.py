"""What may pass for a vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mneme.errors import EmbedderDimensionError
from mneme.ports import Matrix, Vector

_SHORT, _LONG = 1e-140, 1e140
"""Vectors of a length in between have squares that float64 holds well."""
_AT_ONCE = 256
"""Rows converted at a time, so that what lies in between stays in the processor's cache."""


def unit_vector(given: Any, dim: int) -> Vector:
    """*given* as a new float32 vector of unit length.

    Raises:
        EmbedderDimensionError: Its shape is not `(dim,)`.
        TypeError: It is not made of real numbers.
        ValueError: It holds NaN or an infinity, or is zero, so that no direction can be made of it.
    """
    if _is_plain(given, dim):
        # One vector comes with every call, and each step in NumPy costs as much as all the checks of a query. Squares
        # of float32 cannot overflow. A row of a matrix gets the same bits.
        array = given.astype(np.float64)
        length = math.sqrt(array.dot(array))
        if _SHORT < length < _LONG:
            plain: Vector = (array * (1 / length)).astype(np.float32)
            return plain
    array = _real(given)
    if array.shape != (dim,):
        raise EmbedderDimensionError(
            f"the embedding has shape {array.shape}; this cache needs ({dim},): make it with the cache's embedder"
        )
    unit: Vector = _unit(array[np.newaxis])[0]
    return unit


def unit_matrix(given: Any, rows: int, dim: int) -> Matrix:
    """*given* as a new float32 matrix whose rows have unit length; raises like `unit_vector`."""
    array = _real(given)
    if array.shape != (rows, dim):
        raise EmbedderDimensionError(
            f"the embedder returned shape {array.shape} for {rows} texts; this cache needs ({rows}, {dim})"
        )
    return _unit(array)


def unit_vectors(given: Sequence[Any], dim: int) -> list[Vector] | Matrix:
    """What `unit_vector` makes of each; a matrix, in less time, where all are of the usual kind."""
    if not all(_is_plain(one, dim) for one in given):
        return [unit_vector(one, dim) for one in given]
    units = np.empty((len(given), dim), np.float32)
    for start in range(0, len(given), _AT_ONCE):
        block = given[start : start + _AT_ONCE]
        rows = np.concatenate(block, dtype=np.float64).reshape(len(block), dim)
        units[start : start + len(block)] = _unit(rows)
    return units


def _is_plain(given: Any, dim: int) -> bool:
    return type(given) is np.ndarray and given.dtype == np.float32 and given.shape == (dim,)


def _real(given: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        array = np.asarray(given)
        if array.dtype.kind not in "fiu":
            raise TypeError  # noqa: TRY301 -- one message for both ways of not being numbers
        return array.astype(np.float64, order="C")
    except (TypeError, ValueError):
        raise TypeError(f"an embedding must be an array of real numbers, not {type(given).__name__}") from None


def _unit(array: np.ndarray[Any, np.dtype[np.float64]]) -> Matrix:
    with np.errstate(over="ignore"):
        lengths = np.sqrt([row.dot(row) for row in array])
    if ((lengths > _SHORT) & (lengths < _LONG)).all():
        # Not a division, which takes four times as long; `unit_vector` does the same.
        return (array * (1 / lengths)[:, np.newaxis]).astype(np.float32)
    # Scaled by the largest component first: squares of extremes overflow or vanish.
    largest = np.abs(array).max(axis=1, keepdims=True, initial=0.0)
    if not np.isfinite(largest).all():
        raise ValueError("the embedding holds NaN or an infinity; it cannot be compared with anything")
    if not (largest > 0).all():
        raise ValueError("the embedding is zero; it has no direction to compare")
    scaled = array / largest
    return np.ascontiguousarray(scaled / np.linalg.norm(scaled, axis=1, keepdims=True), dtype=np.float32)
