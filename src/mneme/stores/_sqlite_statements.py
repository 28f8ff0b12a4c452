"""Every SQL statement of the SQLite store, constant, so that each is prepared once per connection."""

from __future__ import annotations

from typing import Any

from mneme.ports import Selection

__all__ = [
    "ADD_COUNTERS",
    "ADD_NAMESPACE",
    "ADD_PARTITION",
    "BATCH",
    "BIND",
    "CHANGES",
    "DELETE_ENTRIES",
    "DELETE_FACTS",
    "DELETE_TAGS",
    "DELETE_VECTORS",
    "FORGET",
    "FORGET_ALL",
    "FORGOTTEN",
    "HIGH_WATER",
    "IDS_OF_KEYS",
    "IDS_OF_TAGS",
    "INSERT_FACTS",
    "INSERT_NEW_ENTRY",
    "INSERT_TAG",
    "INSERT_TOMBSTONE",
    "INSERT_VECTOR",
    "MARK",
    "MARKED",
    "META",
    "MOVED",
    "NAMESPACES",
    "PARTITION",
    "PARTITION_ID",
    "READ_ID",
    "READ_IDS",
    "READ_KEY",
    "READ_KEYS",
    "REMOVE_TAGS",
    "REMOVE_VECTOR",
    "REPLACE_FACTS",
    "SCRAMBLE_TOMBSTONES",
    "SET_ACCESSED",
    "SET_FORGOTTEN",
    "SET_SIZE",
    "SUMMARY",
    "SWAP_ENTRY",
    "UPSERT_ENTRY",
    "VECTORS",
    "scan_of",
    "selected_ids",
]

BATCH = 64
"""How many keys or ids one statement takes; missing ones are NULL. Larger batches were measured to gain nothing."""

_MARKS = ", ".join("?" * BATCH)

# In the order of `Record`, but for the partition, which stands for namespace and scope as well.
_COLUMNS = (
    "e.key, e.partition_id, e.query, e.payload, e.codec, e.metadata, e.tags, f.created_at, f.accessed_at, "
    "e.expires_at, f.removable_at, e.compute_seconds, e.cost, e.id, e.seq"
)
# CROSS JOIN is SQLite's way to say in which order the tables are visited.
_BY_ENTRY = "FROM entries e CROSS JOIN facts f ON f.id = e.id"
_BY_FACTS = "FROM facts f CROSS JOIN entries e ON e.id = f.id"
_VECTOR = "LEFT JOIN vectors v ON v.id = e.id"


def _both(tail: str, start: str = _BY_ENTRY) -> tuple[str, str]:
    """The same query without and with the vector, to be picked by a boolean."""
    return f"SELECT {_COLUMNS}, NULL {start} {tail}", f"SELECT {_COLUMNS}, v.vector {start} {_VECTOR} {tail}"


READ_KEY = _both("WHERE e.key = ?")
READ_ID = _both("WHERE e.id = ?")
READ_KEYS = _both(f"WHERE e.key IN ({_MARKS})")
READ_IDS = _both(f"WHERE e.id IN ({_MARKS})")

IDS_OF_KEYS = f"SELECT id FROM entries WHERE key IN ({_MARKS})"  # noqa: S608 - constants
IDS_OF_TAGS = f"SELECT entry_id FROM tags WHERE tag IN ({_MARKS})"  # noqa: S608 - constants

META = "SELECT fingerprint, dim FROM meta"
MARKED = "SELECT mark FROM meta"
MARK = "UPDATE meta SET mark = ?"
BIND = "UPDATE meta SET fingerprint = ?, dim = ? WHERE fingerprint IS NULL"

# Every number ever used is the id of an entry, the seq of a replaced one, or the seq of a tombstone.
HIGH_WATER = """
SELECT max(
    ifnull((SELECT max(id) FROM entries), 0),
    ifnull((SELECT max(seq) FROM entries WHERE seq > id), 0),
    ifnull((SELECT max(seq) FROM tombstones), 0)
), (SELECT generation FROM meta)"""
"""And the generation, which every write has to look at."""

