"""Every statement of the Postgres store, rendered once for one schema. Knows the tables, and nothing of connections.

Placeholders are psycopg's: `%b` sends a value in binary form, which for an array of `bytea` is half the size.
"""

from __future__ import annotations

from typing import Any

from mneme.ports import Selection
from mneme.stores._postgres_rows import held, split

__all__ = [
    "BEGIN_CHECK",
    "BEGIN_READ",
    "BEGIN_WRITE",
    "COMMIT",
    "EXTENSION",
    "EXTENSION_SCHEMA",
    "ROLLBACK",
    "SETUP",
    "Statements",
]

# The isolation level is said each time: a server, a role or a caller's pool may have another default, under which
# waiting for the row of `meta` would end in a serialisation failure.
BEGIN_WRITE = b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
BEGIN_READ = b"BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
BEGIN_CHECK = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
COMMIT = b"COMMIT"
ROLLBACK = b"ROLLBACK"

# For the transaction only: a connection pooler may give the session to somebody else after it. Commits wait for the
# disk whatever the role's default: after a crash of the server a number that somebody has seen must not come again.
SETUP = b"""
SELECT set_config('statement_timeout', %(ms)s, true), set_config('idle_in_transaction_session_timeout', %(ms)s, true),
    set_config('search_path', 'pg_catalog', true),
    set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
        ELSE current_setting('synchronous_commit') END, true)"""

_COLUMNS = """e.key, p.digest, p.namespace, p.scope, e.query, e.payload, e.codec, e.metadata, e.tags, f.created_at,
    f.accessed_at, e.expires_at, f.removable_at, e.compute_seconds, e.cost, e.id, e.seq"""
_TABLES = "{s}.entries e JOIN {s}.facts f ON f.id = e.id JOIN {s}.partitions p ON p.id = e.partition_id"
_RECORDS = (  # without vectors, and with
    f"SELECT {_COLUMNS}, NULL::bytea FROM {_TABLES}",  # noqa: S608 - constants
    f"SELECT {_COLUMNS}, v.vector FROM {_TABLES} LEFT JOIN {{s}}.vectors v ON v.id = e.id",  # noqa: S608 - constants
)

_ADD_PLACES = """
WITH given AS (
    SELECT g.* FROM unnest(%(digests)b::bytea[], %(names)b::text[], %(scopes)b::text[]) AS g (digest, name, scope)
    WHERE NOT EXISTS (SELECT FROM {s}.partitions p WHERE p.digest = g.digest)
), named AS (
    INSERT INTO {s}.namespaces (name) SELECT DISTINCT name FROM given
    ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id, name
)
INSERT INTO {s}.partitions (digest, namespace_id, namespace, scope)
SELECT g.digest, n.id, g.name, g.scope FROM given g JOIN named n ON n.name = g.name"""

_SWAP = """
WITH swapped AS (
    UPDATE {s}.entries e SET query = g.query, payload = g.payload, codec = g.codec, metadata = g.metadata
    FROM unnest(
        %(ids)b::int8[], %(seqs)b::int8[], %(queries)b::text[], %(payloads)b::bytea[], %(codecs)b::text[],
        %(metadatas)b::text[], %(sizes)b::int8[]
    ) AS g (id, seq, query, payload, codec, metadata, size)
    WHERE e.id = g.id AND e.seq = g.seq
    RETURNING e.id, g.size
), sized AS (
    UPDATE {s}.facts f SET size = s.size FROM swapped s WHERE f.id = s.id
)
SELECT id FROM swapped"""

