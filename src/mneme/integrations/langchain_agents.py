"""Middleware for LangChain's agents. Needs the extra `langchain-agents`.

Pass it to `create_agent(..., middleware=[...])`, after the middleware that changes requests: the last one sees what the
model is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from langchain.agents.middleware.types import AgentMiddleware, ModelRequest, ModelResponse, ToolCallRequest
from langchain_core.messages import ToolMessage
from langgraph.types import Command

from mneme import AsyncSemanticCache, Hit, SemanticCache
from mneme.integrations import _langchain_agents as models, _langchain_tools as tools_
from mneme.integrations._exact import logger
from mneme.integrations._langchain import Asked
from mneme.log import log_fields

__all__ = ["ResponseCacheMiddleware", "ToolCacheMiddleware"]

Namespace: TypeAlias = str | Callable[[Any], str]

_AWAITED = "an AsyncSemanticCache is awaited: use ainvoke and astream, or give the middleware a SemanticCache"
_NOT_ASKED = "the cache could not be asked, and the %s is: %s"
_NOT_READ = "an entry cannot be read, and the %s is asked: %s"
_NOT_KEPT = "an answer of the %s could not be stored: %s"


class _Kind(NamedTuple):
    """How requests of a kind are read and answered."""

    name: str
    question: Callable[[Any], Asked | None]
    answer: Callable[[Any, Hit | None], Any]
    entry: Callable[[Any, Any], Any]


class _CacheMiddleware(AgentMiddleware[Any, Any, Any]):
    """A cache before whatever is called."""

    def __init__(
        self, cache: SemanticCache | AsyncSemanticCache, *, namespace: Namespace = "default", ttl: Any = None
    ) -> None:
        if not isinstance(cache, (SemanticCache, AsyncSemanticCache)):
            raise TypeError(f"cache must be a SemanticCache or an AsyncSemanticCache, not {type(cache).__name__}")
        super().__init__()
        self._cache = cache
        self._namespace = namespace
        self._ttl = ttl

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self._cache!r}, namespace {self._namespace!r}>"

    def _through(self, kind: _Kind, request: Any, handler: Callable[[Any], Any]) -> Any:
        if not isinstance(self._cache, SemanticCache):
            raise TypeError(_AWAITED)
        question = found = None
        try:
            question = kind.question(request)
            if question is not None:
                found = self._read(kind, request, self._get(request, question)())
        except Exception as error:  # noqa: BLE001 -- of the embedder, whose errors are its own, as well
            self._not_asked(kind, error)
        if found is not None:
            return found
        response = handler(request)
        if question is not None:
            try:
                entry = kind.entry(request, response)
                if entry is not None:
                    self._put(request, question, entry)()
            except Exception as error:  # noqa: BLE001 -- too large, or the embedder's: the caller has the answer
                self._not_kept(kind, error)
        return response

    async def _athrough(self, kind: _Kind, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        question = found = None
        try:
            question = kind.question(request)
            if question is not None:
                found = self._read(kind, request, await self._awaited(self._get(request, question)))
        except Exception as error:  # noqa: BLE001 -- of the embedder, whose errors are its own, as well
            self._not_asked(kind, error)
        if found is not None:
            return found
        response = await handler(request)
        if question is not None:
            try:
                entry = kind.entry(request, response)
                if entry is not None:
                    await self._awaited(self._put(request, question, entry))
            except Exception as error:  # noqa: BLE001 -- too large, or the embedder's: the caller has the answer
                self._not_kept(kind, error)
        return response

    def _read(self, kind: _Kind, request: Any, hit: Hit | None) -> Any:
        try:
            return kind.answer(request, hit)
        except Exception as error:  # noqa: BLE001 -- of another release's classes; its message may quote the answer
            extra = log_fields("entry_unreadable", namespace=self._known, error=error, integration="langchain_agents")
            logger.warning(_NOT_READ, kind.name, type(error).__name__, extra=extra)
            return None

    def _get(self, request: Any, question: Asked) -> Callable[[], Any]:
        return partial(self._cache.get, question.query, scope=question.scope, namespace=self._tenant(request))

    def _put(self, request: Any, question: Asked, entry: Any) -> Callable[[], Any]:
        tenant = self._tenant(request)
        return partial(self._cache.put, question.query, entry, scope=question.scope, namespace=tenant, ttl=self._ttl)

    def _tenant(self, request: Any) -> str:
        return self._namespace if isinstance(self._namespace, str) else self._namespace(request)

    def _not_asked(self, kind: _Kind, error: Exception) -> None:
        extra = log_fields("cache_bypassed", namespace=self._known, error=error, integration="langchain_agents")
        logger.warning(_NOT_ASKED, kind.name, error, extra=extra)

    def _not_kept(self, kind: _Kind, error: Exception) -> None:
        extra = log_fields("not_stored", namespace=self._known, error=error, integration="langchain_agents")
        logger.warning(_NOT_KEPT, kind.name, error, extra=extra)

    @property
    def _known(self) -> str | None:
        return self._namespace if isinstance(self._namespace, str) else None

    async def _awaited(self, call: Callable[[], Any]) -> Any:
        return await (asyncio.to_thread(call) if isinstance(self._cache, SemanticCache) else call())


class ResponseCacheMiddleware(_CacheMiddleware):
    """Answers for an agent's model from *cache*, where that is safe.

    The text of the last human message is the query. The model, the system message, tools, the form of the answer,
    settings, and earlier messages word for word are the scope. A request that returns the results of tools is passed on
    and not kept, as is one with tools that the provider runs. An answer that calls tools is kept as it is: the tools
    run each time. Answers that were cut off or filtered, or did not have the form that was wanted, are not kept.

    An answer from the cache costs nothing, as `usage_metadata["total_cost"]` says, and has in
    `response_metadata["mneme"]` which query it was given to and how similar that is. A cache that fails is passed by
    with a warning in the log.

    Args:
        cache: Stays yours to close. A `SemanticCache` does for `invoke` and, in a thread, for `ainvoke`; an
            `AsyncSemanticCache` for the awaited calls of one event loop alone, and the blocking ones raise `TypeError`.
        namespace: The tenant, or a function that tells it from the request, whose `runtime.context` is what the agent
            was called with. If it fails, the cache is passed by.
        ttl: As for `put`.

    Raises:
        TypeError: *cache* is no cache.
    """

    _KIND = _Kind("model", models.question_of, models.answer_of, models.entry_of)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        response: ModelResponse[Any] = self._through(self._KIND, request, handler)
        return response

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        response: ModelResponse[Any] = await self._athrough(self._KIND, request, handler)
        return response


class ToolCacheMiddleware(_CacheMiddleware):
    """Results of an agent's tools from *cache*, for the tools that are named.

    Name none that writes, or whose result depends on anything but its arguments, or on who asks. Tools of one name that
    are described alike count as one. A result is kept if
    the tool succeeded and returned text or JSON; a `Command` is not. An agent may have several of these, for different
    tools. A cache that fails is passed by with a warning in the log.

    Args:
        cache: As for `ResponseCacheMiddleware`.
        tools: Name of a tool to the name of the argument that is searched by meaning, as in `{"search": "query"}`. The
            others have to be equal. `None` for one where all have to be.
        namespace: The tenant, or a function that tells it from the request.
        ttl: As for `put`.

    Raises:
        TypeError: *cache* is no cache, or *tools* no mapping of names.
    """

    def __init__(
        self,
        cache: SemanticCache | AsyncSemanticCache,
        tools: Mapping[str, str | None],
        *,
        namespace: Namespace = "default",
        ttl: Any = None,
    ) -> None:
        super().__init__(cache, namespace=namespace, ttl=ttl)
        if not isinstance(tools, Mapping):
            raise TypeError(f"tools must map names to arguments, such as {{'search': 'query'}}, not {tools!r}")
        self._tools = dict(tools)  # and not `tools`, which LangChain reads

    @property
    def name(self) -> str:
        return f"{type(self).__name__}({', '.join(sorted(self._tools))})"  # LangChain takes no two of one name

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        if request.tool_call["name"] not in self._tools:
            return handler(request)
        result: ToolMessage | Command[Any] = self._through(self._kind(request), request, handler)
        return result

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        if request.tool_call["name"] not in self._tools:
            return await handler(request)
        result: ToolMessage | Command[Any] = await self._athrough(self._kind(request), request, handler)
        return result

    def _kind(self, request: ToolCallRequest) -> _Kind:
        argument = self._tools[request.tool_call["name"]]
        return _Kind(
            "tool",
            lambda asked: tools_.question_of(asked, argument),
            lambda asked, hit: tools_.result_of(asked, argument, hit),
            lambda _, result: tools_.stored_of(result),
        )
