"""A key-value store for LlamaIndex's own caches: of embeddings, and of what its pipelines made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.storage.kvstore.types import DEFAULT_COLLECTION, BaseKVStore

from mneme import Entry, SemanticCache, as_embedder
from mneme.integrations._exact import digest, exact_cache, exactly, logger
from mneme.log import log_fields

__all__ = ["CacheKVStore"]

_KIND = "llama-index-kv"
_VERSION = 1
_EMBEDDINGS = "embeddings"
_PAGE = 1000


class CacheKVStore(BaseKVStore):
    """LlamaIndex's key-value store on a `SemanticCache` without an embedder: nothing is searched by meaning.

    For `IngestionCache(cache=...)`, and for `embeddings_cache=` of an embedding, whose keys are bare texts: the store
    has to know the model, and vectors of another are never found. LlamaIndex asks for a text and a query by the same
    key: leave models alone that embed the two differently.

    Keys are told apart to the letter. Awaited calls use the cache in a thread. `get` and `put` pass a cache that fails
    by, with a warning in the log: LlamaIndex computes. `get_all` and `delete` raise; what has
    expired is listed until it is removed.

    Args:
        cache: Stays yours to close.
        model: The embedding whose vectors are stored, or a text that names everything that changes them. Needed for the
            collection "embeddings" alone; other collections are the same for all models.
        namespace: The tenant.
        ttl: As for `put`.

    Raises:
        TypeError: *cache* is no `SemanticCache`, or *model* is neither an embedding nor a text.
        ValueError: *cache* has an embedder, or *model* does not say which model it is.
    """

    def __init__(
        self,
        cache: SemanticCache,
        model: BaseEmbedding | str | None = None,
        *,
        namespace: str = "default",
        ttl: Any = None,
    ) -> None:
        self._cache = exact_cache(cache, SemanticCache, "LlamaIndex")
        if model is not None and not isinstance(model, (BaseEmbedding, str)):
            raise TypeError(f"model must be an embedding of LlamaIndex's or a text, not {type(model).__name__}")
        self._model = as_embedder(model).fingerprint if isinstance(model, BaseEmbedding) else model
        self._namespace = namespace
        self._ttl = ttl

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self._cache!r}, namespace {self._namespace!r}>"

    def put(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        scope, tag = self._scope(collection), self._tag(collection)
        try:
            plain = json.loads(json.dumps(val))  # what LlamaIndex calls texts are partly names of its own
            value = {_KIND: _VERSION, "key": key, "value": plain}
            self._cache.put(digest(key), value, scope=scope, namespace=self._namespace, ttl=self._ttl, tags=[tag])
        except Exception as error:  # noqa: BLE001 -- too large, or no JSON: LlamaIndex goes on without
            extra = log_fields("not_stored", namespace=self._namespace, error=error, integration="llama_index")
            logger.warning("what LlamaIndex computed is not kept: %s", error, extra=extra)

    def put_all(
        self,
        kv_pairs: list[tuple[str, dict[str, Any]]],
        collection: str = DEFAULT_COLLECTION,
        batch_size: int = 1,  # noqa: ARG002 -- part of the contract
    ) -> None:
        for key, val in kv_pairs:
            self.put(key, val, collection)

    def get(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        scope = self._scope(collection)
        try:
            hit = self._cache.get(digest(key), scope=scope, namespace=self._namespace)
        except Exception as error:  # noqa: BLE001 -- LlamaIndex goes on without
            extra = log_fields("cache_bypassed", namespace=self._namespace, error=error, integration="llama_index")
            logger.warning("the cache could not be asked, and LlamaIndex computes: %s", error, extra=extra)
            return None
        return None if exactly(hit, digest(key)) is None or hit is None else _value(hit.response)

    def get_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        found = {}
        for entry in self._entries(collection):
            value = _value(entry.response)
            if value is not None:
                found[entry.response["key"]] = value
        return found

    def delete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        return self._cache.delete(digest(key), scope=self._scope(collection), namespace=self._namespace)

    async def aput(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        await asyncio.to_thread(self.put, key, val, collection)

    async def aput_all(
        self,
        kv_pairs: list[tuple[str, dict[str, Any]]],
        collection: str = DEFAULT_COLLECTION,
        batch_size: int = 1,
    ) -> None:
        await asyncio.to_thread(self.put_all, kv_pairs, collection, batch_size)

    async def aget(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        return await asyncio.to_thread(self.get, key, collection)

    async def aget_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        return await asyncio.to_thread(self.get_all, collection)

    async def adelete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        return await asyncio.to_thread(self.delete, key, collection)

    def _scope(self, collection: str) -> dict[str, str]:
        if collection != _EMBEDDINGS:
            return {_KIND: collection}
        if self._model is None:
            raise ValueError(
                "LlamaIndex asks for vectors by their text alone: pass the embedding, or a name for everything that "
                "changes its vectors, as in CacheKVStore(cache, model)"
            )
        return {_KIND: collection, "model": self._model}

    def _tag(self, collection: str) -> str:
        return digest(_KIND, [f"{name}={value}" for name, value in self._scope(collection).items()])

    def _entries(self, collection: str) -> Iterator[Entry]:
        after = 0
        while page := self._cache.entries(
            namespace=self._namespace, tags=[self._tag(collection)], after=after, limit=_PAGE
        ):
            yield from page
            after = page[-1].entry_id


def _value(stored: Any) -> dict[str, Any] | None:
    if not isinstance(stored, dict) or stored.get(_KIND) != _VERSION:
        return None
    value: dict[str, Any] = stored["value"]
    return value
