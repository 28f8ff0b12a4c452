"""Storing answers: check everything, embed outside every lock, write in one transaction, then make memory follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mneme._engine import alias, eras, ranks, removal, saved, sync
from mneme._engine.ask import Ask
from mneme._engine.core import Core
from mneme._engine.embedding import embed
from mneme._engine.eras import EraChangedError
from mneme._engine.removal import Evicted
from mneme._rules.arguments import check_cost, check_tags
from mneme._rules.codec import encode_metadata, encode_response
from mneme._rules.expiry import TTL, deadlines, fraction, seconds
from mneme._runtime.breaker import NotAskedError, check_asked
from mneme._runtime.hot import HotEntry, HotKey
from mneme.errors import EmbedderMismatchError, NamespaceQuotaExceededError, StoreBackendError
from mneme.ports import Matrix, Record, Written

_GIVEN = Record._fields.index("id")
"""So many fields of a record come from the writer; then come id and sequence number, which the store gives."""
_BULK = 256
"""Larger batches do not become hot: loading a file must not drive out what is in use."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long an entry is to live, as the caller said it."""

    ttl: TTL = None
    jitter: float = 0.0
    stale_ttl: TTL = None

    def check(self) -> None:
        """Raise `TypeError` or `ValueError` for what is no duration or fraction."""
        seconds(self.ttl)
        seconds(self.stale_ttl, "stale_ttl")
        fraction(self.jitter, "jitter")


PLAIN = Lifetime()
"""As long as the cache's default says."""


class Draft(NamedTuple):
    """An entry that passed every check and lacks only its vector, if that."""

    hot_key: HotKey
    """Not the whole request: ten thousand drafts of texts and bytes are nothing to the garbage collector."""
    response: Any
    record: Record
    era: int = 0
    """Of the embedder that the vector is of."""


def draft(  # noqa: PLR0917 -- by position, as there may be ten thousand in a batch
    core: Core,
    ask: Ask,
    response: Any,
    metadata: Mapping[str, Any] | None,
    tags: Sequence[str],
    lifetime: Lifetime,
    now: float,
    compute_seconds: float = 0.0,
    cost: float = 0.0,
) -> Draft | None:
    """A checked entry; `None`, and an event, when the validator refuses the response.

    Raises:
        TypeError, ValueError: Something cannot be stored exactly, or is too large.
        NamespaceQuotaExceededError: The namespace's quota is 0.
        EmbedderMismatchError: The store holds vectors, and this cache has no embedder to add more.
    """
    options = core.options
    if core.embedder is None and core.info is not None and core.info.fingerprint is not None:
        raise EmbedderMismatchError(
            f"this cache was made with the embedder {core.info.fingerprint!r} and is open without one; "
            "open it with that embedder to write"
        )
    if options.namespace_quotas.get(ask.namespace) == 0:
        raise NamespaceQuotaExceededError(f"namespace {ask.namespace!r} has a quota of 0 entries; raise it")
    codec, payload = encode_response(response, options.codec)
    if len(payload) > options.max_response_bytes:
        raise _too_large("response", payload, options.max_response_bytes)
    encoded_metadata = "" if metadata is None else checked_metadata(core, metadata)
    checked_tags = check_tags(tags) if tags != () else ()
    if lifetime is not PLAIN:
        lifetime.check()
    if not options.validator(response):
        core.events.send("put_rejected", ask.namespace, query=ask.query)
        return None
    expires_at = removable_at = None
    ttl = options.default_ttl if lifetime.ttl is None else seconds(lifetime.ttl)
    if ttl is not None:
        stale = seconds(lifetime.stale_ttl, "stale_ttl")
        expires_at, removable_at = deadlines(now, ttl, key=ask.key, jitter=lifetime.jitter, stale=stale)
    record = Record(  # by position, which takes half the time: the order is that of the fields
        ask.key,
        ask.partition,
        ask.namespace,
        ask.scope,
        ask.query,
        payload,
        codec,
        encoded_metadata,
        checked_tags,
        now,
        now,
        expires_at,
        removable_at,
        compute_seconds,
        0,
        0,
        ask.vector,
        cost if cost == 0.0 else check_cost(cost),
    )
    return Draft(ask.hot_key, response, record, ask.era)


def checked_metadata(core: Core, metadata: Mapping[str, Any] | None) -> str:
    """Encoded; raises `TypeError` or `ValueError` for what cannot be stored exactly, or is too large."""
    encoded = encode_metadata(metadata)
    if len(encoded) > core.options.max_metadata_bytes:
        raise _too_large("metadata", encoded, core.options.max_metadata_bytes)
    return encoded


def _too_large(what: str, encoded: str | bytes, limit: int) -> ValueError:
    return ValueError(f"the {what} takes {len(encoded)} bytes, more than max_{what}_bytes={limit}")