# `first` is where in the whole call a key occurs first, and `last` where it occurs last: a new entry has the number of
# the one as its id, and of the other as its sequence number. A partition that is not there makes a NULL, which fails.
_WRITE = """
WITH given AS (
    SELECT g.*, m.seq - %(total)s AS base, p.id AS partition_id, p.namespace_id
    FROM {s}.meta m CROSS JOIN unnest(
        %(keys)b::bytea[], %(firsts)b::int8[], %(lasts)b::int8[], %(digests)b::bytea[], %(queries)b::text[],
        %(payloads)b::bytea[], %(codecs)b::text[], %(metadatas)b::text[], %(tags)b::text[], %(created)b::float8[],
        %(accessed)b::float8[], %(expires)b::float8[], %(removable)b::float8[], %(compute)b::float8[],
        %(costs)b::float8[], %(sizes)b::int8[], %(vectors)b::bytea[]
    ) AS g (key, first, last, digest, query, payload, codec, metadata, tags, created_at, accessed_at, expires_at,
        removable_at, compute_seconds, cost, size, vector)
    LEFT JOIN {s}.partitions p ON p.digest = g.digest
), put AS (
    INSERT INTO {s}.entries AS e
        (id, seq, key, partition_id, query, payload, codec, metadata, tags, expires_at, compute_seconds, cost)
    SELECT base + first, base + last, key, partition_id, query, payload, codec, metadata, tags::text[], expires_at,
        compute_seconds, cost
    FROM given
    ON CONFLICT (key) DO UPDATE SET
        seq = excluded.seq, partition_id = excluded.partition_id, query = excluded.query, payload = excluded.payload,
        codec = excluded.codec, metadata = excluded.metadata, tags = excluded.tags, expires_at = excluded.expires_at,
        compute_seconds = excluded.compute_seconds, cost = excluded.cost
    RETURNING e.id, e.key
), beside AS (
    SELECT put.id, g.namespace_id, g.partition_id, g.created_at, g.accessed_at, g.removable_at, g.size, g.vector
    FROM put JOIN given g ON g.key = put.key
), facts AS (
    INSERT INTO {s}.facts (id, namespace_id, partition_id, created_at, accessed_at, removable_at, size)
    SELECT id, namespace_id, partition_id, created_at, accessed_at, removable_at, size FROM beside
    ON CONFLICT (id) DO UPDATE SET
        namespace_id = excluded.namespace_id, partition_id = excluded.partition_id, created_at = excluded.created_at,
        accessed_at = excluded.accessed_at, removable_at = excluded.removable_at, size = excluded.size
), dropped AS (
    DELETE FROM {s}.vectors v USING beside b WHERE v.id = b.id AND b.vector IS NULL
), vectors AS (
    INSERT INTO {s}.vectors (id, partition_id, vector)
    SELECT id, partition_id, vector FROM beside WHERE vector IS NOT NULL
    ON CONFLICT (id) DO UPDATE SET partition_id = excluded.partition_id, vector = excluded.vector
)
SELECT key, id FROM put"""

_DELETE = """
WITH chosen AS MATERIALIZED (
    {chosen}
), gone AS (
    DELETE FROM {s}.entries e USING chosen c WHERE e.id = c.id RETURNING e.id, e.key, e.partition_id
), facts AS (
    DELETE FROM {s}.facts f USING chosen c WHERE f.id = c.id
), vectors AS (
    DELETE FROM {s}.vectors v USING chosen c WHERE v.id = c.id
), numbered AS (
    SELECT g.id, g.key, g.partition_id, m.seq + row_number() OVER (ORDER BY g.id) AS seq FROM gone g, {s}.meta m
), traces AS (
    INSERT INTO {s}.tombstones (seq, id, key) SELECT seq, id, key FROM numbered
), counted AS (
    UPDATE {s}.meta SET seq = seq + (SELECT count(*) FROM numbered) WHERE EXISTS (SELECT FROM numbered)
)
SELECT n.id, n.key, p.namespace, n.seq FROM numbered n JOIN {s}.partitions p ON p.id = n.partition_id ORDER BY n.seq"""

