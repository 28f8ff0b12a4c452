"""The verbs of both Postgres stores, written once. Each is one transaction, and in one round trip unless it says so.

Every writing transaction begins by changing or locking the one row of `meta`, and keeps it until it has committed. So
writers take turns, whichever process they are in, and sequence numbers become visible in their order: who sees one sees
everything below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mneme.ports import (
    HISTORY,
    Change,
    Counters,
    Matrix,
    NamespaceSummary,
    Record,
    Ref,
    Removed,
    Selection,
    StoreInfo,
    Usage,
    VectorBlock,
    Written,
)
from mneme.stores import _postgres_rows as rows, _postgres_statements as sql
from mneme.stores._postgres_check import inconsistencies
from mneme.stores._postgres_open import set_up
from mneme.stores._postgres_schema import MIGRATIONS
from mneme.stores._postgres_search import SearchOptions, prepare, question
from mneme.stores._sqlite_rows import matrix_of, wrong_shape

if TYPE_CHECKING:
    from mneme.stores._postgres_connection import Links
    from mneme.stores._postgres_drivers import Step

__all__ = ["PostgresVerbs"]

_LARGEST = 2**63 - 1
_MOST = 2**31  # records of a search: more than a table can hold of them
_KNOWN_PLACES = 10_000
"""So many partitions are remembered to exist."""


class PostgresVerbs:
    """An `AsyncStore` over connections that may suspend or not."""

    def __init__(self, schema: str, statements: sql.Statements, search: SearchOptions, links: Links) -> None:
        self._schema = schema
        self._sql = statements
        self._search = search
        self._links = links
        self._dim: int | None = None
        self._places: set[bytes] = set()  # partitions that are known to be in the database

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._links.where}>"

    @property
    def name(self) -> str:
        return "postgres"

    @property
    def schema(self) -> str:
        """The schema that everything lies in."""
        return self._schema

    async def open(self, fingerprint: str | None, dim: int | None) -> StoreInfo:
        if (fingerprint is None) != (dim is None):
            raise ValueError("fingerprint and dim belong together: pass both or None for both")
        made = await self._links.open()
        try:
            async with self._links.session(sql.BEGIN_WRITE) as run:
                info = await set_up(
                    run, self._sql, self._schema, migrations=MIGRATIONS, fingerprint=fingerprint, dim=dim
                )
        except BaseException:
            if made:
                await self._links.abandon()
            raise
        self._dim = info.dim
        return info

    async def exists(self) -> bool:
        """Whether there is a cache here, or anything else where one would be. Makes nothing, and need not be open.

        Raises:
            StoreBackendError: The server cannot be asked.
        """
        made = await self._links.open()
        try:
            ((_, relations, *_),) = await self._links.one(self._sql.inspect, (self._schema,))
        finally:
            if made:
                await self._links.abandon()
        return bool(relations)

    async def read(self, refs: Sequence[Ref], *, vectors: bool = False) -> list[Record | None]:
        if len(refs) == 1 and not vectors and not isinstance(refs[0], int):
            found = await self._links.one(self._sql.read_key, (refs[0],))
            return [rows.record_of(found[0]) if found else None]
        ids, keys = rows.split(refs)
        found = await self._links.one(self._sql.read_many, (ids, keys, vectors))
        records: dict[Ref, Record] = {}
        for row in found:
            record = rows.record_of(row)
            records[record.id] = records[record.key] = record
        return [records.get(ref) for ref in refs]

    async def write(self, records: Sequence[Record]) -> list[Written]:
        self._links.require()
        shape = (self._dim,)
        for record in records:
            if record.vector is not None and record.vector.shape != shape:
                raise wrong_shape(record.vector, self._dim)
        if not records:
            return []
        if len(records) == 1:
            (((entry_id, seq),),) = await self._links.transact(
                [(self._sql.write_one, rows.one_row(records[0]))], write=True
            )
            return [Written(entry_id, seq, replaced=entry_id != seq)]
        return await self._write_many(records)

    async def delete(self, selection: Selection) -> list[Removed]:
        steps: list[Step] = [
            (self._sql.lock, ()),
            self._sql.delete(selection),
            (self._sql.forget, {"history": HISTORY}),
        ]
        _, removed, _ = await self._links.transact(steps, write=True)
        return [Removed(entry_id, key, rows.told(namespace), seq) for entry_id, key, namespace, seq in removed]

    async def record(self, usage: Usage) -> None:
        self._links.require()
        steps: list[Step] = [(self._sql.lock, ())]  # two that write the same rows in different orders would deadlock
        accessed = [(number, float(at)) for number, at in usage.accessed.items() if 0 < number <= _LARGEST]
        if accessed:
            steps.append((self._sql.set_accessed, {"ids": [n for n, _ in accessed], "times": [t for _, t in accessed]}))
        if usage.counters:
            steps.append((self._sql.add_counters, rows.counters_of(usage)))
        if len(steps) > 1:
            await self._links.transact(steps, write=True)

    async def scan(
        self, selection: Selection, *, after: int = 0, limit: int = 1000, vectors: bool = False
    ) -> list[Record]:
        if selection.least_recent is not None:
            raise ValueError("least_recent is for delete: a scan goes by id")
        query = self._sql.scan(selection, after=_bigint(after), limit=_bigint(limit), vectors=vectors)
        (found,) = await self._links.transact([query], write=False)
        return [rows.record_of(row) for row in found]

    async def vectors(self, *, after: int = 0, limit: int = 4096) -> VectorBlock:
        page = {"after": _bigint(after), "limit": _bigint(limit)}
        (found,) = await self._links.transact([(self._sql.vectors, page)], write=False)
        if not found:
            return VectorBlock(np.empty(0, np.int64), [], np.empty((0, self._dim or 0), np.float32))
        ids, partitions, blobs = zip(*found, strict=True)
        return VectorBlock(np.array(ids, np.int64), partitions, matrix_of(blobs, self._dim or len(blobs[0]) // 4))

    async def changes(self, since: int, *, limit: int = 1000) -> list[Change] | None:
        window = {"since": _bigint(since), "limit": _bigint(limit)}
        (found,) = await self._links.transact([(self._sql.changes, window)], write=False)
        if found[0][0]:
            return None
        return [Change(*change) for _, *change in found if change[0] is not None]

    async def summary(self) -> list[NamespaceSummary]:
        (found,) = await self._links.transact([(self._sql.summary, ())], write=False)
        summaries = [
            NamespaceSummary(rows.told(name), entries, size, oldest, Counters(*counters))
            for name, entries, size, oldest, *counters in found
        ]
        return sorted(summaries, key=lambda summary: summary.namespace)

    async def check(self) -> list[str]:
        """As `Store.check`. As many round trips as there are things to look at, in one transaction without a limit."""
        async with self._links.session(sql.BEGIN_CHECK, bounded=False) as run:
            return await inconsistencies(run, self._sql, self._schema)

    async def compact(self) -> int:
        """As `Store.compact`. A plain VACUUM, which holds up nobody; see docs/postgres.md for what it gives back."""
        ((before,),) = await self._links.one(self._sql.table_sizes, (self._schema,))
        await self._links.one(self._sql.vacuum, bounded=False)
        ((searched,),) = await self._links.one(self._sql.search_exists, (self._schema,))
        if searched:
            await self._links.one(self._sql.vacuum_search, bounded=False)
        ((after,),) = await self._links.one(self._sql.table_sizes, (self._schema,))
        return max(int(before - after), 0)

    async def swap(self, records: Sequence[Record]) -> list[bool]:
        """As `SwappingStore.swap`."""
        self._links.require()
        if not records:
            return []
        steps: list[Step] = [(self._sql.lock, ()), (self._sql.swap, rows.swaps_of(records))]
        _, swapped = await self._links.transact(steps, write=True)
        ids = {entry_id for (entry_id,) in swapped}
        return [record.id in ids for record in records]

    async def marked(self) -> str | None:
        """As `MarkedStore.marked`."""
        ((text,),) = await self._links.one(self._sql.marked)
        return None if text is None else rows.told(text)

    async def mark(self, text: str) -> None:
        """As `MarkedStore.mark`."""
        await self._links.transact([(self._sql.mark, (rows.held(text),))], write=True)

    async def prepare_search(self, dim: int) -> None:
        """As `SearchingStore.prepare_search`. Many transactions, if there are entries to copy."""
        await prepare(self._links, self._sql, self._schema, self._search, dim)

    async def similar(self, partition: bytes, queries: Matrix, *, floor: float, k: int) -> list[list[Record]]:
        """As `SearchingStore.similar`."""
        steps: list[Step] = [
            question(self._sql, self._search, partition, query, floor=floor, k=min(max(k, 1), _MOST))
            for query in queries
        ]
        if len(steps) == 1:
            answers = [await self._links.one(*steps[0])]
        else:
            answers = await self._links.transact(steps, write=False) if steps else []
        return [[rows.record_of(row) for row in answer] for answer in answers]

    async def close(self) -> None:
        await self._links.close()

    async def _write_many(self, records: Sequence[Record]) -> list[Written]:
        total = len(records)
        steps: list[Step] = [(self._sql.advance, (total,))]
        places = {r.partition: (r.namespace, r.scope) for r in records if r.partition not in self._places}
        if places:
            steps.append((self._sql.add_places, rows.places_of(places)))
        before = len(steps)
        for start, chunk in rows.chunks(records):
            steps.append((self._sql.write, {**rows.columns_of(start, chunk), "total": total}))
        try:
            answers = await self._links.transact(steps, write=True)
        except BaseException:
            self._places = set()  # the schema may be another than the one they were seen in
            raise
        self._places = self._places | places.keys() if len(self._places) < _KNOWN_PLACES else set(places)
        first = answers[0][0][0] - total + 1
        ids = {key: entry_id for answer in answers[before:] for key, entry_id in answer}
        return [
            Written(ids[record.key], seq, replaced=ids[record.key] != seq) for seq, record in enumerate(records, first)
        ]


def _bigint(number: int) -> int:
    return min(max(number, 0), _LARGEST)
