"""What must be true of a file, beyond what SQLite itself checks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import numpy as np

from mneme.errors import CorruptCacheError
from mneme.stores import _sqlite_statements as sql
from mneme.stores._sqlite_rows import matrix_of, tags_of

__all__ = ["inconsistencies", "unsound_vectors"]

_UNIT_TOLERANCE = 1e-3

# Each query counts offending rows; the sentence is reported when there are any.
_INVARIANTS = (
    ("{} entries have a key that is not 32 bytes long.", "SELECT count(*) FROM entries WHERE length(key) <> 32"),
    ("{} entries have a sequence number below their id.", "SELECT count(*) FROM entries WHERE seq < id"),
    (
        "{} sequence numbers of entries occur twice.",
        "SELECT count(*) - count(DISTINCT seq) FROM (SELECT seq FROM entries UNION ALL SELECT seq FROM tombstones)",
    ),
    (
        "{} ids are both alive and deleted.",
        "SELECT count(*) FROM entries WHERE id IN (SELECT id FROM tombstones)",
    ),
    ("{} deletions come before what they deleted.", "SELECT count(*) FROM tombstones WHERE seq <= id"),
    (
        "{} entries have no row of facts.",
        "SELECT count(*) FROM entries e LEFT JOIN facts f ON f.id = e.id WHERE f.id IS NULL",
    ),
    (
        "{} rows of facts have no entry.",
        "SELECT count(*) FROM facts f LEFT JOIN entries e ON e.id = f.id WHERE e.id IS NULL",
    ),
    (
        "{} rows of facts disagree with their entry about the partition or the namespace.",
        """SELECT count(*) FROM facts f JOIN entries e ON e.id = f.id LEFT JOIN partitions p ON p.id = e.partition_id
        WHERE f.partition_id <> e.partition_id OR p.namespace_id IS NOT f.namespace_id""",
    ),
    (
        "{} entries belong to a partition that is missing.",
        "SELECT count(*) FROM entries e LEFT JOIN partitions p ON p.id = e.partition_id WHERE p.id IS NULL",
    ),
    (
        "{} partitions belong to a namespace that is missing.",
        "SELECT count(*) FROM partitions p LEFT JOIN namespaces n ON n.id = p.namespace_id WHERE n.id IS NULL",
    ),
    (
        "{} vectors have no entry.",
        "SELECT count(*) FROM vectors v LEFT JOIN entries e ON e.id = v.id WHERE e.id IS NULL",
    ),
    (
        "{} vectors disagree with their entry about the partition.",
        "SELECT count(*) FROM vectors v JOIN entries e ON e.id = v.id WHERE v.partition_id <> e.partition_id",
    ),
    (
        "{} vectors do not have the dimension of the store.",
        "SELECT count(*) FROM vectors WHERE length(vector) IS NOT 4 * (SELECT dim FROM meta)",
    ),
    (
        "{} tags have no entry.",
        "SELECT count(*) FROM tags t LEFT JOIN entries e ON e.id = t.entry_id WHERE e.id IS NULL",
    ),
)


# While vectors of another embedder are being taken in.
_STAGING = (
    (
        "{} vectors of the next embedder have no entry.",
        "SELECT count(*) FROM staged_vectors s LEFT JOIN entries e ON e.id = s.id WHERE e.id IS NULL",
    ),
    (
        "{} vectors of the next embedder do not have its dimension.",
        "SELECT count(*) FROM staged_vectors WHERE length(vector) IS NOT 4 * (SELECT next_dim FROM meta)",
    ),
    (
        "{} entries have a vector of the next embedder and are said to lack one.",
        "SELECT count(*) FROM unstaged WHERE id IN (SELECT id FROM staged_vectors)",
    ),
    (
        "{} entries that lack a vector of the next embedder are not there.",
        "SELECT count(*) FROM unstaged u LEFT JOIN entries e ON e.id = u.id WHERE e.id IS NULL",
    ),
)


def inconsistencies(connection: sqlite3.Connection) -> list[str]:
    """Every inconsistency found, a sentence each. The caller holds a read transaction."""
    found: list[str] = []
    try:
        found.extend(_broken_invariants(connection))
        if not found:
            found.extend(_unsound_tags(connection))
            found.extend(_unsound_vectors(connection))
    except sqlite3.OperationalError:  # says nothing about what the file holds
        raise
    except sqlite3.DatabaseError as error:  # damage that ends every query, the check of SQLite itself as well
        found.append(f"SQLite: {error}.")
    return found


def _broken_invariants(connection: sqlite3.Connection) -> Iterator[str]:
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield f"SQLite: {line}."
    staging = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'staged_vectors'").fetchone()[0]
    for sentence, query in (*_INVARIANTS, *(_STAGING if staging else ())):
        count = connection.execute(query).fetchone()[0]
        if count:
            yield sentence.format(count)


def _unsound_tags(connection: sqlite3.Connection) -> Iterator[str]:
    """Compared here, because SQLite's JSON functions end a text at its first NUL."""
    rows = connection.execute("SELECT id, tags FROM entries WHERE tags <> ''")
    try:
        expected = {(tag, entry_id) for entry_id, text in rows for tag in tags_of(text)}
    except CorruptCacheError as error:
        yield str(error)
        return
    if wrong := len(expected.symmetric_difference(connection.execute("SELECT tag, entry_id FROM tags"))):
        yield f"{wrong} tags are in an entry or in the table of tags, but not in both."


def _unsound_vectors(connection: sqlite3.Connection) -> Iterator[str]:
    try:
        count = sum(1 for _ in unsound_vectors(connection))
    except CorruptCacheError as error:
        yield str(error)
        return
    if count:
        yield f"{count} vectors are not of unit length, or not finite."


def unsound_vectors(connection: sqlite3.Connection) -> Iterator[int]:
    """The ids of vectors that are not of unit length, or not finite.

    Raises:
        CorruptCacheError: One does not have the dimension of the store.
    """
    dim = connection.execute(sql.META).fetchone()[1]
    after = 0
    while rows := connection.execute(sql.VECTORS, (after, 4096)).fetchall():
        after = rows[-1][0]
        vectors = matrix_of([row[2] for row in rows], dim)
        with np.errstate(invalid="ignore", over="ignore"):
            lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        for position in np.flatnonzero(~(np.abs(lengths - 1.0) <= _UNIT_TOLERANCE)):
            yield rows[position][0]