_FORGET = """
WITH horizon AS (
    SELECT seq - %(history)s AS seq FROM {s}.meta
), gone AS (
    DELETE FROM {s}.tombstones t USING horizon h WHERE t.seq <= h.seq RETURNING t.seq
)
UPDATE {s}.meta SET forgotten = (SELECT max(seq) FROM gone) WHERE EXISTS (SELECT FROM gone)"""

# Each part comes in order of seq by itself, and none is read further than the limit.
_CHANGES = """
SELECT m.forgotten > %(since)s::int8, c.seq, c.id, c.key, c.deleted FROM {s}.meta m LEFT JOIN (
    SELECT * FROM (
        (SELECT seq, id, key, false AS deleted FROM {s}.entries
            WHERE seq > %(since)s::int8 ORDER BY seq LIMIT %(limit)s)
        UNION ALL
        (SELECT seq, id, key, true FROM {s}.tombstones WHERE seq > %(since)s::int8 ORDER BY seq LIMIT %(limit)s)
    ) parts ORDER BY seq LIMIT %(limit)s
) c ON true ORDER BY c.seq"""

_ADD_COUNTERS = """
INSERT INTO {s}.namespaces AS n
    (name, hits_exact, hits_semantic, misses, evictions, expirations, seconds_saved, cost_saved)
SELECT * FROM unnest(%(names)b::text[], %(exact)b::int8[], %(semantic)b::int8[], %(misses)b::int8[],
    %(evictions)b::int8[], %(expirations)b::int8[], %(seconds)b::float8[], %(costs)b::float8[])
ON CONFLICT (name) DO UPDATE SET hits_exact = n.hits_exact + excluded.hits_exact,
    hits_semantic = n.hits_semantic + excluded.hits_semantic, misses = n.misses + excluded.misses,
    evictions = n.evictions + excluded.evictions, expirations = n.expirations + excluded.expirations,
    seconds_saved = n.seconds_saved + excluded.seconds_saved, cost_saved = n.cost_saved + excluded.cost_saved"""

_SUMMARY = """
SELECT n.name, coalesce(f.entries, 0), coalesce(f.size, 0)::int8, f.oldest,
    n.hits_exact, n.hits_semantic, n.misses, n.evictions, n.expirations, n.seconds_saved, n.cost_saved
FROM {s}.namespaces n LEFT JOIN (
    SELECT namespace_id, count(*) AS entries, sum(size) AS size, min(created_at) AS oldest FROM {s}.facts GROUP BY 1
) f ON f.namespace_id = n.id
WHERE f.entries > 0 OR n.hits_exact <> 0 OR n.hits_semantic <> 0 OR n.misses <> 0 OR n.evictions <> 0
    OR n.expirations <> 0 OR n.seconds_saved <> 0 OR n.cost_saved <> 0"""

# The page first, so that no plan sorts or joins more than a page.
_VECTORS = """
SELECT v.id, p.digest, v.vector
FROM (SELECT * FROM {s}.vectors WHERE id > %(after)s::int8 ORDER BY id LIMIT %(limit)s) v
JOIN {s}.partitions p ON p.id = v.partition_id ORDER BY v.id"""

_TABLE_SIZES = """
SELECT coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::int8
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind = 'r'"""

_INSPECT = """
SELECT n.oid IS NOT NULL,
    ARRAY(SELECT c.relname::text FROM pg_catalog.pg_class c
        WHERE c.relnamespace = n.oid AND c.relkind NOT IN ('i', 'I', 't', 'S', 'c')),
    ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = n.oid AND c.relname = 'meta' AND a.attnum > 0 AND NOT a.attisdropped),
    current_setting('server_encoding'), current_setting('server_version_num')::int
FROM (SELECT) one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = %s"""


_EXISTS = """
SELECT count(*) > 0 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = 'search'"""

