"""For frameworks that hand a cache the keys of exact requests, which must never be searched by meaning."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from typing import Any, TypeVar

from mneme import AsyncSemanticCache, Hit, SemanticCache

__all__ = ["digest", "exact_cache", "exactly", "logger"]

Cache = TypeVar("Cache", SemanticCache, AsyncSemanticCache)

logger = logging.getLogger("mneme")


def exact_cache(cache: Any, kind: type[Cache], framework: str) -> Cache:
    """*cache*, if it is of that kind and answers nothing but equal queries.

    Raises:
        TypeError: It is of another kind.
        ValueError: It has an embedder.
    """
    if not isinstance(cache, kind):
        raise TypeError(f"cache must be a {kind.__name__}, not {type(cache).__name__}")
    if cache.has_embedder:
        raise ValueError(
            f"{framework} asks by keys that are exact: two that are alike mean different requests. Give it a cache of "
            f"its own, without an embedder, such as {kind.__name__}('{framework.lower()}.db')"
        )
    return cache


def digest(*parts: str | Sequence[str]) -> str:
    """A text for a key that no normalisation of queries makes equal to that of another."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def exactly(hit: Hit | None, query: str) -> Hit | None:
    """The hit, if it is of that very query: a caller's own normalisation may take even digests for equal."""
    return hit if hit is not None and hit.query == query else None
