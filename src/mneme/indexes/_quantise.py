"""How vectors are held: as they are, as float16, or as int8 with one scale a row. Pure functions.

A quantised row x̂ comes with the distance |x - x̂|. By Cauchy-Schwarz |q·x - q·x̂| <= |q| |x - x̂|, so a search over
quantised rows knows how far each estimate may be from the truth, and loses nothing.
"""

from __future__ import annotations

from typing import Any, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from mneme.errors import QuantizationError
from mneme.ports import Matrix, Vector, VectorDType

__all__ = ["Columns", "checked_dtype", "decode", "encode", "estimate", "rows_per_block", "widen"]

Columns: TypeAlias = tuple[npt.NDArray[Any], ...]
"""Arrays of equal length: the rows; for float16 and int8 also their errors (float32); for int8 also their scales."""

_BLOCK_NUMBERS = 2**18  # 1 MiB of float32: what was just converted is still in the processor's cache when it is used

_vecdot = getattr(np, "vecdot", None)  # NumPy 2
_FEW_NUMBERS = 2**19
"""Up to which a product row by row is used, which reads them in the order in which they lie.

A matrix product reads several rows at once, which the processor does not foresee: where other partitions were searched
meanwhile, and these rows are in no cache, that takes twice as long. Where they are it spares a fifth. Larger ones are
worth more than one thread."""


def checked_dtype(dtype: str) -> VectorDType:
    """The dtype, or `QuantizationError` if it is not one of those in `ports.VectorDType`."""
    for known in get_args(VectorDType):
        if dtype == known:
            return known  # type: ignore[no-any-return]  # get_args forgets that these are the literals
    raise QuantizationError(f"vector dtype {dtype!r} is unknown; use one of {', '.join(get_args(VectorDType))}")


def rows_per_block(dim: int) -> int:
    """How many rows to convert at a time."""
    return max(1, _BLOCK_NUMBERS // dim)


def encode(vectors: Matrix, dtype: VectorDType) -> Columns:
    """The columns that stand for these vectors. Float32 vectors are passed through, not copied."""
    if dtype == "float32":
        return (vectors,)
    count, dim = vectors.shape
    rows = np.empty((count, dim), dtype)
    errors = np.empty(count, np.float32)
    scales = np.ones(count, np.float32)
    step = rows_per_block(dim)
    for start in range(0, count, step):
        block = slice(start, start + step)
        if dtype == "int8":
            scales[block] = _scales(vectors[block])
            rows[block] = np.rint(vectors[block] / scales[block, None])
        else:
            rows[block] = vectors[block]
        errors[block] = _distances(vectors[block], rows[block], scales[block])
    return (rows, errors, scales) if dtype == "int8" else (rows, errors)


def decode(columns: Columns) -> Matrix:
    """The rows as float32, as near to the vectors as their errors say."""
    rows = columns[0]
    if rows.dtype == np.float32:
        return rows
    widened = np.empty(rows.shape, np.float32)
    widen(rows, widened)
    if rows.dtype == np.int8:
        widened *= columns[2][:, None]
    return widened


def estimate(columns: Columns, queries: Matrix, out: Matrix | None = None, *, spread: bool = True) -> Matrix:
    """Float32 products of every query with every row, shape `(queries, rows)`. Scratch is bounded by one block.

    BLAS spreads a large product over the processors, and then waits for all of them; without *spread* none is large.
    """
    rows = columns[0]
    count, dim = rows.shape
    found = np.empty((len(queries), count), np.float32) if out is None else out
    if rows.dtype == np.float32 and spread:
        _multiply(rows, queries, found)
        return found
    step = rows_per_block(dim)
    if rows.dtype == np.float32:
        for start in range(0, count, step):
            _multiply(rows[start : start + step], queries, found[:, start : start + step])
        return found
    scratch = np.empty((min(step, count), dim), np.float32)
    for start in range(0, count, step):
        block = rows[start : start + step]
        widened = scratch[: len(block)]
        widen(block, widened)
        _multiply(widened, queries, found[:, start : start + step])
    if rows.dtype == np.int8:
        found *= columns[2]
    return found


def widen(rows: npt.NDArray[Any], out: Matrix) -> None:
    """Put float16 or int8 rows into *out*, as float32 and not yet times their scales."""
    if rows.dtype == np.int8:
        np.copyto(out, rows)
        return
    # NumPy converts float16 one number at a time; this takes a quarter of the time. Both formats lay out sign, exponent
    # and fraction alike: widened with its sign and moved up by 13 bits, a number is 2**112 too small, all but the upper
    # three bits of the exponent in place (they get copies of the sign). Exact for every finite number.
    bits = out.view(np.int32)
    np.copyto(bits, rows.view(np.int16))
    np.left_shift(bits, 13, out=bits)
    np.bitwise_and(bits, np.int32(-0x70002000), out=bits)
    np.multiply(out, np.float32(2.0**112), out=out)


def _multiply(rows: Matrix, queries: Matrix, out: Matrix) -> None:
    if len(queries) > 1:
        np.matmul(queries, rows.T, out=out)
    elif _vecdot is not None and rows.size <= _FEW_NUMBERS:
        _vecdot(rows, queries[0], out=out[0])
    else:
        # A matrix-vector product, which BLAS runs at the speed of memory; as a matrix of one row it does not.
        np.matmul(rows, queries[0], out=out[0])


def _scales(vectors: Matrix) -> Vector:
    largest = np.abs(vectors).max(axis=1)
    # A row of zeros has any scale. Dividing by a scale rounded down could give a code of 128, which int8 cannot hold.
    scales: Vector = np.nextafter(np.maximum(largest / np.float32(127), np.float32(2**-100)), np.float32(1))
    return scales


def _distances(vectors: Matrix, rows: npt.NDArray[Any], scales: Vector) -> Vector:
    # In float64 the scaled rows are exact; rounding the length up in float32 covers the rounding of its sum.
    gaps = np.multiply(rows, scales[:, None], dtype=np.float64)
    np.subtract(vectors, gaps, out=gaps)
    lengths = np.sqrt(np.einsum("ij,ij->i", gaps, gaps)).astype(np.float32)
    rounded_up: Vector = np.nextafter(lengths, np.float32(np.inf))
    return rounded_up
