"""Making memory mirror the store: filling it on opening, and catching up after a write that was interrupted."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import numpy as np

from mneme._engine import ranks
from mneme._engine.core import Core
from mneme._rules.reserved import NOTES, is_reserved
from mneme.errors import CorruptCacheError
from mneme.log import log_fields
from mneme.ports import AsyncIndex, Change, Matrix, NamespaceSummary, Record, Selection, VectorDType

logger = logging.getLogger("mneme")

BLOCK = 4096
"""Vectors read at a time when an index is filled: large enough for speed, small enough for memory."""


async def fill_index(core: Core, index: AsyncIndex, dtype: VectorDType) -> None:
    """Start *index* anew from the vectors in the store."""
    if core.embedder is None:
        return
    await index.open(core.embedder.dim, dtype)
    if core.store_searches:
        return
    after = 0
    while True:
        block = await core.store.vectors(after=after, limit=BLOCK)
        if len(block.ids) == 0:
            return
        after = int(block.ids[-1])
        await index.add(block.ids.tolist(), block.partitions, block.vectors)


async def count_vectors(core: Core) -> int:
    """How many vectors the store holds, by reading them."""
    count = after = 0
    while len((block := await core.store.vectors(after=after, limit=BLOCK)).ids):
        count += len(block.ids)
        after = int(block.ids[-1])
    return count


async def load_counts(core: Core) -> list[NamespaceSummary]:
    """Take the number of entries of every namespace, and the counters, from the store. The caller holds `writer`."""
    summary = await core.store.summary()
    core.usage.load(summary)
    core.counts = counts_of(summary)
    core.counts_behind = False
    return summary


def counts_of(summary: Sequence[NamespaceSummary]) -> dict[str, int]:
    """The number of entries of every namespace of the users' that has any."""
    return {part.namespace: part.entries for part in summary if part.entries and not is_reserved(part.namespace)}


async def load_notes(core: Core) -> None:
    """Take all notes from the store anew."""
    found: list[Record] = []
    while records := await core.store.scan(Selection(namespace=NOTES), after=found[-1].id if found else 0, limit=BLOCK):
        found += records
    core.notes.replace(found)


async def count(core: Core) -> None:
    """Count the entries anew if others wrote, or may have. The caller holds `writer`."""
    await catch_up(core)
    if core.counts_behind:
        await load_counts(core)


async def index_records(
    core: Core, records: Sequence[Record], ids: Sequence[int], matrix: Matrix | None = None
) -> None:
    """Make the index hold exactly these records' vectors under these ids; one without a vector is not held.

    *matrix* holds the vectors of all of them, if they are at hand in one.
    """
    if core.embedder is None:
        return
    vectors = [record.vector for record in records if record.vector is not None]
    if len(vectors) == len(records):
        numbers, partitions = ids, [record.partition for record in records]
    else:
        bare = [n for record, n in zip(records, ids, strict=True) if record.vector is None]
        await change_index(core, lambda index: index.remove(bare))
        numbers = [n for record, n in zip(records, ids, strict=True) if record.vector is not None]
        partitions = [record.partition for record in records if record.vector is not None]
    if matrix is None and len(vectors) == 1:
        matrix = vectors[0][None]
    elif matrix is None and vectors:
        # Not np.stack, which takes ten times as long for many short rows.
        matrix = np.concatenate(vectors).reshape(len(vectors), -1)
    if matrix is not None:
        rows = matrix
        await change_index(core, lambda index: index.add(numbers, partitions, rows))


async def change_index(core: Core, change: Callable[[AsyncIndex], Awaitable[object]]) -> None:
    """Make the index follow what the store has done already. The caller holds `writer`."""
    try:
        await change(core.index)
    except CorruptCacheError as error:  # in the file that it was loaded from
        _tell_of_damage(error)
        await refill_index(core, core.index.dtype)


async def replace_damaged(core: Core, index: AsyncIndex, error: CorruptCacheError) -> None:
    """Read the vectors anew, if nobody has done so since *index* was found to be damaged."""
    async with core.writer:
        if core.index is index:
            _tell_of_damage(error)
            await core.runtime.finish(refill_index(core, index.dtype))


