"""What is promised of vectors, and what that makes unnecessary."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["LONGEST", "check_vectors", "without_warnings"]

_TOLERANCE = 2e-3  # of the squared length: far above what rounding does to a unit vector, far below a missing division

LONGEST = np.float32(1.0011)  # that what passes for a unit vector can be, whatever its square was rounded to


def without_warnings() -> np.errstate:
    """For products of vectors that were checked, of which none can overflow or be invalid.

    NumPy warns of such ones now and then all the same, and where warnings are errors a search would fail: some kernels
    of BLAS compute with what lies beside the rows in memory, and throw it away.
    """
    return np.errstate(all="ignore")


def check_vectors(vectors: npt.NDArray[Any], dim: int, what: str) -> None:
    """Raise `TypeError` or `ValueError` unless these are float32 unit vectors of shape `(n, dim)`."""
    if not isinstance(vectors, np.ndarray):
        raise TypeError(f"{what} must be a NumPy array, not {type(vectors).__name__}")
    if vectors.dtype != np.float32 or vectors.ndim != 2 or vectors.shape[1] != dim:
        raise ValueError(
            f"{what} must be float32 of shape (n, {dim}), not {vectors.dtype} of shape {vectors.shape}; "
            "convert them with astype(numpy.float32) and pass one row per vector"
        )
    # The usual case by itself, in fewer steps: each step in NumPy starts with cold caches after a write.
    if len(vectors) == 1 and abs(float(np.vdot(vectors, vectors)) - 1) <= _TOLERANCE:
        return
    with np.errstate(all="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors)
        # One pass finds NaN, infinite, zero and unnormalised rows alike: none compares as near to 1.
        wrong = ~(np.abs(squares - 1) <= _TOLERANCE)
    if wrong.any():
        row = int(wrong.argmax())
        if not np.isfinite(vectors[row]).all():
            raise ValueError(f"{what} must be finite; row {row} holds NaN or infinity")
        length = float(np.linalg.norm(vectors[row].astype(np.float64)))
        raise ValueError(f"{what} must have length 1; row {row} has length {length:.6g}: divide it by its length")
