"""A response cache for LiteLLM: `litellm.cache = LiteLLMCache(cache)`. Needs the extra `litellm`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from litellm.caching import caching_handler
from litellm.caching.base_cache import BaseCache
from litellm.caching.caching import Cache, CacheMode
from litellm.types.caching import CachingSupportedCallTypes, LiteLLMCacheType
from litellm.types.utils import is_litellm_owned_kwarg

from mneme import AsyncSemanticCache, Hit, SemanticCache
from mneme.integrations._litellm import PASSED, asked, beside, kept, stored_answer
from mneme.log import log_fields

__all__ = ["LiteLLMCache"]

logger: logging.Logger = logging.getLogger("mneme")

_CALLS: list[CachingSupportedCallTypes] = ["completion", "acompletion", "responses", "aresponses"]
_SIMILARITY = "semantic-similarity"


class LiteLLMCache(Cache):
    """LiteLLM's cache on a `SemanticCache` or an `AsyncSemanticCache`, for completions and responses.

    The text of the last user turn is the query. The scope is LiteLLM's key, which holds the parameters, the streaming
    and the virtual key, team and organisation of a proxy; what that key leaves out though it changes the answer (the
    address, parameters of one provider); and every earlier turn and system prompt, word for word. Requests that wait
    for the results of tools, and tools that the provider runs, are not cached, nor are answers that were cut off,
    filtered or empty. Other kinds of calls (embeddings, transcriptions) are passed by.

    LiteLLM records and replays streams itself. A `ttl` or `s-maxage` of one call, `no-cache`, `no-store` and
    `namespace` in `cache={...}` hold as ever. The similarity of a hit is in the call's `metadata`, if it has one, as
    "semantic-similarity". A cache that fails is passed by with a warning in the log.

    Args:
        cache: Stays yours to close. A `SemanticCache` serves all calls, the awaited ones in a thread; an
            `AsyncSemanticCache` serves the awaited calls of one event loop, and the others reach the model.
        namespace: The tenant. The namespace of one call is part of the scope.
        ttl: As for `put`, where a call has none.
        mode: "default_off" caches only calls with `cache={"use-cache": True}`.
        max_messages: Requests with more messages than this are passed by.
        semantic_cache_scope: "end_user" keeps the end users of a proxy's key apart as well.

    Raises:
        TypeError: *cache* is no cache.
        ImportError: Something is missing without which LiteLLM fails at every hit.
    """

    def __init__(
        self,
        cache: SemanticCache | AsyncSemanticCache,
        *,
        namespace: str = "default",
        ttl: Any = None,
        mode: CacheMode | str = "default_on",
        max_messages: int | None = None,
        semantic_cache_scope: str = "key",
    ) -> None:
        if not isinstance(cache, (SemanticCache, AsyncSemanticCache)):
            raise TypeError(f"cache must be a SemanticCache or an AsyncSemanticCache, not {type(cache).__name__}")
        _check_hits()
        super().__init__(
            type=LiteLLMCacheType.REDIS_SEMANTIC,  # other types put the messages into the key
            mode=CacheMode(mode),
            max_messages=max_messages,
            semantic_cache_scope=semantic_cache_scope,
            supported_call_types=[*_CALLS],
            _backend=_Backend(cache, namespace, ttl),
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.cache}>"

    def get_cache_key(self, **kwargs: Any) -> str:
        """LiteLLM's key and a digest of every parameter; of a request that must be passed by, one that says so."""
        key = super().get_cache_key(**kwargs)
        more = beside(kwargs, is_litellm_owned_kwarg)
        end = f":{PASSED if more is None else more}"
        return key if key.endswith(end) else key + end


