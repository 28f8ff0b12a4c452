"""Writing and deleting, inside a transaction that the caller began."""

from __future__ import annotations

import heapq
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Literal

from mneme.ports import HISTORY, Record, Ref, Removed, Selection, Usage, Written
from mneme.stores import _sqlite_statements as sql
from mneme.stores._sqlite_places import Places
from mneme.stores._sqlite_rows import Place, blob_of, entry_row, facts_row, size_of

__all__ = [
    "add_usage",
    "batches",
    "chosen_ids",
    "delete_selected",
    "split",
    "swap_records",
    "write_new",
    "write_records",
]

_LARGEST = 2**63 - 1
"""SQLite's largest integer: a larger one can name no entry."""
_MERGED = 64
"""Up to so many namespaces are merged by access time."""


def write_new(
    connection: sqlite3.Connection, places: Places, record: Record, generation: int
) -> Written | Literal[False] | None:
    """Store one record if its key is new and its partition known, or else do nothing; false in another *generation*.

    Most writes of one record are of this kind, and the general way would cost them half as much again.
    """
    numbers = places.known(record.partition)
    if numbers is None:
        return None
    partition_id = numbers[0]
    latest, found = connection.execute(sql.HIGH_WATER).fetchone()
    if found != generation:
        return False
    seq = latest + 1
    if connection.execute(sql.INSERT_NEW_ENTRY, entry_row(record, seq, partition_id)).rowcount != 1:
        return None
    connection.execute(sql.INSERT_FACTS, facts_row(record, seq, numbers))
    if record.vector is not None:
        connection.execute(sql.INSERT_VECTOR, (seq, partition_id, blob_of(record.vector)))
    if record.tags:
        connection.executemany(sql.INSERT_TAG, [(tag, seq) for tag in record.tags])
    return Written(seq, seq, replaced=False)


def write_records(
    connection: sqlite3.Connection, places: Places, records: Sequence[Record], generation: int
) -> tuple[list[Written], dict[int, Place]] | Literal[False]:
    """Store the records with their vectors; also what `Places.learn` should hear once this is committed.

    False, and nothing is done, if the file is in another *generation*.

    Each table is filled by one statement over all rows, which are made one at a time: a list of the bytes of all
    vectors would cost more than writing them. An upsert does not say which rows it replaced, so ids and sequence
    numbers are chosen here: a new entry's id is its sequence number, and a replaced one is found by being the other
    way.
    """
    base, found = connection.execute(sql.HIGH_WATER).fetchone()
    if found != generation:
        return False
    numbers, fresh = places.numbers_for(connection, records)
    connection.executemany(
        sql.UPSERT_ENTRY,
        (entry_row(record, seq, numbers[record.partition][0]) for seq, record in enumerate(records, base + 1)),
    )
    ids = dict(connection.execute(sql.MOVED, (base,)).fetchall())  # by sequence number, of replaced entries only
    if not ids:
        _write_beside(connection, records, range(base + 1, base + 1 + len(records)), numbers, sql.INSERT_FACTS)
        return [Written(seq, seq, False) for seq in range(base + 1, base + 1 + len(records))], fresh
    last = {record.key: seq for seq, record in enumerate(records, base + 1)}
    replaced = [seq for seq in last.values() if seq in ids]
    connection.executemany(sql.REMOVE_VECTOR, ((ids[seq],) for seq in replaced))
    connection.executemany(sql.REMOVE_TAGS, ((ids[seq],) for seq in replaced))
    for seqs, statement in (
        (replaced, sql.REPLACE_FACTS),
        # Half the time of an upsert, which looks into every index for what it would replace.
        ([seq for seq in last.values() if seq not in ids], sql.INSERT_FACTS),
    ):
        chosen = [records[seq - base - 1] for seq in seqs]
        _write_beside(connection, chosen, [ids.get(seq, seq) for seq in seqs], numbers, statement)
    written = []
    for seq, record in enumerate(records, base + 1):
        entry_id = ids.get(last[record.key], last[record.key])
        written.append(Written(entry_id, seq, replaced=entry_id != seq))
    return written, fresh


def _write_beside(
    connection: sqlite3.Connection,
    records: Sequence[Record],
    ids: Sequence[int],
    numbers: Mapping[bytes, tuple[int, int]],
    facts_statement: str,
) -> None:
    """Facts, vectors and tags of entries just written, of which none is there yet but facts that are replaced."""

    def pairs() -> Iterator[tuple[int, Record]]:
        return zip(ids, records, strict=True)

    connection.executemany(
        facts_statement,
        (facts_row(record, entry_id, numbers[record.partition]) for entry_id, record in pairs()),
    )
    connection.executemany(
        sql.INSERT_VECTOR,
        (
            (entry_id, numbers[record.partition][0], blob_of(record.vector))
            for entry_id, record in pairs()
            if record.vector is not None
        ),
    )
    connection.executemany(
        sql.INSERT_TAG, ((tag, entry_id) for entry_id, record in pairs() if record.tags for tag in record.tags)
    )


