"""The cache behind a model of LlamaIndex's, which is passed by when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mneme import AsyncSemanticCache, Hit, SemanticCache
from mneme.integrations._exact import logger
from mneme.integrations._llama_index import Asked
from mneme.integrations._llama_index_answers import Call, Found, entry_of, found_of
from mneme.integrations._llama_index_prompts import Template, current_template
from mneme.log import log_fields

__all__ = ["Behind"]

_AWAITED = "an AsyncSemanticCache is awaited: use achat and its like, or give the model a SemanticCache"


class Behind:
    """What is found in a cache, and kept in it."""

    def __init__(self, cache: SemanticCache | AsyncSemanticCache, namespace: str, ttl: Any) -> None:
        self._cache: Any = cache
        self._namespace = namespace
        self._ttl = ttl

    def __repr__(self) -> str:
        return f"{self._cache!r}, namespace {self._namespace!r}"

    def __deepcopy__(self, memo: Any) -> Behind:
        return self  # copies of a model share its cache

    def found(self, call: Call, question: Asked | None) -> Found | None:
        if not isinstance(self._cache, SemanticCache):
            raise TypeError(_AWAITED)
        if question is None:
            return None
        try:
            hit = self._get(question)()
        except Exception as error:  # noqa: BLE001 -- of the embedder, whose errors are its own, as well
            self._not_asked(error)
            return None
        return self._noted(call, question, hit)

    async def afound(self, call: Call, question: Asked | None) -> Found | None:
        if question is None:
            return None
        try:
            hit = await self._awaited(self._get(question))
        except Exception as error:  # noqa: BLE001 -- of the embedder, whose errors are its own, as well
            self._not_asked(error)
            return None
        return self._noted(call, question, hit)

    def _get(self, question: Asked) -> Callable[[], Any]:
        return partial(self._cache.get, question.query, scope=question.scope, namespace=self._namespace)

    def _noted(self, call: Call, question: Asked, hit: Hit | None) -> Found | None:
        found = found_of(hit, call.kind)
        if found is not None and hit is not None:
            self._note(hit.query, question)
        return found

    def _note(self, query: str, question: Asked) -> None:
        template = current_template()
        if template is not None:
            template.answers.append((query, question.scope))

    def keep(self, question: Asked | None, response: Any, deltas: Sequence[str] = ()) -> None:
        entry = None if question is None else entry_of(response, deltas)
        if question is not None and entry is not None:
            self._note(question.query, question)
            try:
                self._put(question, entry)()
            except Exception as error:  # noqa: BLE001 -- too large, or the embedder's: the caller has the answer
                self._not_kept(error)

    async def akeep(self, question: Asked | None, response: Any, deltas: Sequence[str] = ()) -> None:
        entry = None if question is None else entry_of(response, deltas)
        if question is not None and entry is not None:
            self._note(question.query, question)
            try:
                await self._awaited(self._put(question, entry))
            except Exception as error:  # noqa: BLE001 -- too large, or the embedder's: the caller has the answer
                self._not_kept(error)

    def _put(self, question: Asked, entry: Any) -> Callable[[], Any]:
        where = {"scope": question.scope, "namespace": self._namespace, "ttl": self._ttl}
        return partial(self._cache.put, question.query, entry, **where)

    def forget(self, template: Template) -> None:
        try:
            for query, scope in template.answers:
                self._cache.delete(query, scope=scope, namespace=self._namespace)
        except Exception as error:  # noqa: BLE001 -- the caller has an error of its own
            self._not_asked(error)

    async def aforget(self, template: Template) -> None:
        try:
            for query, scope in template.answers:
                await self._awaited(partial(self._cache.delete, query, scope=scope, namespace=self._namespace))
        except Exception as error:  # noqa: BLE001 -- the caller has an error of its own
            self._not_asked(error)

    async def _awaited(self, call: Callable[[], Any]) -> Any:
        return await (asyncio.to_thread(call) if isinstance(self._cache, SemanticCache) else call())

    def _not_asked(self, error: Exception) -> None:
        extra = log_fields("cache_bypassed", namespace=self._namespace, error=error, integration="llama_index")
        logger.warning("the cache could not be asked, and the model is: %s", error, extra=extra)

    def _not_kept(self, error: Exception) -> None:
        extra = log_fields("not_stored", namespace=self._namespace, error=error, integration="llama_index")
        logger.warning("an answer could not be stored: %s", error, extra=extra)
