"""A cache for the clients of Instructor. Needs the extra `instructor`.

Pass it to `from_provider(..., cache=...)`, or to one call. Instructor asks by a hash of the whole request, so nothing
is searched by meaning here: `mneme.integrations.openai.cached` does that, for a client that Instructor is put around.
"""

from __future__ import annotations

from typing import Any

from instructor.cache import BaseCache

from mneme import MnemeError, SemanticCache
from mneme.integrations._exact import digest, exact_cache, exactly, logger
from mneme.log import log_fields

__all__ = ["InstructorCache"]

_SCOPE = "instructor"


class InstructorCache(BaseCache):
    """Instructor's cache on a `SemanticCache` without an embedder, for its blocking and its awaited clients.

    Awaited clients call it as well, without a thread: a store on a network holds up their loop. A cache that fails is
    passed by with a warning in the log: the model is asked. Instructor gives every client keys of its own, and shares
    answers between clients and processes only where calls say `cache_namespace=`.

    Args:
        cache: Stays yours to close.
        namespace: The tenant.
        ttl: As for `put`, where a call has no `cache_ttl`.

    Raises:
        TypeError: *cache* is no `SemanticCache`.
        ValueError: *cache* has an embedder.
    """

    def __init__(self, cache: SemanticCache, *, namespace: str = "default", ttl: Any = None) -> None:
        self._cache = exact_cache(cache, SemanticCache, "Instructor")
        self._namespace = namespace
        self._ttl = ttl

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self._cache!r}, namespace {self._namespace!r}>"

    def get(self, key: str) -> Any | None:
        query = digest(key)
        try:
            hit = exactly(self._cache.get(query, scope=_SCOPE, namespace=self._namespace), query)
        except (MnemeError, ValueError) as error:
            extra = log_fields("cache_bypassed", namespace=self._namespace, error=error, integration="instructor")
            logger.warning("the cache could not be asked, and the model is: %s", error, extra=extra)
            return None
        return hit.response.get(_SCOPE) if hit is not None and isinstance(hit.response, dict) else None

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        if ttl is not None and ttl <= 0:  # expired at once
            return
        lifetime = self._ttl if ttl is None else ttl
        try:
            self._cache.put(digest(key), {_SCOPE: value}, scope=_SCOPE, namespace=self._namespace, ttl=lifetime)
        except (MnemeError, ValueError) as error:
            extra = log_fields("not_stored", namespace=self._namespace, error=error, integration="instructor")
            logger.warning("what the model answered is not kept: %s", error, extra=extra)
