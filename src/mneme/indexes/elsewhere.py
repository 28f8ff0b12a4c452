"""The index of a cache whose store searches by itself: it holds nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mneme.ports import Matches, Matrix, VectorDType

__all__ = ["ElsewhereIndex"]


class ElsewhereIndex:
    """Stands where an index would, and keeps nothing in the process: the search is the store's (`SearchingStore`)."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @property
    def name(self) -> str:
        """Always "store"."""
        return "store"

    @property
    def dtype(self) -> VectorDType:
        """Always "float32": what decides is the vector that the store sends."""
        return "float32"

    def open(self, dim: int, dtype: VectorDType) -> None:
        """There is nothing to open."""

    def add(self, ids: Sequence[int], partitions: Sequence[bytes], vectors: Matrix) -> None:
        """The store has them already."""

    def remove(self, ids: Iterable[int]) -> int:
        """Nothing is held, so nothing goes."""
        del ids
        return 0

    def search(self, partition: bytes, queries: Matrix, *, floor: float, k: int) -> list[Matches]:
        """Never called: the cache asks the store."""
        raise NotImplementedError

    def size(self) -> int:
        """Always 0."""
        return 0

    def tombstones(self) -> int:
        """Always 0."""
        return 0

    def memory_bytes(self) -> int:
        """Always 0."""
        return 0

    def close(self) -> None:
        """There is nothing to give back."""
