"""Partitions by number and by digest, remembered so that reading an entry needs no join."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from mneme.errors import CorruptCacheError
from mneme.ports import Record
from mneme.stores import _sqlite_statements as sql
from mneme.stores._sqlite_rows import Place

__all__ = ["Places"]

_REMEMBERED = 65_536
"""A cache with a scope per user may have millions of partitions; so many are kept in memory, about 20 MB."""


class Places:
    """Rows of `partitions`, which are never changed or removed: whatever was committed once stays true.

    Thread safety: single operations on dictionaries, which are atomic. `numbers_for` belongs to the writer alone.
    """

    def __init__(self) -> None:
        self._by_id: dict[int, Place] = {}
        self._ids: dict[bytes, int] = {}

    def get(self, connection: sqlite3.Connection, partition_id: int) -> Place:
        """What is behind a number that a committed row holds."""
        place = self._by_id.get(partition_id)
        return place if place is not None else self._load(connection, partition_id)

    def known(self, digest: bytes) -> tuple[int, int] | None:
        """The number of a partition and of its namespace, if they are in memory."""
        number = self._ids.get(digest)
        place = None if number is None else self._by_id.get(number)
        return None if number is None or place is None else (number, place.namespace_id)

    def digests(self, connection: sqlite3.Connection, partition_ids: Iterable[int]) -> list[bytes]:
        """The digest of each, in order."""
        wanted = list(partition_ids)
        known = {number: self.get(connection, number).partition for number in set(wanted)}
        return [known[number] for number in wanted]

    def numbers_for(
        self, connection: sqlite3.Connection, records: Iterable[Record]
    ) -> tuple[dict[bytes, tuple[int, int]], dict[int, Place]]:
        """The number of each record's partition and of its namespace, adding rows for those that have none.

        Also returns the rows added or met, for `learn` once the transaction is committed: numbers that are rolled back
        are given to others.
        """
        numbers: dict[bytes, tuple[int, int]] = {}
        fresh: dict[int, Place] = {}
        for record in records:
            digest = record.partition
            if digest in numbers:
                continue
            known = self.known(digest)
            if known is None:
                number, place = self._find_or_add(connection, record)
                fresh[number] = place
                known = number, place.namespace_id
            numbers[digest] = known
        return numbers, fresh

    def learn(self, fresh: dict[int, Place]) -> None:
        if len(self._by_id) + len(fresh) > _REMEMBERED:
            self._by_id, self._ids = {}, {}
        self._by_id.update(fresh)
        self._ids.update((place.partition, number) for number, place in fresh.items())

    def _load(self, connection: sqlite3.Connection, partition_id: int) -> Place:
        row = connection.execute(sql.PARTITION, (partition_id,)).fetchone()
        if row is None:
            raise CorruptCacheError(f"the store is damaged: an entry names partition {partition_id}, which is missing")
        place = Place._make(row)
        self.learn({partition_id: place})
        return place

    @staticmethod
    def _find_or_add(connection: sqlite3.Connection, record: Record) -> tuple[int, Place]:
        row = connection.execute(sql.PARTITION_ID, (record.partition,)).fetchone()
        if row is None:
            connection.execute(sql.ADD_NAMESPACE, (record.namespace,))
            connection.execute(sql.ADD_PARTITION, (record.partition, record.namespace, record.scope))
            row = connection.execute(sql.PARTITION_ID, (record.partition,)).fetchone()
        return row[0], Place._make(connection.execute(sql.PARTITION, row).fetchone())
