"""A model and a key-value store for LlamaIndex that stand on a cache. Needs the extra `llama-index`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.llms import LLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import BaseTool
from pydantic import Field, PrivateAttr, SerializeAsAny
from typing_extensions import override

from mneme import AsyncSemanticCache, SemanticCache
from mneme.integrations._llama_index import Asked, identity_of, question_of_chat, question_of_prompt
from mneme.integrations._llama_index_answers import Call, arecorded, recorded
from mneme.integrations._llama_index_cache import Behind
from mneme.integrations._llama_index_prompts import Template, TemplatedLLM, current_template
from mneme.integrations._llama_index_store import CacheKVStore

__all__ = ["CacheKVStore", "CachedLLM"]

_PROMPTING = (
    *("callback_manager", "system_prompt", "messages_to_prompt", "completion_to_prompt", "output_parser"),
    *("pydantic_program_mode", "query_wrapper_prompt"),
)


class CachedLLM(TemplatedLLM):
    """The model *wrapped*, whose answers come from *cache* where that is safe.

    The text of the last user's message, or the prompt, is the query. Where a prompt was made of a template (`predict`,
    `structured_predict` and their like, which is what query engines call), the query is what *variables* hold, such as
    "query_str", and the rest of the prompt with the context that was retrieved is part of the scope; a template without
    such a variable answers the very same text alone. The model with its parameters, earlier messages word for word, and
    all further arguments are the scope.

    Passed on, and not kept, are requests that return the results of tools, tools that the provider runs, conversations
    that lie with the provider, and files; nor are answers kept that were cut off, filtered or empty. Calls of tools are
    kept, and the tools run each time. An answer that made `structured_predict` fail is removed again.

    An answer from the cache says in `additional_kwargs["mneme"]` which query it was given to and how similar that is,
    and has no `raw`. Streams are recorded at their end and replayed in the same pieces, and share answers with whole
    requests; one that was left is not kept. Callbacks and events are sent as ever, once. A cache that fails is passed
    by with a warning in the log.

    Args:
        wrapped: A model. It can be read again as `wrapped`.
        cache: Stays yours to close. A `SemanticCache` does for the blocking calls and, in a thread, for the awaited
            ones; an `AsyncSemanticCache` for the awaited ones of one event loop alone, and the blocking ones raise
            `TypeError`.
        namespace: The tenant.
        ttl: As for `put`.
        variables: In which variables of templates a question is looked for, in this order.
        fingerprint: Names everything that changes the model's answers, where its own parameters cannot tell.

    Raises:
        TypeError: *wrapped* is no model, or *cache* no cache; or the model has a parameter that cannot be told from
            another, and there is no *fingerprint*.
    """

    wrapped: SerializeAsAny[LLM] = Field(description="The model that is asked where the cache has no answer.")
    _behind: Behind = PrivateAttr()
    _fingerprint: str | None = PrivateAttr()

    def __init__(
        self,
        wrapped: LLM,
        cache: SemanticCache | AsyncSemanticCache,
        *,
        namespace: str = "default",
        ttl: Any = None,
        variables: Sequence[str] = ("query_str", "question"),
        fingerprint: str | None = None,
    ) -> None:
        if not isinstance(wrapped, LLM):
            raise TypeError(f"wrapped must be an LLM of LlamaIndex's, not {type(wrapped).__name__}")
        if not isinstance(cache, (SemanticCache, AsyncSemanticCache)):
            raise TypeError(f"cache must be a SemanticCache or an AsyncSemanticCache, not {type(cache).__name__}")
        if fingerprint is None:
            try:
                identity_of(wrapped)
            except TypeError as error:
                raise TypeError(
                    f"{error}: pass fingerprint= with the name of the model and everything that changes its answers"
                ) from error
        # What LlamaIndex makes prompts with before a model sees them is the wrapped model's own.
        fields = {"wrapped": wrapped, **{name: getattr(wrapped, name) for name in _PROMPTING}}
        super().__init__(**fields)
        self._behind = Behind(cache, namespace, ttl)
        self._variables = tuple(variables)
        self._fingerprint = fingerprint

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "callback_manager":  # LlamaIndex sets it on the models that it finds in its settings
            self.wrapped.callback_manager = value
        super().__setattr__(name, value)

    def __repr__(self) -> str:  # pydantic's shows the parameters of the model behind, and a key among them
        return (
            f"<{type(self).__name__} of {type(self.wrapped).__name__} {self.metadata.model_name!r} on {self._behind}>"
        )

    __str__ = __repr__

    @classmethod
    def class_name(cls) -> str:
        return "CachedLLM"

    @property
    def metadata(self) -> LLMMetadata:
        return self.wrapped.metadata

    def to_payload(self) -> dict[str, Any]:
        return self.wrapped.to_payload()

    def convert_chat_messages(self, messages: Sequence[ChatMessage]) -> list[Any]:
        return self.wrapped.convert_chat_messages(messages)

    # --- the eight calls ----------------------------------------------------------------------------------------------

    @override
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        call = Call("chat", messages, kwargs)
        question = self._question(call)
        found = self._behind.found(call, question)
        if found is None:
            response = self.wrapped.chat(messages, **kwargs)
            self._behind.keep(question, response)
            return response
        answer: ChatResponse = call.answered(self, found.response)
        return answer

    @override
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        call = Call("chat", messages, kwargs)
        question = self._question(call)
        found = self._behind.found(call, question)
        if found is None:
            return recorded(self.wrapped.stream_chat(messages, **kwargs), partial(self._behind.keep, question))
        answer: ChatResponseGen = call.answered(self, found.pieces())
        return answer

    @override
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        call = Call("chat", messages, kwargs)
        question = self._question(call)
        found = await self._behind.afound(call, question)
        if found is None:
            response = await self.wrapped.achat(messages, **kwargs)
            await self._behind.akeep(question, response)
            return response
        answer: ChatResponse = await call.aanswered(self, found.response)
        return answer

    @override
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        call = Call("chat", messages, kwargs)
        question = self._question(call)
        found = await self._behind.afound(call, question)
        if found is None:
            return arecorded(await self.wrapped.astream_chat(messages, **kwargs), partial(self._behind.akeep, question))
        answer: ChatResponseAsyncGen = await call.aanswered(self, found.apieces())
        return answer

    @override
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        call = Call("completion", prompt, {**kwargs, "formatted": formatted})
        question = self._question(call)
        found = self._behind.found(call, question)
        if found is None:
            response = self.wrapped.complete(prompt, formatted=formatted, **kwargs)
            self._behind.keep(question, response)
            return response
        answer: CompletionResponse = call.answered(self, found.response)
        return answer

    @override
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        call = Call("completion", prompt, {**kwargs, "formatted": formatted})
        question = self._question(call)
        found = self._behind.found(call, question)
        if found is None:
            stream = self.wrapped.stream_complete(prompt, formatted=formatted, **kwargs)
            return recorded(stream, partial(self._behind.keep, question))
        answer: CompletionResponseGen = call.answered(self, found.pieces())
        return answer

    @override
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        call = Call("completion", prompt, {**kwargs, "formatted": formatted})
        question = self._question(call)
        found = await self._behind.afound(call, question)
        if found is None:
            response = await self.wrapped.acomplete(prompt, formatted=formatted, **kwargs)
            await self._behind.akeep(question, response)
            return response
        answer: CompletionResponse = await call.aanswered(self, found.response)
        return answer

    @override
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        call = Call("completion", prompt, {**kwargs, "formatted": formatted})
        question = self._question(call)
        found = await self._behind.afound(call, question)
        if found is None:
            stream = await self.wrapped.astream_complete(prompt, formatted=formatted, **kwargs)
            return arecorded(stream, partial(self._behind.akeep, question))
        answer: CompletionResponseAsyncGen = await call.aanswered(self, found.apieces())
        return answer

    # --- calls of tools -----------------------------------------------------------------------------------------------

    @override
    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        return self._caller._prepare_chat_with_tools_compat(  # noqa: SLF001 -- what LlamaIndex calls as well
            tools,
            user_msg=user_msg,
            chat_history=chat_history,
            verbose=verbose,
            allow_parallel_tool_calls=allow_parallel_tool_calls,
            tool_required=tool_required,
            **kwargs,
        )

    @override
    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],
        allow_parallel_tool_calls: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        return self._caller._validate_chat_with_tools_response(  # noqa: SLF001 -- what LlamaIndex calls as well
            response, tools, allow_parallel_tool_calls=allow_parallel_tool_calls, **kwargs
        )

    @override
    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        return self._caller.get_tool_calls_from_response(
            response, error_on_no_tool_call=error_on_no_tool_call, **kwargs
        )

    @property
    def _caller(self) -> FunctionCallingLLM:
        if not isinstance(self.wrapped, FunctionCallingLLM):
            raise TypeError(f"{type(self.wrapped).__name__} is no FunctionCallingLLM: it does not call tools")
        return self.wrapped

    # --- the cache ----------------------------------------------------------------------------------------------------

    def _question(self, call: Call) -> Asked | None:
        try:
            identity = self._fingerprint or identity_of(self.wrapped)
        except TypeError:  # a parameter that was set later
            return None
        template = current_template()
        question = None if template is None else template.question
        of_kind = question_of_prompt if call.kind == "completion" else question_of_chat
        if identity is None:
            return None
        return of_kind(identity, call.said, call.kwargs, question, templated=template is not None)

    def _forget(self, template: Template) -> None:
        self._behind.forget(template)

    async def _aforget(self, template: Template) -> None:
        await self._behind.aforget(template)
