"""What may pass for a vector."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mneme.errors import EmbedderDimensionError
from mneme.ports import Matrix, Vector

_SHORT, _LONG = 1e-140, 1e140
"""Vectors of a length in between have squares that float64 holds well."""


def unit_vector(given: Any, dim: int) -> Vector:
    """*given* as a new float32 vector of unit length.

    Raises:
        EmbedderDimensionError: Its shape is not `(dim,)`.
        TypeError: It is not made of real numbers.
        ValueError: It holds NaN or an infinity, or is zero, so that no direction can be made of it.
    """
    array = _real(given)
    if array.shape != (dim,):
        raise EmbedderDimensionError(f"the embedding has shape {array.shape}; this cache needs ({dim},)")
    with np.errstate(over="ignore"):
        length = math.sqrt(np.add.reduce(array * array))
    # One vector comes with every call, so it takes no detour; the sum and what follows are the same as for a matrix.
    unit: Vector = (array / length).astype(np.float32) if _SHORT < length < _LONG else _unit(array[np.newaxis])[0]
    return unit


def unit_matrix(given: Any, rows: int, dim: int) -> Matrix:
    """*given* as a new float32 matrix whose rows have unit length; raises like `unit_vector`."""
    array = _real(given)
    if array.shape != (rows, dim):
        raise EmbedderDimensionError(
            f"the embedder returned shape {array.shape} for {rows} texts; this cache needs ({rows}, {dim})"
        )
    return _unit(array)


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
        lengths = np.sqrt(np.add.reduce(array * array, axis=1, keepdims=True))
    if ((lengths > _SHORT) & (lengths < _LONG)).all():
        return (array / lengths).astype(np.float32)
    # Scaled by the largest component first: squares of extremes overflow or vanish.
    largest = np.abs(array).max(axis=1, keepdims=True, initial=0.0)
    if not np.isfinite(largest).all():
        raise ValueError("the embedding holds NaN or an infinity; it cannot be compared with anything")
    if not (largest > 0).all():
        raise ValueError("the embedding is zero; it has no direction to compare")
    scaled = array / largest
    return np.ascontiguousarray(scaled / np.linalg.norm(scaled, axis=1, keepdims=True), dtype=np.float32)
