"""Finding an answer: the exact layer, then the semantic layer, then a verdict on each candidate, best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from mneme._engine import contrast, denial, eras, follow, guarding, removal, sync, usage
from mneme._engine.ask import Ask
from mneme._engine.contrast import FIRST_CANDIDATES, MORE
from mneme._engine.core import Core
from mneme._engine.embedding import embed_or_miss
from mneme._engine.eras import EraChangedError
from mneme._engine.nearest import Scored, nearest
from mneme._rules.matching import Verdict, judge
from mneme._rules.similarity import RESOLUTION
from mneme.errors import StoreBackendError
from mneme.ports import Record, Vector
from mneme.types import Hit, Layer


@dataclass(slots=True)
class Found:
    """What a lookup came to."""

    hit: Hit | None = None
    record: Record | None = None
    """The record behind `hit`."""
    stale: Hit | None = None
    """The best answer that has expired but is kept for those who accept it."""
    expired_at: float = 0.0
    """When it did."""
    reason: str = "no_match"
    """Why there is no hit."""
    vector: Vector | None = None
    era: int = 0
    """Of the embedder that `vector` is of."""
    dead: dict[int, tuple[Record, Verdict]] = field(default_factory=dict)
    """Entries met on the way that can never answer again, by id."""
    guarded: frozenset[int] = frozenset()
    """Entries that a guard refused. Among more candidates they are met again."""


async def get(core: Core, ask: Ask) -> Hit | None:
    """The answer to one request, and what goes with serving it: counters, events, tidying."""
    if core.dirty:
        await sync.catch_up_if_dirty(core)
    version = core.hot.version()
    records = await core.store.read((ask.key,))
    record = records[0]
    if record is not None:
        # Most often nothing is wrong with it, and there is nothing to note. What else it may be, the rest finds out.
        response = core.response_of(record)
        hit = core.serve(record, response)
        if hit is not None:
            if core.hot.keeps:
                core.keep_hot(ask, record, response, version)
            return hit
    [hit] = await _finish(core, [ask], await _judge_all(core, [ask], records, version))
    return hit


async def get_many(core: Core, asks: Sequence[Ask]) -> list[Hit | None]:
    """The answer to each request, all of one partition, and what goes with serving it."""
    return await _finish(core, asks, await find(core, asks))


def missed(core: Core, asks: Sequence[Ask], error: StoreBackendError) -> None:
    """Count requests as misses because the store failed, and tell of that once."""
    core.store_failed(asks[0].namespace, "looking up a query", error)
    for ask in asks:
        core.count_miss(ask.namespace, "store")


async def _finish(core: Core, asks: Sequence[Ask], results: Sequence[Found]) -> list[Hit | None]:
    done = True
    for ask, found in zip(asks, results, strict=True):
        count(core, ask, found)
        done = done and found.hit is not None and not found.dead
    if not done:
        await tidy(core, results)
    return [found.hit for found in results]


def count(core: Core, ask: Ask, found: Found) -> None:
    """Count a lookup as the hit or the miss that it was."""
    if found.hit is not None and found.record is not None:
        core.count_hit(found.hit, found.record)
    else:
        core.count_miss(ask.namespace, found.reason)


async def tidy(core: Core, results: Sequence[Found]) -> None:
    """What a lookup may leave to be written: dead entries, and after a miss (a hit never costs a write) usage."""
    for found in results:
        if found.dead:
            await removal.remove_dead(core, list(found.dead.values()))
    if any(found.hit is None for found in results):
        await usage.flush_if_due(core)


async def find(core: Core, asks: Sequence[Ask]) -> list[Found]:
    """Look up requests of one partition without counting: one read, one embedder batch, one search, one more read."""
    if core.dirty:
        await sync.catch_up_if_dirty(core)
    version = core.hot.version()
    records = await core.store.read([ask.key for ask in asks])
    return await _judge_all(core, asks, records, version)


async def _judge_all(core: Core, asks: Sequence[Ask], records: Sequence[Record | None], version: int) -> list[Found]:
    """What each request comes to, of which the exact layer gave *records*, read since that version of the hot layer."""
    results = [Found() for _ in asks]
    unanswered = []
    for position, (ask, record) in enumerate(zip(asks, records, strict=True)):
        found = results[position]
        if record is None or not _consider(core, ask, Scored(record, 1.0), "exact", found):
            unanswered.append(position)
        elif found.hit is not None and core.hot.keeps:
            core.keep_hot(ask, record, found.hit.response, version)
    if unanswered:
        unanswered = await _certified(core, asks, results, unanswered)
    if unanswered:
        await _find_semantic(core, asks, results, unanswered)
    return results


async def _find_semantic(core: Core, asks: Sequence[Ask], results: Sequence[Found], positions: Sequence[int]) -> None:
    while positions:
        era = await eras.settled(core)
        try:
            await _search(core, asks, results, positions, era)
        except EraChangedError:
            positions = [position for position in positions if results[position].hit is None]
            for position in positions:  # a threshold for the embedder before says nothing of this one
                asks[position].threshold = max(asks[position].threshold, core.threshold)
            positions = await _certified(core, asks, results, positions)
        else:
            return


async def _search(
    core: Core, asks: Sequence[Ask], results: Sequence[Found], positions: Sequence[int], era: int
) -> None:
    await _supply_vectors(core, asks, results, positions, era)
    await follow.check_if_due(core)
    if core.notes.raised:  # perhaps just now, by another process
        for position in positions:
            core.tighten(asks[position])
    queries = {position: results[position].vector for position in positions}
    searching = {position: vector for position, vector in queries.items() if vector is not None}
    if core.options.value_contrast is not None and searching:
        answers = [partial(_answers, core, asks[position], results[position]) for position in searching]
        chosen = [asks[position] for position in searching]
        await contrast.find(core, core.options.value_contrast, chosen, list(searching.values()), answers, era=era)
        return
    k = FIRST_CANDIDATES
    while searching:
        floor = min(asks[position].threshold for position in searching) - RESOLUTION
        found = await nearest(core, asks[0].partition, np.stack(list(searching.values())), floor=floor, k=k, era=era)
        unsettled = {}
        for (position, vector), (candidates, more) in zip(searching.items(), found, strict=True):
            answered = False
            for candidate in candidates:
                answered = await _answers(core, asks[position], results[position], candidate)
                if answered:
                    break
            if more and not answered:
                unsettled[position] = vector
        searching = unsettled
        k *= MORE


async def _certified(
    core: Core,
    asks: Sequence[Ask],
    results: Sequence[Found],
    positions: Sequence[int],
) -> list[int]:
    """Those that may be answered from the semantic layer; the others miss, and the embedder is not asked for them."""
    if not any(asks[position].certify for position in positions):
        return list(positions)
    await follow.check_if_due(core)  # or what another process withdrew would hold here for one lookup more
    allowed = []
    for position in positions:
        certify = asks[position].certify
        if certify is not None:
            await certify(asks[position])
        if not asks[position].exact_only:
            allowed.append(position)
            continue
        results[position].vector = asks[position].vector
        if results[position].reason == "no_match":
            results[position].reason = "uncertified"
    return allowed


async def _answers(core: Core, ask: Ask, found: Found, candidate: Scored, score: float | None = None) -> bool:
    """Judge one candidate of the semantic layer, and ask the guards about one that would answer."""
    if candidate.record.id in found.guarded:
        return False
    had_stale = found.stale is not None
    answers = _consider(core, ask, candidate, "semantic", found, score=score)
    if not core.options.guards:
        return answers
    hit = found.hit if answers else None if had_stale else found.stale
    if hit is None:
        return False
    why = await guarding.refusal(core, ask.query, hit.query, similarity=hit.similarity, response=hit.response)
    if why is None:
        return answers
    found.guarded |= {hit.entry_id}
    if not answers:
        found.stale = None
        return False
    found.hit = found.record = None
    found.reason = "guarded"
    core.events.send("guard_refusal", ask.namespace, guard=why.guard, reason=why.reason, entry_id=hit.entry_id)
    return False


async def _supply_vectors(
    core: Core, asks: Sequence[Ask], results: Sequence[Found], positions: Sequence[int], era: int
) -> None:
    missing = [position for position in positions if asks[position].vector is None or asks[position].era != era]
    texts = [asks[position].query for position in missing]
    vectors, why_none = await embed_or_miss(core, asks[0].namespace, texts)
    for position in positions:
        results[position].vector, results[position].era = asks[position].vector, era
    for position, vector in zip(missing, vectors, strict=True):
        results[position].vector = vector
        if vector is None and results[position].reason == "no_match":
            results[position].reason = why_none


def _consider(
    core: Core, ask: Ask, candidate: Scored, layer: Layer, found: Found, *, score: float | None = None
) -> bool:
    """Judge one candidate; whether it answers. What else it is good for is noted in *found*."""
    record, similarity = candidate
    response = core.response_of(record)
    now = core.clock.now()
    threshold = 0.0 if layer == "exact" else ask.threshold  # which may be higher than any similarity
    verdict = judge(
        record, response, similarity=similarity, threshold=threshold, now=now, options=core.options, score=score
    )
    if verdict.reason == "below_threshold":
        return False  # the floor of a batch is the lowest of its thresholds
    if core.notes.denied:
        verdict = denial.applied(core, ask, record, verdict)
    hit = core.hit(
        record,
        response,
        layer=layer,
        similarity=similarity,
        confidence=verdict.confidence,
        age_seconds=verdict.age_seconds,
        asked=ask.query,
        score=score,
    )
    if verdict.reason == "accepted":
        found.hit, found.record = hit, record
        return True
    found.reason = verdict.reason
    if verdict.remove:
        found.dead[record.id] = (record, verdict)
    elif verdict.stale and verdict.reason == "expired" and found.stale is None:
        found.stale, found.expired_at = hit, record.expires_at or 0.0
    return False
