"""Copying what can be read out of a damaged file into a new one. The damaged one is only copied, never opened."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mneme._rules.codec import JSON, TEXT
from mneme._rules.keys import key_of, normalize_query, partition_of
from mneme.errors import CorruptCacheError, StoreBackendError
from mneme.ports import Counters, Record, Usage, Vector
from mneme.stores import _sqlite_file as files
from mneme.stores._sqlite_rows import tags_of
from mneme.stores.sqlite import SQLiteStore
from mneme.types import Salvaged

__all__ = ["salvage"]

_BATCH = 500
_PROBES = 500_000
"""Reads that may fail before what is left of a table is given up."""
_GUESS = 2**20
"""The highest id, where no table can say it."""
_UNIT_TOLERANCE = 1e-3
_HEADER_BYTES = 100
_BLANK = bytes(64)
"""What a page that was lost leaves in the middle of a text."""


def salvage(path: str | os.PathLike[str], target: str | os.PathLike[str]) -> Salvaged:
    """Copy every entry that can still be read in the SQLite file *path* into a new file *target*.

    For a file with damaged pages, or one that was cut off. It is copied aside, with its log, and left as it is. Entries
    get new ids; one whose vector is lost answers on the exact layer alone, one whose times are lost counts as written
    when the one before it was. SQLite keeps no checksums: an answer that was overwritten in place, and still decodes,
    cannot be told from a true one. Nobody may write to the file meanwhile.

    Raises:
        ValueError: There is something at *target* already.
        CorruptCacheError: Nothing can be read: the first page, which says what is where, is damaged.
        StoreBackendError: *path* cannot be read, or *target* cannot be made or written to. Nothing is left there.
    """
    source, new = files.checked_path(path), files.checked_path(target)
    if os.path.lexists(new):
        raise ValueError(f"there is something at {new!r} already; choose a path for a new file")
    store = SQLiteStore(new)
    try:
        with tempfile.TemporaryDirectory(prefix=".mneme-salvage-", dir=Path(new).parent) as directory:
            copy = _copied(source, directory)
            with contextlib.closing(sqlite3.connect(copy)) as connection:
                done = _salvaged(_Source(connection, source), store)
    except BaseException as error:
        store.close()
        files.remove(new)
        if isinstance(error, OSError):
            raise StoreBackendError(f"{source!r} cannot be salvaged into {new!r}: {error}") from error
        raise
    store.close()
    return done


def _copied(source: str, directory: str) -> str:
    copy = str(Path(directory, "copy.db"))
    shutil.copyfile(source, copy)
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(f"{source}-wal", f"{copy}-wal")
    with Path(copy).open("r+b") as file:
        header = file.read(_HEADER_BYTES)
        if len(header) < _HEADER_BYTES or not header.startswith(b"SQLite format 3\0"):
            raise CorruptCacheError(f"nothing can be read from {source!r}: its first page is damaged")
        (size,), (pages,) = struct.unpack_from(">H", header, 16), struct.unpack_from(">I", header, 28)
        # SQLite reads nothing of a file that is shorter than it says.
        missing = pages * (65536 if size == 1 else size) - file.seek(0, os.SEEK_END)
        if 0 < missing <= 2**31:
            file.truncate(file.tell() + missing)
    return copy


class _Source:
    """The tables of a damaged file, each as far as it can be read."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._probes = 0
        self.unread = 0
        """Single rows that could not be read."""
        self.problems: list[str] = []
        try:
            connection.execute("PRAGMA cell_size_check = ON")
            connection.execute("SELECT name FROM sqlite_master").fetchall()
        except sqlite3.DatabaseError as error:
            raise CorruptCacheError(f"nothing can be read from {path!r}: {error}") from error
        self.highest = max((self._highest(table) for table in ("entries", "facts", "vectors")), default=0) or _GUESS

    def _highest(self, table: str) -> int:
        try:
            return int(self._connection.execute(f"SELECT ifnull(max(id), 0) FROM {table}").fetchone()[0])  # noqa: S608 - constants
        except (sqlite3.DatabaseError, TypeError, ValueError):
            return 0

    def columns(self, table: str, known: str) -> str:
        """What to read of a table: older files lack a column."""
        found = [row[1] for row in self._connection.execute(f"PRAGMA table_info({table})")]
        added = _SINCE_VERSION_3[known]
        return f"{known}, {added if added in found else '0.0'}"

    def one(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        """A row, or `None` if there is none or it cannot be read."""
        try:
            return self._connection.execute(query, parameters).fetchone()
        except sqlite3.DatabaseError:
            self.unread += 1
            return None

    def rows(self, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a table that can be read, in order of id, which is the first column.

        Where a range cannot be read it is halved, until what is bad is known by its ids.
        """
        query = f"SELECT {columns} FROM {table} WHERE id BETWEEN ? AND ? ORDER BY id"  # noqa: S608 - constants
        ranges = [(1, self.highest)]
        failed = 0
        while ranges:
            first, last = ranges.pop()
            try:
                for row in self._connection.execute(query, (first, last)):
                    yield row
                    first = row[0] + 1
            except sqlite3.DatabaseError:
                failed += 1
                self._probes += 1
                if self._probes > _PROBES:
                    self.problems.append(f"The table {table} was given up at id {first}: too much of it is damaged.")
                    return
                if first < last:
                    middle = (first + last) // 2
                    ranges += [(middle + 1, last), (first, middle)]
        if failed:
            self.problems.append(f"The table {table} cannot be read in places.")


def _salvaged(source: _Source, store: SQLiteStore) -> Salvaged:
    meta = source.one("SELECT fingerprint, dim FROM meta")
    source.unread = 0
    if meta is None or not isinstance(meta[0], str | None) or (meta[0] is None) != (meta[1] is None):
        source.problems.append("Which embedder the vectors are of cannot be read: they are left behind.")
        meta = (None, None)
    store.open(*meta)
    spaces = source.rows("namespaces", source.columns("namespaces", _NAMESPACES))
    names = {row[0]: row for row in spaces if isinstance(row[1], str)}
    known = ["default", *(row[1] for row in names.values())]
    places = dict(_places(source, {number: row[1] for number, row in names.items()}, known))
    facts = {row[0]: row[1:] for row in source.rows("facts", "id, created_at, accessed_at, removable_at")}
    seen = set(facts)
    records: list[Record] = []
    entries = vectors = 0
    at = min((row[0] for row in facts.values() if isinstance(row[0], float)), default=0.0)
    for row in source.rows("entries", source.columns("entries", _ENTRIES)):
        seen.add(row[0])
        times = facts.get(row[0])
        if times is not None and isinstance(times[0], float):
            at = times[0]
        record = _record(row, times, at, places, known)
        if record is None:
            continue
        vector = None if meta[1] is None else _vector(source, row[0], meta[1])
        entries, vectors = entries + 1, vectors + (vector is not None)
        records.append(record._replace(vector=vector))
        if len(records) == _BATCH:
            store.write(records)
            records = []
    store.write(records)
    if source.unread:
        source.problems.append(f"{source.unread} vectors cannot be read.")
    store.record(Usage({}, {row[1]: _counters(row) for row in names.values() if _counters(row) != Counters()}))
    return Salvaged(entries, vectors, max(len(seen) - entries, 0), tuple(source.problems))


_NAMESPACES = "id, name, hits_exact, hits_semantic, misses, evictions, expirations, seconds_saved"
_ENTRIES = "id, key, partition_id, query, payload, codec, metadata, tags, expires_at, compute_seconds"
_SINCE_VERSION_3 = {_NAMESPACES: "cost_saved", _ENTRIES: "cost"}


def _places(
    source: _Source, names: dict[int, str], known: Sequence[str]
) -> Iterator[tuple[int, tuple[bytes, str, str]]]:
    """Partitions by number. A namespace whose name is lost is found by the hash that the partition is."""
    for number, digest, namespace_id, scope in source.rows("partitions", "id, digest, namespace_id, scope"):
        if isinstance(digest, bytes) and len(digest) == 16 and isinstance(scope, str):
            name = names.get(namespace_id)
            if name is None:
                fitting = (one for one in known if partition_of(one, scope) == digest)
                name = next(fitting, f"recovered-{namespace_id}")
            yield number, (digest, name, scope)


def _record(
    row: Sequence[Any],
    times: Sequence[Any] | None,
    at: float,
    places: dict[int, tuple[bytes, str, str]],
    names: Sequence[str],
) -> Record | None:
    """The entry, if what was read makes sense."""
    _, key, partition_id, query, payload, codec, metadata, tags, expires, compute, cost = row
    texts = all(isinstance(text, str) for text in (query, codec, metadata, tags))
    if not texts or not isinstance(key, bytes) or len(key) != 32 or not isinstance(payload, bytes):
        return None
    place = places.get(partition_id) or _place_of(key, query, names)
    try:
        held = tags_of(tags) if tags else ()
        sound = not metadata or isinstance(json.loads(metadata), dict)
    except (CorruptCacheError, ValueError):
        return None
    sound = sound and _decodes(codec, payload) and isinstance(expires, float | None)
    if place is None or not sound:
        return None
    created, accessed, removable = (at, at, expires) if times is None else times
    return Record(
        *(key, *place, query, payload, codec, metadata, held),
        created_at=created if isinstance(created, float) else at,
        accessed_at=accessed if isinstance(accessed, float) else at,
        expires_at=expires,
        removable_at=removable if isinstance(removable, float | None) else expires,
        compute_seconds=compute if isinstance(compute, float) else 0.0,
        cost=cost if isinstance(cost, float) else 0.0,
    )


def _decodes(codec: str, payload: bytes) -> bool:
    """Whether the response may be what was stored. SQLite has no checksums: most damage shows in text, not all."""
    try:
        if codec == TEXT:
            payload.decode("utf-8", "surrogatepass")
            return _BLANK not in payload
        if codec == JSON:
            json.loads(payload)
    except ValueError:
        return False
    return True


def _place_of(key: bytes, query: str, names: Sequence[str]) -> tuple[bytes, str, str] | None:
    """Where an entry without a scope belongs whose partition is lost: its key tells."""
    for name in names:
        partition = partition_of(name, "")
        if key_of(partition, normalize_query(query)) == key:
            return partition, name, ""
    return None


def _vector(source: _Source, entry_id: int, dim: int) -> Vector | None:
    row = source.one("SELECT vector FROM vectors WHERE id = ?", (entry_id,))
    if row is None or not isinstance(row[0], bytes) or len(row[0]) != 4 * dim:
        return None
    vector = np.frombuffer(row[0], "<f4").astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        length = float(np.linalg.norm(vector.astype(np.float64)))
    return vector if abs(length - 1.0) <= _UNIT_TOLERANCE else None


def _counters(row: Sequence[Any]) -> Counters:
    numbers = [value if isinstance(value, int | float) and value >= 0 else 0 for value in row[2:]]
    exact, semantic, misses, evictions, expirations = map(int, numbers[:5])
    return Counters(exact, semantic, misses, evictions, expirations, float(numbers[5]), float(numbers[6]))
