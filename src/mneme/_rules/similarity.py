"""The one number that decides and is reported: the same for a row whatever stood beside it when it was computed.

A float32 matrix product sums in an order that depends on its shape, so `get` and `get_many` could disagree in the last
bits, and at a threshold in the answer. Products and quantised estimates therefore only choose candidates; this scores.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mneme.ports import Matrix, Vector

__all__ = ["RESOLUTION", "product_error", "score"]

RESOLUTION = 1e-6
"""Two float32 unit vectors tell similarities no finer than this; a threshold of 1.0 must be met by equal vectors."""


def score(rows: Matrix, query: Vector) -> npt.NDArray[np.float32]:
    """Cosine similarities of unit *rows* with a unit *query*, shape `(n,)`, in [-1, 1]; each depends on its row alone.

    Meant for the few rows that a search left over: it takes 8 bytes of scratch for each number in *rows*.
    """
    # A product of two float32 is exact in float64. Each row of a C-ordered array is summed by itself, in an order that
    # depends on its length only. BLAS (`rows @ query`) promises neither.
    products = np.multiply(rows, query, dtype=np.float64, order="C")
    # Not `clip`, which takes three times as long for a few rows.
    scores: npt.NDArray[np.float32] = np.minimum(np.maximum(products.sum(axis=1), -1.0), 1.0).astype(np.float32)
    return scores


def product_error(dim: int) -> float:
    """How far a float32 product of two unit vectors, summed in any order, may be from their `score`.

    The rounding error of a dot product of length n is at most n u / (1 - n u) times the product of the two lengths,
    u = 2**-24, with or without fused operations (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
    Twice that, and four more, leaves room for lengths that are 1 only nearly and for rounding what is compared.
    """
    return 2.0 * (dim + 4) * 2.0**-24
