"""What other people's embedders return, brought into the shape that the port promises."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Sized
from typing import Any, cast

import numpy as np

from mneme.errors import EmbedderDimensionError
from mneme.ports import Matrix, Vector

__all__ = ["as_matrix", "as_vector", "is_coroutine_function"]


def is_coroutine_function(function: object) -> bool:
    """Whether calling *function* gives something to await, as far as can be told without calling it."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - the question is not whether, but how it is callable
    )


def as_vector(value: Any, source: str, dim: int | None) -> Vector:
    """A float32 copy of *value*, which came from *source*: the caller may reuse its buffer.

    Raises:
        TypeError: It is not a row of numbers.
        EmbedderDimensionError: It does not have *dim* numbers.
    """
    vector = _floats(value, source)
    if vector.ndim != 1:
        raise TypeError(
            f"{source} returned an array of shape {vector.shape} for one text; it must return one vector: "
            f"a flat list, tuple or array of numbers"
        )
    if len(vector) == 0 or (dim is not None and len(vector) != dim):
        wanted = "a vector" if dim is None else f"{dim} numbers"
        raise EmbedderDimensionError(f"{source} returned {len(vector)} numbers for one text instead of {wanted}")
    return cast("Vector", vector)


def as_matrix(values: Any, source: str, number: int, dim: int | None) -> Matrix:
    """A float32 copy of *values*, a row for each of *number* texts. Raises like `as_vector`."""
    if isinstance(values, Iterable) and not isinstance(values, Sized):
        values = list(values)
    matrix = _floats(values, source)
    if matrix.ndim != 2 or len(matrix) != number:
        raise TypeError(f"{source} returned an array of shape {matrix.shape} for a batch of {number} texts")
    if dim is not None and matrix.shape[1] != dim:
        raise EmbedderDimensionError(f"{source} returned {matrix.shape[1]} numbers for each text instead of {dim}")
    return cast("Matrix", matrix)


def _floats(value: Any, source: str) -> Any:
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise TypeError(f"{source} returned something to await; declare it with `async def` so that it can be told")
    if value is None or isinstance(value, (str, bytes)):
        raise TypeError(f"{source} returned {type(value).__name__} instead of a vector: a list or array of numbers")
    try:
        return np.array(value, dtype=np.float32, order="C")
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{source} returned {type(value).__name__}, which NumPy cannot read as numbers ({error}); return a list, "
            f"a tuple or an array of numbers"
        ) from error
