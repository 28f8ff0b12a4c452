"""The nearest entries of a query: the index names candidates, the store supplies them, float32 vectors decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from mneme._engine import eras, sync
from mneme._engine.core import Core
from mneme._rules.similarity import score
from mneme.errors import CorruptCacheError, EmbedderMismatchError
from mneme.ports import Matches, Matrix, Record, Vector

if TYPE_CHECKING:
    from typing import Protocol

    class _SearchingStore(Protocol):
        async def similar(self, partition: bytes, queries: Matrix, *, floor: float, k: int) -> list[list[Record]]: ...


ANY = -2.0
"""A floor that every similarity reaches."""


class Scored(NamedTuple):
    """A candidate of the semantic layer."""

    record: Record
    similarity: float


class Nearest(NamedTuple):
    """Candidates, best first, and whether there may be more behind them."""

    candidates: list[Scored]
    more: bool


async def nearest(core: Core, partition: bytes, queries: Matrix, *, floor: float, k: int, era: int) -> list[Nearest]:
    """For each query, a vector of this era, the best *k* entries at or above *floor*.

    Entries that left the store since they were indexed are passed over, and what was written since counts at the
    similarity of the vector that it has now: the store is the truth.
    """
    if core.store_searches:
        return await _from_store(core, partition, queries, floor, k)
    indexed = core.applied_seq  # up to here the index holds what the store does, or what came later: read before it is
    index = core.index
    eras.require(core, era)  # so the index is of that era too, whatever happens from here on
    try:
        found = await index.search(partition, queries, floor=floor, k=k)
    except CorruptCacheError as error:
        await sync.replace_damaged(core, index, error)
        eras.require(core, era)
        found = await core.index.search(partition, queries, floor=floor, k=k)
    ids = sorted({entry_id for matches in found for entry_id in matches.ids.tolist()})
    rescore = any(matches.errors is not None for matches in found)
    try:
        records = await core.store.read(ids, vectors=rescore) if ids else []
        if not rescore and any(record is not None and record.seq > indexed for record in records):
            rescore = True
            records = await core.store.read(ids, vectors=True)
    except EmbedderMismatchError:  # vectors are those of the next era
        eras.require(core, era)
        raise
    eras.require(core, era)
    by_id = {record.id: record for record in records if record is not None}
    return [
        _supplied(matches, by_id, query, floor=floor, k=k, rescore=rescore)
        for matches, query in zip(found, queries, strict=True)
    ]


async def _from_store(core: Core, partition: bytes, queries: Matrix, floor: float, k: int) -> list[Nearest]:
    found = await cast("_SearchingStore", core.store).similar(partition, queries, floor=floor, k=k)
    results = []
    for records, query in zip(found, queries, strict=True):
        # Fewer than k is all there are at or above the floor.
        results.append(Nearest(_rescored(records, query, floor)[:k], more=len(records) >= k))
    return results


def _supplied(
    matches: Matches, by_id: dict[int, Record], query: Vector, *, floor: float, k: int, rescore: bool
) -> Nearest:
    ids: list[int] = matches.ids.tolist()
    if not rescore:
        pairs = zip(ids, matches.similarities.tolist(), strict=True)
        scored = [Scored(by_id[entry_id], similarity) for entry_id, similarity in pairs if entry_id in by_id]
        return Nearest(scored[:k], more=len(ids) >= k)
    scored = _rescored([by_id[entry_id] for entry_id in ids if entry_id in by_id], query, floor)
    gone = sum(entry_id not in by_id for entry_id in ids)
    more = len(ids) >= k if matches.errors is None else len(scored) + gone >= k
    if more:
        # What has another vector now, and is not as near: others may lie between. Among more it is met again.
        lowest = matches.similarities if matches.errors is None else matches.similarities - matches.errors
        least = float(np.partition(lowest, len(lowest) - k)[len(lowest) - k])
        scored = [candidate for candidate in scored if candidate.similarity >= least]
    return Nearest(scored[:k], more)


def _rescored(records: Sequence[Record], query: Vector, floor: float) -> list[Scored]:
    pairs = [(record, record.vector) for record in records if record.vector is not None]
    if not pairs:
        return []
    similarities = score(np.stack([vector for _, vector in pairs]), query).tolist()
    scored = [
        Scored(record, similarity)
        for (record, _), similarity in zip(pairs, similarities, strict=True)
        if similarity >= floor
    ]
    scored.sort(key=lambda candidate: (-candidate.similarity, candidate.record.id))
    return scored
