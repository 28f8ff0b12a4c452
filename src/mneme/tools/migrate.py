"""Giving every entry a vector of another embedder: into another store of any kind.

Needs nothing but the stores' own extras; the progress bar on a terminal needs the extra `cli`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from mneme._engine import migrate as flows
from mneme._engine.reembedding import Embedding, Plan
from mneme._rules.arguments import check_callable, check_count, check_parts, check_seconds, check_text
from mneme._runtime.clock import WallClock
from mneme._runtime.contract import Runtime
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
    retries: int = 3,
    retry_seconds: float = 1.0,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> ReembedReport:
    """Fill *target* with every entry of *source* and vectors of *embedder*; any store to any store.

    The source is opened without an embedder and only read; it may be served from and written to meanwhile. Queries,
    responses, codecs, scopes, tags, metadata, creation and access times, TTLs, compute times and counters are kept; ids
    are the target's own. Entries that have expired for good are left behind. An entry whose query is too long for the
    embedder is kept without a vector, for the exact layer. A vector that a caller passed to `put` is replaced by that
    of the query.

    What is written, replaced and deleted in the source meanwhile is followed until the source has nothing new. What is
    written to it after that is not in the target.

    A run that ends early, killed at any moment, is resumed by the same call: nothing is embedded twice but the batch
    that was under way. Until it is finished the target must not be used; it holds an entry of its own that says how far
    it is.

    Args:
        source: The path of a cache file, or a store. A store that is passed stays open.
        target: The same; empty, or left unfinished by an earlier call with this source.
        embedder: The new embedder.
        batch_size: Texts for one call of the embedder.
        retries: How often a failing batch is tried again, after *retry_seconds*, twice that, and so on.
        retry_seconds: Seconds before the first time.
        progress: Called after every step.
        clock: Where the time comes from; wall time by default.

    Raises:
        TypeError, ValueError: An argument does not hold; there is no file at *source*.
        EmbedderMismatchError: The target holds vectors of another embedder.
        ReembeddingError: The target holds something else; or the embedder failed for good. What was done is kept.
        StoreBackendError: A store failed. What was done is kept.
    """
    plan = _plan(_wait, _one_by_one, batch_size, 1, retries, retry_seconds, progress, clock)
    return complete(_run(ThreadRuntime(), source, target, embedder, plan))


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
    """Like `reembed`, awaited; up to *concurrency* batches are embedded at the same time.

    Stores and embedders of either kind; what blocks runs on worker threads.
    """
    plan = _plan(asyncio.sleep, _at_once, batch_size, concurrency, retries, retry_seconds, progress, clock)
    return await _run(TaskRuntime(), source, target, embedder, plan)


def _plan(  # noqa: PLR0917 -- both faces pass what they were called with
    wait: Callable[[float], Any],
    together: Callable[[Sequence[Coroutine[Any, Any, Any]]], Any],
    batch_size: int,
    concurrency: int,
    retries: int,
    retry_seconds: float,
    progress: Progress | None,
    clock: Clock | None,
) -> Plan:
    check_callable(progress, "progress")
    check_parts(clock, "clock", "now")
    return Plan(
        clock=WallClock() if clock is None else clock,
        wait=wait,
        together=together,
        batch_size=check_count(batch_size, "batch_size", 1),
        concurrency=check_count(concurrency, "concurrency", 1),
        retries=check_count(retries, "retries", 0),
        retry_seconds=check_seconds(retry_seconds, "retry_seconds"),
        progress=progress,
    )


async def _run(
    runtime: Runtime, source: Place, target: Place, embedder: Embedder | AsyncEmbedder, plan: Plan
) -> ReembedReport:
    check_parts(embedder, "embedder", "dim", "fingerprint", "embed")
    if embedder is None:
        raise TypeError("embedder must be an embedder, not None")
    from_store, to_store = _store(source, "source"), _store(target, "target")
    _check_places(from_store, to_store)
    fingerprint = check_text(embedder.fingerprint, "the embedder's fingerprint", 4096)
    embedding = Embedding(runtime.embedder(embedder), fingerprint, check_count(embedder.dim, "dim", 1), plan)
    opened = [runtime.store(from_store), runtime.store(to_store)]
    try:
        return await flows.migrate(opened[0], opened[1], _name(from_store), embedding, plan)
    finally:
        try:
            for port, given, store in zip(opened, (source, target), (from_store, to_store), strict=True):
                if given is not store:  # a store that was passed is the caller's
                    await port.close()
        finally:
            runtime.close()


def _store(place: Place, what: str) -> Store | AsyncStore:
    if isinstance(place, (str, os.PathLike)):
        return SQLiteStore(place)
    if isinstance(place, type) or not _has_the_verbs_of_a_store(place):
        raise TypeError(f"{what} must be a path or a store, not {type(place).__name__}")
    return place


def _has_the_verbs_of_a_store(candidate: object) -> bool:
    return isinstance(candidate, Store)  # so is an AsyncStore: its verbs have the same names


def _check_places(source: Store | AsyncStore, target: Store | AsyncStore) -> None:
    if source is target or (isinstance(source, SQLiteStore) and _name(source) == _name(target)):
        raise ValueError("source and target are the same; choose another target")
    if isinstance(source, SQLiteStore) and not Path(source.path).exists():
        raise ValueError(f"there is no cache file {source.path!r}; check the path")


def _name(store: Store | AsyncStore) -> str:
    """What a store is known by: the file, or the kind of server where it does not say more."""
    return f"{store.name} {store.path}" if isinstance(store, SQLiteStore) else store.name


async def _wait(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 -- the blocking face: nothing else is to go on meanwhile


async def _one_by_one(flows: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    return [await flow for flow in flows]


async def _at_once(flows: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """The results of all; the first that fails ends the others."""
    tasks = [asyncio.ensure_future(flow) for flow in flows]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
