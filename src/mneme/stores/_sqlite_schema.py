"""What a mneme file looks like, as the steps that lead there. A released step is never changed: add one.

Wide rows (`entries`) and vectors lie apart, so that an exact read never touches a vector and an index loads without a
join. Everything a `Selection` asks about lies apart as well, in the narrow rows of `facts`: choosing what to evict and
writing access times never touch a wide row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from mneme.errors import CorruptCacheError, SchemaMigrationError

__all__ = ["APPLICATION_ID", "MIGRATIONS", "TABLES", "bring_up_to_date", "version_of"]

APPLICATION_ID = 0x6D6E656D
"""The letters "mnem", at offset 68 of the file."""

_VERSION_1 = (
    """CREATE TABLE meta (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        fingerprint TEXT,
        dim INTEGER,
        forgotten INTEGER NOT NULL DEFAULT 0
    )""",
    "INSERT INTO meta (id) VALUES (1)",
    """CREATE TABLE namespaces (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        hits_exact INTEGER NOT NULL DEFAULT 0,
        hits_semantic INTEGER NOT NULL DEFAULT 0,
        misses INTEGER NOT NULL DEFAULT 0,
        evictions INTEGER NOT NULL DEFAULT 0,
        expirations INTEGER NOT NULL DEFAULT 0,
        seconds_saved REAL NOT NULL DEFAULT 0
    )""",
    # Rows of `partitions` are never changed or removed, so what was read of them once is true for ever.
    """CREATE TABLE partitions (
        id INTEGER PRIMARY KEY,
        digest BLOB NOT NULL UNIQUE,
        namespace_id INTEGER NOT NULL REFERENCES namespaces (id),
        scope TEXT NOT NULL
    )""",
    # The id is the sequence number of the entry's first write. So ids are never reused without a table that counts
    # them, and only entries that were replaced (seq > id) need a place in an index by sequence number.
    """CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        seq INTEGER NOT NULL,
        key BLOB NOT NULL UNIQUE,
        partition_id INTEGER NOT NULL REFERENCES partitions (id),
        query TEXT NOT NULL,
        payload BLOB NOT NULL,
        codec TEXT NOT NULL,
        metadata TEXT NOT NULL,
        tags TEXT NOT NULL,
        expires_at REAL,
        compute_seconds REAL NOT NULL
    )""",
    "CREATE UNIQUE INDEX entries_replaced ON entries (seq) WHERE seq > id",
    """CREATE TABLE facts (
        id INTEGER PRIMARY KEY REFERENCES entries (id),
        namespace_id INTEGER NOT NULL,
        partition_id INTEGER NOT NULL,
        created_at REAL NOT NULL,
        accessed_at REAL NOT NULL,
        removable_at REAL,
        size INTEGER NOT NULL
    )""",
    # By namespace first: a quota is met without looking at other namespaces, and a global cap merges them.
    "CREATE INDEX facts_accessed ON facts (namespace_id, accessed_at)",
    "CREATE INDEX facts_removable ON facts (removable_at) WHERE removable_at IS NOT NULL",
    """CREATE TABLE vectors (
        id INTEGER PRIMARY KEY REFERENCES entries (id),
        partition_id INTEGER NOT NULL,
        vector BLOB NOT NULL
    )""",
    """CREATE TABLE tags (
        tag TEXT NOT NULL,
        entry_id INTEGER NOT NULL REFERENCES entries (id),
        PRIMARY KEY (tag, entry_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX tags_of_entry ON tags (entry_id)",
    # Those `HISTORY` sequence numbers old are dropped. The newest never is: with it would go the highest number used.
    """CREATE TABLE tombstones (
        seq INTEGER PRIMARY KEY,
        id INTEGER NOT NULL,
        key BLOB NOT NULL
    )""",
)

_VERSION_2 = ("ALTER TABLE meta ADD COLUMN mark TEXT",)

# Neither rewrites the table: rows from before read as the default.
_VERSION_3 = (
    "ALTER TABLE entries ADD COLUMN cost REAL NOT NULL DEFAULT 0",
    "ALTER TABLE namespaces ADD COLUMN cost_saved REAL NOT NULL DEFAULT 0",
)

# To which embedder the file is to change over, and how often it has: see `_sqlite_reembed`.
_VERSION_4 = (
    "ALTER TABLE meta ADD COLUMN generation INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE meta ADD COLUMN next_fingerprint TEXT",
    "ALTER TABLE meta ADD COLUMN next_dim INTEGER",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4)
"""The statements of each version, in order; a file's version is how many of them it has had."""

TABLES = frozenset({"meta", "namespaces", "partitions", "entries", "facts", "vectors", "tags", "tombstones"})
"""Every table of the newest version."""


def version_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def bring_up_to_date(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]]) -> int:
    """Run the migrations the file has not had, inside the transaction that the caller began; the version now.

    Raises:
        SchemaMigrationError: The file has had more migrations than there are.
        CorruptCacheError: A migration does not fit what the file holds.
    """
    found = version_of(connection)
    if found > len(migrations):
        raise SchemaMigrationError(
            f"the file has schema version {found}, and this mneme knows versions up to {len(migrations)}: "
            "upgrade mneme, or use another file"
        )
    if found == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise CorruptCacheError(
            "the file holds tables, but no schema version: it is no cache, or damaged; choose another file"
        )
    if found < len(migrations):
        for statements in migrations[found:]:
            for statement in statements:
                connection.execute(statement)
        # Both live in the file's header and take part in the transaction; PRAGMA takes no parameters.
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
    return len(migrations)