async def put(core: Core, drafts: Sequence[Draft], matrix: Matrix | None = None) -> list[Written]:
    """Store entries in one transaction; what has no vector yet is embedded in one batch.

    If the vectors of the drafts are the rows of a *matrix*, all of them and in this order, they need not be copied.

    Raises:
        StoreBackendError: The store failed: nothing was stored, or all of it.
    """
    if len(drafts) > 1:
        # The last of equal queries stays, as if they had been put one after the other.
        by_key = {one.record.key: one for one in drafts}
        if len(by_key) != len(drafts):
            drafts, matrix = list(by_key.values()), None
    if not drafts:
        return []
    done = None
    while done is None:
        done = await _put(core, drafts, matrix, await eras.settled(core))
    latest, remarks, written, evicted = done
    if core.events.heard:
        for one in latest:
            core.events.send("put", one.record.namespace, query=one.record.query, bytes=len(one.record.payload))
    alias.tell(core, remarks)
    if evicted is not removal.NOTHING:
        removal.tell_evicted(core, evicted, latest[0].record.namespace)
    return written


async def _put(
    core: Core, drafts: Sequence[Draft], matrix: Matrix | None, era: int
) -> tuple[Sequence[Draft], Sequence[alias.Remark], list[Written], Evicted] | None:
    """Store the drafts with vectors of this era; `None` if the embedder was exchanged before they were stored."""
    latest = drafts
    remarks: Sequence[alias.Remark] = ()
    if len(drafts) != 1 or drafts[0].record.vector is None or drafts[0].era != era:
        latest = await _with_vectors(core, drafts, era)
    matrix = matrix if latest is drafts else None
    if core.options.alias_threshold is not None:
        try:
            latest, remarks = await alias.admitted(core, latest, core.options.alias_threshold, era)
        except EraChangedError:
            return None
        matrix = matrix if all(one.record.vector is not None for one in latest) else None
    async with core.writer:
        if core.era != era:
            return None
        written, evicted = await core.runtime.finish(_commit(core, latest, matrix))
    return latest, remarks, written, evicted


async def _with_vectors(core: Core, drafts: Sequence[Draft], era: int) -> Sequence[Draft]:
    """The drafts, those embedded that lacked a vector of this era."""
    missing = [position for position, one in enumerate(drafts) if one.record.vector is None or one.era != era]
    if not missing:
        return drafts
    check_asked(core.store)
    try:
        texts = [drafts[position].record.query for position in missing]
        vectors = await embed(core, texts, drafts[0].record.namespace)
    except Exception as error:
        core.events.send("embedder_failure", drafts[0].record.namespace, error=repr(error))
        raise
    complete = list(drafts)
    for position, vector in zip(missing, vectors, strict=True):
        one = drafts[position]
        complete[position] = Draft(one.hot_key, one.response, one.record._replace(vector=vector), era)
    return complete


def stored(record: Record, written: Written) -> Record:
    """The record as the store would give it back, without the vector."""
    return Record._make((*record[:_GIVEN], written.id, written.seq, None, record.cost))


def _make_hot(core: Core, drafts: Sequence[Draft], written: Sequence[Written]) -> None:
    if len(drafts) > _BULK:
        core.hot.discard([done.id for done in written if done.replaced])
        return
    core.hot.put(
        [
            HotEntry(one.hot_key, stored(one.record, done), one.response)
            for one, done in zip(drafts, written, strict=True)
        ]
    )


async def _commit(core: Core, drafts: Sequence[Draft], matrix: Matrix | None) -> tuple[list[Written], Evicted]:
    """Write, make memory follow, evict; what was written and evicted. The caller holds `writer`."""
    if core.dirty:
        await sync.catch_up(core)
    written = None
    try:
        records = [one.record for one in drafts]
        written = await core.store.write(records)
        _make_hot(core, drafts, written)
        await sync.index_records(core, records, [done.id for done in written], matrix)
        core.changed(written)
        ids = [done.id for done in written]
        ranks.wrote(core, records, ids)
        if any(done.replaced for done in written):
            pairs = list(zip(records, written, strict=True))
            core.usage.replaced({done.id: record.accessed_at for record, done in pairs if done.replaced})
            records = [record for record, done in pairs if not done.replaced]
        for namespace, count in Counter([record.namespace for record in records]).items():
            core.counts[namespace] = core.counts.get(namespace, 0) + count
    except BaseException as error:
        if written is not None or not isinstance(error, StoreBackendError):
            core.mark_dirty()
        elif not isinstance(error, NotAskedError):
            # It may have been done all the same: what was to be replaced answers no more, all else goes on.
            core.hot.forget([one.hot_key for one in drafts])
            core.mark_behind()
        raise
    if core.following.shares is not None:
        await saved.share_if_due(core)
    now = drafts[-1].record.accessed_at
    return written, await removal.evict(core, now, ids) if removal.may_be_due(core, now) else removal.NOTHING
