"""Making memory mirror the store: filling it on opening, and catching up after a write that was interrupted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mneme._engine.core import Core
from mneme.ports import AsyncIndex, Matrix, Record, VectorDType

BLOCK = 4096
"""Vectors read at a time when an index is filled: large enough for speed, small enough for memory."""


async def fill_index(core: Core, index: AsyncIndex, dtype: VectorDType) -> None:
    """Start *index* anew from the vectors in the store."""
    if core.embedder is None:
        return
    await index.open(core.embedder.dim, dtype)
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


async def load_counts(core: Core) -> None:
    """Take the number of entries of every namespace from the store."""
    core.counts = {part.namespace: part.entries for part in await core.store.summary() if part.entries}


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
        await core.index.remove([n for record, n in zip(records, ids, strict=True) if record.vector is None])
        numbers = [n for record, n in zip(records, ids, strict=True) if record.vector is not None]
        partitions = [record.partition for record in records if record.vector is not None]
    if matrix is not None:
        await core.index.add(numbers, partitions, matrix)
    elif len(vectors) == 1:
        await core.index.add(numbers, partitions, vectors[0][None])
    elif vectors:
        # Not np.stack, which takes ten times as long for many short rows.
        await core.index.add(numbers, partitions, np.concatenate(vectors).reshape(len(vectors), -1))


async def catch_up_if_dirty(core: Core) -> None:
    """Before memory is believed: bring it up to date, if a write was interrupted."""
    if core.dirty:
        async with core.writer:
            await core.runtime.finish(catch_up(core))


async def catch_up(core: Core) -> None:
    """Apply what the store has seen since memory last mirrored it. The caller holds `writer`."""
    if not core.dirty:
        return
    while (changes := await core.store.changes(core.applied_seq, limit=BLOCK)) != []:
        if changes is None:
            await _start_over(core)
            continue
        gone = [change.id for change in changes if change.deleted]
        alive = [change.id for change in changes if not change.deleted]
        records = await core.store.read(alive, vectors=True)
        if core.embedder is not None:
            await core.index.remove(gone)
        found = [record for record in records if record is not None]
        await index_records(core, found, [record.id for record in found])
        core.hot.discard([*gone, *alive])
        core.applied_seq = changes[-1].seq
    await load_counts(core)
    core.dirty = False


async def _start_over(core: Core) -> None:
    """The store has forgotten deletions that memory never heard of."""
    info = await core.store.open(
        None, None
    )  # before the vectors: what is written meanwhile is applied twice, not never
    core.hot.clear()
    await refill_index(core, core.index.dtype)
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
