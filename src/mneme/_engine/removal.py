"""Taking entries away: asked for, expired, refused, or least recently used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from mneme._engine import ranks, sync, usage
from mneme._engine.core import Core
from mneme._rules import eviction
from mneme._rules.matching import Verdict
from mneme._rules.reserved import is_reserved
from mneme._rules.selecting import doubtful
from mneme._runtime.breaker import NotAskedError
from mneme.errors import StoreBackendError
from mneme.ports import Record, Removed, Selection


async def remove(core: Core, selection: Selection) -> list[Removed]:
    """Delete what *selection* means, from the store and from memory."""
    async with core.writer:
        return await core.runtime.finish(remove_held(core, selection))


async def remove_held(core: Core, selection: Selection) -> list[Removed]:
    """As `remove`. The caller holds `writer`."""
    await sync.catch_up(core)
    removed = None
    try:
        removed = await core.store.delete(selection)
        ids = [one.id for one in removed]
        core.hot.discard(ids)
        core.notes.forget(ids)
        ranks.removed(core, ids)
        if core.embedder is not None and ids:
            await sync.change_index(core, lambda index: index.remove(ids))
        if removed:
            core.changed(removed)
        for namespace, count in Counter(one.namespace for one in removed).items():
            if not is_reserved(namespace):
                core.counts[namespace] = core.counts.get(namespace, 0) - count
    except BaseException as error:
        if removed is not None or not isinstance(error, StoreBackendError):
            core.mark_dirty()
        elif not isinstance(error, NotAskedError):
            # It may have been done all the same: what was meant answers no more. What may have been evicted is no less
            # true than before, and stays hot until memory has caught up.
            if selection.least_recent is None:
                core.hot.forget_if(doubtful(selection))
            core.mark_behind()
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
                await core.runtime.finish(remove_held(core, Selection(refs=same)))
    except StoreBackendError as error:
        core.store_failed(dead[0][0].namespace, "removing entries that cannot answer", error)


class Evicted(NamedTuple):
    """What an eviction came to: an entry that was removed before the store failed is gone all the same."""

    removed: list[Removed]
    failure: StoreBackendError | None = None


NOTHING = Evicted([])


def may_be_due(core: Core, now: float) -> bool:
    """Whether `evict` could have anything to do; most writes need not ask."""
    return core.options.capped or core.usage.is_due(now)


async def evict(core: Core, now: float, written: Sequence[int] = ()) -> Evicted:
    """Remove entries above the caps, as the policy says; which they were. The caller holds `writer`.

    What was just *written* goes only if there is nothing else: or it might be gone before anybody could ask for it.
    Nobody asked for it, and what a failing store leaves over is left to the next write.
    """
    removed: list[Removed] = []
    try:
        if core.usage.is_due(now):
            await usage.flush(core)
        if core.options.capped and (core.dirty or core.counts_behind):
            await sync.count(core)
        for namespace, count in eviction.plan(core.counts, core.options.namespace_quotas, core.options.max_entries):
            chosen: list[int] = []
            if core.ranking is not None and (chosen := core.ranking.victims(namespace, count, frozenset(written))):
                removed += await remove_held(core, Selection(refs=chosen))
                core.ranking.removed(chosen)  # of what others had removed already, the store says nothing
            if len(chosen) < count:
                await usage.flush(core)  # or the store would not know what was used last
                removed += await remove_held(core, Selection(namespace=namespace, least_recent=count - len(chosen)))
    except StoreBackendError as error:
        return Evicted(removed, error)
    return Evicted(removed)


def tell_evicted(core: Core, evicted: Evicted, writer: str) -> None:
    """Count and announce what a write to the namespace *writer* drove out, once the lock is free."""
    if evicted.failure is not None:
        core.store_failed(writer, "evicting", evicted.failure)
    if not evicted.removed:
        return
    for namespace, count in Counter(one.namespace for one in evicted.removed).items():
        core.usage.evicted(namespace, count)
        core.events.send("evict", namespace, count=count)
