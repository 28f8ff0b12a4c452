"""In place: vectors of another embedder are taken in beside those that serve, until one transaction changes over.

The store notes which entries lack a new vector, those that anybody writes meanwhile included, so that a run that was
killed goes on with what is left, and the change is possible as soon as nothing is. See `ports.ReembeddingStore`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from mneme._engine import certificates, saved, sync
from mneme._engine.core import Core
from mneme._engine.reembedding import Embedding, Pace
from mneme._rules.migrating import refuse_sealed
from mneme._rules.reserved import is_reserved
from mneme.errors import ReembeddingError
from mneme.log import log_fields
from mneme.ports import AsyncIndex, AsyncStore, Unstaged, Vector, VectorBlock
from mneme.types import ReembedReport

if TYPE_CHECKING:
    from typing import Protocol

    class _ReembeddingStore(AsyncStore, Protocol):
        async def begin_reembedding(self, fingerprint: str, dim: int) -> int: ...
        async def unstaged(self, *, limit: int = 1000) -> list[Unstaged]: ...
        async def stage(self, entries: Sequence[Unstaged], vectors: Sequence[Vector | None]) -> None: ...
        async def staged(self, *, after: int = 0, limit: int = 4096) -> VectorBlock: ...
        async def switch_embedder(self) -> bool: ...
        async def end_reembedding(self) -> None: ...


logger = logging.getLogger("mneme")


async def reembed_store(store: AsyncStore, embedding: Embedding) -> ReembedReport:
    """Give every entry of an open store, which no cache here uses, a vector of the embedder.

    Raises:
        TypeError: The store cannot do that.
        ReembeddingError: The embedder failed for good; or somebody else ended it.
    """
    port, clock = _port(store), embedding.plan.clock
    started = clock.now()
    info = await store.open(None, None)
    refuse_sealed(info.fingerprint)
    if (info.fingerprint, info.dim) != (embedding.fingerprint, embedding.dim):
        await _begin(port, embedding)
        await _take_in(port, embedding)
        while not await port.switch_embedder():
            await _take_in(port, embedding)
    await port.end_reembedding()
    return embedding.report(entries=await _entries(store), seconds=clock.now() - started)


async def reembed(core: Core, embedding: Embedding, threshold: float | None) -> ReembedReport:
    """The same, of the store of a cache that goes on answering, and changes over with it.

    Raises: as `reembed_store`; and `ReembeddingError` if this cache is at it already.
    """
    port, clock = _port(core.store), embedding.plan.clock
    started = clock.now()
    if core.reembedding:
        raise ReembeddingError("this cache is being given vectors of another embedder already; let that call end first")
    core.reembedding = True
    try:
        info = core.store_info
        refuse_sealed(info.fingerprint)
        if (info.fingerprint, info.dim) != (embedding.fingerprint, embedding.dim):
            await _begin(port, embedding)
            await _take_in(port, embedding)
            await _change_over(core, port, embedding, threshold)
        else:  # an earlier call may have changed over and failed before it opened the store anew
            await core.store.open(embedding.fingerprint, embedding.dim)
        await port.end_reembedding()
    finally:
        core.reembedding = False
    return embedding.report(entries=await _entries(core.store), seconds=clock.now() - started)


def _port(store: AsyncStore) -> _ReembeddingStore:
    if not hasattr(store, "begin_reembedding"):
        raise TypeError(
            f"the store {store.name!r} cannot take in other vectors beside those that serve; give another store as the "
            "target (mneme.tools.migrate.reembed), and use that one when it is filled"
        )
    return cast("_ReembeddingStore", store)


async def _begin(port: _ReembeddingStore, embedding: Embedding) -> None:
    left = await port.begin_reembedding(embedding.fingerprint, embedding.dim)
    total = sum(part.entries for part in await port.summary())
    embedding.pace = Pace(embedding.plan, total, done=total - left)
    embedding.pace.advance(0)


async def _take_in(port: _ReembeddingStore, embedding: Embedding) -> None:
    """Give a vector to every entry that lacks one, until none does."""
    plan = embedding.plan
    while entries := await port.unstaged(limit=plan.batch_size * plan.concurrency):
        notes = [entry for entry in entries if is_reserved(entry.namespace)]
        others = [entry for entry in entries if not is_reserved(entry.namespace)]
        vectors = await embedding.vectors([entry.query for entry in others])
        await port.stage([*notes, *others], [*[None] * len(notes), *vectors])
        embedding.pace.advance(len(entries))


async def _change_over(core: Core, port: _ReembeddingStore, embedding: Embedding, threshold: float | None) -> None:
    """Fill another index beside the one that answers; then store, embedder and index change together."""
    since = (await core.store.open(None, None)).seq
    await _take_in(port, embedding)  # so what was written by then has a vector, and the rest comes after
    index = None if core.make_index is None else core.make_index()
    try:
        if index is not None:
            await _fill(port, index, embedding.dim, core)
        while True:
            async with core.writer:
                core.check_open()
                if await core.runtime.finish(_switch(core, port, embedding, index, since=since, threshold=threshold)):
                    break
            await _take_in(port, embedding)  # what was written since
    except BaseException:
        if index is not None and core.index is not index:
            await index.close()
        raise


async def _fill(port: _ReembeddingStore, index: AsyncIndex, dim: int, core: Core) -> None:
    await index.open(dim, core.index.dtype)
    after = 0
    while len((block := await port.staged(after=after, limit=sync.BLOCK)).ids):
        after = int(block.ids[-1])
        await index.add(block.ids.tolist(), block.partitions, block.vectors)


async def _switch(
    core: Core,
    port: _ReembeddingStore,
    embedding: Embedding,
    index: AsyncIndex | None,
    *,
    since: int,
    threshold: float | None,
) -> bool:
    """Change over, if no entry lacks a vector. The caller holds `writer`; lookups that would mix eras wait."""
    await sync.catch_up(core)
    core.era += 1
    try:
        if not await port.switch_embedder():
            return False
        fingerprint, dim = embedding.fingerprint, embedding.dim
        core.embedder = embedding.embedder
        core.info = replace(core.store_info, fingerprint=fingerprint, dim=dim)
        if threshold is not None:
            certificates.set_threshold(core, threshold)
        core.saved_seq = None
        # From before the index was filled: it is not known which of the writes since are in it.
        core.applied_seq = since
        core.own.clear()
        core.mark_behind()
        if index is not None:
            core.index = index
        await core.store.open(fingerprint, dim)
        if index is None:  # a caller's own cannot be made twice: it is filled while lookups wait
            await sync.refill_index(core, core.index.dtype)
        await sync.catch_up(core)
        await saved.share_if_due(core)
    finally:
        core.era += 1
    extra = log_fields("embedder_changed", fingerprint=fingerprint)
    logger.info("the cache has changed over to the embedder %r", fingerprint, extra=extra)
    return True


async def _entries(store: AsyncStore) -> int:
    return sum(part.entries for part in await store.summary() if not is_reserved(part.namespace))
