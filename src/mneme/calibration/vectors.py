"""Embedding many texts in batches, and what is left of a vector that is held in fewer bits."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias, cast

import numpy as np

from mneme import AsyncEmbedder, Embedder, EmbedderDimensionError, to_sync_embedder
from mneme.ports import Matrix, VectorDType

Progress: TypeAlias = Callable[[int, int], None]
"""Called now and then with how much is done, and of how much."""

BATCH = 256
"""Texts that are embedded in one call."""
_CALLS_SHOWN = 16
"""Texts embedded one by one between two calls of a `Progress`."""


@contextlib.contextmanager
def blocking(embedder: Embedder | AsyncEmbedder) -> Iterator[Embedder]:
    """*embedder*, or one that awaits it in one event loop until the end: connections do not outlive theirs."""
    if not inspect.iscoroutinefunction(embedder.embed):
        yield cast("Embedder", embedder)
        return
    with contextlib.closing(to_sync_embedder(cast("AsyncEmbedder", embedder))) as ready:
        yield ready


def embed_all(texts: Sequence[str], embedder: Embedder | AsyncEmbedder, progress: Progress | None = None) -> Matrix:
    """Unit vectors of *texts*, a row each; equal texts are embedded once.

    Raises:
        EmbedderDimensionError: The embedder returned something of another shape than it said.
        ValueError: It returned NaN, an infinity or zero.
        Exception: Whatever it raises.
    """
    distinct = list(dict.fromkeys(texts))
    with blocking(embedder) as ready:
        matrix = _embedded(distinct, ready, progress)
    rows = {text: row for row, text in enumerate(distinct)}
    return np.ascontiguousarray(matrix[[rows[text] for text in texts]], dtype=np.float32)


def _embedded(texts: Sequence[str], embedder: Embedder, progress: Progress | None) -> Matrix:
    blocks, done = [np.zeros((0, embedder.dim), np.float32)], 0
    for block in _blocks(texts, embedder):
        blocks.append(block)
        done += len(block)
        if progress is not None:
            progress(done, len(texts))
    return np.concatenate(blocks)


def _blocks(texts: Sequence[str], embedder: Embedder) -> Iterable[Matrix]:
    embed_many = getattr(embedder, "embed_many", None)
    size = _CALLS_SHOWN if embed_many is None else BATCH
    for start in range(0, len(texts), size):
        block = list(texts[start : start + size])
        given = [embedder.embed(text) for text in block] if embed_many is None else embed_many(block)
        yield unit(given, (len(block), embedder.dim))


def unit(given: object, shape: tuple[int, int]) -> Matrix:
    """Vectors of that shape, scaled to unit length.

    Raises:
        EmbedderDimensionError: They have another shape.
        ValueError: One has no direction.
    """
    array = np.asarray(given, dtype=np.float64)
    if array.shape != shape:
        raise EmbedderDimensionError(f"the vectors have shape {array.shape}; they were to have {shape}")
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError("a vector holds NaN or an infinity, or is zero; it cannot be compared with anything")
    return np.ascontiguousarray(array / lengths, dtype=np.float32)


def held_as(vectors: Matrix, dtype: VectorDType) -> Matrix:
    """*vectors* as they come back from a place that holds them in *dtype*: int8 rows are scaled to their largest."""
    if dtype == "float32":
        return vectors
    if dtype == "float16":
        return vectors.astype(np.float16).astype(np.float32)
    scale = np.abs(vectors).max(axis=1, keepdims=True, initial=0.0) / 127
    scale[scale == 0] = 1
    rounded: Matrix = (np.rint(vectors / scale) * scale).astype(np.float32)
    return rounded
