"""What is kept of the answers of a model of LlamaIndex's, and how they are given again."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, ToolCallBlock
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from pydantic import BaseModel

from mneme import Hit
from mneme.integrations._chat import is_cut_off
from mneme.integrations._llama_index import more_of

__all__ = ["Call", "Found", "Keep", "arecorded", "entry_of", "found_of", "recorded", "was_cut_off"]

_VERSION = 1
_MARK = "mneme"


def entry_of(response: ChatResponse | CompletionResponse, deltas: Sequence[str] = ()) -> dict[str, Any] | None:
    """What is stored of an answer, calls of tools and all; `None` for one that is not whole.

    Nor is one stored that would not come back as it was, save for what a provider sent besides, `raw`; nor a stream
    whose last piece does not hold all that the pieces said.
    """
    text = response.text if isinstance(response, CompletionResponse) else response.message.content
    if was_cut_off(response) or len(text or "") < len("".join(deltas)):
        return None
    if isinstance(response, CompletionResponse):
        if not response.text or response.text.isspace():
            return None
        kept: ChatResponse | CompletionResponse = response.model_copy(update={"raw": None, "delta": None})
    else:
        message = response.message
        if not (message.content or message.additional_kwargs.get("tool_calls") or any(map(_is_call, message.blocks))):
            return None
        kept = response.model_copy(update={"raw": None, "delta": None})
    try:
        plain = json.loads(json.dumps(kept.model_dump(mode="json")))
        if _compared(type(kept).model_validate(plain)) != _compared(kept):
            return None
    except (TypeError, ValueError):
        return None
    kind = "completion" if isinstance(response, CompletionResponse) else "chat"
    return {"llama-index": _VERSION, kind: plain, "deltas": [delta for delta in deltas if delta]}


def _compared(response: Any) -> Any:
    """Without calls of tools in a client's own words, which come back as plain JSON."""
    if isinstance(response, CompletionResponse):
        return response
    more = more_of(response.message, response.message.additional_kwargs)
    return response.model_copy(update={"message": response.message.model_copy(update={"additional_kwargs": more})})


def _is_call(block: Any) -> bool:
    return isinstance(block, ToolCallBlock)


def was_cut_off(response: ChatResponse | CompletionResponse) -> bool:
    """Whether a provider says of an answer, or of a piece of it, that something was left out."""
    return any(is_cut_off(said) for said in _said(response))


def _said(response: ChatResponse | CompletionResponse) -> list[Mapping[str, Any]]:
    """Wherever a provider may have said why the model stopped."""
    raw = _mapping(response.raw)
    said = [raw, response.additional_kwargs]
    said += [_mapping(raw[name]) for name in ("delta", "messageStop", "response") if name in raw]  # events of a stream
    if isinstance(response, ChatResponse):
        said.append(response.message.additional_kwargs)
    for name in ("choices", "candidates"):
        some = raw.get(name)
        said += [_mapping(one) for one in some] if isinstance(some, (list, tuple)) else []
    return said


def _mapping(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    if isinstance(value, BaseModel):
        return dict(value)
    return getattr(value, "__dict__", {})


class Call(NamedTuple):
    """What a model was called with."""

    kind: Literal["chat", "completion"]
    said: Any
    """The messages, or the prompt."""
    kwargs: dict[str, Any]

    def answered(self, model: Any, answer: Any) -> Any:
        """The answer, or the pieces of it, told to callbacks and event handlers as that of a model is."""

        def told(model: Any, said: Any, **kwargs: Any) -> Any:  # noqa: ARG001 -- as LlamaIndex calls a model
            return answer

        return self._telling(told)(model, self.said, **self.kwargs)

    async def aanswered(self, model: Any, answer: Any) -> Any:
        """The same to whoever awaits it."""

        async def told(model: Any, said: Any, **kwargs: Any) -> Any:  # noqa: ARG001 -- as LlamaIndex calls one
            return answer

        return await self._telling(told)(model, self.said, **self.kwargs)

    def _telling(self, told: Callable[..., Any]) -> Callable[..., Any]:
        made: Callable[..., Any] = (llm_chat_callback if self.kind == "chat" else llm_completion_callback)()(told)
        return made


class Found(NamedTuple):
    """An answer from the cache, and the pieces it came in, if it was streamed."""

    response: Any
    deltas: Sequence[str]

    def pieces(self) -> Generator[Any, None, None]:
        """The answer in the same pieces; one that did not come in pieces is one."""
        said, last = "", self.deltas[-1] if self.deltas else self._text()
        for delta in self.deltas[:-1]:
            said += delta
            if isinstance(self.response, CompletionResponse):
                yield CompletionResponse(text=said, delta=delta)
            else:
                message = ChatMessage(role=self.response.message.role, content=said)
                yield ChatResponse(message=message, delta=delta)
        yield self.response.model_copy(update={"delta": last})

    def _text(self) -> str:
        response = self.response
        text: str | None = response.text if isinstance(response, CompletionResponse) else response.message.content
        return text or ""

    async def apieces(self) -> AsyncGenerator[Any, None]:
        for piece in self.pieces():
            yield piece


def found_of(hit: Hit | None, kind: str) -> Found | None:
    """The answer again; `None` for what somebody else stored."""
    if hit is None or not isinstance(hit.response, dict) or hit.response.get("llama-index") != _VERSION:
        return None
    form = CompletionResponse if kind == "completion" else ChatResponse
    try:
        response = form.model_validate(hit.response[kind])
    except (KeyError, ValueError):
        return None
    response.additional_kwargs[_MARK] = {"query": hit.query, "similarity": hit.similarity}
    return Found(response, hit.response["deltas"])


Keep: TypeAlias = Callable[[Any, Sequence[str]], Any]


def recorded(stream: Iterator[Any], keep: Keep) -> Generator[Any, None, None]:
    """The stream as it comes; whole, it is handed to *keep*: its last piece, and what was added by each."""
    deltas, last, cut_off = [], None, False
    try:
        for last in stream:
            deltas.append(last.delta or "")
            cut_off = cut_off or was_cut_off(last)
            yield last
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()
    if last is not None and not cut_off:
        keep(last, deltas)


async def arecorded(stream: AsyncIterator[Any], keep: Keep) -> AsyncGenerator[Any, None]:
    """The same of a stream that is awaited, as *keep* is."""
    deltas, last, cut_off = [], None, False
    try:
        async for last in stream:
            deltas.append(last.delta or "")
            cut_off = cut_off or was_cut_off(last)
            yield last
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
    if last is not None and not cut_off:
        await keep(last, deltas)
