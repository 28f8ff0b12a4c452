"""Looking without being served: the nearest entries, and why each would answer or not. Nothing is counted or kept."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from mneme._engine import contrast, denial, eras, follow, guarding, sync
from mneme._engine.ask import Ask
from mneme._engine.core import Core
from mneme._engine.embedding import embed_or_miss
from mneme._engine.eras import EraChangedError
from mneme._engine.nearest import ANY, Scored, nearest
from mneme._rules.codec import decode_metadata, is_readable
from mneme._rules.matching import Verdict, judge
from mneme._rules.similarity import RESOLUTION
from mneme.ports import Record, Selection
from mneme.types import Candidate, Entry, Explanation, Hit, Layer

PAGE = 1000
_NEVER_SERVED = frozenset({"expired", "rejected", "denied"})


_UNCERTIFIED = frozenset({"accepted", "below_threshold", "low_confidence"})
"""Verdicts that say nothing where there is no certified threshold to compare with."""


class _Judged(NamedTuple):
    record: Record
    response: Any
    similarity: float
    score: float
    rival: float | None
    verdict: Verdict

    def layer(self, ask: Ask) -> Layer:
        return "exact" if self.record.key == ask.key else "semantic"


async def lookup(core: Core, ask: Ask, k: int) -> list[Hit]:
    """The nearest *k* that are fresh and valid, below the threshold too."""
    asked = k
    while True:
        judged, why = await _judge_nearest(core, ask, asked)
        servable = [one for one in judged if one.verdict.reason not in _NEVER_SERVED and not one.verdict.stale]
        if len(servable) >= k or why is not None or len(judged) < asked:
            break
        asked *= 8
    return [
        core.hit(
            one.record,
            one.response,
            layer=one.layer(ask),
            similarity=one.similarity,
            confidence=one.verdict.confidence,
            asked=ask.query,
            score=one.score,
        )
        for one in servable[:k]
    ]


async def explain(core: Core, ask: Ask, k: int) -> Explanation:
    """What `get` would do, and the verdict on an entry of the same query and on the nearest *k*."""
    judged, why_no_search = await _judge_nearest(core, ask, k)
    layer: Layer | None = None
    reason = "uncertified" if ask.exact_only else why_no_search or "no_match"
    candidates = []
    for one in judged:
        verdict: str = one.verdict.reason
        why = None
        if verdict == "accepted" and one.layer(ask) == "semantic" and core.options.guards:
            why = await guarding.refusal(
                core,
                ask.query,
                one.record.query,
                similarity=one.similarity,
                response=one.response,
                slow=layer is None,  # nobody is helped by an expensive verdict on an entry that is not reached
            )
            verdict = "accepted" if why is None else "guarded"
        if verdict == "accepted":
            if layer is None:
                layer = one.layer(ask)
                reason = f"hit_{layer}"
            else:
                verdict = "not_reached"
        elif layer is None and one.score >= ask.threshold - RESOLUTION:
            reason = verdict
        candidates.append(
            Candidate(
                entry_id=one.record.id,
                query=one.record.query,
                similarity=one.similarity,
                confidence=one.verdict.confidence,
                age_seconds=one.verdict.age_seconds,
                accepted=verdict == "accepted",
                reason=verdict,
                score=one.score,
                rival=one.rival,
                detail="" if why is None else str(why),
            )
        )
    return Explanation(
        query=ask.query,
        normalized=ask.normalized,
        namespace=ask.namespace,
        scope=_scope(ask.scope),
        similarity_threshold=core.options.highest_threshold if ask.exact_only else ask.threshold,
        layer=layer,
        reason=reason,
        candidates=tuple(candidates),
    )


async def _judge_nearest(core: Core, ask: Ask, k: int) -> tuple[list[_Judged], str | None]:
    """At most *k*, an entry of the same query first; and why the semantic layer was not asked, if it was not."""
    await follow.check_if_due(core)
    await sync.catch_up_if_dirty(core)
    core.tighten(ask)
    if ask.certify is not None:
        await ask.certify(ask)
    [exact] = await core.store.read([ask.key])
    judged = [] if exact is None else [_judged(core, ask, Scored(exact, 1.0), None)]
    while True:
        try:
            pairs, why = await _scored_nearest(core, ask, k, await eras.settled(core))
        except EraChangedError:
            continue
        break
    judged += [
        _judged(core, ask, candidate, rival)
        for candidate, rival in pairs
        if exact is None or candidate.record.id != exact.id
    ]
    return judged[:k], why


async def _scored_nearest(
    core: Core, ask: Ask, k: int, era: int
) -> tuple[list[tuple[Scored, float | None]], str | None]:
    """The nearest *k*, each with its rival's similarity where that counts; and why there are none, without a vector.

    Fewer are all there are.
    """
    vector = ask.vector if ask.era == era else None
    if vector is None:
        [vector], why_none = await embed_or_miss(core, ask.namespace, [ask.query])
        if vector is None:
            return [], why_none
    if core.options.value_contrast is not None:
        found = await contrast.rivals(core, core.options.value_contrast, ask.partition, vector, k, era=era)
        return list(zip(*found, strict=True)), None
    asked = k
    while True:
        [(candidates, more)] = await nearest(core, ask.partition, vector[None], floor=ANY, k=asked, era=era)
        if len(candidates) >= k or not more:
            return [(candidate, None) for candidate in candidates[:k]], None
        asked *= contrast.MORE


def _judged(core: Core, ask: Ask, candidate: Scored, rival: float | None) -> _Judged:
    record, similarity = candidate
    response = core.response_of(record)
    score = similarity
    if rival is not None and core.options.value_contrast is not None:
        score = core.options.value_contrast.score(similarity, rival)
    verdict = judge(
        record,
        response,
        similarity=similarity,
        threshold=0.0 if record.key == ask.key else ask.threshold,
        now=core.clock.now(),
        options=core.options,
        score=None if rival is None else score,
    )
    if core.notes.denied:
        verdict = denial.applied(core, ask, record, verdict)
    if ask.exact_only and record.key != ask.key and verdict.reason in _UNCERTIFIED:
        verdict = verdict._replace(reason="uncertified")
    return _Judged(record, response, similarity, score, rival, verdict)


async def entries(core: Core, selection: Selection, after: int, limit: int) -> list[Entry]:
    """Stored entries in order of id, expired ones included until they are removed."""
    return [_entry(core, record) for record in await core.store.scan(selection, after=after, limit=limit)]


async def entries_containing(core: Core, selection: Selection, needle: str, after: int, limit: int) -> list[Entry]:
    """Like `entries`, of those whose query contains *needle*, in any case. Reads all that *selection* means."""
    found: list[Entry] = []
    while True:
        records = await core.store.scan(selection, after=after, limit=PAGE)
        found += [_entry(core, record) for record in records if needle in record.query.casefold()]
        if len(records) < PAGE or len(found) >= limit:
            return found[:limit]
        after = records[-1].id


def _entry(core: Core, record: Record) -> Entry:
    return Entry(
        entry_id=record.id,
        namespace=record.namespace,
        scope=_scope(record.scope),
        query=record.query,
        response=core.response_of(record) if is_readable(record.codec, core.options.codec) else record.payload,
        codec=record.codec,
        metadata=decode_metadata(record.metadata),
        tags=record.tags,
        created_at=record.created_at,
        accessed_at=record.accessed_at,
        expires_at=record.expires_at,
        compute_seconds=record.compute_seconds,
        cost=record.cost,
    )


def _scope(canonical: str) -> Any:
    return json.loads(canonical) if canonical else None