# Of the index: whether it can be used, or `NULL` where there is none; whether somebody is making it, or tidying up,
# which takes the same lock; the type it is to be of, and the quoted name of the schema that pgvector is in.
_SEARCH_INDEX = """
SELECT (SELECT i.indisvalid FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid = t.oid AND c.relname = 'search_hnsw'),
    EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.relation = t.oid AND l.mode = 'ShareUpdateExclusiveLock'
        AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())),
    (SELECT type FROM {s}.search), pg_catalog.quote_ident(v.nspname)
FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
CROSS JOIN pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace v ON v.oid = e.extnamespace
WHERE n.nspname = %s AND t.relname = 'search_vectors' AND e.extname = 'vector'"""

# The version of an extension that is installed in the database, and of the one that could be.
EXTENSION = b"""
SELECT (SELECT extversion FROM pg_catalog.pg_extension WHERE extname = %s),
    (SELECT default_version FROM pg_catalog.pg_available_extensions WHERE name = %s)"""
EXTENSION_SCHEMA = b"""
SELECT pg_catalog.quote_ident(n.nspname)
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'"""


class Statements:
    """The statements for one schema, whose name comes quoted as an identifier."""

    def __init__(self, quoted_schema: str) -> None:
        self._schema = quoted_schema.replace("%", "%%")
        self.read_key: bytes = self.render("SELECT * FROM {s}.read_key(%s)")
        self.read_many: bytes = self.render("SELECT * FROM {s}.read_many(%b::int8[], %b::bytea[], %s)")
        placeholders = ", ".join(["%s"] * 8 + ["%s::text[]"] + ["%s::float8"] * 6 + ["%s::int8", "%s"])
        self.write_one: bytes = self.render(f"SELECT * FROM {{s}}.write_one({placeholders})")  # noqa: S608 - constants
        self.lock: bytes = self.render("SELECT seq FROM {s}.meta FOR NO KEY UPDATE")
        self.advance: bytes = self.render("UPDATE {s}.meta SET seq = seq + %s RETURNING seq")
        self.add_places: bytes = self.render(_ADD_PLACES)
        self.write: bytes = self.render(_WRITE)
        self.forget: bytes = self.render(_FORGET)
        self.changes: bytes = self.render(_CHANGES)
        self.set_accessed: bytes = self.render(
            "UPDATE {s}.facts f SET accessed_at = g.accessed_at "
            "FROM unnest(%(ids)b::int8[], %(times)b::float8[]) AS g (id, accessed_at) WHERE f.id = g.id"
        )
        self.swap: bytes = self.render(_SWAP)
        self.add_counters: bytes = self.render(_ADD_COUNTERS)
        self.summary: bytes = self.render(_SUMMARY)
        self.vectors: bytes = self.render(_VECTORS)
        self.marked: bytes = self.render("SELECT mark FROM {s}.meta")
        self.mark: bytes = self.render("UPDATE {s}.meta SET mark = %s")
        self.vacuum: bytes = self.render(
            "VACUUM (ANALYZE) {s}.entries, {s}.facts, {s}.vectors, {s}.tombstones, {s}.partitions, {s}.namespaces"
        )
        self.vacuum_search: bytes = self.render("VACUUM (ANALYZE) {s}.search_vectors, {s}.search_counts")
        self.search_exists: bytes = self.render(_EXISTS)
        self.search_state: bytes = self.render(
            "SELECT version, type, dim, filled = 9223372036854775807 FROM {s}.search"
        )
        self.no_vectors: bytes = self.render("SELECT NOT EXISTS (SELECT FROM {s}.vectors)")
        self.search_index: bytes = self.render(_SEARCH_INDEX)
        self.drop_search_index: bytes = self.render("DROP INDEX CONCURRENTLY IF EXISTS {s}.search_hnsw")
        self.search_fill: bytes = self.render("SELECT {s}.search_fill(%s)")
        self.search_similar: bytes = self.render(
            "SELECT * FROM {s}.search_similar(%s, %b::float8[], %s::float8, %s::int8, %s::int4)"
        )
        self.table_sizes: bytes = self.render(_TABLE_SIZES)
        self.inspect: bytes = self.render(_INSPECT)
        self.create_schema: bytes = self.render("CREATE SCHEMA {s}")
        self.version: bytes = self.render("SELECT application, version FROM {s}.meta")
        self.set_version: bytes = self.render("UPDATE {s}.meta SET version = %s")
        self.state: bytes = self.render("SELECT fingerprint, dim, seq FROM {s}.meta")
        self.bound: bytes = self.state + b" FOR NO KEY UPDATE"
        self.bind: bytes = self.render("UPDATE {s}.meta SET fingerprint = %s, dim = %s")

    def render(self, text: str) -> bytes:
        """*text* with the schema for `{s}`, in the form that psycopg sends without looking at it again."""
        return text.replace("{s}", self._schema).encode()

    def scan(self, selection: Selection, *, after: int, limit: int, vectors: bool) -> tuple[bytes, dict[str, Any]]:
        """The query for a page of the records that *selection* means, and its parameters."""
        conditions, parameters = _conditions(selection)
        text = f"{_RECORDS[vectors]} WHERE {conditions} AND f.id > %(after)s::int8 ORDER BY f.id LIMIT %(limit)s"
        return self.render(text), {**parameters, "after": after, "limit": limit}

    def delete(self, selection: Selection) -> tuple[bytes, dict[str, Any]]:
        """The statement that removes what *selection* means and says what it was, and its parameters."""
        conditions, parameters = _conditions(selection)
        chosen = f"SELECT f.id FROM {{s}}.facts f WHERE {conditions}"  # noqa: S608 - constants
        if selection.least_recent is not None:
            parameters["least"] = min(max(selection.least_recent, 0), _LARGEST)
            order = "ORDER BY f.accessed_at, f.id LIMIT %(least)s::int8"
            if selection.namespace is None:
                # The index by access time is per namespace: the first of each, merged, are the first of all.
                chosen = f"""SELECT f.id FROM {{s}}.namespaces n CROSS JOIN LATERAL (
        SELECT f.id, f.accessed_at FROM {{s}}.facts f WHERE f.namespace_id = n.id AND {conditions} {order}
    ) f"""  # noqa: S608 - constants
            chosen = f"{chosen} {order}"
        return self.render(_DELETE.replace("{chosen}", chosen)), parameters


