"""Writing the whole of a store to an archive while others write to the store: the archive is one state of it.

The entries are read in order of id, and then, from `changes`, whatever happened to them meanwhile, until a round of
that finds every entry as the store had listed it: then all of it is the state at the last sequence number of the list.
What was read and is no part of that state is left out when the archive is written anew; only the keys of what changed
are held in memory. The roads not taken: to hold up whoever writes, which stops at the border of the process; a snapshot
of the database, which three of five stores do not have; an archive that is a log, which holds what was deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar

from mneme._engine import eras, maintain, usage
from mneme._engine.core import Core
from mneme._rules.archive import Header
from mneme._rules.arguments import check_callable, check_namespaces
from mneme._rules.reserved import NOTES, is_reserved, subject_of
from mneme._runtime.archive_files import Destination
from mneme._runtime.archive_write import ArchiveWriter, without
from mneme.errors import CheckpointError, EmbedderMismatchError
from mneme.ports import Counters, Record, Selection, StoreInfo
from mneme.types import Checkpoint

T = TypeVar("T")

Progress: TypeAlias = Callable[[int, int], object]
"""Called with how many entries are done, and how many there are about."""

_BATCH_BYTES = 8 * 2**20
_FIRST, _MOST = 100, 1000
_ROUNDS = 1000
"""How often what changed is read. A round leaves over only what was written while it took place."""
_STARTS = 5


async def dumps(
    core: Core, dest: Any, *, namespace: str | Collection[str] | None, progress: Progress | None
) -> Checkpoint:
    """Write the archive; raises `CheckpointError`, and then nothing is left behind."""
    await maintain.ready(core)
    namespaces = check_namespaces(namespace)
    check_callable(progress, "progress")
    destination = await core.runtime.offload(partial(Destination, dest))
    try:
        async with core.writer:
            await core.runtime.finish(usage.flush(core))
        return await _Dump(core, destination, namespaces, progress).run()
    finally:
        await core.runtime.offload(destination.close)


class _Dump:
    def __init__(
        self,
        core: Core,
        destination: Destination,
        namespaces: Collection[str] | None,
        progress: Progress | None,
    ) -> None:
        self.core = core
        self.destination = destination
        self.namespaces = None if namespaces is None else tuple(sorted(namespaces))
        self.progress = progress

    async def run(self) -> Checkpoint:
        for _ in range(_STARTS):
            era = await eras.settled(self.core)
            before = await self.core.store.open(None, None)
            try:
                found = await self._settled(before)
            except CheckpointError:
                if await self._has(before):
                    raise
                continue
            except EmbedderMismatchError:
                if self.core.era == era:
                    raise  # it is another process that has changed over
                continue
            # Else the vectors became another embedder's meanwhile, or it took so long that the store has forgotten
            # what was deleted.
            if found is not None and await self._has(before):
                return await self._finished(*found)
        raise _too_fast()

    async def _has(self, before: StoreInfo) -> bool:
        """Whether the store's vectors are still those of the same embedder."""
        now = await self.core.store.open(None, None)
        return (now.fingerprint, now.dim) == (before.fingerprint, before.dim)

    async def _settled(self, before: StoreInfo) -> tuple[ArchiveWriter, int] | None:
        """An archive that lacks its end, and of which change of the store it is the state."""
        header = Header(self.core.clock.now(), "mneme", before.fingerprint, before.dim, self.namespaces)
        writer = await self._new(header)
        counted = await self.core.store.summary()
        await self._scan(writer, sum(part.entries for part in counted if self._counts(part.namespace)))
        latest: dict[bytes, int | None] = {}
        settled = await self._follow(writer, before.seq, latest)
        if settled is None:
            return None
        return (await self._rewritten(writer, latest) if latest else writer), settled

    async def _finished(self, writer: ArchiveWriter, seq: int) -> Checkpoint:
        counters = {
            part.namespace: part.counters
            for part in await self.core.store.summary()
            if self._wanted(part.namespace) and part.counters != Counters()
        }
        await self._do(lambda: writer.end(counters, seq))
        await self._do(lambda: self.destination.accept(writer.file))
        found = {name: count for name, count in writer.namespaces.items() if self._counts(name)}
        return Checkpoint(sum(found.values()), tuple(sorted(found)), writer.bytes)

    def _wanted(self, namespace: str) -> bool:
        return self.namespaces is None or namespace in self.namespaces

    def _counts(self, namespace: str) -> bool:
        """Whether a user would say that its entries are in the archive: notes of the cache's own are there as well."""
        return self._wanted(namespace) and not is_reserved(namespace)

    async def _new(self, header: Header) -> ArchiveWriter:
        return await self._do(lambda: ArchiveWriter(self.destination.draft(), header))

    async def _do(self, work: Callable[[], T]) -> T:
        """Write, with the errors of the system as this library's."""

        def guarded() -> T:
            try:
                return work()
            except BrokenPipeError:  # whoever reads the stream has had enough, and that is no failure
                raise
            except OSError as error:
                raise self.destination.failed(error) from error

        return await self.core.runtime.offload(guarded)

    async def _scan(self, writer: ArchiveWriter, total: int) -> None:
        """Every entry, each as it is when its turn comes."""
        selections = [Selection()]
        if self.namespaces is not None:
            selections = [Selection(namespace=name) for name in (*self.namespaces, NOTES)]
        limit = _FIRST
        for selection in selections:
            after = 0
            while records := await self.core.store.scan(selection, after=after, limit=limit, vectors=True):
                after = records[-1].id
                records = [record for record in records if self._wanted(subject_of(record))]
                await self._do(partial(writer.put, records))
                if self.progress is not None:
                    self.progress(writer.entries, max(total, writer.entries))
                limit = _next_limit(limit, records)

    async def _follow(self, writer: ArchiveWriter, since: int, latest: dict[bytes, int | None]) -> int | None:
        """Add what changed after *since*; up to which sequence number the archive is the state of the store.

        *latest* says of every key that changed where its latest version lies in the archive.
        """
        store = self.core.store
        unsettled: set[int] = set()
        limit = _FIRST
        for _ in range(_ROUNDS):
            changes = await store.changes(since, limit=limit)
            if changes is None:
                return None
            alive = [change for change in changes if not change.deleted]
            found = dict(
                zip(
                    [change.id for change in alive],
                    await store.read([change.id for change in alive], vectors=True) if alive else [],
                    strict=True,
                )
            )
            added: list[Record] = []
            for change in changes:
                since = change.seq
                record = found.get(change.id)
                latest[change.key] = None
                if record is not None and self._wanted(subject_of(record)):
                    latest[change.key] = writer.entries + len(added)
                    added.append(record)
                # One that is another by now, or gone, comes again in a later round.
                if change.deleted or (record is not None and record.seq == change.seq):
                    unsettled.discard(change.id)
                else:
                    unsettled.add(change.id)
            await self._do(partial(writer.put, added))
            if len(changes) < limit and not unsettled:
                return since
            limit = _next_limit(limit, added)
        raise _too_fast()

    async def _rewritten(self, draft: ArchiveWriter, latest: dict[bytes, int | None]) -> ArchiveWriter:
        """The archive without what was overtaken."""
        writer = await self._new(draft.header)
        steps = without(draft.file, writer, latest)
        while (done := await self._do(lambda: next(steps, None))) is not None:
            if self.progress is not None:
                self.progress(done, max(done, draft.entries))
        return writer


def _too_fast() -> CheckpointError:
    return CheckpointError("the store changes so fast that it cannot be read in one piece; try again later")


def _next_limit(limit: int, records: Sequence[Record]) -> int:
    """How many records to ask for next, so that they take about as much memory as is proper."""
    size = sum(
        len(record.payload) + len(record.query) + (0 if record.vector is None else record.vector.nbytes) + 500
        for record in records
    )
    return limit if not records else max(1, min(_MOST, len(records) * _BATCH_BYTES // size))
