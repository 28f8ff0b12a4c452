"""Giving every entry a vector of another embedder: into another store of any kind, or in place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from mneme._engine.migrate import migrate
from mneme._engine.reembed import reembed_store
from mneme._engine.reembedding import Embedding, Plan, plan
from mneme._runtime.clock import WallClock
from mneme._runtime.drive import complete
from mneme._runtime.tasks import TaskRuntime
from mneme._runtime.threads import ThreadRuntime
from mneme.ports import AsyncEmbedder, AsyncStore, Clock, Embedder, Store
from mneme.stores import SQLiteStore
from mneme.types import ReembedProgress, ReembedReport

__all__ = ["Place", "Progress", "areembed", "reembed"]

Place: TypeAlias = "str | os.PathLike[str] | Store | AsyncStore"
"""The path of a cache file, or any store."""

Progress: TypeAlias = Callable[[ReembedProgress], object]
"""Called after every step with how far it has come; what it raises ends the run, which can be resumed."""


def reembed(
    source: Place,
    target: Place,
    embedder: Embedder,
    *,
    batch_size: int = 64,
    concurrency: int = 1,
    retries: int = 3,
    retry_seconds: float = 1.0,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> ReembedReport:
    """Fill *target* with every entry of *source* and vectors of *embedder*; any store to any store, or to itself.

    The source is opened without an embedder and only read; it may be served from and written to meanwhile. Queries,
    responses, codecs, scopes, tags, metadata, creation and access times, TTLs, compute times, costs, counters and
    rejected pairs are kept; ids are the target's own. Entries that have expired for good are left behind. An entry
    whose query is too long for the embedder is kept without a vector, for the exact layer. A vector that a caller
    passed to `put` is replaced by that of the query.

    What is written, replaced and deleted in the source meanwhile is followed until the source has nothing new. What is
    written to it after that is brought over by the same call, as long as the target was not written to.

    A run that ends early, killed at any moment, is resumed by the same call: nothing is embedded twice but the batches
    that were under way. Until it is finished the target must not be used.

    With the source for a target, it is done in place (SQLite; see `ReembeddingStore`): the old vectors serve until
    every entry has a new one, also those that others write meanwhile; then one transaction changes over. Resumed in
    the same way. Caches that have the store open with the old embedder raise `EmbedderMismatchError` the next time
    they ask it; a cache that is to go on answering does it itself, with `SemanticCache.reembed`.

    Args:
        source: The path of a cache file, or a store. A store that is passed stays open, and no cache may use it.
        target: The same: empty, that of an earlier call with this source, or the source itself.
        embedder: The new embedder. With *concurrency* it is called from several threads at once.
        batch_size: Texts for one call of the embedder.
        concurrency: Calls of the embedder at the same time.
        retries: How often a failing batch is tried again, after *retry_seconds*, twice that, and so on.
        retry_seconds: Seconds before the first time.
        progress: Called after every step.
        clock: Where the time comes from; wall time by default.

    Raises:
        TypeError, ValueError: An argument does not hold; there is no file at *source*; the store cannot do it in place.
        EmbedderMismatchError: The target holds vectors of another embedder.
        ReembeddingError: The target holds something else; or the embedder failed for good. What was done is kept.
        StoreBackendError: A store failed. What was done is kept.
    """
    runtime, now = ThreadRuntime(), WallClock() if clock is None else clock
    how = plan(
        runtime,
        now,
        batch_size=batch_size,
        concurrency=concurrency,
        retries=retries,
        retry_seconds=retry_seconds,
        progress=progress,
    )
    return complete(_run(source, target, embedder, how))


async def areembed(
    source: Place,
    target: Place,
    embedder: Embedder | AsyncEmbedder,
    *,
    batch_size: int = 64,
    concurrency: int = 4,
    retries: int = 3,
    retry_seconds: float = 1.0,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> ReembedReport:
    """Like `reembed`, awaited. Stores and embedders of either kind; what blocks runs on worker threads."""
    runtime, now = TaskRuntime(), WallClock() if clock is None else clock
    how = plan(
        runtime,
        now,
        batch_size=batch_size,
        concurrency=concurrency,
        retries=retries,
        retry_seconds=retry_seconds,
        progress=progress,
    )
    return await _run(source, target, embedder, how)


async def _run(source: Place, target: Place, embedder: Embedder | AsyncEmbedder, how: Plan) -> ReembedReport:
    given = {"source": source, "target": target}
    stores = {what: _store(place, what) for what, place in given.items()}
    _check_source(stores["source"])
    in_place = stores["source"] is stores["target"] or _same_file(stores["source"], stores["target"])
    if in_place:
        del given["target"]
    embedding = Embedding(embedder, how)
    opened = {what: how.runtime.store(stores[what]) for what in given}
    try:
        if in_place:
            return await reembed_store(opened["source"], embedding)
        return await migrate(opened["source"], opened["target"], _name(stores["source"]), embedding, how)
    finally:
        try:
            for what, place in given.items():
                if place is not stores[what]:  # a store that was passed is the caller's
                    await opened[what].close()
        finally:
            how.runtime.close()


def _store(place: Place, what: str) -> Store | AsyncStore:
    if isinstance(place, (str, os.PathLike)):
        return SQLiteStore(place)
    if isinstance(place, type) or not _has_the_verbs_of_a_store(place):
        raise TypeError(f"{what} must be a path or a store, not {type(place).__name__}")
    return place


def _has_the_verbs_of_a_store(candidate: object) -> bool:
    return isinstance(candidate, Store)  # so is an AsyncStore: its verbs have the same names


def _check_source(source: Store | AsyncStore) -> None:
    if isinstance(source, SQLiteStore) and not Path(source.path).exists():
        raise ValueError(f"there is no cache file {source.path!r}; check the path")


def _same_file(source: Store | AsyncStore, target: Store | AsyncStore) -> bool:
    if not isinstance(source, SQLiteStore) or not isinstance(target, SQLiteStore):
        return False
    return os.path.realpath(source.path) == os.path.realpath(target.path)


def _name(store: Store | AsyncStore) -> str:
    """What a store is known by: the file, or the kind of server where it does not say more."""
    return f"{store.name} {store.path}" if isinstance(store, SQLiteStore) else store.name
