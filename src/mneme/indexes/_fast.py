"""Products of int8 rows with a query by NumKong, which multiplies int8 as it is. From the extra `fast`.

The query is coded as int8 too, in two rows, of which the second makes up for the rounding of the first. Products of
integers are added up in 32 bits, where they are exact, in whatever order and on whatever processor: a kernel cannot be
a little off. What an estimate is off by, besides the error of its row, is the coding of the query; it is bounded here.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mneme.ports import Vector

__all__ = ["Coded", "code", "coding_error", "kernels", "multiply"]

# Roads not taken. float16, which NumKong multiplies too: in what precision a kernel adds up is its own affair, and has
# been half precision, so that there is no bound. float32: BLAS is as fast.

Codes = npt.NDArray[np.int8]

_FINER = 254
"""How many steps of the second row make one of the first."""
_WIDEST = 2**31 // 127**2
"""Dimensions up to which 32 bits hold a product."""


class Coded(NamedTuple):
    """A query as int8: (254 * codes[0] + codes[1]) * step."""

    codes: Codes
    step: np.float32


@cache
def kernels() -> Any | None:
    """The library, loaded when it is first needed; `None` if it is not installed, does not load, or is not exact."""
    try:
        import numkong  # noqa: PLC0415 -- an extra, loaded when used

        return numkong if _is_exact(numkong) else None
    except Exception:  # noqa: BLE001 -- whatever is wrong with it, NumPy does the same
        return None


def code(query: Vector) -> Coded:
    """Code a unit query."""
    coarse = np.nextafter(np.abs(query).max() / np.float32(127), np.float32(1))
    scaled = query / coarse
    whole = np.rint(scaled)
    codes = np.empty((2, len(query)), np.int8)
    codes[0] = whole
    scaled -= whole
    scaled *= np.float32(_FINER)
    codes[1] = np.rint(scaled, out=scaled)
    return Coded(codes, coarse / np.float32(_FINER))


def coding_error(dim: int) -> float:
    """How far a unit query may be from what it is coded as; 0 if there is nothing to multiply it with so.

    In steps of the first row, a number is off by 1/508 at the most, and by 127 u from being divided and decoded, each:
    together less than 1/504. A step is 1/127 of the largest number, which is at most 1.0011, with some u for rounding.
    """
    return 1.0012 * dim**0.5 / (504 * 127) if dim < _WIDEST and kernels() is not None else 0.0


def multiply(rows: Codes, query: Coded) -> npt.NDArray[np.float32]:
    """The product of each row with the query, not yet times the scale of the row."""
    if not len(rows):
        return np.empty(0, np.float32)
    sums = _products(kernels(), rows, query.codes)
    combined = sums[:, 0] * _FINER
    combined += sums[:, 1]
    combined *= query.step
    return combined.astype(np.float32)


def _products(library: Any, rows: Codes, codes: Codes) -> npt.NDArray[np.float64]:
    products: npt.NDArray[np.float64] = np.asarray(library.cdist(rows, codes, "inner"), np.float64)
    return products


def _is_exact(library: Any) -> bool:
    """Whether the largest products, which a kernel that saturates gets wrong, come out right; of odd lengths, too."""
    for dim in (1, 63, 96, 384, 1027):
        rows = np.full((5, dim), 127, np.int8)
        rows[1::2] = -127
        rows[2, ::3] = -1
        if not np.array_equal(_products(library, rows, rows[1:3]), rows.astype(np.float64) @ rows[1:3].T):
            return False
    return True
