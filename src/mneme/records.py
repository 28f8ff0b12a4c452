"""What crosses the ports: rows, selections and search results. Plain data, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "HISTORY",
    "Change",
    "Counters",
    "Matches",
    "Matrix",
    "NamespaceSummary",
    "Record",
    "Ref",
    "Removed",
    "Selection",
    "StoreInfo",
    "Unstaged",
    "Usage",
    "Vector",
    "VectorBlock",
    "VectorDType",
    "Written",
]

Vector: TypeAlias = npt.NDArray[np.float32]
"""A float32 array of shape `(dim,)`."""

Matrix: TypeAlias = npt.NDArray[np.float32]
"""A C-contiguous float32 array of shape `(n, dim)`."""

VectorDType: TypeAlias = Literal["float32", "float16", "int8"]

Ref: TypeAlias = "int | bytes"
"""How a stored entry is named: by its id, or by its key."""


class Record(NamedTuple):
    """One entry as a store keeps it. Times are seconds since the epoch; text and bytes are opaque to the store.

    A named tuple, not a dataclass: a store makes one for every cold read, and this is the cheapest immutable row.
    """

    key: bytes
    """32 bytes, unique in the store: the identity of the entry. Writing an equal key replaces, and keeps the id."""
    partition: bytes
    """16 bytes: which entries may answer for which. Determined by namespace and scope."""
    namespace: str
    scope: str
    """Canonical JSON of the scope, empty for none."""
    query: str
    payload: bytes
    """The encoded response."""
    codec: str
    """Name of the codec that encoded it."""
    metadata: str
    """A JSON object, empty for none."""
    tags: tuple[str, ...]
    created_at: float
    accessed_at: float
    expires_at: float | None
    """From this moment the entry is invisible; `None` is never."""
    removable_at: float | None
    """From this moment the entry may be removed: `expires_at`, or later if it may be served stale; `None` is never."""
    compute_seconds: float
    """What the response took to compute, 0.0 if unknown."""
    id: int = 0
    """Assigned by the store on the first write, positive, never reused."""
    seq: int = 0
    """Assigned by the store on every write: strictly increasing over the whole store."""
    vector: Vector | None = None
    """Unit length, or `None` for an entry of the exact layer alone. Read back only when asked for."""
    cost: float = 0.0
    """What the response cost, in whatever unit the caller counts in; 0.0 if unknown."""


class Written(NamedTuple):
    """What `write` did with one record."""

    id: int
    seq: int
    replaced: bool


class Removed(NamedTuple):
    """One entry that `delete` removed."""

    id: int
    key: bytes
    namespace: str
    seq: int
    """Of the deletion; those of one call follow one another."""


HISTORY = 100_000
"""How many sequence numbers a store's deletions are remembered for."""


class Change(NamedTuple):
    """One step of the store's history. A deletion says no more than which entry is gone."""

    seq: int
    id: int
    key: bytes
    deleted: bool


class VectorBlock(NamedTuple):
    """A run of stored vectors in order of id, for filling an index."""

    ids: npt.NDArray[np.int64]
    partitions: Sequence[bytes]
    """The partition of every row, in the same order."""
    vectors: Matrix


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries `delete` and `scan` mean: those that satisfy every criterion that is set. None set means all.

    With *least_recent* the number is a limit: of the entries selected, the so many accessed longest ago (ties by id).
    """

    refs: Sequence[Ref] | None = None
    namespace: str | None = None
    partition: bytes | None = None
    tags: Sequence[str] | None = None
    """Entries that carry any of these."""
    created_before: float | None = None
    removable_by: float | None = None
    """Entries whose `removable_at` is at or before this moment."""
    least_recent: int | None = None


@dataclass(frozen=True, slots=True)
class Counters:
    """Running totals of one namespace; they survive a restart."""

    hits_exact: int = 0
    hits_semantic: int = 0
    misses: int = 0
    evictions: int = 0
    expirations: int = 0
    seconds_saved: float = 0.0
    cost_saved: float = 0.0

    def __add__(self, other: Counters) -> Counters:
        return Counters(
            self.hits_exact + other.hits_exact,
            self.hits_semantic + other.hits_semantic,
            self.misses + other.misses,
            self.evictions + other.evictions,
            self.expirations + other.expirations,
            self.seconds_saved + other.seconds_saved,
            self.cost_saved + other.cost_saved,
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """What was recorded in memory since the last flush: access times by entry id, and counters to add by namespace."""

    accessed: Mapping[int, float]
    counters: Mapping[str, Counters]


@dataclass(frozen=True, slots=True)
class NamespaceSummary:
    """What a store knows of one namespace that has entries or counters."""

    namespace: str
    entries: int
    payload_bytes: int
    """Responses, queries and metadata, without vectors."""
    oldest_created_at: float | None
    counters: Counters


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What `open` found, or made."""

    fingerprint: str | None
    """Of the embedder whose vectors the store holds; `None` while it holds none."""
    dim: int | None
    schema_version: int
    seq: int
    """Of the latest write or deletion."""


class Unstaged(NamedTuple):
    """An entry that lacks a vector of the embedder that a store is to change over to."""

    id: int
    seq: int
    """Of the write that it lacks one for."""
    namespace: str
    query: str


class Matches(NamedTuple):
    """What a search found for one query, best first: in falling order of `similarities + errors`, ties by rising id."""

    ids: npt.NDArray[np.int64]
    similarities: npt.NDArray[np.float32]
    """Cosine similarities in [-1, 1], as far as the index knows them."""
    errors: npt.NDArray[np.float32] | None
    """How far each may be from the truth, or `None` when they are exact: then nothing needs to be scored again."""
