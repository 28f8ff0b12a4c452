"""The contracts between the cache and what it stands on. A backend author needs this page and no other.

A *port* is coarse: one call is one transaction, and takes a batch. Ports know nothing of thresholds, expiry or
confidence: those decisions are made above them, so every backend behaves the same. A blocking port and its async twin
have the same verbs; the cache runs either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

__all__ = [
    "AsyncEmbedder",
    "AsyncIndex",
    "AsyncStore",
    "Change",
    "Clock",
    "Codec",
    "Counters",
    "Embedder",
    "Index",
    "Matches",
    "Matrix",
    "MetricsHook",
    "NamespaceSummary",
    "Record",
    "Ref",
    "Removed",
    "Selection",
    "Store",
    "StoreInfo",
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

MetricsHook: TypeAlias = Callable[[str, Mapping[str, Any]], None]
"""Called with an event's name and its fields, of which `namespace` is always one."""


# --- embedders -------------------------------------------------------------------------------------------------------


@runtime_checkable
class Embedder(Protocol):
    """Turns text into a vector. It may also offer `embed_many(texts) -> (n, dim)`, which is used for batches.

    It must be safe to call from several threads at once: the cache calls it outside every lock. A text that it would
    have to cut off raises `InputTooLongError`; it is never shortened silently, because cut-off texts collide.
    """

    @property
    def dim(self) -> int:
        """Length of every vector."""
        ...

    @property
    def fingerprint(self) -> str:
        """Everything that changes a vector: model, version, dimension, prefix, normalisation."""
        ...

    def embed(self, text: str) -> Vector:
        """The vector of *text*, float32 of shape `(dim,)`; the cache normalises its length."""
        ...


@runtime_checkable
class AsyncEmbedder(Protocol):
    """An `Embedder` whose `embed`, and `embed_many` if there is one, are awaited."""

    @property
    def dim(self) -> int: ...

    @property
    def fingerprint(self) -> str: ...

    async def embed(self, text: str) -> Vector: ...