NAMESPACES = "SELECT name FROM namespaces LIMIT ?"
PARTITION = """
SELECT p.digest, n.name, p.scope, n.id FROM partitions p JOIN namespaces n ON n.id = p.namespace_id WHERE p.id = ?"""
PARTITION_ID = "SELECT id FROM partitions WHERE digest = ?"
ADD_NAMESPACE = "INSERT INTO namespaces (name) VALUES (?) ON CONFLICT (name) DO NOTHING"
ADD_PARTITION = """
INSERT INTO partitions (digest, namespace_id, scope) VALUES (?, (SELECT id FROM namespaces WHERE name = ?), ?)"""

_INSERT_ENTRY = """
INSERT INTO entries
    (id, seq, key, partition_id, query, payload, codec, metadata, tags, expires_at, compute_seconds, cost)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO"""
INSERT_NEW_ENTRY = f"{_INSERT_ENTRY} NOTHING"
UPSERT_ENTRY = f"""{_INSERT_ENTRY} UPDATE SET
    seq = excluded.seq, partition_id = excluded.partition_id, query = excluded.query,
    payload = excluded.payload, codec = excluded.codec, metadata = excluded.metadata, tags = excluded.tags,
    expires_at = excluded.expires_at, compute_seconds = excluded.compute_seconds, cost = excluded.cost"""
MOVED = "SELECT seq, id FROM entries WHERE seq > id AND seq > ?"
SWAP_ENTRY = "UPDATE entries SET query = ?, payload = ?, codec = ?, metadata = ? WHERE id = ? AND seq = ?"
SET_SIZE = "UPDATE facts SET size = ? WHERE id = ?"
INSERT_FACTS, REPLACE_FACTS = (
    f"""{verb} INTO facts (id, namespace_id, partition_id, created_at, accessed_at, removable_at, size)
    VALUES (?, ?, ?, ?, ?, ?, ?)"""
    for verb in ("INSERT", "REPLACE")
)
INSERT_VECTOR = "INSERT INTO vectors (id, partition_id, vector) VALUES (?, ?, ?)"
REMOVE_VECTOR = "DELETE FROM vectors WHERE id = ?"
INSERT_TAG = "INSERT OR IGNORE INTO tags (tag, entry_id) VALUES (?, ?)"
REMOVE_TAGS = "DELETE FROM tags WHERE entry_id = ?"

# A list of integers of any length travels as one parameter, as JSON.
DELETE_ENTRIES = """
DELETE FROM entries WHERE id IN (SELECT value FROM json_each(?)) RETURNING id, key, partition_id"""
DELETE_FACTS = "DELETE FROM facts WHERE id IN (SELECT value FROM json_each(?))"
DELETE_VECTORS = "DELETE FROM vectors WHERE id IN (SELECT value FROM json_each(?))"
DELETE_TAGS = "DELETE FROM tags WHERE entry_id IN (SELECT value FROM json_each(?))"
FORGET = "DELETE FROM tombstones WHERE seq <= ?"
FORGET_ALL = "UPDATE meta SET forgotten = max(forgotten, ifnull((SELECT max(seq) FROM tombstones), 0))"
"""Who has not read the deletions yet goes by keys as well, and must read everything anew."""
SET_FORGOTTEN = "UPDATE meta SET forgotten = ?"
FORGOTTEN = "SELECT forgotten, generation FROM meta"
SCRAMBLE_TOMBSTONES = "UPDATE tombstones SET key = randomblob(32)"
"""A key is a hash of a query that may be guessed."""
INSERT_TOMBSTONE = "INSERT INTO tombstones (seq, id, key) VALUES (?, ?, ?)"

