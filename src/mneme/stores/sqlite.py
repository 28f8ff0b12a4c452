"""The store that keeps everything in one SQLite file. What is SQL lies in `_sqlite_statements`, one idea per file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Literal, NoReturn, TypeVar

import numpy as np

from mneme.errors import CacheClosedError, EmbedderMismatchError, MnemeError, StoreBackendError
from mneme.ports import (
    Change,
    Counters,
    NamespaceSummary,
    Record,
    Ref,
    Removed,
    Selection,
    StoreInfo,
    Usage,
    VectorBlock,
    Written,
)
from mneme.stores import _sqlite_file as files, _sqlite_schema as schema, _sqlite_statements as sql
from mneme.stores._sqlite_check import inconsistencies
from mneme.stores._sqlite_errors import meaning_of
from mneme.stores._sqlite_mode import use_log
from mneme.stores._sqlite_places import Places
from mneme.stores._sqlite_pool import Connection, Readers, connect
from mneme.stores._sqlite_reembed import Reembedding, other_embedder
from mneme.stores._sqlite_repaired import Aside, repaired
from mneme.stores._sqlite_rows import Place, matrix_of, record_of, wrong_shape
from mneme.stores._sqlite_scrub import scrubbed
from mneme.stores._sqlite_transaction import in_transaction
from mneme.stores._sqlite_write import (
    add_usage,
    batches,
    chosen_ids,
    delete_selected,
    split,
    swap_records,
    write_new,
    write_records,
)
from mneme.types import Repair

__all__ = ["SQLiteStore"]

T = TypeVar("T")

_OLDEST_SQLITE = (3, 35, 0)  # the first with RETURNING
_READERS = 16
_LOG_LIMIT = 64 * 2**20  # a log that one huge batch made longer than this is cut when it starts over


class SQLiteStore(Reembedding):
    """Keeps entries in one SQLite file, which is made on the first `open`, readable by its owner only.

    Durability: every verb is one transaction in WAL mode. With *durability* "normal" what was acknowledged survives the
    death of the process; a power cut may lose the latest transactions, and never tears one. With "full" it survives a
    power cut too, at the price of waiting for the disk on every write.

    Thread safety: all verbs, from any thread. Writes wait for each other; reads wait for nothing. Other processes may
    use the file at the same time: a write waits for theirs, at most *busy_timeout* seconds. A store does not survive a
    fork: open another in the child.

    Args:
        path: The file. Its directory must exist.
        durability: "normal" or "full".
        busy_timeout: Seconds to wait for other processes before `StoreBackendError`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Literal["normal", "full"] = "normal",
        busy_timeout: float = 5.0,
    ) -> None:
        self._path = files.checked_path(path)
        if durability not in {"normal", "full"}:
            raise ValueError(f'durability must be "normal" or "full", not {durability!r}')
        if isinstance(busy_timeout, bool) or not isinstance(busy_timeout, int | float):
            raise TypeError(f"busy_timeout must be a number of seconds, not {type(busy_timeout).__name__}")
        if not 0 <= busy_timeout <= 86_400:
            raise ValueError(f"busy_timeout must be between 0 and 86400 seconds, not {busy_timeout!r}")
        self._durability = durability
        self._busy_timeout = float(busy_timeout)
        self._lock = threading.Lock()  # held by whoever writes
        self._writer: sqlite3.Connection | None = None
        self._readers = Readers(self._connect_reader, _READERS)
        self._places = Places()
        self._dim: int | None = None
        self._generation: int | None = None  # whose vectors are meant here
        self._bound = False  # it was opened for an embedder
        self._pid = 0  # of the process that opened it
        self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path!r}>"

    @property
    def name(self) -> str:
        return "sqlite"

    @property
    def path(self) -> str:
        """The file, as an absolute path."""
        return self._path

    def open(self, fingerprint: str | None, dim: int | None) -> StoreInfo:
        if (fingerprint is None) != (dim is None):
            raise ValueError("fingerprint and dim belong together: pass both or None for both")
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise StoreBackendError(
                f"this Python has SQLite {sqlite3.sqlite_version}; mneme needs 3.35 or newer: use a newer Python"
            )
        if self._closed:
            raise CacheClosedError(f"the store {self._path!r} was closed; make a new one")
        with self._lock:
            try:
                return self._open(fingerprint, dim)
            except sqlite3.Error as error:
                raise self._meaning_of(error) from error

    def read(self, refs: Sequence[Ref], *, vectors: bool = False) -> list[Record | None]:
        if len(refs) != 1:
            return self._read_many(refs, vectors)
        # The cold exact hit: written out, because every helper would cost as much as a tenth of the query.
        ref = refs[0]
        if isinstance(ref, int):
            query = sql.READ_ID[vectors]
            if not 0 < ref < 2**63:
                ref = 0
        else:
            query = sql.READ_KEY[vectors]
        connection = self._take()
        try:
            row = connection.execute(query, (ref,)).fetchone()
            if vectors:  # afterwards, so that what was read is of this generation if that is still true
                self._require_same(connection)
            return [None if row is None else record_of(row, self._places.get(connection, row[1]))]
        except sqlite3.Error as error:
            raise self._meaning_of(error) from error
        finally:
            self._readers.give(connection)

    def write(self, records: Sequence[Record]) -> list[Written]:
        dim = self._dim
        if self._writer is None:
            self._require_writer()
        shape = (dim,)
        for record in records:
            if record.vector is not None and record.vector.shape != shape:
                raise wrong_shape(record.vector, dim)
        if not records:
            return []

        generation = self._generation or 0

        def written(connection: sqlite3.Connection) -> tuple[list[Written], dict[int, Place]]:
            new = write_new(connection, self._places, records[0], generation) if len(records) == 1 else None
            if new:
                return [new], {}
            done = write_records(connection, self._places, records, generation) if new is None else False
            if not done:
                raise other_embedder(self._path)
            return done

        done, fresh = self._change(written)
        if fresh:
            self._places.learn(fresh)
        return done

    def delete(self, selection: Selection) -> list[Removed]:
        return self._change(lambda connection: delete_selected(connection, self._places, selection))

    def record(self, usage: Usage) -> None:
        self._change(lambda connection: add_usage(connection, usage))

    def scan(self, selection: Selection, *, after: int = 0, limit: int = 1000, vectors: bool = False) -> list[Record]:
        if selection.least_recent is not None:
            raise ValueError("least_recent is for delete: a scan goes by id")

        def scanned(connection: sqlite3.Connection) -> list[Record]:
            ids = chosen_ids(connection, selection)
            query, parameters = sql.scan_of(selection, ids, after=after, limit=limit, vectors=vectors)
            if vectors:
                self._require_same(connection)
            rows = connection.execute(query, parameters).fetchall()
            return [record_of(row, self._places.get(connection, row[1])) for row in rows]

        return self._look(scanned)

    def vectors(self, *, after: int = 0, limit: int = 4096) -> VectorBlock:
        def block(connection: sqlite3.Connection) -> VectorBlock:
            self._require_same(connection)
            rows = connection.execute(sql.VECTORS, (after, max(limit, 0))).fetchall()
            if not rows:
                return VectorBlock(np.empty(0, np.int64), [], np.empty((0, self._dim or 0), np.float32))
            ids, partitions, blobs = zip(*rows, strict=True)
            digests = self._places.digests(connection, partitions)
            return VectorBlock(np.array(ids, np.int64), digests, matrix_of(blobs, self._dim or 0))

        return self._look(block)

    def changes(self, since: int, *, limit: int = 1000) -> list[Change] | None:
        window = {"since": since, "limit": max(limit, 0)}

        def changed(connection: sqlite3.Connection) -> list[Change] | None:
            forgotten, generation = connection.execute(sql.FORGOTTEN).fetchone()
            if self._bound and generation != self._generation:
                raise other_embedder(self._path)
            if since < forgotten:
                return None
            rows = connection.execute(sql.CHANGES, window).fetchall()
            return [Change(seq, entry_id, key, bool(deleted)) for seq, entry_id, key, deleted in rows]

        return self._look(changed)

    def summary(self) -> list[NamespaceSummary]:
        rows = self._look(lambda connection: connection.execute(sql.SUMMARY).fetchall())
        return [
            NamespaceSummary(name, entries, size, oldest, Counters(*counters))
            for name, entries, size, oldest, *counters in rows
        ]

    def check(self) -> list[str]:
        return self._look(inconsistencies)

    def compact(self) -> int:
        with self._lock:
            writer = self._require_writer()
            before = self._bytes()
            try:
                writer.execute("VACUUM")
                writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.Error as error:
                raise self._meaning_of(error) from error
            return max(before - self._bytes(), 0)

    def scrub(self, timeout: float) -> list[str]:
        with self._lock:
            writer = self._require_writer()
            try:
                return scrubbed(writer, self._path, timeout, usually=self._busy_timeout)
            except sqlite3.Error as error:
                raise self._meaning_of(error) from error

    def swap(self, records: Sequence[Record]) -> list[bool]:
        return self._change(lambda connection: swap_records(connection, records))

    def repair(self, *, apply: bool) -> list[Repair]:
        """As `RepairingStore.repair`. What cannot stay goes to the file `-broken.jsonl` beside this one."""
        aside = Aside(self._path) if apply else None
        with self._lock:
            writer = self._require_writer()
            try:
                return repaired(writer, aside)
            except sqlite3.Error as error:
                raise self._meaning_of(error) from error
            finally:
                self._places = Places()  # what was remembered may have been what was wrong

    def close(self) -> None:
        self._closed = True
        self._readers.close(self._busy_timeout + 1.0)
        with self._lock:
            writer, self._writer = self._writer, None
            if writer is not None:
                with contextlib.suppress(sqlite3.Error):  # what was acknowledged is in the log; it is read next time
                    writer.close()

    # --- opening -----------------------------------------------------------------------------------------------------

    def _open(self, fingerprint: str | None, dim: int | None) -> StoreInfo:
        made = False
        if self._writer is None:
            known = len(schema.MIGRATIONS)
            exists = files.inspect(self._path, known, lambda reader: self._refuse_other(reader, fingerprint, dim))
            made = not exists and files.make(self._path)
        try:
            writer = self._writer or self._connect_writer()
            try:
                info, generation = self._set_up(writer, fingerprint, dim)
            except BaseException:
                if writer is not self._writer:
                    writer.close()
                raise
        except BaseException:
            if made:
                files.remove(self._path)
            raise
        if fingerprint is not None or self._generation in {None, generation}:
            self._dim, self._generation = info.dim, generation
        self._writer, self._pid, self._bound = writer, os.getpid(), self._bound or fingerprint is not None
        return info

    def _connect_writer(self) -> Connection:
        level = "FULL" if self._durability == "full" else "NORMAL"
        return connect(self._path, self._busy_timeout, f"synchronous = {level}", f"journal_size_limit = {_LOG_LIMIT}")

    def _connect_reader(self) -> Connection:
        if self._writer is None:
            raise CacheClosedError(f"the store {self._path!r} is not open; call open first")
        return connect(self._path, self._busy_timeout, "query_only = ON")

    def _set_up(self, writer: sqlite3.Connection, fingerprint: str | None, dim: int | None) -> tuple[StoreInfo, int]:
        def prepared(connection: sqlite3.Connection) -> tuple[StoreInfo, int]:
            version = schema.bring_up_to_date(connection, schema.MIGRATIONS)
            self._refuse_other(connection, fingerprint, dim)
            if fingerprint is not None:
                connection.execute(sql.BIND, (fingerprint, dim))
            held = connection.execute(sql.META).fetchone()
            seq, generation = connection.execute(sql.HIGH_WATER).fetchone()
            return StoreInfo(held[0], held[1], version, seq), generation

        info = in_transaction(writer, "BEGIN IMMEDIATE", prepared)
        if writer is not self._writer:
            use_log(writer, self._path, self._busy_timeout)
        return info

    def _refuse_other(self, connection: sqlite3.Connection, fingerprint: str | None, dim: int | None) -> None:
        held = connection.execute(sql.META).fetchone()
        if fingerprint is not None and held[0] is not None and tuple(held) != (fingerprint, dim):
            raise EmbedderMismatchError(
                f"{self._path!r} holds vectors of {held[0]!r} (dim {held[1]}), not of {fingerprint!r} (dim {dim}): "
                "use the same embedder, embed it anew, or choose another path"
            )

    # --- transactions ------------------------------------------------------------------------------------------------

    def _change(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            connection = self._require_writer()
            try:
                return in_transaction(connection, "BEGIN IMMEDIATE", work)
            except sqlite3.Error as error:
                raise self._meaning_of(error) from error

    def _look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What *work* makes of one state of the store, which lasts as long as it takes."""
        connection = self._take()
        try:
            return in_transaction(connection, "BEGIN", work, "ROLLBACK")
        except sqlite3.Error as error:
            raise self._meaning_of(error) from error
        finally:
            self._readers.give(connection)

    def _take(self) -> sqlite3.Connection:
        if os.getpid() != self._pid and self._pid:
            self._refuse_fork()
        try:
            return self._readers.take()
        except sqlite3.Error as error:
            raise self._meaning_of(error) from error

    def _require_writer(self) -> sqlite3.Connection:
        if self._writer is None:
            state = "was closed" if self._closed else "is not open; call open first"
            raise CacheClosedError(f"the store {self._path!r} {state}")
        if os.getpid() != self._pid:
            self._refuse_fork()
        return self._writer

    def _refuse_fork(self) -> NoReturn:
        raise StoreBackendError(
            f"the store {self._path!r} was opened before this process forked, and SQLite connections do not survive "
            "that: open the store in the child"
        )

    def _meaning_of(self, error: sqlite3.Error) -> MnemeError:
        return meaning_of(error, self._path, closed=self._closed)

    def _read_many(self, refs: Sequence[Ref], vectors: bool) -> list[Record | None]:  # noqa: FBT001 - private
        numbers, keys = split(refs)

        def found(connection: sqlite3.Connection) -> dict[Ref, Record]:
            records: dict[Ref, Record] = {}
            if vectors:
                self._require_same(connection)
            for query, values, name in ((sql.READ_IDS, numbers, "id"), (sql.READ_KEYS, keys, "key")):
                for batch in batches(values):
                    for row in connection.execute(query[vectors], batch).fetchall():
                        record = record_of(row, self._places.get(connection, row[1]))
                        records[getattr(record, name)] = record
            return records

        records = self._look(found)
        return [records.get(ref) for ref in refs]

    def _bytes(self) -> int:
        return sum(files.size_of(self._path + suffix) for suffix in ("", "-wal"))
