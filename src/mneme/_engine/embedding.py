"""Asking the embedder: outside every lock, in batches where it can, and trusting nothing that it returns."""

from __future__ import annotations

from collections.abc import Sequence

from mneme._engine.core import Core, logger
from mneme._rules.vectors import unit_matrix, unit_vector
from mneme.errors import CacheClosedError, InputTooLongError
from mneme.log import log_fields
from mneme.ports import AsyncEmbedder, Vector


async def embed(core: Core, texts: Sequence[str], namespace: str) -> list[Vector | None]:
    """A unit vector for every text; `None` for one that is too long for the embedder, or without an embedder.

    Raises whatever the embedder raises, and `EmbedderDimensionError`, `TypeError` or `ValueError` for what is no
    vector of the cache's dimension.
    """
    if not core.events.timed:
        return await embed_texts(core.embedder, texts)
    started = core.events.timer()
    vectors = await embed_texts(core.embedder, texts)
    if texts and core.embedder is not None:
        core.events.send("embed", namespace, count=len(texts), seconds=core.events.timer() - started)
    return vectors


async def embed_texts(embedder: AsyncEmbedder | None, texts: Sequence[str]) -> list[Vector | None]:
    """Like `embed`, of any embedder."""
    if embedder is None or not texts:
        return [None] * len(texts)
    embed_many = getattr(embedder, "embed_many", None)
    if len(texts) == 1 or embed_many is None:
        return [await _embed_one(embedder, text) for text in texts]
    try:
        return list(unit_matrix(await embed_many(list(texts)), len(texts), embedder.dim))
    except InputTooLongError:
        pass
    # Which of them is not said. Halves find it in batches, where asking each alone would be a request for every text.
    middle = len(texts) // 2
    return [*await embed_texts(embedder, texts[:middle]), *await embed_texts(embedder, texts[middle:])]


async def _embed_one(embedder: AsyncEmbedder, text: str) -> Vector | None:
    try:
        return unit_vector(await embedder.embed(text), embedder.dim)
    except InputTooLongError:
        return None


async def embed_or_miss(core: Core, namespace: str, texts: Sequence[str]) -> tuple[list[Vector | None], str]:
    """Like `embed`, for reads: a failure is no vectors, a warning and an event. Also why a vector would be missing."""
    try:
        vectors = await embed(core, texts, namespace)
    except CacheClosedError:
        raise
    except Exception as error:  # noqa: BLE001 -- whatever a caller's embedder raises, a read goes on without it
        extra = log_fields("embedder_failure", namespace=namespace, error=error)
        logger.warning("the embedder failed; the query is a miss", exc_info=True, extra=extra)
        core.events.send("embedder_failure", namespace, error=repr(error))
        return [None] * len(texts), "embedder_failure"
    return vectors, "no_embedder" if core.embedder is None else "too_long"
