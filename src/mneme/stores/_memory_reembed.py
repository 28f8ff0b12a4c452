"""What lets the store in memory change over to another embedder: the reference for `ReembeddingStore`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import islice

import numpy as np

from mneme.errors import EmbedderDimensionError, EmbedderMismatchError, ReembeddingError
from mneme.ports import Record, Unstaged, Vector, VectorBlock

__all__ = ["Reembedding", "block_of", "frozen"]


class Reembedding:
    """The verbs of `ReembeddingStore`, for the store in memory."""

    _lock: threading.Lock
    _entries: dict[int, Record]
    _fingerprint: str | None
    _dim: int | None
    _next: tuple[str, int] | None = None
    _staged: dict[int, tuple[int, Vector | None]]
    """By id: the sequence number of the write that it is for, and the vector."""
    _switches = 0
    _opened_at = 0  # after so many of them
    _bound = False  # it was opened for an embedder

    def begin_reembedding(self, fingerprint: str, dim: int) -> int:
        with self._lock:
            self._require_open()
            if self._next != (fingerprint, dim):
                self._next, self._staged = (fingerprint, dim), {}
            return sum(1 for record in self._entries.values() if not self._is_staged(record))

    def unstaged(self, *, limit: int = 1000) -> list[Unstaged]:
        with self._lock:
            self._require_begun()
            lacking = (record for record in self._entries.values() if not self._is_staged(record))
            return [Unstaged(r.id, r.seq, r.namespace, r.query) for r in islice(lacking, max(limit, 0))]

    def stage(self, entries: Sequence[Unstaged], vectors: Sequence[Vector | None]) -> None:
        with self._lock:
            _, dim = self._require_begun()
            kept = [frozen(vector, dim) for vector in vectors]  # all before the first is stored
            for entry, vector in zip(entries, kept, strict=True):
                record = self._entries.get(entry.id)
                if record is not None and record.seq == entry.seq:
                    self._staged[entry.id] = (entry.seq, vector)

    def staged(self, *, after: int = 0, limit: int = 4096) -> VectorBlock:
        with self._lock:
            _, dim = self._require_begun()
            current = [(r, self._staged[r.id][1]) for r in self._entries.values() if self._is_staged(r)]
            return block_of([(r.id, r.partition, vector) for r, vector in current], dim, after, limit)

    def switch_embedder(self) -> bool:
        with self._lock:
            fingerprint, dim = self._require_begun()
            if not all(self._is_staged(record) for record in self._entries.values()):
                return False
            self._fingerprint, self._dim = fingerprint, dim
            self._entries = {i: r._replace(vector=self._staged[i][1]) for i, r in self._entries.items()}
            self._switches += 1
            self._next, self._staged = None, {}
            return True

    def end_reembedding(self) -> None:
        with self._lock:
            self._require_open()
            self._next, self._staged = None, {}

    def _is_staged(self, record: Record) -> bool:
        return self._staged.get(record.id, (0, None))[0] == record.seq

    def _require_begun(self) -> tuple[str, int]:
        self._require_open()
        if self._next is None:
            raise ReembeddingError("the store is not being given vectors of another embedder; begin that first")
        return self._next

    def _require_same(self) -> None:
        """Raise if the vectors are no longer those of the embedder that the store was opened for."""
        if self._switches != self._opened_at:
            raise EmbedderMismatchError(
                "the store has changed over to another embedder since it was opened: open it again with that embedder"
            )

    def _require_open(self) -> None:
        raise NotImplementedError


def frozen(vector: Vector | None, dim: int | None) -> Vector | None:
    """A copy that nobody can write to."""
    if vector is None:
        return None
    kept = np.array(vector, dtype=np.float32)
    if kept.shape != (dim,):
        raise EmbedderDimensionError(
            f"the vector has shape {kept.shape}, the store holds "
            + ("none: open it with a fingerprint and a dim" if dim is None else f"({dim},)")
        )
    kept.setflags(write=False)
    return kept


def block_of(held: Sequence[tuple[int, bytes, Vector | None]], dim: int, after: int, limit: int) -> VectorBlock:
    rows = [(i, p, vector) for i, p, vector in held if vector is not None and i > after][: max(limit, 0)]
    matrix = np.stack([vector for _, _, vector in rows]) if rows else np.empty((0, dim), dtype=np.float32)
    return VectorBlock(np.array([i for i, _, _ in rows], dtype=np.int64), [p for _, p, _ in rows], matrix)
