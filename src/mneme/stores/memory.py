"""The store that keeps everything in memory: the reference for what the verbs mean. Read this one first."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from mneme._rules.selecting import satisfies
from mneme.errors import CacheClosedError, EmbedderMismatchError
from mneme.ports import (
    HISTORY,
    Change,
    Counters,
    NamespaceSummary,
    Record,
    Ref,
    Removed,
    Selection,
    StoreInfo,
    Usage,
    Vector,
    VectorBlock,
    Written,
)
from mneme.stores._memory_reembed import Reembedding, block_of, frozen

__all__ = ["MemoryStore"]


class MemoryStore(Reembedding):
    """Keeps entries in dictionaries and forgets them on `close`. For tests, and for caches that need not last.

    Durability: none. Everything lives as long as the store object is open.

    Thread safety: every verb takes one lock for its whole duration. Vectors are copied in, and come back read-only.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state: bool | None = None  # None before `open`, then whether it is open
        self._fingerprint: str | None = None
        self._dim: int | None = None
        self._seq = 0
        self._entries: dict[int, Record] = {}  # in order of id: ids only grow, and a replacement keeps its place
        self._ids: dict[bytes, int] = {}
        self._deleted: deque[Change] = deque()
        self._forgotten = 0  # up to which sequence number deletions are
        self._counters: dict[str, Counters] = {}
        self._staged = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self._entries)} {'entry' if len(self._entries) == 1 else 'entries'}>"

    @property
    def name(self) -> str:
        return "memory"

    def open(self, fingerprint: str | None, dim: int | None) -> StoreInfo:
        if (fingerprint is None) != (dim is None):
            raise ValueError("fingerprint and dim belong together: pass both or None for both")
        with self._lock:
            if self._state is False:
                raise CacheClosedError("the store was closed; make a new one")
            if fingerprint is not None:
                if self._fingerprint is not None and (self._fingerprint, self._dim) != (fingerprint, dim):
                    raise EmbedderMismatchError(
                        f"the store holds vectors of {self._fingerprint!r} (dim {self._dim}), "
                        f"not of {fingerprint!r} (dim {dim}): use the same embedder, or a new store"
                    )
                self._fingerprint, self._dim = fingerprint, dim
                self._opened_at, self._bound = self._switches, True
            self._state = True
            return StoreInfo(self._fingerprint, self._dim, schema_version=1, seq=self._seq)

    def read(self, refs: Sequence[Ref], *, vectors: bool = False) -> list[Record | None]:
        with self._lock:
            self._require_open()
            if vectors:
                self._require_same()
            found = [self._entries.get(self._id_of(ref)) for ref in refs]
        return [record if record is None or vectors else record._replace(vector=None) for record in found]

    def write(self, records: Sequence[Record]) -> list[Written]:
        with self._lock:
            self._require_open()
            self._require_same()
            vectors = [frozen(record.vector, self._dim) for record in records]  # all before the first is stored
            return [self._put(record, vector) for record, vector in zip(records, vectors, strict=True)]

    def delete(self, selection: Selection) -> list[Removed]:
        with self._lock:
            self._require_open()
            chosen = list(self._selected(selection))
            if selection.least_recent is not None:
                chosen.sort(key=lambda record: (record.accessed_at, record.id))
                chosen = sorted(chosen[: max(selection.least_recent, 0)], key=lambda record: record.id)
            removed = []
            for record in chosen:
                del self._entries[record.id], self._ids[record.key]
                self._seq += 1
                self._deleted.append(Change(self._seq, record.id, record.key, deleted=True))
                removed.append(Removed(record.id, record.key, record.namespace, self._seq))
            while self._deleted and self._deleted[0].seq <= self._seq - HISTORY:
                self._forgotten = self._deleted.popleft().seq
            return removed

    def record(self, usage: Usage) -> None:
        with self._lock:
            self._require_open()
            for entry_id, accessed_at in usage.accessed.items():
                if entry_id in self._entries:
                    self._entries[entry_id] = self._entries[entry_id]._replace(accessed_at=accessed_at)
            for namespace, counters in usage.counters.items():
                self._counters[namespace] = self._counters.get(namespace, Counters()) + counters

    def scan(self, selection: Selection, *, after: int = 0, limit: int = 1000, vectors: bool = False) -> list[Record]:
        if selection.least_recent is not None:
            raise ValueError("least_recent is for delete: a scan goes by id")
        with self._lock:
            self._require_open()
            if vectors:
                self._require_same()
            found = [record for record in self._selected(selection) if record.id > after][: max(limit, 0)]
        return found if vectors else [record._replace(vector=None) for record in found]

    def vectors(self, *, after: int = 0, limit: int = 4096) -> VectorBlock:
        with self._lock:
            self._require_open()
            self._require_same()
            held = [(r.id, r.partition, r.vector) for r in self._entries.values()]
            return block_of(held, self._dim or 0, after, limit)

    def changes(self, since: int, *, limit: int = 1000) -> list[Change] | None:
        with self._lock:
            self._require_open()
            if self._bound:
                self._require_same()
            if since < self._forgotten:
                return None
            written = [Change(r.seq, r.id, r.key, deleted=False) for r in self._entries.values() if r.seq > since]
            deleted = [change for change in self._deleted if change.seq > since]
        return sorted(written + deleted)[: max(limit, 0)]

    def summary(self) -> list[NamespaceSummary]:
        with self._lock:
            self._require_open()
            by_name: dict[str, list[Record]] = {}
            for name, counters in self._counters.items():
                if counters != Counters():
                    by_name[name] = []
            for record in self._entries.values():
                by_name.setdefault(record.namespace, []).append(record)
            return [self._summed(name, by_name[name]) for name in sorted(by_name)]

    def check(self) -> list[str]:
        with self._lock:
            self._require_open()
            alive = {record.key: entry_id for entry_id, record in self._entries.items()}
            return [] if alive == self._ids else ["The keys and the entries do not agree."]

    def compact(self) -> int:
        with self._lock:
            self._require_open()
            return 0

    def scrub(self, timeout: float) -> list[str]:  # noqa: ARG002 -- nobody is to be waited for
        with self._lock:
            self._require_open()
            self._deleted = deque(change._replace(key=os.urandom(32)) for change in self._deleted)
            if self._deleted:
                self._forgotten = max(self._forgotten, self._deleted[-1].seq)
            return []

    def swap(self, records: Sequence[Record]) -> list[bool]:
        with self._lock:
            self._require_open()
            return [self._swapped(record) for record in records]

    def close(self) -> None:
        with self._lock:
            self._state = False
            self._entries, self._ids, self._deleted, self._counters = {}, {}, deque(), {}
            self._staged = {}

    def _require_open(self) -> None:
        if not self._state:
            raise CacheClosedError(
                "the store is not open; call open first" if self._state is None else "the store was closed"
            )

    def _id_of(self, ref: Ref) -> int:
        return ref if isinstance(ref, int) else self._ids.get(ref, 0)

    def _put(self, record: Record, vector: Vector | None) -> Written:
        self._seq += 1
        known = self._ids.get(record.key)
        entry_id = self._seq if known is None else known  # a sequence number never comes twice: a fine source of ids
        self._ids[record.key] = entry_id
        self._entries[entry_id] = record._replace(id=entry_id, seq=self._seq, tags=tuple(record.tags), vector=vector)
        return Written(entry_id, self._seq, replaced=known is not None)

    def _swapped(self, record: Record) -> bool:
        held = self._entries.get(record.id)
        if held is None or held.seq != record.seq:
            return False
        fields = {name: getattr(record, name) for name in ("query", "payload", "codec", "metadata")}
        self._entries[record.id] = held._replace(**fields)
        return True

    def _selected(self, selection: Selection) -> Iterator[Record]:
        records: Iterable[Record] = self._entries.values()
        if selection.refs is not None:
            ids = sorted({self._id_of(ref) for ref in selection.refs})
            records = [self._entries[entry_id] for entry_id in ids if entry_id in self._entries]
        for record in records:
            if satisfies(record, selection):
                yield record

    def _summed(self, name: str, records: list[Record]) -> NamespaceSummary:
        return NamespaceSummary(
            namespace=name,
            entries=len(records),
            payload_bytes=sum(len(r.payload) + len(r.query.encode()) + len(r.metadata.encode()) for r in records),
            oldest_created_at=min((record.created_at for record in records), default=None),
            counters=self._counters.get(name, Counters()),
        )