def _tell_of_damage(error: CorruptCacheError) -> None:
    # As text: whoever keeps the record would keep the error, its frames, and with them the file.
    extra = log_fields("index_damaged", error=error)
    logger.warning("%s; all vectors are read from the store", str(error), extra=extra)


async def catch_up_if_dirty(core: Core) -> None:
    """Before memory is believed: bring it up to date, if a write was interrupted."""
    if core.dirty:
        async with core.writer:
            await core.runtime.finish(catch_up(core))


async def catch_up(core: Core) -> None:
    """Apply what the store has seen since memory last mirrored it, if anything. The caller holds `writer`."""
    if core.dirty:
        await replay(core)


async def replay(core: Core) -> None:
    """Apply what the store has seen since memory last mirrored it. The caller holds `writer`.

    How many entries there are now is counted when somebody wants to know.
    """
    others = False
    try:
        while (changes := await core.store.changes(core.applied_seq, limit=BLOCK)) != []:
            core.counts_behind = True
            if changes is None:
                others = True
                await _start_over(core)
                continue
            unknown = [change for change in changes if change.seq not in core.own]
            if unknown:
                others = True
                await _apply(core, unknown)
            core.applied_seq = changes[-1].seq
    except BaseException:
        core.dirty = True
        raise
    core.caught_up(others=others)


async def _apply(core: Core, changes: Sequence[Change]) -> None:
    gone = [change.id for change in changes if change.deleted]
    alive = [change.id for change in changes if not change.deleted]
    records = await core.store.read(alive, vectors=True)
    if core.embedder is not None:
        await change_index(core, partial(_remove, gone))
    found = [record for record in records if record is not None]
    await index_records(core, found, [record.id for record in found])
    core.usage.replaced({record.id: record.accessed_at for record in found})
    core.hot.discard([*gone, *alive])
    core.notes.forget(gone)
    ranks.removed(core, gone)
    ranks.wrote(core, found, [record.id for record in found])
    core.notes.keep(record for record in found if record.namespace == NOTES)


async def bring_up_to_date(core: Core, index: AsyncIndex, since: int) -> None:
    """Apply to an index that nobody uses yet what the store has seen after *since*.

    Raises:
        CorruptCacheError: The store has forgotten some of it.
    """
    while (changes := await core.store.changes(since, limit=BLOCK)) != []:
        if changes is None:
            raise CorruptCacheError("the index is too old to be brought up to date")
        await index.remove([change.id for change in changes])
        records = await core.store.read([change.id for change in changes if not change.deleted], vectors=True)
        rows = [(record.id, record.partition, record.vector) for record in records if record is not None]
        held = [row for row in rows if row[2] is not None]
        if held:
            ids, partitions, vectors = zip(*held, strict=True)
            await index.add(ids, partitions, np.stack(vectors))
        since = changes[-1].seq


async def _remove(ids: Sequence[int], index: AsyncIndex) -> None:
    await index.remove(ids)


async def _start_over(core: Core) -> None:
    """The store has forgotten deletions that memory never heard of."""
    # Before the vectors: what is written meanwhile is applied twice, not never.
    info = await core.store.open(None, None)
    core.hot.clear()
    await refill_index(core, core.index.dtype)
    await load_notes(core)
    await ranks.load(core)
    core.applied_seq = info.seq


async def refill_index(core: Core, dtype: VectorDType) -> None:
    """Read the index anew from the store. The caller holds `writer`.

    Lookups use the old index until the new one is full. A caller's own index cannot be made twice: it is filled again
    in place, and may miss meanwhile.
    """
    index = core.index if core.make_index is None else core.make_index()
    try:
        await fill_index(core, index, dtype)
    except BaseException:
        if index is core.index:
            # It may be empty by now: everything that ever happened is to be applied to it again.
            core.applied_seq = 0
            core.mark_dirty()
        else:
            await index.close()
        raise
    core.index = index
    core.saved_seq = None
