"""Filling a store from an archive: nothing is written to a store that others can see before all of it was checked."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from mneme._engine.dump import Progress
from mneme._rules.archive import Header
from mneme._rules.archive_entries import Limits
from mneme._rules.reserved import subject_of
from mneme._runtime.archive_files import Source
from mneme._runtime.archive_read import ArchiveReader, Seen
from mneme._runtime.contract import Runtime
from mneme.errors import CheckpointError, EmbedderMismatchError
from mneme.ports import AsyncStore, Counters, Record, Selection, Usage

_AT_ONCE = 500
"""Entries written in one transaction, and removed in one."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Of an embedder."""

    fingerprint: str
    dim: int


class Load:
    """One archive on its way into a store."""

    def __init__(
        self,
        runtime: Runtime,
        source: Source,
        limits: Limits,
        *,
        embedder: Identity | None,
        namespaces: Collection[str] | None,
        progress: Progress | None,
    ) -> None:
        self._runtime = runtime
        self._source = source
        self._limits = limits
        self._embedder = embedder
        self._namespaces = namespaces
        self._progress = progress
        self._total = 0
        self._written = array("q")

    async def check(self) -> None:
        """Read all of it once, and raise `CheckpointError` if it cannot be loaded."""
        await self._runtime.offload(partial(self._source.make_rereadable, self._limits.total))
        reader, header = await self._begun()
        seen = Seen()
        items = reader.items(header)
        while (item := await self._next(items)) is not None:
            if isinstance(item, list):
                seen.add(item)
                self._total += len(item)
        self._check_unique(seen)
        await self._runtime.offload(self._source.rewind)

    async def into_new(self, store: AsyncStore) -> None:
        """Fill a store that nobody else knows of. What is wrong with the archive may be found when it is half full."""
        await self._fill(store, merge=False)

    async def into(self, store: AsyncStore, *, merge: bool) -> None:
        """Fill a store that others may see, after `check`.

        It must be empty, unless *merge*: then the later of two entries with the same key stays. If that fails, what
        was written to an empty store is removed again.
        """
        try:
            await self._fill(store, merge=merge)
        except BaseException:
            if not merge:
                await self._runtime.finish(self._remove(store))
            raise

    async def _begun(self) -> tuple[ArchiveReader, Header]:
        reader = ArchiveReader(self._source.file, self._source.name, self._limits)
        header = await self._runtime.offload(reader.header)
        own = self._embedder
        if own is not None and header.fingerprint is not None and own != Identity(header.fingerprint, header.dim or 0):
            raise EmbedderMismatchError(
                f"the checkpoint holds vectors of {header.fingerprint!r} (dim {header.dim}), which cannot be compared "
                f"with those of {own.fingerprint!r} (dim {own.dim}); load it with the embedder it was made with"
            )
        return reader, header

    async def _fill(self, store: AsyncStore, *, merge: bool) -> None:
        reader, header = await self._begun()
        bound = self._embedder
        if bound is None and header.fingerprint is not None:
            bound = Identity(header.fingerprint, header.dim or 0)
        await store.open(None if bound is None else bound.fingerprint, None if bound is None else bound.dim)
        if not merge and any(part.entries for part in await store.summary()):
            raise CheckpointError(
                "the store holds entries, or notes of a cache, already; load into an empty one, "
                "or pass merge=True to add to it"
            )
        seen = Seen()
        done = 0
        counters: dict[str, Counters] = {}
        items = reader.items(header)
        while (item := await self._next(items)) is not None:
            if isinstance(item, dict):
                counters.update({name: one for name, one in item.items() if self._wanted(name)})
                continue
            seen.add(item)
            done += len(item)
            wanted = [record for record in item if self._wanted(subject_of(record))]
            await self._write(store, wanted, merge=merge)
            if self._progress is not None:
                self._progress(done, max(done, self._total))
        self._check_unique(seen)
        if counters:
            await store.record(Usage({}, counters))

    async def _write(self, store: AsyncStore, records: Sequence[Record], *, merge: bool) -> None:
        for start in range(0, len(records), _AT_ONCE):
            part = records[start : start + _AT_ONCE]
            if merge:
                held = await store.read([record.key for record in part])
                part = [
                    record
                    for record, old in zip(part, held, strict=True)
                    if old is None or old.created_at < record.created_at
                ]
            if part:
                await self._runtime.finish(self._noted(store, part, merge=merge))

    async def _noted(self, store: AsyncStore, part: Sequence[Record], *, merge: bool) -> None:
        written = await store.write(part)
        if not merge:
            self._written.extend(one.id for one in written)

    async def _remove(self, store: AsyncStore) -> None:
        ids: Iterator[int] = iter(self._written)
        while some := list(islice(ids, _AT_ONCE)):
            await store.delete(Selection(refs=some))

    def _wanted(self, namespace: str) -> bool:
        return self._namespaces is None or namespace in self._namespaces

    async def _next(self, items: Iterator[Any]) -> list[Record] | dict[str, Counters] | None:
        item: list[Record] | dict[str, Counters] | None = await self._runtime.offload(lambda: next(items, None))
        return item

    def _check_unique(self, seen: Seen) -> None:
        if seen.twice():
            raise CheckpointError(f"the checkpoint {self._source.name} is refused: it holds two entries of one key")
