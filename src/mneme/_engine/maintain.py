"""Opening, closing, counting, tidying: everything that is not about one query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from mneme._engine import choose, follow, ranks, removal, saved, sync, usage, watch
from mneme._engine.core import Core
from mneme._rules.arguments import check_count, check_text
from mneme._rules.options import check_dtype
from mneme._rules.reserved import NOTES, is_reserved
from mneme.errors import EmbedderMismatchError, StoreBackendError
from mneme.ports import NamespaceSummary, Selection, VectorDType
from mneme.types import Health, Stats

_LOOKS = 3
"""How often store and memory are compared while others write."""

if TYPE_CHECKING:
    from typing import Protocol

    class _SearchingStore(Protocol):
        async def prepare_search(self, dim: int) -> None: ...


async def ready(core: Core) -> None:
    """Open the cache if it is not open yet; raise `CacheClosedError` if it no longer is."""
    core.check_open()
    if core.info is None:
        async with core.opener:
            core.check_open()
            if core.info is None:
                await core.runtime.finish(_open(core))


async def start(core: Core) -> StoreBackendError | None:
    """Like `ready`; where a store that fails makes misses, one that cannot be opened yet is returned, not raised."""
    if not core.options.failing_is_missing:
        await ready(core)
        return None
    core.check_open()
    if core.info is not None:
        return None
    before = core.openings
    try:
        async with core.opener:
            core.check_open()
            if core.info is None:
                if core.openings != before:  # whoever waited behind a failure does not wait for the next one too
                    return StoreBackendError("the store could not be opened just now, by another caller")
                await core.runtime.finish(_open(core))
    except StoreBackendError as error:
        return error
    return None


async def begin(core: Core) -> None:
    """Open the cache when it is made or entered; where that is no error, a store that cannot be opened is told of."""
    down = await start(core)
    if down is not None:
        core.store_failed("", "opening", down)


async def _open(core: Core) -> None:
    fingerprint, dim = _identity(core)
    now = core.clock.now()
    try:
        info = await core.store.open(fingerprint, dim)
        if any(part.namespace == NOTES for part in await sync.load_counts(core)):
            await sync.load_notes(core)
        if core.store_searches and dim is not None:
            await cast("_SearchingStore", core.store).prepare_search(dim)
        if not await saved.load(core, info.seq):
            await sync.fill_index(core, core.index, core.options.vector_dtype)
            core.applied_seq = info.seq
        elif core.applied_seq != info.seq:
            core.mark_dirty()
            await sync.catch_up(core)
        await ranks.load(core)
        await choose.index(core)
        if core.saved_seq is None:
            await saved.save(core)
        await saved.share_if_due(core)
    except BaseException as error:
        if core.options.failing_is_missing and isinstance(error, StoreBackendError):
            core.openings += 1
            await _begin_again(core)
        else:
            core.closed = core.released = True  # a store that was closed cannot be opened again
            await _let_go(core)
        raise
    if core.following.polls:
        core.next_check = now + core.following.interval
    core.info = info


async def _begin_again(core: Core) -> None:
    """Forget what was half opened; the store may be opened again as it is."""
    core.applied_seq, core.saved_seq, core.dirty = 0, None, False
    if core.make_index is not None:
        index, core.index = core.index, core.make_index()
        await index.close()


def _identity(core: Core) -> tuple[str | None, int | None]:
    """What the store is to be bound to; checked before a file is made for it."""
    if core.embedder is None:
        return None, None
    fingerprint, dim = core.embedder.fingerprint, core.embedder.dim
    if not isinstance(fingerprint, str):
        raise TypeError(f"the embedder's fingerprint must be a str, not {type(fingerprint).__name__}")
    return check_text(fingerprint, "the embedder's fingerprint", 4096), check_count(dim, "the embedder's dim", 1)


async def close(core: Core) -> None:
    """Write what is pending and let go of everything. Again is harmless."""
    core.closed = True
    # Waiting for others is part of what is finished: a cancelled close must not leave anything open.
    failure = await core.runtime.finish(_close_once(core))
    if failure is not None:
        core.store_failed("", "recording access times on close", failure)


async def _close_once(core: Core) -> StoreBackendError | None:
    await core.background.end()  # before the ports are closed, and holding nothing that it may wait for
    if core.labels and not core.released:
        await watch.flush(core)
    async with core.opener, core.writer:
        if core.released:
            return None
        core.released = True
        return await _close(core)


async def _close(core: Core) -> StoreBackendError | None:
    try:
        if core.info is not None:
            await usage.flush(core)
            await saved.save(core)
    except StoreBackendError as error:
        return error
    finally:
        core.hot.clear()
        await _let_go(core)
    return None


async def _let_go(core: Core) -> None:
    """Close every port, whatever happens to the others."""
    try:
        await core.store.close()
    finally:
        try:
            await core.index.close()
        finally:
            core.runtime.close()


async def stats(core: Core, namespace: str | None) -> Stats:
    """Counters and sizes of one namespace, or of all; from memory, if the store does not answer."""
    try:
        await follow.check_if_due(core)
        if core.dirty or core.counts_behind:
            async with core.writer:
                await core.runtime.finish(sync.count(core))
    except StoreBackendError as error:
        core.store_failed("", "counting", error)
    counters = core.usage.totals(namespace)
    index_bytes, tombstones = 0, 0
    if core.embedder is not None:
        index_bytes, tombstones = await core.index.memory_bytes(), await core.index.tombstones()
    return Stats(
        namespace=namespace,
        entries=sum(core.counts.values()) if namespace is None else core.counts.get(namespace, 0),
        hits_exact=counters.hits_exact,
        hits_semantic=counters.hits_semantic,
        misses=counters.misses,
        evictions=counters.evictions,
        expirations=counters.expirations,
        embedder_fingerprint=core.store_info.fingerprint,
        vector_dtype=core.index.dtype if core.embedder is not None else core.options.vector_dtype,
        memory_bytes_estimate=index_bytes + core.hot.memory_bytes,
        index_memory_bytes=index_bytes,
        index_tombstone_count=tombstones,
        seconds_saved=counters.seconds_saved,
        cost_saved=counters.cost_saved,
    )


async def health(core: Core) -> Health:
    """Whether the store answers and memory mirrors it; reads summaries, not entries."""
    summary: list[NamespaceSummary] = []
    answers, agrees, same = True, False, True
    try:
        core.check_reached()
        await follow.check_if_due(core)
        summary = await core.store.summary()
        agrees = not core.dirty and not core.counts_behind and _agrees(core, summary)
        if not agrees:  # a write may have been under way, or others write
            async with core.writer:
                summary, agrees = await core.runtime.finish(_compared(core))
    except StoreBackendError as error:
        core.store_failed("", "reporting health", error)
        answers = agrees = False
    except EmbedderMismatchError:  # somebody gave the entries vectors of another one
        same = agrees = False
    summary = [part for part in summary if not is_reserved(part.namespace)]
    entries = sum(part.entries for part in summary)
    oldest = [part.oldest_created_at for part in summary if part.oldest_created_at is not None]
    has_index = core.embedder is not None and core.info is not None
    info = core.info
    return Health(
        healthy=answers and agrees,
        schema_version=0 if info is None else info.schema_version,
        integrity_ok=agrees,
        embedder_fingerprint_match=(
            core.embedder is None or (same and info is not None and core.embedder.fingerprint == info.fingerprint)
        ),
        entries=entries,
        namespaces=sum(part.entries > 0 for part in summary),
        oldest_entry_age_seconds=max(0.0, core.clock.now() - min(oldest)) if oldest else None,
        index_backend=core.index.name if has_index else "none",
        store_backend=core.store.name,
        vector_dtype=core.index.dtype if has_index else core.options.vector_dtype,
        multi_process_mode=core.following.mode,
    )


async def _compared(core: Core) -> tuple[list[NamespaceSummary], bool]:
    """What the store holds by namespace, and whether memory agrees. The caller holds `writer`."""
    summary: list[NamespaceSummary] = []
    for _ in range(_LOOKS):
        await sync.count(core)
        summary = await core.store.summary()
        if _agrees(core, summary):
            return summary, True
        if not await _others_wrote(core):
            return summary, False
        await sync.replay(core)
    return summary, True  # others write faster than anybody can compare


def _agrees(core: Core, summary: Sequence[NamespaceSummary]) -> bool:
    return sync.counts_of(summary) == {namespace: count for namespace, count in core.counts.items() if count}


async def _others_wrote(core: Core) -> bool:
    """Whether a difference may be the work of others, whom this cache follows."""
    return core.following.polls and await follow.news(core)


async def check(core: Core) -> list[str]:
    """Every inconsistency in the store, and between the store and memory."""
    await follow.check_if_due(core)
    async with core.writer:  # or a write in between would look like a difference
        problems = await core.store.check()
        return problems + await core.runtime.finish(differences(core))


async def differences(core: Core) -> list[str]:
    """Every difference between the store and memory that is not the work of others. The caller holds `writer`."""
    for _ in range(_LOOKS):
        await sync.count(core)
        problems = []
        stored = sync.counts_of(await core.store.summary())
        counted = {namespace: count for namespace, count in core.counts.items() if count}
        if stored != counted:
            problems.append(f"the store holds {stored} entries by namespace, memory counts {counted}; reopen the cache")
        if core.embedder is not None and not core.store_searches:
            vectors, indexed = await sync.count_vectors(core), await core.index.size()
            if vectors != indexed:
                problems.append(f"the store holds {vectors} vectors, the index {indexed}; reopen the cache")
        if not problems or not await _others_wrote(core):
            return problems
        await sync.replay(core)
    return []  # others write faster than anybody can compare


async def list_namespaces(core: Core) -> list[str]:
    """Namespaces that have entries, in order."""
    return list(sync.counts_of(await core.store.summary()))


async def vacuum(core: Core, namespace: str | None, *, compact: bool) -> int:
    """Remove what has expired for good, then give space back; how many entries were removed."""
    count = await removal.expire(core, Selection(namespace=namespace, removable_by=core.clock.now()))
    if compact:
        await compact_store(core)
    return count


async def compact_store(core: Core) -> int:
    """Give space back; how many bytes."""
    async with core.writer:
        return await core.runtime.finish(_compact(core))


async def _compact(core: Core) -> int:
    await usage.flush(core)
    await choose.index(core)
    await saved.save(core, always=True)
    return await core.store.compact()


async def requantize(core: Core, dtype: VectorDType) -> None:
    """Hold the vectors in another dtype from now on, read anew from the store."""
    check_dtype(dtype)
    if core.store_searches and dtype != "float32":
        raise ValueError(f"the store holds the vectors, so there is no index to hold in {dtype!r}")
    async with core.writer:
        await core.runtime.finish(_requantize(core, dtype))


async def _requantize(core: Core, dtype: VectorDType) -> None:
    await sync.catch_up(core)
    await sync.refill_index(core, dtype)
