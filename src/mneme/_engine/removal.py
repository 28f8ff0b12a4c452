"""Taking entries away: asked for, expired, refused, or least recently used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mneme._engine import sync, usage
from mneme._engine.core import Core
from mneme._rules import eviction
from mneme._rules.matching import Verdict
from mneme.errors import StoreBackendError
from mneme.ports import Record, Removed, Selection


async def remove(core: Core, selection: Selection) -> list[Removed]:
    """Delete what *selection* means, from the store and from memory."""
    async with core.writer:
        return await core.runtime.finish(_remove(core, selection))


async def _remove(core: Core, selection: Selection) -> list[Removed]:
    """The caller holds `writer`."""
    await sync.catch_up(core)
    removed = None
    try:
        removed = await core.store.delete(selection)
        ids = [one.id for one in removed]
        core.hot.discard(ids)
        if core.embedder is not None and ids:
            await core.index.remove(ids)
        for namespace, count in Counter(one.namespace for one in removed).items():
            core.counts[namespace] = core.counts.get(namespace, 0) - count
    except BaseException as error:
        # By contract a store that fails with its own error has removed nothing.
        if removed is not None or not isinstance(error, StoreBackendError):
            core.mark_dirty()
        raise
    return removed


async def expire(core: Core, selection: Selection) -> int:
    """Delete what *selection* means, counted as expired."""
    removed = await remove(core, selection)
    for namespace, count in Counter(one.namespace for one in removed).items():
        core.usage.expired(namespace, count)
        core.events.send("expire", namespace, count=count)
    return len(removed)


async def remove_dead(core: Core, dead: Sequence[tuple[Record, Verdict]]) -> None:
    """Remove entries that a lookup found dead, unless they were replaced meanwhile. A failing store is only told of."""
    now = core.clock.now()
    expired = [record.id for record, verdict in dead if verdict.reason == "expired"]
    refused = {record.id: record.seq for record, verdict in dead if verdict.reason == "rejected"}
    try:
        if expired:
            await expire(core, Selection(refs=expired, removable_by=now))
        if refused:
            async with core.writer:
                records = await core.store.read(list(refused))
                same = [record.id for record in records if record is not None and record.seq == refused[record.id]]
                await core.runtime.finish(_remove(core, Selection(refs=same)))
    except StoreBackendError as error:
        core.store_failed(dead[0][0].namespace, "removing entries that cannot answer", error)


async def evict(core: Core) -> list[Removed]:
    """Remove the least recently used entries above the caps; which they were. The caller holds `writer`."""
    removed: list[Removed] = []
    for namespace, count in eviction.plan(core.counts, core.options.namespace_quotas, core.options.max_entries):
        await usage.flush(core)  # or the store would not know what was used last
        removed += await _remove(core, Selection(namespace=namespace, least_recent=count))
    return removed


def tell_evicted(core: Core, removed: Sequence[Removed]) -> None:
    """Count and announce an eviction, once the lock is free."""
    for namespace, count in Counter(one.namespace for one in removed).items():
        core.usage.evicted(namespace, count)
        core.events.send("evict", namespace, count=count)