SET_ACCESSED = "UPDATE facts SET accessed_at = ? WHERE id = ?"
ADD_COUNTERS = """
INSERT INTO namespaces (name, hits_exact, hits_semantic, misses, evictions, expirations, seconds_saved, cost_saved)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET hits_exact = hits_exact + excluded.hits_exact,
    hits_semantic = hits_semantic + excluded.hits_semantic, misses = misses + excluded.misses,
    evictions = evictions + excluded.evictions, expirations = expirations + excluded.expirations,
    seconds_saved = seconds_saved + excluded.seconds_saved, cost_saved = cost_saved + excluded.cost_saved"""

VECTORS = "SELECT id, partition_id, vector FROM vectors WHERE id > ? ORDER BY id LIMIT ?"

# Each part comes in order of seq by itself, and none is read further than the limit.
CHANGES = """
SELECT seq, id, key, deleted FROM (
    SELECT * FROM (SELECT id AS seq, id, key, 0 AS deleted FROM entries
        WHERE id > :since AND seq = id ORDER BY id LIMIT :limit)
    UNION ALL
    SELECT * FROM (SELECT seq, id, key, 0 FROM entries
        WHERE seq > id AND seq > :since ORDER BY seq LIMIT :limit)
    UNION ALL
    SELECT * FROM (SELECT seq, id, key, 1 FROM tombstones WHERE seq > :since ORDER BY seq LIMIT :limit)
) ORDER BY seq LIMIT :limit"""

SUMMARY = """
SELECT n.name, ifnull(f.entries, 0), ifnull(f.size, 0), f.oldest,
    n.hits_exact, n.hits_semantic, n.misses, n.evictions, n.expirations, n.seconds_saved, n.cost_saved
FROM namespaces n LEFT JOIN (
    SELECT namespace_id, count(*) AS entries, sum(size) AS size, min(created_at) AS oldest FROM facts GROUP BY 1
) f ON f.namespace_id = n.id
WHERE f.entries OR n.hits_exact OR n.hits_semantic OR n.misses OR n.evictions OR n.expirations OR n.seconds_saved
    OR n.cost_saved
ORDER BY n.name"""


def selected_ids(selection: Selection, ids: str | None) -> tuple[str, list[Any]]:
    """The query for rows of (access time, id) that *selection* means, in that order if it has a limit.

    *ids* is a JSON list: what `refs` and `tags` came down to, or `None` if neither is set.
    """
    conditions, parameters = _conditions(selection, ids)
    query = f"SELECT f.accessed_at, f.id FROM facts f WHERE {conditions}"  # noqa: S608 - constants
    if selection.least_recent is None:
        return query, parameters
    return f"{query} ORDER BY f.accessed_at, f.id LIMIT ?", [*parameters, max(selection.least_recent, 0)]


def scan_of(selection: Selection, ids: str | None, *, after: int, limit: int, vectors: bool) -> tuple[str, list[Any]]:
    """The query for a page of the records that *selection* means, and its parameters; *ids* as in `selected_ids`."""
    conditions, parameters = _conditions(selection, ids)
    tail = f"WHERE {conditions} AND f.id > ? ORDER BY f.id LIMIT ?"
    return _both(tail, _BY_FACTS)[vectors], [*parameters, after, max(limit, 0)]


def _conditions(selection: Selection, ids: str | None) -> tuple[str, list[Any]]:
    """Only which criteria are set decides the text: a few dozen texts in all, not one per value."""
    pairs = [
        ("f.id IN (SELECT value FROM json_each(?))", ids),
        ("f.namespace_id = (SELECT id FROM namespaces WHERE name = ?)", selection.namespace),
        ("f.partition_id = (SELECT id FROM partitions WHERE digest = ?)", selection.partition),
        ("f.created_at < ?", selection.created_before),
        ("f.removable_at <= ?", selection.removable_by),
    ]
    used = [(text, value) for text, value in pairs if value is not None]
    return " AND ".join(text for text, _ in used) or "1", [value for _, value in used]
