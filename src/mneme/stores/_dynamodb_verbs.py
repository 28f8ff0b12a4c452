"""The verbs of the DynamoDB store, written once: over a blocking connection they never suspend."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TypeVar

import numpy as np

from mneme.errors import CacheClosedError, CorruptCacheError, StoreBackendError
from mneme.ports import (
    Change,
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
from mneme.stores import _dynamodb_plans as plans
from mneme.stores._dynamodb_check import collect_garbage, inconsistencies
from mneme.stores._dynamodb_connection import Connection, closed
from mneme.stores._dynamodb_contents import Contents, Where
from mneme.stores._dynamodb_directory import Directory
from mneme.stores._dynamodb_journal import Journal
from mneme.stores._dynamodb_log import Entry
from mneme.stores._dynamodb_requests import Requests, TableMissingError
from mneme.stores._dynamodb_rows import Content, items_of, record_of, staged, vector_of, wrong_shape
from mneme.stores._dynamodb_statements import VERSION, Item, Key, Layout, as_key
from mneme.stores._dynamodb_table import make_table

__all__ = ["DynamoDBVerbs"]

T = TypeVar("T")


class DynamoDBVerbs:
    """An `AsyncStore` over either connection."""

    def __init__(self, connection: Connection, layout: Layout, *, create_table: bool, retry_seconds: float) -> None:
        self._connection = connection
        self._layout = layout
        self._create_table = create_table
        self._requests = Requests(connection, layout, retry_seconds)
        self._journal = Journal(connection, self._requests, layout)
        self._contents = Contents(self._requests, self._journal, layout)
        self._pid = 0  # of the process that opened it
        self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._layout.prefix!r} in table {self._layout.table!r}>"

    @property
    def name(self) -> str:
        return "dynamodb"

    @property
    def table(self) -> str:
        """The name of the table."""
        return self._layout.table

    @property
    def prefix(self) -> str:
        """What the partition keys of this cache begin with."""
        return self._layout.prefix

    async def open(self, fingerprint: str | None, dim: int | None) -> StoreInfo:
        if (fingerprint is None) != (dim is None):
            raise ValueError("fingerprint and dim belong together: pass both or None for both")
        if self._closed:
            raise closed()
        await self._requests.start()
        if not self._pid and self._create_table:
            await make_table(self._requests, self._layout)
        await self._journal.open()
        if fingerprint is not None and dim is not None:
            where = f"the DynamoDB table {self.table!r} under {self.prefix!r}"
            await self._journal.commit(lambda directory, _: plans.binding(directory, fingerprint, dim, where))
        self._pid = self._pid or os.getpid()
        return self._journal.look(lambda d: StoreInfo(d.fingerprint, d.dim, schema_version=VERSION, seq=d.seq))

    async def exists(self) -> bool:
        """Whether there is a cache here, or anything else where one would be. Makes nothing, and need not be open.

        Raises:
            StoreBackendError: The server cannot be asked.
        """
        if self._closed:
            raise closed()
        await self._requests.start()
        try:
            return await self._requests.get(self._layout.head) is not None
        except TableMissingError:
            return False

    async def read(self, refs: Sequence[Ref], *, vectors: bool = False) -> list[Record | None]:
        self._require_open()
        if not refs:
            return []
        return await self._records(lambda directory: [directory.find(ref) for ref in refs], vectors=vectors)

    async def write(self, records: Sequence[Record]) -> list[Written]:
        self._require_open()
        dim = self._journal.look(lambda directory: directory.dim)
        for record in records:
            if record.vector is not None and record.vector.shape != (dim,):
                raise wrong_shape(record.vector, dim)
        if not records:
            return []
        latest = plans.latest_of(records)
        drafts: dict[int, Entry] = {}

        async def stage(name: str) -> list[Key]:
            items: list[Item] = []
            for position, record in latest.items():
                drafts[position], parts = staged(record, name, position)
                items += items_of(record, self._layout, drafts[position], parts)
            await self._requests.put_all(items)
            return [as_key(item) for item in items]

        done = await self._journal.commit(lambda directory, _: plans.writing(directory, records, drafts), stage)
        await self._tidy(done)
        return list(done.written)

    async def delete(self, selection: Selection) -> list[Removed]:
        self._require_open()
        await self._journal.sync()
        done = await self._journal.commit(lambda directory, _: plans.deletion(directory, selection))
        await self._tidy(done)
        return list(done.removed)

    async def record(self, usage: Usage) -> None:
        self._require_open()
        done = await self._journal.commit(lambda directory, _: plans.usage_step(directory, usage))
        await self._tidy(done)

    async def scan(
        self, selection: Selection, *, after: int = 0, limit: int = 1000, vectors: bool = False
    ) -> list[Record]:
        if selection.least_recent is not None:
            raise ValueError("least_recent is for delete: a scan goes by id")
        self._require_open()
        found = await self._records(
            lambda directory: list(islice(directory.select(selection, after), max(limit, 0))), vectors=vectors
        )
        return [record for record in found if record is not None]

    async def vectors(self, *, after: int = 0, limit: int = 4096) -> VectorBlock:
        self._require_open()

        def chosen(directory: Directory) -> list[Entry | None]:
            return list(islice((entry for entry in directory.after(after) if entry.vector), max(limit, 0)))

        entries, held = await self._contents.read(chosen, vectors=True, texts=False)
        dim = self._journal.look(lambda directory: directory.dim) or 0
        found = [(entry, held[entry.name, entry.number].vector or b"") for entry in entries if entry is not None]
        for entry, blob in found:
            if len(blob) != 4 * dim:
                raise CorruptCacheError(
                    f"the store is damaged: the vector of entry {entry.id} does not have dimension {dim}"
                )
        return VectorBlock(
            np.array([entry.id for entry, _ in found], np.int64),
            [entry.place.partition for entry, _ in found],
            vector_of(bytearray().join(blob for _, blob in found)).reshape(len(found), dim),
        )

    async def changes(self, since: int, *, limit: int = 1000) -> list[Change] | None:
        return await self._look(lambda directory: directory.changes(since, max(limit, 0)))

    async def summary(self) -> list[NamespaceSummary]:
        return await self._look(Directory.summary)

    async def check(self) -> list[str]:
        self._require_open()
        return await inconsistencies(self._journal, self._requests, self._layout)

    async def compact(self) -> int:
        self._require_open()
        return await collect_garbage(self._journal, self._requests, self._layout)

    async def marked(self) -> str | None:
        return await self._look(lambda directory: directory.mark)

    async def mark(self, text: str) -> None:
        self._require_open()
        await self._journal.commit(lambda *_: plans.Plan({"mark": text}))

    async def close(self) -> None:
        self._closed = True
        if self._pid in {0, os.getpid()}:  # after a fork the connections are the parent's
            await self._connection.close()

    async def _records(
        self, choose: Callable[[Directory], Sequence[Entry | None]], *, vectors: bool
    ) -> list[Record | None]:
        entries, held = await self._contents.read(choose, vectors=vectors)
        return [None if entry is None else _record(entry, held, vectors=vectors) for entry in entries]

    async def _look(self, work: Callable[[Directory], T]) -> T:
        self._require_open()
        await self._journal.sync()
        return self._journal.look(work)

    async def _tidy(self, done: plans.Plan) -> None:
        """Remove the data that *done* made superfluous. It is committed: what fails now is left to `compact`."""
        keys = [key for entry in done.outdated for key in self._keys_of(entry)]
        with contextlib.suppress(StoreBackendError, CacheClosedError):
            await self._requests.delete_all(keys)
            await self._journal.checkpoint_if_due()

    def _keys_of(self, entry: Entry) -> list[Key]:
        return [
            self._layout.data(entry.name, entry.number),
            *self._layout.parts(entry.name, entry.number, entry.parts),
        ]

    def _require_open(self) -> None:
        if self._closed:
            raise closed()
        if not self._pid:
            raise CacheClosedError("the store is not open; call open first")
        if self._pid != os.getpid():
            raise StoreBackendError("the store was opened in another process: open one of your own after the fork")


def _record(entry: Entry, held: dict[Where, Content], *, vectors: bool) -> Record:
    return record_of(entry, held[entry.name, entry.number], vectors=vectors)
