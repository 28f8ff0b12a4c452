"""From one store to another with vectors of another embedder: copy in order of id, then follow what was written since.

Where it has come to is an entry of the target, written in the same transaction as what it speaks of: a run that is
killed at any moment goes on from there. Once it is finished the entry stays, and is the last that was written: a later
run brings over what is new, unless the target was written to since. The source is only read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields

from mneme._engine.reembedding import Embedding, Pace, Plan
from mneme._engine.sync import BLOCK
from mneme._rules.migrating import MARK_KEY, Mark, is_dead, is_users, refuse_sealed, same_entry
from mneme._rules.reserved import is_reserved
from mneme.errors import ReembeddingError
from mneme.ports import AsyncStore, Counters, Record, Selection, Usage, Vector
from mneme.types import ReembedReport

_ALL = Selection()
_PROBE = 256
"""Entries of an unfinished target that are looked for in the source."""


@dataclass(slots=True)
class Migration:
    """One run from a source to a target, both open from `migrate` on."""

    source: AsyncStore
    target: AsyncStore
    source_name: str
    embedding: Embedding
    plan: Plan
    mark: Mark

    @property
    def page(self) -> int:
        return self.plan.batch_size * self.plan.concurrency


async def migrate(
    source: AsyncStore, target: AsyncStore, source_name: str, embedding: Embedding, plan: Plan
) -> ReembedReport:
    """Make *target* hold what *source* holds, with vectors of the embedder; resumes what was begun.

    Raises:
        EmbedderMismatchError: The target holds vectors of another embedder.
        ReembeddingError: The target is not empty, and no unfinished one of this source; or the embedder failed.
    """
    started = plan.clock.now()
    found = await source.open(None, None)
    refuse_sealed(found.fingerprint)
    mark = await _mark_of(source, target, source_name)
    await target.open(embedding.fingerprint, embedding.dim)
    if mark is None:
        mark = Mark(source_name, since=found.seq, after=0)
    mark = mark._replace(finished=False)
    await target.write([mark.record()])
    one = Migration(source, target, source_name, embedding, plan, mark)
    embedding.pace = Pace(plan, await _entries(source), done=await _entries(target))
    embedding.pace.advance(0)
    if not mark.copied:
        await _copy(one)
    while True:
        await _follow(one)
        await _carry_usage(one)
        if await source.changes(one.mark.since, limit=1) == []:
            break
    await target.write([one.mark._replace(finished=True).record()])
    return embedding.report(entries=await _entries(target), seconds=plan.clock.now() - started)


async def _entries(store: AsyncStore) -> int:
    return sum(part.entries for part in await store.summary() if not is_reserved(part.namespace))


async def _mark_of(source: AsyncStore, target: AsyncStore, source_name: str) -> Mark | None:
    """Where an earlier run has come to; `None` in an empty target. The target is not bound yet."""
    latest = (await target.open(None, None)).seq
    [held] = await target.read([MARK_KEY])
    if held is None:
        if await target.scan(_ALL, limit=1):
            raise ReembeddingError(
                "the target holds entries, and is not the target of an earlier run: choose an empty one"
            )
        return None
    mark = Mark.of(held)
    keys = [record.key for record in await target.scan(_ALL, limit=_PROBE) if is_users(record)]
    unknown = bool(keys) and not any(record is not None for record in await source.read(keys))
    if mark.source == source_name and unknown:
        raise ReembeddingError(
            "the source holds none of the entries that the target was begun with: it is another one, or was emptied "
            "since; choose an empty target"
        )
    if mark.source != source_name:
        raise ReembeddingError(
            f"the target is that of another source, {mark.source!r}, not of {source_name!r}: choose an empty target"
        )
    if mark.finished and latest != held.seq:
        raise ReembeddingError(
            "the target was finished, and written to since; what is new in the source is not brought over any more"
        )
    return mark


async def _copy(one: Migration, *, compare: bool = False) -> None:
    """Bring over every entry after the mark; with *compare* what the target holds already is left alone."""
    while records := await one.source.scan(_ALL, after=one.mark.after, limit=one.page):
        await _store(one, records, compare=compare, mark=one.mark.at(records[-1].id))
    one.mark = one.mark.done()
    await one.target.write([one.mark.record()])


async def _store(one: Migration, records: Sequence[Record], *, compare: bool, mark: Mark) -> None:
    """Write the records with new vectors, and the mark that says so, in one transaction."""
    now = one.plan.clock.now()
    dead = [record.key for record in records if is_dead(record, now)]
    alive = [record for record in records if record.key != MARK_KEY and not is_dead(record, now)]
    one.embedding.skipped += len(dead)
    known: dict[bytes, Record] = {}
    if compare:
        await _remove(one.target, dead)
        held = await one.target.read([record.key for record in alive], vectors=True)
        known = {record.key: record for record in held if record is not None}
        alive = [record for record in alive if not same_entry(record, known.get(record.key))]
    vectors: dict[bytes, Vector | None] = {}
    for record in alive:
        before = known.get(record.key)
        if not is_users(record):
            vectors[record.key] = None
        elif before is not None and before.query == record.query:
            vectors[record.key] = before.vector
    missing = [record for record in alive if record.key not in vectors]
    made = await one.embedding.vectors([record.query for record in missing])
    vectors.update(zip([record.key for record in missing], made, strict=True))
    await one.target.write([*(record._replace(vector=vectors[record.key]) for record in alive), mark.record()])
    one.mark = mark
    one.embedding.pace.advance(sum(map(is_users, records)))


async def _follow(one: Migration) -> None:
    """Apply what the source has seen since the mark, until there is nothing new."""
    while (changes := await one.source.changes(one.mark.since, limit=min(BLOCK, one.page))) != []:
        if changes is None:  # deletions were forgotten: everything is compared
            one.mark = Mark(one.source_name, since=(await one.source.open(None, None)).seq, after=0)
            await _copy(one, compare=True)
            await _sweep(one)
            continue
        records = await one.source.read([change.id for change in changes if not change.deleted])
        found = [record for record in records if record is not None]
        staying = {record.key for record in found}
        # Before the mark moves on: if this is where it ends, it is done once more.
        await _remove(one.target, [change.key for change in changes if change.key not in staying])
        await _store(one, found, compare=True, mark=one.mark.seen(changes[-1].seq))


async def _remove(store: AsyncStore, keys: Sequence[bytes]) -> None:
    gone = [key for key in keys if key != MARK_KEY]
    if gone:
        await store.delete(Selection(refs=gone))


async def _sweep(one: Migration) -> None:
    """Remove from the target what the source no longer has."""

    async def gone(records: Sequence[Record]) -> None:
        held = await one.source.read([record.key for record in records])
        await _remove(one.target, [r.key for r, there in zip(records, held, strict=True) if there is None])

    await _each_page(one.target, gone)


async def _carry_usage(one: Migration) -> None:
    """Access times and counters as the source has them now. What was carried before is not counted twice."""

    async def carry(records: Sequence[Record]) -> None:
        held = await one.target.read([record.key for record in records])
        pairs = zip(records, held, strict=True)
        accessed = {
            there.id: record.accessed_at
            for record, there in pairs
            if there is not None and there.accessed_at != record.accessed_at
        }
        if accessed:
            await one.target.record(Usage(accessed, {}))

    await _each_page(one.source, carry)
    carried = {part.namespace: part.counters for part in await one.target.summary()}
    missing = {
        part.namespace: _difference(part.counters, carried.get(part.namespace, Counters()))
        for part in await one.source.summary()
    }
    missing = {namespace: counters for namespace, counters in missing.items() if counters != Counters()}
    if missing:
        await one.target.record(Usage({}, missing))


def _difference(total: Counters, part: Counters) -> Counters:
    return Counters(
        **{each.name: max(0, getattr(total, each.name) - getattr(part, each.name)) for each in fields(Counters)}
    )


async def _each_page(store: AsyncStore, work: Callable[[Sequence[Record]], Awaitable[None]]) -> None:
    after = 0
    while records := await store.scan(_ALL, after=after):
        await work(records)
        after = records[-1].id