# --- what a store keeps ----------------------------------------------------------------------------------------------


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

    def __add__(self, other: Counters) -> Counters:
        return Counters(
            self.hits_exact + other.hits_exact,
            self.hits_semantic + other.hits_semantic,
            self.misses + other.misses,
            self.evictions + other.evictions,
            self.expirations + other.expirations,
            self.seconds_saved + other.seconds_saved,
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


@runtime_checkable
class Store(Protocol):
    """Where entries live. The store is the truth: everything in memory can be rebuilt from it.

    Every verb is one transaction: it happens whole or not at all, and is durable when it returns. All verbs are safe to
    call from several threads at once. A verb that fails for reasons outside mneme raises `StoreBackendError` and leaves
    the store as it was; after `close` every verb but `close` raises `CacheClosedError`.
    """

    @property
    def name(self) -> str:
        """A short word for `Health.store_backend`: "sqlite"."""
        ...

    def open(self, fingerprint: str | None, dim: int | None) -> StoreInfo:
        """Open the store, making it if it does not exist, and bind it to an embedder if it is bound to none.

        With `None` nothing is bound, and a bound store opens just the same.

        Raises:
            EmbedderMismatchError: It is bound to another fingerprint or dimension. Nothing was altered.
            CorruptCacheError: What is there is not a mneme store, or damaged. Nothing was altered.
            SchemaMigrationError: A newer version made it. Nothing was altered.
            StoreBackendError: It cannot be reached, made, or written to.
        """
        ...

    def read(self, refs: Sequence[Ref], *, vectors: bool = False) -> list[Record | None]:
        """The records named, in order; `None` where there is none. Expired records are returned like any other.

        Vectors are read only with *vectors*: an exact lookup never pays for them.
        """
        ...

    def write(self, records: Sequence[Record]) -> list[Written]:
        """Store the records in order; one with a key already stored replaces that entry, and keeps its id.

        A key that occurs twice is written twice: the later one stays. The ids and sequence numbers in *records* are
        ignored.
        """
        ...

    def delete(self, selection: Selection) -> list[Removed]:
        """Remove what *selection* means, and leave a trace of each for `changes`."""
        ...

    def record(self, usage: Usage) -> None:
        """Write access times and add counters. Ids that are gone are passed over. No sequence number is used up."""
        ...

    def scan(self, selection: Selection, *, after: int = 0, limit: int = 1000, vectors: bool = False) -> list[Record]:
        """At most *limit* records that *selection* means with an id above *after*, in order of id.

        `Selection.least_recent` is not for scanning and raises `ValueError`.
        """
        ...

    def vectors(self, *, after: int = 0, limit: int = 4096) -> VectorBlock:
        """At most *limit* stored vectors with an id above *after*, in order of id. Entries without one are left out."""
        ...

    def changes(self, since: int, *, limit: int = 1000) -> list[Change]:
        """What happened after sequence number *since*, in order: each entry's latest write, and every deletion."""
        ...

    def summary(self) -> list[NamespaceSummary]:
        """Every namespace that has entries or counters, in order of name."""
        ...

    def check(self) -> list[str]:
        """Every inconsistency found, a sentence each; empty when the store is sound. Reads all of it."""
        ...

    def compact(self) -> int:
        """Give space back to where it came from; how many bytes. May take as long as copying the store."""
        ...

    def close(self) -> None:
        """Release everything. Again is harmless."""
        ...


@runtime_checkable
class AsyncStore(Protocol):
    """A `Store` whose verbs are awaited. The promises are the same."""

    @property
    def name(self) -> str: ...
    async def open(self, fingerprint: str | None, dim: int | None) -> StoreInfo: ...
    async def read(self, refs: Sequence[Ref], *, vectors: bool = False) -> list[Record | None]: ...
    async def write(self, records: Sequence[Record]) -> list[Written]: ...
    async def delete(self, selection: Selection) -> list[Removed]: ...
    async def record(self, usage: Usage) -> None: ...
    async def scan(
        self, selection: Selection, *, after: int = 0, limit: int = 1000, vectors: bool = False
    ) -> list[Record]: ...
    async def vectors(self, *, after: int = 0, limit: int = 4096) -> VectorBlock: ...
    async def changes(self, since: int, *, limit: int = 1000) -> list[Change]: ...
    async def summary(self) -> list[NamespaceSummary]: ...
    async def check(self) -> list[str]: ...
    async def compact(self) -> int: ...
    async def close(self) -> None: ...


# --- indexes ---------------------------------------------------------------------------------------------------------


class Matches(NamedTuple):
    """What a search found for one query, best first: in falling order of `similarities + errors`, ties by rising id."""

    ids: npt.NDArray[np.int64]
    similarities: npt.NDArray[np.float32]
    """Cosine similarities in [-1, 1], as far as the index knows them."""
    errors: npt.NDArray[np.float32] | None
    """How far each may be from the truth, or `None` when they are exact: then nothing needs to be scored again."""


@runtime_checkable
class Index(Protocol):
    """Finds vectors near a query within one partition. Rebuilt from the store at any time; holds nothing of its own.

    All verbs are safe to call from several threads at once. A search sees the index before or after each change, never
    in the middle of one.
    """

    @property
    def name(self) -> str:
        """A short word for `Health.index_backend`: "numpy"."""
        ...

    @property
    def dtype(self) -> VectorDType:
        """In what the vectors are held in memory."""
        ...

    def open(self, dim: int, dtype: VectorDType) -> None:
        """Start empty, for vectors of this dimension. Comes before any other verb."""
        ...

    def add(self, ids: Sequence[int], partitions: Sequence[bytes], vectors: Matrix) -> None:
        """Hold these unit vectors; an id already held is replaced, in whichever partition it was."""
        ...

    def remove(self, ids: Iterable[int]) -> int:
        """Forget these ids; how many were held."""
        ...

    def search(self, partition: bytes, queries: Matrix, *, floor: float, k: int) -> list[Matches]:
        """For each unit query the best *k* rows of the partition whose similarity may be at least *floor*.

        No row that belongs to the true best *k* at or above *floor* is missing: where similarities are inexact, more
        than *k* may come back, for the caller to score again from float32 vectors.
        """
        ...

    def size(self) -> int:
        """How many vectors are held."""
        ...

    def tombstones(self) -> int:
        """How many rows are dead weight until the index tidies up."""
        ...

    def memory_bytes(self) -> int:
        """Memory held, within a few per cent."""
        ...

    def close(self) -> None:
        """Give the memory back. Again is harmless."""
        ...


@runtime_checkable
class AsyncIndex(Protocol):
    """An `Index` whose verbs that take time are awaited. The promises are the same."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> VectorDType: ...
    async def open(self, dim: int, dtype: VectorDType) -> None: ...
    async def add(self, ids: Sequence[int], partitions: Sequence[bytes], vectors: Matrix) -> None: ...
    async def remove(self, ids: Iterable[int]) -> int: ...
    async def search(self, partition: bytes, queries: Matrix, *, floor: float, k: int) -> list[Matches]: ...
    async def size(self) -> int: ...
    async def tombstones(self) -> int: ...
    async def memory_bytes(self) -> int: ...
    async def close(self) -> None: ...


# --- small ones ------------------------------------------------------------------------------------------------------


class Codec(Protocol):
    """Encodes responses that are not `str`, `bytes` or JSON. What it decodes must share nothing with the cache."""

    @property
    def name(self) -> str:
        """Stored with every entry that this codec encoded; an entry is only ever decoded by the codec of its name."""
        ...

    def encode(self, value: Any) -> bytes:
        """Raises `TypeError` or `ValueError` for what it cannot hold exactly."""
        ...

    def decode(self, payload: bytes) -> Any: ...


class Clock(Protocol):
    """Where the cache gets the time from; tests pass one that they move by hand (`mneme.testing.FakeClock`)."""

    def now(self) -> float:
        """Seconds since the epoch, never less than before."""
        ...