class _Backend(BaseCache):
    """What LiteLLM calls with its keys."""

    def __init__(self, cache: SemanticCache | AsyncSemanticCache, namespace: str, ttl: Any) -> None:
        super().__init__()
        self._cache = cache
        self._namespace = namespace
        self._ttl = ttl

    def __repr__(self) -> str:
        return f"{self._cache!r}, namespace {self._namespace!r}"

    def get_cache(self, key: str, **kwargs: Any) -> Any:
        question = asked(key, kwargs)
        hit = None
        if question is not None:
            try:
                hit = self._blocking().get(question.query, scope=question.scope, namespace=self._namespace)
            except Exception as error:  # noqa: BLE001 -- of the embedder, whose errors are its own, as well
                self._not_asked(error)
        return _answer(hit, kwargs)

    def set_cache(self, key: str, value: Any, **kwargs: Any) -> None:
        write = self._write(key, value, kwargs)
        if write is not None:
            try:
                self._blocking().put(**write)
            except Exception as error:  # noqa: BLE001 -- too large, or the embedder's: the caller has the answer
                self._not_kept(error)

    async def async_get_cache(self, key: str, **kwargs: Any) -> Any:
        if isinstance(self._cache, SemanticCache):
            return await asyncio.to_thread(self.get_cache, key, **kwargs)
        question = asked(key, kwargs)
        hit = None
        if question is not None:
            try:
                hit = await self._cache.get(question.query, scope=question.scope, namespace=self._namespace)
            except Exception as error:  # noqa: BLE001 -- of the embedder, whose errors are its own, as well
                self._not_asked(error)
        return _answer(hit, kwargs)

    async def async_set_cache(self, key: str, value: Any, **kwargs: Any) -> None:
        if isinstance(self._cache, SemanticCache):
            await asyncio.to_thread(self.set_cache, key, value, **kwargs)
            return
        write = self._write(key, value, kwargs)
        if write is not None:
            try:
                await self._cache.put(**write)
            except Exception as error:  # noqa: BLE001 -- too large, or the embedder's: the caller has the answer
                self._not_kept(error)

    async def async_set_cache_pipeline(self, cache_list: Sequence[Any], **kwargs: Any) -> None:
        """Keep nothing: embeddings come this way."""

    async def disconnect(self) -> None:
        """Leave the cache open, which is not LiteLLM's."""

    def _blocking(self) -> SemanticCache:
        if isinstance(self._cache, SemanticCache):
            return self._cache
        raise TypeError("an AsyncSemanticCache is awaited: use acompletion, or give LiteLLMCache a SemanticCache")

    def _write(self, key: str, value: Any, request: dict[str, Any]) -> dict[str, Any] | None:
        """The arguments of `put`; `None` for what is not kept."""
        question = asked(key, request)
        answer = None if question is None else kept(value, request)
        ttl = request.get("ttl")
        if question is None or answer is None or (isinstance(ttl, (int, float)) and ttl <= 0):  # expired at once
            return None
        where = {"scope": question.scope, "namespace": self._namespace}
        return {"query": question.query, "response": answer, "ttl": self._ttl if ttl is None else ttl, **where}

    def _not_asked(self, error: Exception) -> None:
        extra = log_fields("cache_bypassed", namespace=self._namespace, error=error, integration="litellm")
        logger.warning("the cache could not be asked, and the model is: %s", error, extra=extra)

    def _not_kept(self, error: Exception) -> None:
        extra = log_fields("not_stored", namespace=self._namespace, error=error, integration="litellm")
        logger.warning("an answer could not be stored: %s", error, extra=extra)


def _answer(hit: Hit | None, request: dict[str, Any]) -> dict[str, Any] | None:
    answer = None if hit is None else stored_answer(hit.response)
    metadata = request.get("metadata")
    if isinstance(metadata, dict):
        metadata[_SIMILARITY] = hit.similarity if hit is not None and answer is not None else 0.0
    return answer


def _check_hits() -> None:
    """Import now what LiteLLM imports at a hit: parts of its proxy, which need more than LiteLLM asks for."""
    check = getattr(caching_handler, "_should_defer_streaming_cache_hit_callbacks", None)
    try:
        if check is not None:
            check(cached_result=None)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"without {error.name} LiteLLM fails at every hit of a cache: pip install 'mneme-cache[litellm]'"
        ) from error
