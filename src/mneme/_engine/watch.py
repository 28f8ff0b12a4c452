"""What is known of a namespace's answers: read, added to and written down; the alarm; what a reader is told.

All processes add to the same note: it is read from the store, changed and written back. Two that do so in the same
moment lose one of the two audits, whatever it found, which takes nothing from what the alarm promises.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from mneme._engine import certificates, notes
from mneme._engine.core import Core
from mneme._rules import drift
from mneme._rules.drift import NOTHING_NEAR
from mneme._rules.reserved import note_key
from mneme._rules.watching import BINS, State, class_of, dumped, loaded
from mneme._runtime.notes import RAISED
from mneme.errors import EmbedderMismatchError, StoreBackendError
from mneme.log import log_fields
from mneme.types import Labels, Watch

logger = logging.getLogger("mneme")

WATCH = "watch"
"""The kind of the notes that hold states."""
_LABELS = 64
"""So many labels are gathered in memory before they are written."""


async def audited(core: Core, namespace: str, *, wrong: bool, threshold: float) -> None:
    """Add an audit of a hit that had to reach *threshold*; raise the alarm if that was enough."""
    limit = core.options.max_false_hit_rate
    embedder = core.store_info.fingerprint
    state = await _change(core, namespace, lambda state: state.audited(wrong=wrong, limit=limit, embedder=embedder))
    if limit is not None and drift.is_alarm(state.stakes):
        await _alarm(
            core, namespace, state, limit, max(threshold, core.threshold, core.notes.raised_to(namespace) or 0.0)
        )


async def failed(core: Core, namespace: str) -> None:
    """Count an audit that came to nothing."""
    await _change(core, namespace, lambda state: replace(state, failed=state.failed + 1))


async def told(core: Core, namespace: str, *, right: bool) -> None:
    """Count what a user said. It is no evidence: who complains is no sample of those who were answered."""
    if right:
        await _change(core, namespace, lambda state: replace(state, confirmed=state.confirmed + 1))
    else:
        await _change(core, namespace, lambda state: replace(state, rejected=state.rejected + 1))


async def tell(core: Core, namespace: str, *, right: bool) -> None:
    """As `told`, where a failing store is no reason to raise: what was said has had its effect already."""
    try:
        await told(core, namespace, right=right)
    except StoreBackendError as error:
        core.store_failed(namespace, "counting what a user said", error)


async def labelled(core: Core, namespace: str, similarity: float, *, same: bool) -> None:
    """Add what a miss says of its nearest neighbour; written with the next audit, or when enough have gathered."""
    where = class_of(similarity)
    async with core.watching:
        gathered = core.labels.setdefault(namespace, {})
        before = gathered.get(where, (0, 0))
        gathered[where] = before[0] + same, before[1] + (not same)
        many = sum(map(sum, gathered.values())) >= _LABELS
    if many:
        await _change(core, namespace, lambda state: state)


async def flush(core: Core) -> None:
    """Write the labels that are in memory only; a failing store is only told of."""
    try:
        for namespace in list(core.labels):
            await _change(core, namespace, lambda state: state)
    except (EmbedderMismatchError, StoreBackendError) as error:
        core.store_failed("", "recording labels", error)


async def _change(core: Core, namespace: str, change: Callable[[State], State]) -> State:
    async with core.watching:
        gathered = core.labels.pop(namespace, {})
        try:
            state = change(await _stored(core, namespace)).labelled(gathered)
            await notes.write(core, WATCH, namespace, dumped(state))
        except BaseException:
            if gathered:
                core.labels.setdefault(namespace, gathered)
            raise
    return state


async def _stored(core: Core, namespace: str) -> State:
    """What is known, with what other processes found out."""
    [record] = await core.store.read([note_key(WATCH, namespace)])
    return loaded(None if record is None else record.payload.decode())


async def _alarm(core: Core, namespace: str, state: State, limit: float, before: float) -> None:
    """Go on with a safer threshold, void the certificate, and tell of it; durably, before anybody is told."""
    after = before
    if core.certified is not None:
        after = NOTHING_NEAR  # without a certificate, until there is another: nothing is left to be raised
    elif core.options.on_alarm == "tighten":
        after = drift.safer(before, core.options.highest_threshold)
    now = core.clock.now()
    changed = {WATCH: dumped(replace(state.anew(limit), alarms=state.alarms + 1, alarmed_at=now))}
    if after != before and core.certified is None:
        changed[RAISED] = repr(after)
    written = [(kind, namespace, text) for kind, text in changed.items()]
    voided = certificates.voided(core, namespace, f"{state.wrong} of {state.audits} audited answers were wrong")
    if voided is not None:
        written.append(voided)
    async with core.watching:
        await notes.write_all(core, written)
    what = "exact answers alone" if after == NOTHING_NEAR else f"{after:g}"
    logger.warning(
        "in namespace %r %d of %d audited answers were wrong, more than max_false_hit_rate=%g allows; "
        "the threshold was %g and is %s now",
        namespace,
        state.wrong,
        state.audits,
        limit,
        before,
        what if after != before else "left as it is",
        extra=log_fields("alarm", namespace=namespace, failures=state.wrong, audits=state.audits),
    )
    core.events.send(
        "alarm",
        namespace,
        audits=state.audits,
        wrong=state.wrong,
        evidence=drift.evidence(state.stakes),
        limit=limit,
        threshold=before,
        raised_to=after,
        certificate_voided=voided is not None,
    )


async def report(core: Core, namespace: str) -> Watch:
    """What is known now."""
    async with core.watching:
        state = (await _stored(core, namespace)).labelled(core.labels.get(namespace, {}))
    return Watch(
        namespace=namespace,
        audits=state.audits,
        wrong=state.wrong,
        failed=state.failed,
        evidence=drift.evidence(state.stakes),
        alarm_at=1 / drift.ALPHA,
        max_false_hit_rate=core.options.max_false_hit_rate,
        alarms=state.alarms,
        alarmed_at=state.alarmed_at,
        raised_to=core.notes.raised_to(namespace),
        rejected=state.rejected,
        confirmed=state.confirmed,
        labels=_labels(state),
    )


def _labels(state: State) -> tuple[Labels, ...]:
    classes: Sequence[int] = sorted(state.labels, reverse=True)
    return tuple(Labels(where / BINS, *state.labels[where]) for where in classes)


async def reset(core: Core, namespace: str) -> bool:
    """Lift what an alarm did, and forget the evidence; whether there was an alarm."""
    raised_before = namespace in core.notes.raised
    if raised_before:
        await notes.remove(core, RAISED, [namespace])
    alarmed = False

    def calmed(state: State) -> State:
        nonlocal alarmed
        alarmed = state.alarmed
        return replace(state.anew(state.limit), alarmed_at=None)

    await _change(core, namespace, calmed)
    if not alarmed and not raised_before:
        return False
    core.events.send("alarm_reset", namespace)
    return True
