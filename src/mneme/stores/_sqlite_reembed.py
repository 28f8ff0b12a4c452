"""Vectors of another embedder beside those that serve: `staged_vectors`, and `unstaged`, the entries that lack one.

Both tables exist while a re-embedding is under way, and so do the triggers by which every write and deletion, of
whichever process, is noted in `unstaged`. So the change is possible when that table is empty, and costs no more than
renaming two tables: readers see the vectors of the one embedder or of the other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from mneme.errors import EmbedderMismatchError, ReembeddingError
from mneme.ports import Unstaged, Vector, VectorBlock
from mneme.stores import _sqlite_statements as sql
from mneme.stores._sqlite_places import Places
from mneme.stores._sqlite_rows import blob_of, matrix_of, wrong_shape

__all__ = ["GENERATION", "Reembedding", "other_embedder"]

T = TypeVar("T")

GENERATION = "SELECT generation FROM meta"
"""How often the file has changed over to another embedder."""

_NEXT = "SELECT next_fingerprint, next_dim FROM meta"
_SET_NEXT = "UPDATE meta SET next_fingerprint = ?, next_dim = ?"
_TRIGGERS = ("unstage_new", "unstage_replaced", "unstage_deleted")
# Not INSERT OR IGNORE: an upsert that fires a trigger overrides that.
_BEGIN = (
    "DROP TABLE IF EXISTS retired_vectors",
    """CREATE TABLE staged_vectors (
        id INTEGER PRIMARY KEY REFERENCES entries (id),
        partition_id INTEGER NOT NULL,
        vector BLOB NOT NULL
    )""",
    "CREATE TABLE unstaged (id INTEGER PRIMARY KEY)",
    "INSERT INTO unstaged SELECT id FROM facts",
    """CREATE TRIGGER unstage_new AFTER INSERT ON entries BEGIN
        INSERT INTO unstaged SELECT new.id WHERE NOT EXISTS (SELECT 1 FROM unstaged WHERE id = new.id);
    END""",
    """CREATE TRIGGER unstage_replaced AFTER UPDATE OF seq ON entries BEGIN
        DELETE FROM staged_vectors WHERE id = new.id;
        INSERT INTO unstaged SELECT new.id WHERE NOT EXISTS (SELECT 1 FROM unstaged WHERE id = new.id);
    END""",
    """CREATE TRIGGER unstage_deleted AFTER DELETE ON entries BEGIN
        DELETE FROM staged_vectors WHERE id = old.id;
        DELETE FROM unstaged WHERE id = old.id;
    END""",
)
_END = (*(f"DROP TRIGGER IF EXISTS {name}" for name in _TRIGGERS), "DROP TABLE IF EXISTS unstaged")
_SWITCH = (
    *_END,
    "DROP TABLE IF EXISTS retired_vectors",
    "ALTER TABLE vectors RENAME TO retired_vectors",
    "ALTER TABLE staged_vectors RENAME TO vectors",
    # With the mark goes the saved index, which holds the old vectors.
    """UPDATE meta SET fingerprint = next_fingerprint, dim = next_dim, generation = generation + 1, mark = NULL,
        next_fingerprint = NULL, next_dim = NULL""",
)
_COUNT_UNSTAGED = "SELECT count(*) FROM unstaged"
_ANY_UNSTAGED = "SELECT EXISTS (SELECT 1 FROM unstaged)"
_UNSTAGED = """
SELECT u.id, e.seq, n.name, e.query FROM unstaged u CROSS JOIN entries e ON e.id = u.id
JOIN partitions p ON p.id = e.partition_id JOIN namespaces n ON n.id = p.namespace_id ORDER BY u.id LIMIT ?"""
_STAGED = "DELETE FROM unstaged WHERE id = ?1 AND EXISTS (SELECT 1 FROM entries WHERE id = ?1 AND seq = ?2)"
_STAGE = """
INSERT OR REPLACE INTO staged_vectors (id, partition_id, vector)
VALUES (?1, (SELECT partition_id FROM entries WHERE id = ?1), ?2)"""
_VECTORS = "SELECT id, partition_id, vector FROM staged_vectors WHERE id > ? ORDER BY id LIMIT ?"
_RETIRED = "SELECT 1 FROM sqlite_master WHERE name = 'retired_vectors'"
_FORGET_SOME = "DELETE FROM retired_vectors WHERE id IN (SELECT id FROM retired_vectors LIMIT 4096)"


def other_embedder(path: str) -> EmbedderMismatchError:
    return EmbedderMismatchError(
        f"{path!r} has changed over to another embedder since it was opened here: open it again with that embedder"
    )


class Reembedding:
    """The verbs of `ReembeddingStore` and `MarkedStore`, for the SQLite store."""

    _path: str
    _places: Places
    _generation: int | None  # whose vectors are meant here
    _next: tuple[str, int] | None = None

    def _require_same(self, connection: sqlite3.Connection) -> None:
        """Raise if the vectors are no longer those of the embedder that the file was opened for."""
        if connection.execute(GENERATION).fetchone()[0] != self._generation:
            raise other_embedder(self._path)

    def marked(self) -> str | None:
        def marked(connection: sqlite3.Connection) -> str | None:
            self._require_same(connection)
            found: str | None = connection.execute(sql.MARKED).fetchone()[0]
            return found

        return self._look(marked)

    def mark(self, text: str) -> None:
        def mark(connection: sqlite3.Connection) -> None:
            self._require_same(connection)
            connection.execute(sql.MARK, (text,))

        self._change(mark)

    def begin_reembedding(self, fingerprint: str, dim: int) -> int:
        """How many entries lack a vector of this embedder, which goes on, or begins, to be taken in."""

        def begin(connection: sqlite3.Connection) -> int:
            if tuple(connection.execute(_NEXT).fetchone()) != (fingerprint, dim):
                _give_up(connection)
                for statement in _BEGIN:
                    connection.execute(statement)
                connection.execute(_SET_NEXT, (fingerprint, dim))
            count: int = connection.execute(_COUNT_UNSTAGED).fetchone()[0]
            return count

        left = self._change(begin)
        self._next = (fingerprint, dim)
        return left

    def unstaged(self, *, limit: int = 1000) -> list[Unstaged]:
        def look(connection: sqlite3.Connection) -> list[Unstaged]:
            self._require_begun(connection)
            return [Unstaged(*row) for row in connection.execute(_UNSTAGED, (max(limit, 0),))]

        return self._look(look)

    def stage(self, entries: Sequence[Unstaged], vectors: Sequence[Vector | None]) -> None:
        def stage(connection: sqlite3.Connection) -> None:
            dim = self._require_begun(connection)
            for entry, vector in zip(entries, vectors, strict=True):
                if vector is not None and vector.shape != (dim,):
                    raise wrong_shape(vector, dim)
                unchanged = connection.execute(_STAGED, (entry.id, entry.seq)).rowcount
                if unchanged and vector is not None:
                    connection.execute(_STAGE, (entry.id, blob_of(vector)))

        self._change(stage)

    def staged(self, *, after: int = 0, limit: int = 4096) -> VectorBlock:
        def block(connection: sqlite3.Connection) -> VectorBlock:
            dim = self._require_begun(connection)
            rows = connection.execute(_VECTORS, (after, max(limit, 0))).fetchall()
            if not rows:
                return VectorBlock(np.empty(0, np.int64), [], np.empty((0, dim), np.float32))
            ids, partitions, blobs = zip(*rows, strict=True)
            digests = self._places.digests(connection, partitions)
            return VectorBlock(np.array(ids, np.int64), digests, matrix_of(blobs, dim))

        return self._look(block)

    def switch_embedder(self) -> bool:
        def switch(connection: sqlite3.Connection) -> bool:
            self._require_begun(connection)
            if connection.execute(_ANY_UNSTAGED).fetchone()[0]:
                return False
            for statement in _SWITCH:
                connection.execute(statement)
            return True

        return self._change(switch)

    def end_reembedding(self) -> None:
        def end(connection: sqlite3.Connection) -> bool:
            _give_up(connection)
            connection.execute(_SET_NEXT, (None, None))
            # A few at a time: others want to write as well. What is left when this is interrupted goes the next time.
            if connection.execute(_RETIRED).fetchone() is None:
                return True
            if connection.execute(_FORGET_SOME).rowcount == 0:
                connection.execute("DROP TABLE retired_vectors")
                return True
            return False

        while not self._change(end):
            pass
        self._next = None

    def _change(self, work: Callable[[sqlite3.Connection], T]) -> T:
        raise NotImplementedError

    def _look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        raise NotImplementedError

    def _require_begun(self, connection: sqlite3.Connection) -> int:
        """The dimension of the new vectors; raises `ReembeddingError` if somebody has ended this."""
        found = tuple(connection.execute(_NEXT).fetchone())
        if self._next is None or found != self._next:
            raise ReembeddingError(
                f"{self._path!r} is not being given vectors of this embedder: that was not begun, or somebody else has "
                "finished it, given it up, or begun with another embedder"
            )
        return self._next[1]


def _give_up(connection: sqlite3.Connection) -> None:
    for statement in (*_END, "DROP TABLE IF EXISTS staged_vectors"):
        connection.execute(statement)
