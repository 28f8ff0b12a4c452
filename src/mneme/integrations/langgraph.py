"""A cache for the nodes and tasks of LangGraph. Needs the extra `langgraph`.

Pass it to `compile(cache=...)` or `@entrypoint(cache=...)`; nodes and tasks that have a `CachePolicy` use it. LangGraph
asks by a hash of the input, so nothing is searched by meaning here: `mneme.integrations.langchain` does that, for the
models that nodes call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from langgraph.cache.base import BaseCache, FullKey, Namespace, ValueT
from langgraph.checkpoint.serde.base import SerializerProtocol

from mneme import AsyncSemanticCache, Hit, MnemeError, SemanticCache
from mneme.integrations._exact import digest, exact_cache, exactly, logger
from mneme.log import log_fields

__all__ = ["AsyncLangGraphCache", "LangGraphCache"]

_SCOPE = "langgraph"
_KIND = "langgraph"
_AWAITED = "an AsyncSemanticCache is awaited: use ainvoke and astream, or LangGraphCache"
_PICKLED = "LangGraph's serializer must not pickle: pass one without pickle_fallback, as the default is"
_NOT_ASKED = "the cache could not be asked, and nodes run: %s"
_NOT_KEPT = "what nodes returned is not kept: %s"


class LangGraphCache(BaseCache[ValueT]):
    """LangGraph's cache on a `SemanticCache` without an embedder, for graphs that are invoked or awaited.

    Values go through LangGraph's serializer, which never pickles here. A TTL is that of the `CachePolicy`. A cache that
    fails, or finds what it cannot read, is passed by with a warning in the log: the node runs.

    Args:
        cache: Stays yours to close. Awaited calls use it in a thread.
        namespace: The tenant; `clear` removes what LangGraph keeps there.
        ttl: As for `put`, where a policy has none.
        serde: Instead of LangGraph's default serializer, to encrypt for instance.

    Raises:
        TypeError: *cache* is no `SemanticCache`.
        ValueError: *cache* has an embedder, or *serde* pickles.
    """

    def __init__(
        self,
        cache: SemanticCache,
        *,
        namespace: str = "default",
        ttl: Any = None,
        serde: SerializerProtocol | None = None,
    ) -> None:
        super().__init__(serde=serde)
        _check_serde(self.serde)
        self._cache = exact_cache(cache, SemanticCache, "LangGraph")
        self._namespace = namespace
        self._ttl = ttl

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self._cache!r}, namespace {self._namespace!r}>"

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        asked = _asked(keys)
        try:
            hits = self._cache.get_many(list(asked), scope=_SCOPE, namespace=self._namespace)
        except (MnemeError, ValueError) as error:
            extra = log_fields("cache_bypassed", namespace=self._namespace, error=error, integration="langgraph")
            logger.warning(_NOT_ASKED, error, extra=extra)
            return {}
        return dict(_found(self.serde, asked, hits))

    def set(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> None:
        items = list(_items(self.serde, pairs, self._ttl))
        try:
            self._cache.put_many(items, scope=_SCOPE, namespace=self._namespace)
        except (MnemeError, ValueError) as error:
            extra = log_fields("not_stored", namespace=self._namespace, error=error, integration="langgraph")
            logger.warning(_NOT_KEPT, error, extra=extra)

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        if namespaces is None:
            self._cache.invalidate(namespace=self._namespace, scope=_SCOPE)
        elif namespaces:
            self._cache.invalidate(namespace=self._namespace, scope=_SCOPE, tags=[_tag(one) for one in namespaces])

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        return await asyncio.to_thread(self.get, keys)

    async def aset(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> None:
        await asyncio.to_thread(self.set, pairs)

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        await asyncio.to_thread(self.clear, namespaces)


class AsyncLangGraphCache(BaseCache[ValueT]):
    """The same on an `AsyncSemanticCache`, for graphs that are awaited; the blocking calls raise."""

    def __init__(
        self,
        cache: AsyncSemanticCache,
        *,
        namespace: str = "default",
        ttl: Any = None,
        serde: SerializerProtocol | None = None,
    ) -> None:
        super().__init__(serde=serde)
        _check_serde(self.serde)
        self._cache = exact_cache(cache, AsyncSemanticCache, "LangGraph")
        self._namespace = namespace
        self._ttl = ttl

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self._cache!r}, namespace {self._namespace!r}>"

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        asked = _asked(keys)
        try:
            hits = await self._cache.get_many(list(asked), scope=_SCOPE, namespace=self._namespace)
        except (MnemeError, ValueError) as error:
            extra = log_fields("cache_bypassed", namespace=self._namespace, error=error, integration="langgraph")
            logger.warning(_NOT_ASKED, error, extra=extra)
            return {}
        return dict(_found(self.serde, asked, hits))

    async def aset(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> None:
        items = list(_items(self.serde, pairs, self._ttl))
        try:
            await self._cache.put_many(items, scope=_SCOPE, namespace=self._namespace)
        except (MnemeError, ValueError) as error:
            extra = log_fields("not_stored", namespace=self._namespace, error=error, integration="langgraph")
            logger.warning(_NOT_KEPT, error, extra=extra)

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        if namespaces is None:
            await self._cache.invalidate(namespace=self._namespace, scope=_SCOPE)
        elif namespaces:
            tags = [_tag(one) for one in namespaces]
            await self._cache.invalidate(namespace=self._namespace, scope=_SCOPE, tags=tags)

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:  # noqa: ARG002 -- part of the contract
        raise TypeError(_AWAITED)

    def set(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> None:  # noqa: ARG002 -- part of the contract
        raise TypeError(_AWAITED)

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:  # noqa: ARG002 -- part of the contract
        raise TypeError(_AWAITED)


def _check_serde(serde: Any) -> None:
    """Refuse a serializer that may pickle, or that encrypts what another may."""
    if getattr(serde, "pickle_fallback", False) or getattr(getattr(serde, "serde", None), "pickle_fallback", False):
        raise ValueError(_PICKLED)


def _asked(keys: Sequence[FullKey]) -> dict[str, FullKey]:
    return {digest(namespace, key): (namespace, key) for namespace, key in keys}


def _tag(namespace: Namespace) -> str:
    return digest(namespace)


def _items(
    serde: SerializerProtocol, pairs: Mapping[FullKey, tuple[Any, int | None]], ttl: Any
) -> Iterator[dict[str, Any]]:
    for (namespace, key), (value, seconds) in pairs.items():
        if seconds is not None and seconds <= 0:  # expired at once
            continue
        kind, data = serde.dumps_typed(value)
        if kind.startswith("pickle"):
            raise TypeError(_PICKLED)
        yield {
            "query": digest(namespace, key),
            "response": data,
            "metadata": {_KIND: kind},
            "ttl": ttl if seconds is None else seconds,
            "tags": [_tag(namespace)],
        }


def _found(
    serde: SerializerProtocol, asked: Mapping[str, FullKey], hits: Iterable[Hit | None]
) -> Iterator[tuple[FullKey, Any]]:
    for (query, key), hit in zip(asked.items(), hits, strict=True):
        found = exactly(hit, query)
        kind = None if found is None else found.metadata.get(_KIND)
        if found is None or not isinstance(kind, str) or kind.startswith("pickle"):
            continue
        try:
            yield key, serde.loads_typed((kind, found.response))
        except Exception as error:  # noqa: BLE001 -- serializers raise what they like, at another key or a class that has gone
            extra = log_fields("entry_unreadable", error=error, integration="langgraph")
            logger.warning("an entry of LangGraph's cannot be read, and its node runs", exc_info=True, extra=extra)
