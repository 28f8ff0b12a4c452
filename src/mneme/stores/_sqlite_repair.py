"""Putting right what `check` finds in a file, without losing an entry that can be kept.

The wide rows of `entries` are what counts: all else is made to fit them. What cannot be told any more (whose an entry
is) is moved out, never deleted. Every step is sound by itself, and all of them are one transaction.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mneme._rules.keys import key_of, normalize_query, partition_of
from mneme.errors import CorruptCacheError
from mneme.stores import _sqlite_statements as sql
from mneme.stores._sqlite_check import unsound_vectors
from mneme.stores._sqlite_rows import tags_of
from mneme.types import Repair

__all__ = ["SALVAGE", "repairs"]

MoveOut = Callable[[Sequence[str]], None]
SALVAGE = "not here: `mneme check --salvage` copies what can be read into a new file"


def repairs(connection: sqlite3.Connection, move_out: MoveOut) -> list[Repair]:
    """Repair everything that can be, inside a transaction that the caller began; what it was, in order.

    *move_out* is given the rows that cannot stay, as JSON, before the transaction ends.
    """
    done = list(_indexes(connection))
    if any(not one.possible for one in done):
        return done
    before = _next(connection)
    moved: list[str] = []
    for step in _STEPS:
        done.extend(step(connection, moved))
    if moved:
        move_out(moved)
    if done:
        _start_over(connection, before)
    return done


def _indexes(connection: sqlite3.Connection) -> Iterator[Repair]:
    found = _complaints(connection)
    if not found:
        return
    try:
        connection.execute("REINDEX")
        left = _complaints(connection)
    except sqlite3.IntegrityError as error:
        left = [f"SQLite: {error}."]
    for sentence in found:
        if sentence not in left:
            yield Repair(sentence, "the indexes are built anew")
    for sentence in left:
        yield Repair(sentence, SALVAGE, possible=False)


def _complaints(connection: sqlite3.Connection) -> list[str]:
    return [f"SQLite: {line}." for (line,) in connection.execute("PRAGMA integrity_check") if line != "ok"]


def _dimension(connection: sqlite3.Connection, _: list[str]) -> Iterator[Repair]:
    (dim,) = connection.execute("SELECT dim FROM meta").fetchone()
    lengths = connection.execute(
        "SELECT length(vector), count(*) FROM vectors GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 2"
    ).fetchall()
    total = connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
    if not lengths or dim is None:
        return
    length, count = lengths[0]
    if length != 4 * dim and length % 4 == 0 and 2 * count > total:
        connection.execute("UPDATE meta SET dim = ?", (length // 4,))
        yield Repair(
            f"The store says that vectors have dimension {dim}, and {count} of {total} have {length // 4}.",
            "the dimension is that of most vectors",
        )


def _namespaces(connection: sqlite3.Connection, _: list[str]) -> Iterator[Repair]:
    broken = connection.execute(
        "SELECT p.id, p.digest, p.namespace_id, p.scope FROM partitions p "
        "LEFT JOIN namespaces n ON n.id = p.namespace_id WHERE n.id IS NULL"
    ).fetchall()
    names = _known_names(connection)
    for number, digest, namespace_id, scope in broken:
        name = next((name for name in names if partition_of(name, scope) == digest), f"recovered-{namespace_id}")
        connection.execute("INSERT INTO namespaces (name) VALUES (?) ON CONFLICT (name) DO NOTHING", (name,))
        connection.execute(
            "UPDATE partitions SET namespace_id = (SELECT id FROM namespaces WHERE name = ?) WHERE id = ?",
            (name, number),
        )
        yield Repair(
            f"Partition {number} belongs to a namespace that is missing.",
            f"it belongs to {name!r}" + (", and answers as before" if name.startswith("recovered-") else ""),
        )


def _known_names(connection: sqlite3.Connection) -> list[str]:
    return ["default", *(row[0] for row in connection.execute("SELECT name FROM namespaces ORDER BY id"))]


def _partitions(connection: sqlite3.Connection, moved: list[str]) -> Iterator[Repair]:
    numbers = connection.execute(
        "SELECT DISTINCT partition_id FROM entries WHERE partition_id NOT IN (SELECT id FROM partitions)"
    ).fetchall()
    for (number,) in numbers:
        key, query = connection.execute(
            "SELECT key, query FROM entries WHERE partition_id = ? LIMIT 1", (number,)
        ).fetchone()
        text = normalize_query(query)
        name = next((name for name in _known_names(connection) if key_of(partition_of(name, ""), text) == key), None)
        (count,) = connection.execute("SELECT count(*) FROM entries WHERE partition_id = ?", (number,)).fetchone()
        problem = f"{count} entries belong to a partition that is missing."
        if name is None:
            yield _out(connection, moved, problem, "partition_id = ?", (number,))
            continue
        connection.execute("INSERT INTO namespaces (name) VALUES (?) ON CONFLICT (name) DO NOTHING", (name,))
        present = connection.execute("SELECT id FROM partitions WHERE digest = ?", (partition_of(name, ""),)).fetchone()
        if present is None:
            connection.execute(
                "INSERT INTO partitions (id, digest, namespace_id, scope) "
                "VALUES (?, ?, (SELECT id FROM namespaces WHERE name = ?), '')",
                (number, partition_of(name, ""), name),
            )
        else:
            connection.execute("UPDATE entries SET partition_id = ? WHERE partition_id = ?", (present[0], number))
        yield Repair(problem, f"their keys say that they belong to the namespace {name!r}, without a scope")


def _keys(connection: sqlite3.Connection, moved: list[str]) -> Iterator[Repair]:
    (count,) = connection.execute("SELECT count(*) FROM entries WHERE length(key) <> 32").fetchone()
    if count:
        problem = f"{count} entries have a key that is not 32 bytes long."
        yield _out(connection, moved, problem, "length(key) <> ?", (32,))


def _out(
    connection: sqlite3.Connection, moved: list[str], problem: str, condition: str, parameters: tuple[Any, ...]
) -> Repair:
    """Move entries out of the file."""
    cursor = connection.execute(f"SELECT * FROM entries WHERE {condition}", parameters)  # noqa: S608 - constants
    names = [column[0] for column in cursor.description]
    rows = cursor.fetchall()
    moved.extend(json.dumps(dict(zip(names, map(_as_json, row), strict=True))) for row in rows)
    connection.execute(f"DELETE FROM entries WHERE {condition}", parameters)  # noqa: S608 - constants
    return Repair(problem, "they are moved out into a file beside it", lost=len(rows))


def _as_json(value: Any) -> Any:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _tag_texts(connection: sqlite3.Connection, _: list[str]) -> Iterator[Repair]:
    broken = []
    for number, text in connection.execute("SELECT id, tags FROM entries WHERE tags <> ''"):
        try:
            sound = all(isinstance(tag, str) for tag in tags_of(text))
        except CorruptCacheError:
            sound = False
        if not sound:
            broken.append(number)
    for number in broken:
        held = [tag for (tag,) in connection.execute("SELECT tag FROM tags WHERE entry_id = ? ORDER BY tag", (number,))]
        connection.execute("UPDATE entries SET tags = ? WHERE id = ?", (json.dumps(held) if held else "", number))
    if broken:
        yield Repair(f"{len(broken)} entries have tags that are no list.", "they get those of the table of tags")


def _deletions(connection: sqlite3.Connection, _: list[str]) -> Iterator[Repair]:
    count = connection.execute("DELETE FROM tombstones WHERE id IN (SELECT id FROM entries)").rowcount
    if count:
        yield Repair(f"{count} ids are both alive and deleted.", "they are alive")
    early = connection.execute("SELECT seq FROM tombstones WHERE seq <= id").fetchall()
    for (number,) in early:
        connection.execute("UPDATE tombstones SET seq = ? WHERE seq = ?", (_next(connection), number))
    if early:
        yield Repair(f"{len(early)} deletions come before what they deleted.", "they get new sequence numbers")


def _numbers(connection: sqlite3.Connection, _: list[str]) -> Iterator[Repair]:
    wrong = connection.execute(
        "SELECT id FROM entries WHERE seq < id OR seq IN (SELECT seq FROM tombstones) "
        "OR (seq > id AND seq IN (SELECT id FROM entries WHERE seq = id)) ORDER BY id"
    ).fetchall()
    for (number,) in wrong:
        connection.execute("UPDATE entries SET seq = ? WHERE id = ?", (_next(connection), number))
    if wrong:
        yield Repair(f"{len(wrong)} sequence numbers of entries are too low, or occur twice.", "they get new ones")


def _next(connection: sqlite3.Connection) -> int:
    """A number above all others, ids of the deleted among them."""
    high = connection.execute(sql.HIGH_WATER).fetchone()[0]
    (deleted,) = connection.execute("SELECT ifnull(max(id), 0) FROM tombstones").fetchone()
    return int(max(high, deleted)) + 1


_FACTS = (
    (
        "{} rows of facts have no entry.",
        "they are removed",
        "DELETE FROM facts WHERE id NOT IN (SELECT id FROM entries)",
    ),
    (
        "{} rows of facts disagree with their entry about the partition or the namespace.",
        "they are made to agree",
        """UPDATE facts SET partition_id = (SELECT e.partition_id FROM entries e WHERE e.id = facts.id),
        namespace_id = (SELECT p.namespace_id FROM entries e JOIN partitions p ON p.id = e.partition_id
            WHERE e.id = facts.id)
        WHERE EXISTS (SELECT 1 FROM entries e JOIN partitions p ON p.id = e.partition_id WHERE e.id = facts.id
            AND (e.partition_id <> facts.partition_id OR p.namespace_id <> facts.namespace_id))""",
    ),
    (
        "{} entries have no row of facts.",
        "they get one; they count as written when the entry before them was",
        """INSERT INTO facts (id, namespace_id, partition_id, created_at, accessed_at, removable_at, size)
        SELECT e.id, p.namespace_id, e.partition_id, t.at, t.at, e.expires_at,
            length(e.payload) + length(CAST(e.query AS BLOB)) + length(CAST(e.metadata AS BLOB))
        FROM (SELECT e.id, coalesce((SELECT f.created_at FROM facts f WHERE f.id < e.id ORDER BY f.id DESC LIMIT 1),
            (SELECT min(created_at) FROM facts), 0.0) AS at
            FROM entries e WHERE e.id NOT IN (SELECT id FROM facts)) t
        JOIN entries e ON e.id = t.id JOIN partitions p ON p.id = e.partition_id""",
    ),
)
_VECTORS = (
    (
        "{} vectors have no entry.",
        "they are removed",
        "DELETE FROM vectors WHERE id NOT IN (SELECT id FROM entries)",
    ),
    (
        "{} vectors disagree with their entry about the partition.",
        "they are made to agree",
        """UPDATE vectors SET partition_id = (SELECT e.partition_id FROM entries e WHERE e.id = vectors.id)
        WHERE partition_id <> (SELECT e.partition_id FROM entries e WHERE e.id = vectors.id)""",
    ),
    (
        "{} vectors do not have the dimension of the store.",
        "they are removed: their entries answer on the exact layer alone",
        "DELETE FROM vectors WHERE length(vector) IS NOT 4 * (SELECT dim FROM meta)",
    ),
)


def _facts(connection: sqlite3.Connection, _: list[str]) -> Iterator[Repair]:
    yield from _by_statement(connection, _FACTS)


def _vectors(connection: sqlite3.Connection, _: list[str]) -> Iterator[Repair]:
    yield from _by_statement(connection, _VECTORS)
    unsound = list(unsound_vectors(connection))
    connection.executemany("DELETE FROM vectors WHERE id = ?", [(number,) for number in unsound])
    if unsound:
        yield Repair(
            f"{len(unsound)} vectors are not of unit length, or not finite.",
            "they are removed: their entries answer on the exact layer alone",
        )


# While vectors of another embedder are being taken in: what is wrong with one of them is made again.
_STAGED = (
    (
        "{} vectors of the next embedder have no entry.",
        "they are removed",
        "DELETE FROM staged_vectors WHERE id NOT IN (SELECT id FROM entries)",
    ),
    (
        "{} entries that lack a vector of the next embedder are not there.",
        "they are passed over",
        "DELETE FROM unstaged WHERE id NOT IN (SELECT id FROM entries)",
    ),
    (
        "{} vectors of the next embedder do not have its dimension.",
        "they are made again",
        """INSERT OR IGNORE INTO unstaged SELECT id FROM staged_vectors
        WHERE length(vector) IS NOT 4 * (SELECT next_dim FROM meta)""",
    ),
    (
        "{} entries have a vector of the next embedder and are said to lack one.",
        "they get another",
        "DELETE FROM staged_vectors WHERE id IN (SELECT id FROM unstaged)",
    ),
)


def _staged(connection: sqlite3.Connection, _: list[str]) -> Iterator[Repair]:
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'unstaged'").fetchone():
        yield from _by_statement(connection, _STAGED)


def _by_statement(connection: sqlite3.Connection, steps: Sequence[tuple[str, str, str]]) -> Iterator[Repair]:
    for sentence, remedy, statement in steps:
        count = connection.execute(statement).rowcount
        if count > 0:
            yield Repair(sentence.format(count), remedy)


def _tags(connection: sqlite3.Connection, _: list[str]) -> Iterator[Repair]:
    rows = connection.execute("SELECT id, tags FROM entries WHERE tags <> ''").fetchall()
    expected = {(tag, number) for number, text in rows for tag in tags_of(text)}
    held = set(connection.execute("SELECT tag, entry_id FROM tags").fetchall())
    connection.executemany("DELETE FROM tags WHERE tag = ? AND entry_id = ?", held - expected)
    connection.executemany("INSERT INTO tags (tag, entry_id) VALUES (?, ?)", expected - held)
    if wrong := len(expected ^ held):
        yield Repair(f"{wrong} tags are in an entry or in the table of tags, but not in both.", "entries are believed")


def _start_over(connection: sqlite3.Connection, before: int) -> None:
    """Make everybody who follows read everything anew: a deletion of nothing, before which all is forgotten."""
    number = max(before, _next(connection))
    connection.execute(sql.INSERT_TOMBSTONE, (number + 1, number, bytes(32)))
    connection.execute(sql.SET_FORGOTTEN, (number,))


_STEPS = (
    _dimension,
    _namespaces,
    _partitions,
    _keys,
    _tag_texts,
    _deletions,
    _numbers,
    _facts,
    _vectors,
    _staged,
    _tags,
)
"""Each makes what the next ones stand on."""