def delete_selected(connection: sqlite3.Connection, places: Places, selection: Selection) -> list[Removed]:
    ids = _selected(connection, selection)
    if not ids:
        return []
    listed = json.dumps(ids)
    seq = connection.execute(sql.HIGH_WATER).fetchone()[0]  # before the entry that has the highest number is gone
    rows = sorted(connection.execute(sql.DELETE_ENTRIES, (listed,)).fetchall())
    for statement in (sql.DELETE_FACTS, sql.DELETE_VECTORS, sql.DELETE_TAGS):
        connection.execute(statement, (listed,))
    connection.executemany(
        sql.INSERT_TOMBSTONE, [(number, entry_id, key) for number, (entry_id, key, _) in enumerate(rows, seq + 1)]
    )
    horizon = seq + len(rows) - HISTORY
    if horizon > 0 and connection.execute(sql.FORGET, (horizon,)).rowcount:
        connection.execute(sql.SET_FORGOTTEN, (horizon,))
    return [
        Removed(entry_id, key, places.get(connection, partition_id).namespace, number)
        for number, (entry_id, key, partition_id) in enumerate(rows, seq + 1)
    ]


def swap_records(connection: sqlite3.Connection, records: Sequence[Record]) -> list[bool]:
    """As `SwappingStore.swap`."""
    done = []
    for record in records:
        row = (record.query, record.payload, record.codec, record.metadata, record.id, record.seq)
        done.append(connection.execute(sql.SWAP_ENTRY, row).rowcount == 1)
        if done[-1]:
            connection.execute(sql.SET_SIZE, (size_of(record), record.id))
    return done


def add_usage(connection: sqlite3.Connection, usage: Usage) -> None:
    connection.executemany(
        sql.SET_ACCESSED,
        [(accessed_at, entry_id) for entry_id, accessed_at in usage.accessed.items() if 0 < entry_id <= _LARGEST],
    )
    connection.executemany(
        sql.ADD_COUNTERS,
        [
            (name, c.hits_exact, c.hits_semantic, c.misses, c.evictions, c.expirations, c.seconds_saved, c.cost_saved)
            for name, c in usage.counters.items()
        ],
    )


def _selected(connection: sqlite3.Connection, selection: Selection) -> list[int]:
    chosen = chosen_ids(connection, selection)
    if selection.least_recent is None or selection.namespace is not None:
        return [entry_id for _, entry_id in connection.execute(*sql.selected_ids(selection, chosen)).fetchall()]
    # The index by access time is per namespace. Merging what it gives reads few rows; with very many namespaces it is
    # cheaper to sort.
    names = connection.execute(sql.NAMESPACES, (_MERGED + 1,)).fetchall()
    if len(names) > _MERGED:
        return [entry_id for _, entry_id in connection.execute(*sql.selected_ids(selection, chosen)).fetchall()]
    parts = [connection.execute(*sql.selected_ids(replace(selection, namespace=name), chosen)) for (name,) in names]
    oldest = islice(heapq.merge(*parts), max(selection.least_recent, 0))
    ids = [entry_id for _, entry_id in oldest]
    for part in parts:
        part.close()
    return ids


def chosen_ids(connection: sqlite3.Connection, selection: Selection) -> str | None:
    """The ids that `refs` and `tags` come down to, as a JSON list; `None` if neither is set."""
    chosen: set[int] | None = None
    if selection.refs is not None:
        numbers, keys = split(selection.refs)
        chosen = {*numbers, *_first_column(connection, sql.IDS_OF_KEYS, keys)}
    if selection.tags is not None:
        tagged = set(_first_column(connection, sql.IDS_OF_TAGS, list(selection.tags)))
        chosen = tagged if chosen is None else chosen & tagged
    return None if chosen is None else json.dumps(sorted(chosen))


def split(refs: Iterable[Ref]) -> tuple[list[int], list[bytes]]:
    """The ids and the keys among *refs*, without ids that SQLite cannot hold."""
    numbers: list[int] = []
    keys: list[bytes] = []
    for ref in refs:
        if not isinstance(ref, int):
            keys.append(ref)
        elif 0 < ref <= _LARGEST:
            numbers.append(ref)
    return numbers, keys


def batches(values: Sequence[Any]) -> Iterator[list[Any]]:
    """Runs of exactly `BATCH` values, the last one filled up with `None`, which equals nothing in SQL."""
    for start in range(0, len(values), sql.BATCH):
        batch = list(values[start : start + sql.BATCH])
        yield batch + [None] * (sql.BATCH - len(batch))


def _first_column(connection: sqlite3.Connection, statement: str, values: Sequence[Any]) -> Iterator[int]:
    for batch in batches(values):
        yield from (row[0] for row in connection.execute(statement, batch).fetchall())
