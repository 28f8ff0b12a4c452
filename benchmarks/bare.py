"""SQLite without a cache around it: the floors of everything that touches a file."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

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


def cache_rows(given: Iterable[Mapping[str, Any]], first_id: int) -> list[Rows]:
    """The rows that the cache writes for these items, made in the least work: key, bytes and the time."""
    now = time.time()
    made: list[Rows] = []
    for entry_id, item in enumerate(given, first_id):
        query, payload = item["query"], item["response"].encode()
        made.append(
            (
                (entry_id, entry_id, key_of(query), 1, query, payload),
                (entry_id, 1, 1, now, now, len(payload) + len(query)),
                (entry_id, 1, item["embedding"].tobytes()),
            )
        )
    return made


def plain_rows(given: Iterable[Mapping[str, Any]], first_id: int) -> list[Rows]:
    """The same for the plain tables; without embeddings for the first table alone."""
    now = time.time()
    made: list[Rows] = []
    for entry_id, item in enumerate(given, first_id):
        entry = (entry_id, key_of(item["query"]), item["query"], item["response"].encode(), now, now)
        vector = item.get("embedding")
        made.append((entry,) if vector is None else (entry, (entry_id, vector.tobytes())))
    return made


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
