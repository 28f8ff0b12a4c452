"""What a schema of mneme's looks like in Postgres, as the steps that lead there. A released step is never changed: add
one.

Three narrow concerns lie apart, as in the SQLite file: wide rows (`entries`), what choosing needs (`facts`), vectors.
An exact read touches no vector, and writing an access time makes a new version of a narrow row only. Nothing but mneme
writes here, and every writing transaction holds the one row of `meta`: foreign keys would check on every row what
`check` looks at on demand.
"""

from __future__ import annotations

from mneme.stores._postgres_functions import READ_KEY, READ_MANY, WRITE_ONE

__all__ = ["APPLICATION", "MIGRATIONS", "TABLES"]

APPLICATION = "mneme"
"""What `meta.application` says in a schema that is ours."""


_VERSION_1 = (
    # One row, which is updated by every write: with room on its page the old versions are tidied up in place.
    """CREATE TABLE {s}.meta (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        application text NOT NULL,
        version integer NOT NULL,
        seq bigint NOT NULL DEFAULT 0,
        forgotten bigint NOT NULL DEFAULT 0,
        fingerprint text,
        dim integer,
        mark text
    ) WITH (fillfactor = 10)""",
    "INSERT INTO {s}.meta (application, version) VALUES ('mneme', 0)",
    """CREATE TABLE {s}.namespaces (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text COLLATE "C" NOT NULL UNIQUE,
        hits_exact bigint NOT NULL DEFAULT 0,
        hits_semantic bigint NOT NULL DEFAULT 0,
        misses bigint NOT NULL DEFAULT 0,
        evictions bigint NOT NULL DEFAULT 0,
        expirations bigint NOT NULL DEFAULT 0,
        seconds_saved double precision NOT NULL DEFAULT 0
    )""",
    # Rows are never changed or removed. The name of the namespace is here as well: an exact read joins one table less.
    """CREATE TABLE {s}.partitions (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        digest bytea NOT NULL UNIQUE,
        namespace_id bigint NOT NULL,
        namespace text COLLATE "C" NOT NULL,
        scope text NOT NULL
    )""",
    # The id is the sequence number of the entry's first write, so ids are never reused.
    """CREATE TABLE {s}.entries (
        id bigint PRIMARY KEY,
        seq bigint NOT NULL,
        partition_id bigint NOT NULL,
        expires_at double precision,
        compute_seconds double precision NOT NULL,
        key bytea NOT NULL UNIQUE,
        query text NOT NULL,
        payload bytea NOT NULL,
        codec text NOT NULL,
        metadata text NOT NULL,
        tags text[] NOT NULL
    )""",
    # Of all entries, though where seq = id the key would do: the planner takes that for one row in two hundred, and
    # would read all of them for a page.
    "CREATE UNIQUE INDEX entries_seq ON {s}.entries (seq)",
    "CREATE INDEX entries_tags ON {s}.entries USING gin (tags) WHERE tags <> ARRAY[]::text[]",
    """CREATE TABLE {s}.facts (
        id bigint PRIMARY KEY,
        namespace_id bigint NOT NULL,
        partition_id bigint NOT NULL,
        created_at double precision NOT NULL,
        accessed_at double precision NOT NULL,
        removable_at double precision,
        size bigint NOT NULL
    )""",
    # By namespace first: a quota is met without looking at other namespaces, and a global cap merges them.
    "CREATE INDEX facts_accessed ON {s}.facts (namespace_id, accessed_at, id)",
    "CREATE INDEX facts_removable ON {s}.facts (removable_at) WHERE removable_at IS NOT NULL",
    """CREATE TABLE {s}.vectors (
        id bigint PRIMARY KEY,
        partition_id bigint NOT NULL,
        vector bytea NOT NULL
    )""",
    # Floats do not compress; trying to costs more than writing them.
    "ALTER TABLE {s}.vectors ALTER COLUMN vector SET STORAGE EXTERNAL",
    """CREATE TABLE {s}.tombstones (
        seq bigint PRIMARY KEY,
        id bigint NOT NULL,
        key bytea NOT NULL
    )""",
)

# A column with a constant default is added without touching the rows. Functions are made by the latest step alone, as
# they know every column; what `_postgres_search_schema` makes has a version of its own.
_VERSION_2 = (
    "ALTER TABLE {s}.entries ADD COLUMN cost double precision NOT NULL DEFAULT 0",
    "ALTER TABLE {s}.namespaces ADD COLUMN cost_saved double precision NOT NULL DEFAULT 0",
    "DROP FUNCTION IF EXISTS {s}.read_key, {s}.read_many, {s}.write_one",
    READ_KEY,
    READ_MANY,
    WRITE_ONE,
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_VERSION_1, _VERSION_2)
"""The statements of each version, in order, with `{s}` for the schema; `meta.version` is how many of them were run."""

TABLES = frozenset({"meta", "namespaces", "partitions", "entries", "facts", "vectors", "tombstones"})
"""Every table of the newest version."""
