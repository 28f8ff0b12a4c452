"""A request, checked, and the vectors that callers have of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from mneme._rules.vectors import unit_vector, unit_vectors
from mneme.ports import Matrix, Vector

Certify: TypeAlias = "Callable[[Ask], Awaitable[None]]"


@dataclass(slots=True)
class Ask:
    """A checked request about one query."""

    query: str
    normalized: str
    namespace: str
    scope: str
    partition: bytes
    key: bytes
    threshold: float
    vector: Vector | None
    exact_only: bool = False
    """Nothing certifies a semantic answer."""
    certify: Certify | None = None
    """Sets what is certified, where that counts and not the threshold."""
    era: int = 0
    """Of the embedder that `vector` is of."""

    @property
    def hot_key(self) -> tuple[str, str, str]:
        return self.namespace, self.scope, self.normalized


def own_vectors(embeddings: Sequence[Any], dim: int | None) -> Sequence[Vector] | Matrix:
    """The callers' own embeddings, as unit vectors; several of the usual kind as the rows of a matrix.

    Raises:
        EmbedderDimensionError, TypeError, ValueError: One of them does not fit this cache.
    """
    if not embeddings:
        return []
    if dim is None:
        raise TypeError("embedding= needs a cache with an embedder, whose dimension and fingerprint it shares")
    if len(embeddings) == 1:
        return [unit_vector(embeddings[0], dim)]
    return unit_vectors(embeddings, dim)
