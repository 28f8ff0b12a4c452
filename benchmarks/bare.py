"""SQLite without a cache around it: the floors of everything that touches a file."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from workshop import answer

from mneme.ports import Matrix

CACHE_TABLES = (
    """INSERT INTO entries (id, seq, key, partition_id, query, payload, codec, metadata, tags, expires_at,
    compute_seconds) VALUES (?, ?, ?, ?, ?, ?, 'text', '', '', NULL, 0.0)""",
    """INSERT INTO facts (id, namespace_id, partition_id, created_at, accessed_at, removable_at, size)
    VALUES (?, ?, ?, ?, ?, NULL, ?)""",
    "INSERT INTO vectors (id, partition_id, vector) VALUES (?, ?, ?)",
)
"""Into the same tables, with the same indexes, as the cache has."""

PLAIN_TABLES = (
    "INSERT INTO plain VALUES (?, ?, 'default', ?, ?, 'text', '', '', ?, ?, NULL, 0.0)",
    "INSERT INTO plain_vectors VALUES (?, ?)",
)
"""Into what one would write down first: one table for entries and one for vectors, one index."""

PLAIN_SCHEMA = """
CREATE TABLE plain (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, namespace TEXT NOT NULL, query TEXT NOT NULL,
    payload BLOB NOT NULL, codec TEXT NOT NULL, metadata TEXT NOT NULL, tags TEXT NOT NULL, created_at REAL NOT NULL,
    accessed_at REAL NOT NULL, expires_at REAL, compute_seconds REAL NOT NULL
);
CREATE TABLE plain_vectors (id INTEGER PRIMARY KEY, vector BLOB NOT NULL);
"""

Rows = tuple[tuple[Any, ...], ...]
"""What one entry is in the tables: the parameters of each statement."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection with the settings that the cache uses."""
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=128)
    assert connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal"
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def cache_rows(queries: Sequence[str], vectors: Matrix, first_id: int) -> list[Rows]:
    """The rows that the cache would write for these entries, made beforehand: making them is part of a `put`."""
    now = time.time()
    made: list[Rows] = []
    for entry_id, (query, vector) in enumerate(zip(queries, vectors, strict=True), first_id):
        payload = answer(query).encode()
        size = len(payload) + len(query.encode())
        made.append(
            (
                (entry_id, entry_id, key_of(query), 1, query, payload),
                (entry_id, 1, 1, now, now, size),
                (entry_id, 1, vector.tobytes()),
            )
        )
    return made


def plain_rows(queries: Sequence[str], vectors: Matrix | None, first_id: int) -> list[Rows]:
    """The same for the plain tables; without vectors for the first table alone."""
    now = time.time()
    entries = [
        (entry_id, key_of(query), query, answer(query).encode(), now, now)
        for entry_id, query in enumerate(queries, first_id)
    ]
    if vectors is None:
        return [(entry,) for entry in entries]
    return [(entry, (entry[0], vector.tobytes())) for entry, vector in zip(entries, vectors, strict=True)]


def key_of(query: str) -> bytes:
    """32 bytes in no order, like the cache's."""
    return hashlib.sha256(query.encode()).digest()


def insert(connection: sqlite3.Connection, statements: Sequence[str], rows: Rows) -> None:
    """One entry in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    for statement, parameters in zip(statements, rows, strict=True):
        connection.execute(statement, parameters)
    connection.execute("COMMIT")


def insert_all(connection: sqlite3.Connection, statements: Sequence[str], rows: Iterable[Rows]) -> None:
    """Many entries in one transaction, one `executemany` for each table."""
    connection.execute("BEGIN IMMEDIATE")
    for statement, parameters in zip(statements, zip(*rows, strict=True), strict=True):
        connection.executemany(statement, parameters)
    connection.execute("COMMIT")


def delete(connection: sqlite3.Connection, tables: Sequence[str], ids: Sequence[int]) -> int:
    """One `DELETE` for each table, in one transaction; how many rows went from the first."""
    listed = json.dumps(ids)
    connection.execute("BEGIN IMMEDIATE")
    counts = [
        connection.execute(f"DELETE FROM {table} WHERE id IN (SELECT value FROM json_each(?))", (listed,)).rowcount  # noqa: S608 -- constants
        for table in tables
    ]
    connection.execute("COMMIT")
    return counts[0]


def count(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 -- a constant
