"""The contracts between the cache and what it stands on. A backend author needs this page and no other.

A *port* is coarse: one call is one transaction, and takes a batch. Ports know nothing of thresholds, expiry or
confidence: those decisions are made above them, so every backend behaves the same. A blocking port and its async twin
have the same verbs; the cache runs either. What crosses the ports is defined in `records` and exported from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from mneme.capabilities import (
    MarkedStore,
    ReembeddingStore,
    RepairingStore,
    SavedIndex,
    ScrubbingStore,
    SearchingStore,
    SwappingStore,
)
from mneme.records import (
    HISTORY,
    Change,
    Counters,
    Matches,
    Matrix,
    NamespaceSummary,
    Record,
    Ref,
    Removed,
    Selection,
    StoreInfo,
    Unstaged,
    Usage,
    Vector,
    VectorBlock,
    VectorDType,
    Written,
)

__all__ = [
    "HISTORY",
    "AsyncEmbedder",
    "AsyncIndex",
    "AsyncStore",
    "Change",
    "Clock",
    "Codec",
    "Counters",
    "Embedder",
    "Guard",
    "Index",
    "MarkedStore",
    "Matches",
    "Matrix",
    "MetricsHook",
    "NamespaceSummary",
    "Record",
    "ReembeddingStore",
    "Ref",
    "Removed",
    "RepairingStore",
    "SavedIndex",
    "ScrubbingStore",
    "SearchingStore",
    "Selection",
    "Store",
    "StoreInfo",
    "SwappingStore",
    "Unstaged",
    "Usage",
    "Vector",
    "VectorBlock",
    "VectorDType",
    "Written",
]

MetricsHook: TypeAlias = Callable[[str, Mapping[str, Any]], None]
"""Called with an event's name and its fields, of which `namespace` is always one.

One with a true attribute `wants_seconds` is told how long things took as well.
"""


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


# --- stores ---------------------------------------------------------------------------------------------------------


@runtime_checkable
class Store(Protocol):
    """Where entries live. The store is the truth: everything in memory can be rebuilt from it.

    Every verb is one transaction: it happens whole or not at all, and is durable when it returns. All verbs are safe to
    call from several threads at once. After `close` every verb but `close` raises `CacheClosedError`.

    A verb that fails for reasons outside mneme raises `StoreBackendError`. Then nothing happened; or, where the answer
    may be lost on its way, the outcome is unknown: all of it happened, or nothing, or all of it is about to. The
    message says which it is. The cache takes every outcome to be unknown: it asks `changes` before memory is believed.

    A store whose verbs fail five times in a row is asked less often: calls fail at once, and now and then one is let
    through to see whether the store is back. So a verb must come to an end: one that waits on a network gives up.
    """

    @property
    def name(self) -> str:
        """A short word for `Health.store_backend`: "sqlite"."""
        ...

    def open(self, fingerprint: str | None, dim: int | None) -> StoreInfo:
        """Open the store, making it if it does not exist, and bind it to an embedder if it is bound to none.

        With `None` nothing is bound, and a bound store opens just the same. Opening an open store checks and reports
        again.

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

    def changes(self, since: int, *, limit: int = 1000) -> list[Change] | None:
        """What happened after sequence number *since*, in order: each entry's latest write, and every deletion.

        `None` when deletions after *since* have been forgotten: then everything must be read anew. None of the latest
        `HISTORY` sequence numbers is ever forgotten, save by `scrub`, and no more than that need be kept.
        """
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
    async def changes(self, since: int, *, limit: int = 1000) -> list[Change] | None: ...
    async def summary(self) -> list[NamespaceSummary]: ...
    async def check(self) -> list[str]: ...
    async def compact(self) -> int: ...
    async def close(self) -> None: ...


# --- indexes ---------------------------------------------------------------------------------------------------------


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


@runtime_checkable
class Guard(Protocol):
    """Refuses to let the answer to one question stand for another, however similar the two are.

    Asked on the semantic layer alone, of an entry that would answer otherwise. One that raises has refused. On the
    async face `check` may be a coroutine function.

    Two attributes are optional. With `below`, a similarity, it is asked only of entries less similar than that. With
    `slow` true, the async face calls it on a worker thread; otherwise it must take no longer than the loop can wait.
    """

    @property
    def name(self) -> str:
        """A short word for events and explanations, different from those of the other guards."""
        ...

    def check(self, asked: str, stored: str, /, *, similarity: float, response: Any) -> Any:
        """Why the answer to *stored* must not answer *asked*, for people to read; `None` if nothing speaks against it.

        *response* is the stored answer; `None` too while that is still being computed, and the question is whether to
        wait for it.
        """
        ...


class Clock(Protocol):
    """Where the cache gets the time from; tests pass one that they move by hand (`mneme.testing.FakeClock`)."""

    def now(self) -> float:
        """Seconds since the epoch, never less than before."""
        ...
