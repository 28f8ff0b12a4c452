"""Making memory mirror the store: filling it on opening, and catching up after a write that was interrupted."""

from __future__ import annotations

import numpy as np

from mneme._engine.core import Core
from mneme.ports import AsyncIndex, Record, VectorDType

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


async def load_counts(core: Core) -> None:
    """Take the number of entries of every namespace from the store."""
    core.counts = {part.namespace: part.entries for part in await core.store.summary() if part.entries}


async def index_records(core: Core, records: list[Record]) -> None:
    """Make the index hold exactly these records' vectors; one without a vector is not held."""
    if core.embedder is None:
        return
    bare = [record.id for record in records if record.vector is None]
    if bare:
        await core.index.remove(bare)
    with_vector = [(record, record.vector) for record in records if record.vector is not None]
    if with_vector:
        ids = [record.id for record, _ in with_vector]
        partitions = [record.partition for record, _ in with_vector]
        await core.index.add(ids, partitions, np.stack([vector for _, vector in with_vector]))


async def catch_up_if_dirty(core: Core) -> None:
    """Before memory is believed: bring it up to date, if a write was interrupted."""
    if core.dirty:
        async with core.writer:
            await core.runtime.finish(catch_up(core))


async def catch_up(core: Core) -> None:
    """Apply what the store has seen since memory last mirrored it. The caller holds `writer`."""
    if not core.dirty:
        return
    while changes := await core.store.changes(core.applied_seq, limit=BLOCK):
        gone = [change.id for change in changes if change.deleted]
        alive = [change.id for change in changes if not change.deleted]
        records = await core.store.read(alive, vectors=True)
        if core.embedder is not None:
            await core.index.remove(gone)
        await index_records(core, [record for record in records if record is not None])
        core.hot.discard([*gone, *alive])
        core.applied_seq = changes[-1].seq
    await load_counts(core)
    core.dirty = False
