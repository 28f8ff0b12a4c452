"""What a store or an index may offer besides its port. Whoever offers it has the verb; nobody must.

An async store has the same verbs, awaited. All names here are exported from `ports`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from mneme.records import Matrix, Record, Unstaged, Vector, VectorBlock, VectorDType
from mneme.types import Repair

__all__ = [
    "MarkedStore",
    "ReembeddingStore",
    "RepairingStore",
    "SavedIndex",
    "ScrubbingStore",
    "SearchingStore",
    "SwappingStore",
]


@runtime_checkable
class MarkedStore(Protocol):
    """What a store may offer besides: to remember one short text, by which something made from it is known again.

    A copy of the store that was made before the text was set has the earlier one, or none.
    """

    def marked(self) -> str | None:
        """The text set last; `None` if none ever was."""
        ...

    def mark(self, text: str) -> None:
        """Remember *text* in place of the one before. No sequence number is used up."""
        ...


@runtime_checkable
class ReembeddingStore(Protocol):
    """What a store may offer besides: to take in vectors of another embedder beside those that serve, and change over.

    Whoever opened the store before the change gets `EmbedderMismatchError` from `changes`, and from every verb that
    reads or writes vectors, until it is opened for the new embedder: vectors of two embedders are never mixed. What
    was taken in outlasts `close` and the death of the process. An `AsyncStore` that offers it has the same verbs,
    awaited.

    Every verb but the first and the last raises `ReembeddingError` if no re-embedding that this object began is under
    way: somebody else finished it, gave it up, or began another.
    """

    def begin_reembedding(self, fingerprint: str, dim: int) -> int:
        """Be ready for vectors of this embedder; how many entries lack one.

        What was begun for the same embedder goes on where it was; vectors of any other are forgotten.
        """
        ...

    def unstaged(self, *, limit: int = 1000) -> list[Unstaged]:
        """At most *limit* entries that lack a new vector for their latest write, in order of id."""
        ...

    def stage(self, entries: Sequence[Unstaged], vectors: Sequence[Vector | None]) -> None:
        """Keep a new vector for each entry, or that it has none. One that was written or deleted since is passed over.

        Raises:
            EmbedderDimensionError: A vector does not have the new dimension. Nothing was kept.
        """
        ...

    def staged(self, *, after: int = 0, limit: int = 4096) -> VectorBlock:
        """Like `vectors`, of those that were taken in."""
        ...

    def switch_embedder(self) -> bool:
        """Make the new vectors those of the store, and bind it to their embedder; in one transaction.

        False, and nothing happened, if an entry lacks one. What `MarkedStore.mark` set is forgotten.
        """
        ...

    def end_reembedding(self) -> None:
        """Let go of vectors that serve no more, or not yet: whatever was begun is given up. Again is harmless."""
        ...


@runtime_checkable
class RepairingStore(Protocol):
    """What a store may offer besides: to put right what its `check` finds.

    An `AsyncStore` that offers it has the same verb, awaited.
    """

    def repair(self, *, apply: bool) -> list[Repair]:
        """What is wrong, and what is done about each, in one transaction; unless *apply*, nothing is altered.

        No entry that can be kept is lost; one that cannot stay is moved out to where it can be looked at. After a
        repair `changes` says that everything is to be read anew.
        """
        ...


@runtime_checkable
class ScrubbingStore(Protocol):
    """What a store may offer besides: to overwrite what deleted and replaced entries left behind.

    An `AsyncStore` that offers it has the same verb, awaited.
    """

    def scrub(self, timeout: float) -> list[str]:
        """Leave no byte of what is no longer stored in any file of the store's; what remains, a sentence each.

        Not even of the keys of deleted entries: their bytes come to mean nothing, and `changes` answers `None` to who
        has not read those deletions yet. Whoever else uses the store is waited for, at most *timeout* seconds. Where
        that is not enough, or something fails, the sentence says how to finish. Entries that are stored are not
        touched.
        """
        ...


@runtime_checkable
class SearchingStore(Protocol):
    """What a store may offer besides: to search its vectors by itself, for caches with `index_backend="store"`.

    An `AsyncStore` that offers it has the same verbs, awaited.
    """

    def prepare_search(self, dim: int) -> None:
        """Make the store ready for `similar`, with vectors of this dimension. Called when a cache opens, after `open`.

        What the server needs for it is made if it is not there, which may take as long as reading every vector; again
        is harmless.

        Raises:
            IndexBackendUnavailableError: The server cannot search vectors. The message says what it lacks.
            StoreBackendError: It cannot be reached.
        """
        ...

    def similar(self, partition: bytes, queries: Matrix, *, floor: float, k: int) -> list[list[Record]]:
        """For each unit query, about the *k* records of the partition that are nearest to it, vectors and all.

        The cache scores them anew from their vectors, so their order and how the server rounds do not matter; which
        they are does. Records below *floor* may be left out. Expired ones are returned like any other. A record that
        was written before the call began must be found, as far as the server's index finds what it is asked for.
        """
        ...


@runtime_checkable
class SwappingStore(Protocol):
    """What a store may offer besides: to exchange how entries are written down, which says nothing new of them.

    An `AsyncStore` that offers it has the same verb, awaited.
    """

    def swap(self, records: Sequence[Record]) -> list[bool]:
        """Put query, payload, codec and metadata of each record in the place of those of the entry of its id.

        Only where the sequence number is still that of the record; whether it was, for each. All in one transaction.
        What else the entry holds stays. No sequence number is used up, so `changes` does not tell of it.
        """
        ...


@runtime_checkable
class SavedIndex(Protocol):
    """What an index may offer besides: a form of itself in a file, from which it opens without reading the vectors."""

    def save(self, path: str, stamp: str) -> None:
        """Write a file that holds what the index holds, and *stamp*, in place of the one at *path*, if any.

        The file appears whole or not at all, and only its owner may read it.

        Raises:
            OSError: It could not be written. What was at *path* is still there.
        """
        ...

    def load(self, path: str, dim: int, dtype: VectorDType) -> str:
        """In place of `open`: hold what the file holds; the stamp it was saved with. Nothing is held if that fails.

        What the file holds may be read and checked when it is first needed: then any verb may raise
        `CorruptCacheError`, and the index must be opened and filled again.

        Raises:
            FileNotFoundError: There is no file.
            OSError: It could not be read.
            CorruptCacheError: It is damaged, is something else, or holds vectors of another dimension.
        """
        ...