_LARGEST = 2**63 - 1


def _conditions(selection: Selection) -> tuple[str, dict[str, Any]]:
    """Only which criteria are set decides the text: a few dozen texts in all, not one per value."""
    parameters: dict[str, Any] = {}
    used = ["true"]

    def add(text: str, **values: Any) -> None:
        used.append(text)
        parameters.update(values)

    if selection.refs is not None:
        ids, keys = split(selection.refs)
        add(
            "f.id IN (SELECT unnest(%(ids)b::int8[]) "
            "UNION SELECT id FROM {s}.entries WHERE key = ANY(%(keys)b::bytea[]))",
            ids=ids,
            keys=keys,
        )
    if selection.tags is not None:
        # The second half says nothing new, and lets the planner use an index that holds tagged entries only.
        add(
            "f.id IN (SELECT id FROM {s}.entries WHERE tags && %(tags)b::text[] AND tags <> ARRAY[]::text[])",
            tags=[held(tag) for tag in selection.tags],
        )
    if selection.namespace is not None:
        add(
            "f.namespace_id = (SELECT id FROM {s}.namespaces WHERE name = %(namespace)s)",
            namespace=held(selection.namespace),
        )
    if selection.partition is not None:
        add(
            "f.partition_id = (SELECT id FROM {s}.partitions WHERE digest = %(partition)s)",
            partition=selection.partition,
        )
    if selection.created_before is not None:
        add("f.created_at < %(created_before)s::float8", created_before=selection.created_before)
    if selection.removable_by is not None:
        add("f.removable_at <= %(removable_by)s::float8", removable_by=selection.removable_by)
    return " AND ".join(used), parameters
