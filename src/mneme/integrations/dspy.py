"""A cache for DSPy: `dspy.cache = DSPyCache(cache)`. Needs the extra `dspy`."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mneme import Entry, SemanticCache
from mneme.integrations._dspy import asked, lacks_fields
from mneme.integrations._dspy_values import from_json, is_whole, texts_of, to_json
from mneme.log import log_fields

if TYPE_CHECKING:

    class Cache:
        """What is used here of DSPy's, which comes without types."""

        def __init__(self, **options: Any) -> None: ...
        def cache_key(self, request: dict[str, Any], ignored_args_for_cache_key: list[str] | None = None) -> str: ...
        def _prepare_cached_response(self, response: Any) -> Any: ...

else:
    from dspy.clients.cache import Cache

__all__ = ["DSPyCache"]

logger: logging.Logger = logging.getLogger("mneme")
_VERSION = 1
_PAGE = 500


class DSPyCache(Cache):
    """DSPy's cache on a `SemanticCache`, for its blocking and its awaited calls.

    Of a call that an adapter of DSPy's wrote, the query is the value of the only input field, or of a field named in
    *query_fields*; of a plain call, the text of the last user turn. Everything else is the scope: the model and its
    parameters, the address, the signature, demonstrations and earlier turns, the other input fields, and whether the
    call is awaited. What is not found by meaning is found if it is asked in the very same words: calls with several
    input fields and none in *query_fields*, with a value that looks like the same field again, with a `rollout_id`,
    with the results of tools; embeddings.

    Answers that were cut off, filtered or empty are not kept, nor those that lack an output field. Values are stored as
    JSON, never pickled; one of a type that DSPy does not cache of itself is not kept. A hit has used no tokens and says
    `cache_hit`, as with DSPy's own cache. A cache that fails is passed by with a warning in the log. Awaited calls ask
    it without a thread: an embedder or a store on a network holds up their loop.

    Args:
        cache: Stays yours to close.
        namespace: The tenant.
        ttl: As for `put`.
        query_fields: Input fields that may be worded differently where there are others; the first that a call has.

    Raises:
        TypeError: *cache* is no `SemanticCache`, or *query_fields* is one text.
    """

    def __init__(
        self,
        cache: SemanticCache,
        *,
        namespace: str = "default",
        ttl: Any = None,
        query_fields: Sequence[str] = (),
    ) -> None:
        if not isinstance(cache, SemanticCache):
            raise TypeError(f"cache must be a SemanticCache, not {type(cache).__name__}")
        if isinstance(query_fields, str):
            raise TypeError(f"query_fields must be names, such as ({query_fields!r},)")
        super().__init__(enable_disk_cache=False, enable_memory_cache=False, disk_cache_dir=None)
        self._cache = cache
        self._namespace = namespace
        self._ttl = ttl
        self._fields = tuple(query_fields)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self._cache!r}, namespace {self._namespace!r}>"

    def get(self, request: dict[str, Any], ignored_args_for_cache_key: list[str] | None = None) -> Any:
        """The value for a request like this one; `None` if there is none, or it must not be asked for."""
        try:
            question = asked(request, lambda one: self.cache_key(one, ignored_args_for_cache_key), self._fields)
            hit = self._cache.get(question.query, scope=question.scope, namespace=self._namespace)
        except Exception as error:  # noqa: BLE001 -- of the embedder, or of an object in the request: whatever they raise
            extra = log_fields("cache_bypassed", namespace=self._namespace, error=error, integration="dspy")
            logger.warning("the cache could not be asked, and the model is: %s", error, extra=extra)
            return None
        if hit is None or not isinstance(hit.response, dict) or hit.response.get("dspy") != _VERSION:
            return None
        try:
            return self._prepare_cached_response(from_json(hit.response["value"]))
        except Exception as error:  # noqa: BLE001 -- the classes are those of another release
            extra = log_fields("entry_unreadable", namespace=self._namespace, error=error, integration="dspy")
            why = type(error).__name__  # whose message may quote the answer
            logger.warning("an entry of DSPy's cannot be read, and the model is asked: %s", why, extra=extra)
            return None

    def put(
        self,
        request: dict[str, Any],
        value: Any,
        ignored_args_for_cache_key: list[str] | None = None,
        enable_memory_cache: bool = True,  # noqa: ARG002, FBT001, FBT002 -- DSPy's: there is one layer to keep it in
    ) -> None:
        """Keep the value for requests like this one, if it is whole and of a type that is known."""
        try:
            plain = to_json(value)
            if not is_whole(plain) or any(lacks_fields(request, text) for text in texts_of(plain)):
                return
            question = asked(request, lambda one: self.cache_key(one, ignored_args_for_cache_key), self._fields)
            self._cache.put(
                question.query,
                {"dspy": _VERSION, "value": plain},
                scope=question.scope,
                namespace=self._namespace,
                ttl=self._ttl,
                tags=[self.cache_key(request, ignored_args_for_cache_key)],
            )
        except Exception as error:  # noqa: BLE001 -- too large, of no type that is kept, the embedder's: DSPy has the value
            extra = log_fields("not_stored", namespace=self._namespace, error=error, integration="dspy")
            logger.warning("a value of DSPy's is not kept: %s", error, extra=extra)

    def __contains__(self, key: str) -> bool:
        return bool(self._cache.entries(namespace=self._namespace, tags=[key], limit=1))

    def reset_memory_cache(self) -> None:
        """Remove everything in the namespace."""
        self._cache.clear_namespace(self._namespace)

    def save_memory_cache(self, filepath: str) -> None:
        """Write the namespace to an archive, which `load_memory_cache` and `SemanticCache.loads` read."""
        self._cache.dumps(filepath, namespace=self._namespace)

    def load_memory_cache(self, filepath: str, allow_pickle: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 -- DSPy's
        """Add what `save_memory_cache` wrote, under any embedder. Nothing is unpickled, whatever *allow_pickle* says.

        Raises:
            CheckpointError: The file is no archive, or damaged. Nothing was added.
        """
        with SemanticCache.loads(filepath, ":memory:") as archive:
            after = 0
            while page := archive.entries(after=after, limit=_PAGE):
                for entry in page:
                    self._add(entry)
                after = page[-1].entry_id

    def _add(self, entry: Entry) -> None:
        ttl = None if entry.expires_at is None else entry.expires_at - time.time()
        if ttl is None or ttl > 0:
            about = {"scope": entry.scope, "tags": entry.tags, "metadata": entry.metadata, "ttl": ttl}
            self._cache.put(entry.query, entry.response, namespace=self._namespace, **about)
