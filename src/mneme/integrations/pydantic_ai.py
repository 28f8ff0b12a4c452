"""A model for agents of PydanticAI that asks a cache first. Needs the extra `pydantic-ai`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from anyio.to_thread import run_sync
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import CompletedStreamedResponse, Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext

from mneme import AsyncSemanticCache, Hit, SemanticCache
from mneme.integrations._exact import logger
from mneme.integrations._pydantic_ai import Asked, asked, kept, response_of, sent_back
from mneme.log import log_fields

__all__ = ["CachedModel"]

_HIT = "mneme"


class CachedModel(WrapperModel):
    """The model *wrapped*, whose answers come from *cache* where that is safe.

    The text of the last user prompt is the query. The model, earlier messages word for word, instructions, tools, the
    schema of the output and the settings are the scope; when and in which run something was said is not. Passed on, and
    not kept, are requests that return the results of tools or ask for another attempt, tools that the provider runs,
    and conversations that lie with the provider; nor are answers kept that were cut off, filtered or empty.

    An answer that the agent sends back, because its output or arguments did not hold, is removed again. An answer
    from the cache has used no tokens, and says in `metadata["mneme"]` which query it was given to and how similar that
    is. Streams are recorded when they come to their end, and replayed a part at a time; streamed and whole requests
    share answers. A cache that fails is passed by with a warning in the log.

    Args:
        wrapped: A model, or its name.
        cache: Stays yours to close. A `SemanticCache` is asked in a thread and does for `run_sync` as well; an
            `AsyncSemanticCache` belongs to one event loop.
        namespace: The tenant.
        ttl: As for `put`.

    Raises:
        TypeError: *cache* is no cache.
    """

    def __init__(
        self,
        wrapped: Model | str,
        cache: SemanticCache | AsyncSemanticCache,
        *,
        namespace: str = "default",
        ttl: Any = None,
    ) -> None:
        if not isinstance(cache, (SemanticCache, AsyncSemanticCache)):
            raise TypeError(f"cache must be a SemanticCache or an AsyncSemanticCache, not {type(cache).__name__}")
        super().__init__(wrapped)
        self._cache = cache
        self._namespace = namespace
        self._ttl = ttl

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        question = await self._question(messages, model_settings, model_request_parameters)
        found = None if question is None else await self._found(question)
        if found is not None:
            return found
        response = await self.wrapped.request(messages, model_settings, model_request_parameters)
        if question is not None:
            await self._keep(question, response)
        return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        question = await self._question(messages, model_settings, model_request_parameters)
        found = None if question is None else await self._found(question)
        if found is not None:
            yield CompletedStreamedResponse(
                found, model_request_parameters=model_request_parameters, replay_events=True
            )
            return
        async with self.wrapped.request_stream(
            messages, model_settings, model_request_parameters, run_context
        ) as stream:
            yield stream
            if question is not None:  # a stream that was left before its end is not complete
                await self._keep(question, stream.get())

    async def _question(
        self, messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
    ) -> Asked | None:
        if sent_back(messages):
            await self._remove(asked(self.wrapped, messages[:-2], settings, parameters), messages[-2])
        return asked(self.wrapped, messages, settings, parameters)

    async def _found(self, question: Asked) -> ModelResponse | None:
        hit: Hit | None = await self._call("get", question.query, scope=question.scope)
        response = None if hit is None else response_of(hit.response)
        if hit is not None and response is not None:
            response.metadata = {_HIT: {"query": hit.query, "similarity": hit.similarity}}
        return response

    async def _keep(self, question: Asked, response: ModelResponse) -> None:
        answer = kept(response)
        if answer is not None:
            await self._call("put", question.query, answer, scope=question.scope, ttl=self._ttl)

    async def _remove(self, question: Asked | None, response: ModelMessage) -> None:
        """Remove the answer that was sent back, which a hit has from another query."""
        if question is not None:
            said = (response.metadata or {}).get(_HIT)
            query = said["query"] if said else question.query
            await self._call("delete", query, scope=question.scope)

    async def _call(self, verb: str, *arguments: Any, **options: Any) -> Any:
        call = partial(getattr(self._cache, verb), *arguments, namespace=self._namespace, **options)
        try:
            return await (run_sync(call) if isinstance(self._cache, SemanticCache) else call())
        except Exception as error:  # noqa: BLE001 -- of the embedder, whose errors are its own, as well
            extra = log_fields("cache_bypassed", namespace=self._namespace, error=error, integration="pydantic_ai")
            logger.warning("the cache could not be asked, and the model is: %s", error, extra=extra)
            return None
