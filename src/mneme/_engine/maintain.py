"""Opening, closing, counting, tidying: everything that is not about one query."""

from __future__ import annotations

from mneme._engine import removal, sync, usage
from mneme._engine.core import Core
from mneme._rules.options import check_dtype
from mneme.errors import StoreBackendError
from mneme.ports import NamespaceSummary, Selection, VectorDType
from mneme.types import Health, Stats


async def ready(core: Core) -> None:
    """Open the cache if it is not open yet; raise `CacheClosedError` if it no longer is."""
    core.check_open()
    if core.info is None:
        async with core.opener:
            core.check_open()
            if core.info is None:
                await core.runtime.finish(_open(core))


async def _open(core: Core) -> None:
    embedder = core.embedder
    try:
        if embedder is None:
            info = await core.store.open(None, None)
        else:
            info = await core.store.open(embedder.fingerprint, embedder.dim)
        await sync.fill_index(core, core.index, core.options.vector_dtype)
        core.usage.load(await core.store.summary())
        await sync.load_counts(core)
    except BaseException:
        await core.store.close()
        await core.index.close()
        raise
    core.applied_seq = info.seq
    core.info = info


async def close(core: Core) -> None:
    """Write what is pending and let go of everything. Again is harmless."""
    if core.closed:
        return
    core.closed = True
    async with core.opener, core.writer:
        await core.runtime.finish(_close(core))


async def _close(core: Core) -> None:
    if core.info is not None:
        try:
            await usage.flush(core)
        except StoreBackendError as error:
            core.store_failed("", "recording access times on close", error)
    core.hot.clear()
    try:
        await core.store.close()
    finally:
        await core.index.close()
        core.runtime.close()


async def stats(core: Core, namespace: str | None) -> Stats:
    """Counters and sizes of one namespace, or of all."""
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
    )


async def health(core: Core) -> Health:
    """Whether the store answers and memory mirrors it; reads summaries, not entries."""
    await sync.catch_up_if_dirty(core)
    summary: list[NamespaceSummary] = []
    answers = True
    try:
        summary = await core.store.summary()
    except StoreBackendError as error:
        core.store_failed("", "reporting health", error)
        answers = False
    entries = sum(part.entries for part in summary)
    agrees = answers and entries == sum(core.counts.values())
    oldest = [part.oldest_created_at for part in summary if part.oldest_created_at is not None]
    has_index = core.embedder is not None
    return Health(
        healthy=answers and agrees,
        schema_version=core.store_info.schema_version,
        integrity_ok=agrees,
        embedder_fingerprint_match=core.embedder is None or core.embedder.fingerprint == core.store_info.fingerprint,
        entries=entries,
        namespaces=sum(part.entries > 0 for part in summary),
        oldest_entry_age_seconds=max(0.0, core.clock.now() - min(oldest)) if oldest else None,
        index_backend=core.index.name if has_index else "none",
        store_backend=core.store.name,
        vector_dtype=core.index.dtype if has_index else core.options.vector_dtype,
        multi_process_mode="single",
    )


async def check(core: Core) -> list[str]:
    """Every inconsistency in the store, and between the store and memory."""
    await sync.catch_up_if_dirty(core)
    async with core.writer:  # or a write in between would look like a difference
        problems = await core.store.check()
        stored = {part.namespace: part.entries for part in await core.store.summary() if part.entries}
        counted = {namespace: count for namespace, count in core.counts.items() if count}
        if stored != counted:
            problems.append(f"the store holds {stored} entries by namespace, memory counts {counted}; reopen the cache")
    return problems


async def list_namespaces(core: Core) -> list[str]:
    """Namespaces that have entries, in order."""
    return [part.namespace for part in await core.store.summary() if part.entries]


async def vacuum(core: Core, namespace: str | None, *, compact: bool) -> int:
    """Remove what has expired for good, then give space back; how many entries were removed."""
    count = await removal.expire(core, Selection(namespace=namespace, removable_by=core.clock.now()))
    if compact:
        await compact_store(core)
    return count


async def compact_store(core: Core) -> int:
    """Give space back; how many bytes."""
    async with core.writer:
        await usage.flush(core)
        return await core.runtime.finish(core.store.compact())


async def requantize(core: Core, dtype: VectorDType) -> None:
    """Hold the vectors in another dtype from now on, read anew from the store.

    Lookups use the old index until the new one is full. A caller's own index cannot be made twice: it is filled again
    in place, and may miss meanwhile.
    """
    check_dtype(dtype)
    async with core.writer:
        await sync.catch_up(core)
        index = core.index if core.make_index is None else core.make_index()
        await core.runtime.finish(sync.fill_index(core, index, dtype))
        core.index = index
