"""A response cache for LangChain's models. Needs the extra `langchain`.

Pass it to one model (`cache=`) or set it for all (`langchain_core.globals.set_llm_cache`). LangChain asks it for
`invoke`, `ainvoke` and `batch`, inside chains and agents too, and never for `stream`.
"""

from __future__ import annotations

import logging
from typing import Any

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache

from mneme import AsyncSemanticCache, SemanticCache
from mneme.integrations._langchain import asked, generations, kept
from mneme.log import log_fields

__all__ = ["AsyncLangChainCache", "LangChainCache"]

_NOT_ASKED = "the cache could not be asked, and the model is: %s"
_NOT_KEPT = "an answer could not be stored: %s"
_NOT_READ = "an entry of LangChain's cannot be read, and the model is asked: %s"

logger: logging.Logger = logging.getLogger("mneme")
_AWAITED = "an AsyncSemanticCache is awaited: use ainvoke, abatch and aclear, or LangChainCache"


class LangChainCache(BaseCache):
    """LangChain's cache on a `SemanticCache`.

    The text of the last human message is the query, or the prompt of a model that is no chat model; earlier messages
    word for word, the model, its parameters and its tools are the scope. A conversation that waits for the results of a
    tool, or ends with no human's text, is not cached; nor are requests with tools that the provider runs, as far as
    LangChain tells the parameters, and answers that were cut off or filtered.

    LangChain tells it nothing of the arguments of a call to a model that is no chat model but `stop`: set these on
    the model. A cache that fails, or cannot take the question or the answer, is passed by with a warning in the log.

    Args:
        cache: Stays yours to close.
        namespace: The tenant; `clear` clears it.
        ttl: As for `put`.
    """

    def __init__(self, cache: SemanticCache, *, namespace: str = "default", ttl: Any = None) -> None:
        self._cache = cache
        self._namespace = namespace
        self._ttl = ttl

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self._cache!r}, namespace {self._namespace!r}>"

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        question = asked(prompt, llm_string)
        if question is None:
            return None
        try:
            hit = self._cache.get(question.query, scope=question.scope, namespace=self._namespace)
        except Exception as error:  # noqa: BLE001 -- of the embedder, whose errors are its own, as well
            extra = log_fields("cache_bypassed", namespace=self._namespace, error=error, integration="langchain")
            logger.warning(_NOT_ASKED, error, extra=extra)
            return None
        return None if hit is None else _read(hit.response, self._namespace)

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        question = asked(prompt, llm_string)
        answer = None if question is None else kept(return_val)
        if question is not None and answer is not None:
            try:
                self._cache.put(question.query, answer, scope=question.scope, namespace=self._namespace, ttl=self._ttl)
            except Exception as error:  # noqa: BLE001 -- too large, or the embedder's: the caller has the answer
                extra = log_fields("not_stored", namespace=self._namespace, error=error, integration="langchain")
                logger.warning(_NOT_KEPT, error, extra=extra)

    def clear(self, **kwargs: Any) -> None:  # noqa: ARG002 -- part of the contract
        self._cache.clear_namespace(self._namespace)


class AsyncLangChainCache(BaseCache):
    """The same on an `AsyncSemanticCache`, for `ainvoke` and `abatch` alone; the blocking calls raise."""

    def __init__(self, cache: AsyncSemanticCache, *, namespace: str = "default", ttl: Any = None) -> None:
        self._cache = cache
        self._namespace = namespace
        self._ttl = ttl

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self._cache!r}, namespace {self._namespace!r}>"

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        question = asked(prompt, llm_string)
        if question is None:
            return None
        try:
            hit = await self._cache.get(question.query, scope=question.scope, namespace=self._namespace)
        except Exception as error:  # noqa: BLE001 -- of the embedder, whose errors are its own, as well
            extra = log_fields("cache_bypassed", namespace=self._namespace, error=error, integration="langchain")
            logger.warning(_NOT_ASKED, error, extra=extra)
            return None
        return None if hit is None else _read(hit.response, self._namespace)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        question = asked(prompt, llm_string)
        answer = None if question is None else kept(return_val)
        if question is not None and answer is not None:
            try:
                await self._cache.put(
                    question.query, answer, scope=question.scope, namespace=self._namespace, ttl=self._ttl
                )
            except Exception as error:  # noqa: BLE001 -- too large, or the embedder's: the caller has the answer
                extra = log_fields("not_stored", namespace=self._namespace, error=error, integration="langchain")
                logger.warning(_NOT_KEPT, error, extra=extra)

    async def aclear(self, **kwargs: Any) -> None:  # noqa: ARG002 -- part of the contract
        await self._cache.clear_namespace(self._namespace)

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:  # noqa: ARG002 -- part of the contract
        raise TypeError(_AWAITED)

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:  # noqa: ARG002 -- the contract's
        raise TypeError(_AWAITED)

    def clear(self, **kwargs: Any) -> None:  # noqa: ARG002 -- part of the contract
        raise TypeError(_AWAITED)


def _read(stored: Any, namespace: str) -> RETURN_VAL_TYPE | None:
    try:
        return generations(stored)
    except Exception as error:  # noqa: BLE001 -- of another release's classes; its message may quote the answer
        extra = log_fields("entry_unreadable", namespace=namespace, error=error, integration="langchain")
        logger.warning(_NOT_READ, type(error).__name__, extra=extra)
        return None
