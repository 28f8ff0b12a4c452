"""From a chat request to a query and its scope.

The last user turn is the query. Everything else that can change the answer goes into the scope, as a digest: model,
system prompt, tools, response format, sampling parameters, images, and every earlier turn. A parameter that is not
known here counts as one that changes the answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from mneme.errors import MnemeError

__all__ = [
    "Api",
    "ChatQuery",
    "NotCacheableError",
    "from_anthropic",
    "from_openai",
    "from_openai_responses",
    "from_request",
]

Api: TypeAlias = Literal["openai.chat", "openai.responses", "anthropic.messages"]
"""What shape requests and answers are of. It stands in the scope."""

# Who asks, how it travels and what it costs. None of it changes what is answered.
_BESIDE_THE_POINT = frozenset(
    {
        "extra_headers",
        "metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "timeout",
        "user",
    }
)
_OWN_TOOLS = ("function", "custom")
"""Kinds of tools that the caller runs; the provider's own look things up, and find something else tomorrow."""


class NotCacheableError(MnemeError):
    """A request must not be answered from a cache, nor its answer be kept. The message says why."""


@dataclass(frozen=True, slots=True)
class ChatQuery:
    """What to ask a cache: `cache.get(chat.query, scope=chat.scope)`."""

    query: str
    """The text of the last user turn."""
    scope: dict[str, str]
    """What else must be equal for an answer to hold: the API, the model, and a digest of all else."""
    stream: bool
    """Whether the answer is to be streamed. Not part of the scope."""


def from_openai(request: Mapping[str, Any]) -> ChatQuery:
    """The query and scope of a request to OpenAI's Chat Completions, and to the many servers that speak it.

    Args:
        request: The body, or the arguments of `client.chat.completions.create`: `messages`, `model` and so on.

    Raises:
        NotCacheableError: There is no user turn at the end, or no text in it; a tool's results are pending; the answer
            comes as audio, or from tools that the provider runs.
        TypeError: The request is not JSON.
    """
    _refuse(request, "web_search_options", "the provider searches the web, and finds something else tomorrow")
    if "audio" in (request.get("modalities") or ()):
        raise NotCacheableError("the answer comes as audio")
    _check_tools(request.get("tools"), missing_is_own=False)
    messages = _list(request, "messages")
    query, turn = _last_turn(messages[-1] if messages else None, text_kinds=("text",))
    return _chat("openai.chat", request, query, {"messages": [*messages[:-1], turn]})


def from_openai_responses(request: Mapping[str, Any]) -> ChatQuery:
    """The query and scope of a request to OpenAI's Responses API.

    Raises:
        NotCacheableError: As `from_openai`, and where the conversation lies with the provider
            (`previous_response_id`, `conversation`) or the answer does (`background`).
        TypeError: The request is not JSON.
    """
    for name in ("previous_response_id", "conversation"):
        _refuse(request, name, f"the conversation lies with the provider ({name})")
    _refuse(request, "background", "the answer is computed in the background")
    _check_tools(request.get("tools"), missing_is_own=False)
    given = request.get("input")
    if isinstance(given, str):
        return _chat("openai.responses", request, _text(given), {"input": None})
    items = _list(request, "input")
    query, turn = _last_turn(items[-1] if items else None, text_kinds=("input_text", "text"))
    return _chat("openai.responses", request, query, {"input": [*items[:-1], turn]})


def from_anthropic(request: Mapping[str, Any]) -> ChatQuery:
    """The query and scope of a request to Anthropic's Messages API. Marks for prompt caching change neither.

    Raises:
        NotCacheableError: As `from_openai`.
        TypeError: The request is not JSON.
    """
    for name in ("mcp_servers", "container"):
        _refuse(request, name, f"the provider runs tools ({name})")
    _check_tools(request.get("tools"), missing_is_own=True)
    messages = [_unmarked(message) for message in _list(request, "messages")]
    query, turn = _last_turn(messages[-1] if messages else None, text_kinds=("text",))
    rest: dict[str, Any] = {"messages": [*messages[:-1], turn]}
    for name in ("system", "tools"):
        if isinstance(request.get(name), Sequence) and not isinstance(request[name], str):
            rest[name] = [_without_mark(part) for part in request[name]]
    return _chat("anthropic.messages", request, query, rest)


def _chat(api: str, request: Mapping[str, Any], query: str, rest: Mapping[str, Any]) -> ChatQuery:
    model = request.get("model")
    context = {
        name: value
        for name, value in {**request, **rest}.items()
        if name not in _BESIDE_THE_POINT and value is not None and not (name == "model" and isinstance(value, str))
    }
    try:
        text = json.dumps(context, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"the request is not JSON: {error}; pass it as it is sent, without objects in it") from error
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return ChatQuery(
        query,
        {"api": api, "model": model if isinstance(model, str) else "", "context": digest},
        request.get("stream") is True,
    )


def _last_turn(turn: Any, *, text_kinds: Sequence[str]) -> tuple[str, Any]:
    """The text of the last turn, and the turn without it."""
    if not isinstance(turn, Mapping):
        raise NotCacheableError("there is no turn to answer")
    role = turn.get("role")
    if role in ("tool", "function") or turn.get("type") in ("function_call_output", "custom_tool_call_output"):
        raise NotCacheableError("the answer depends on the results of tools")
    if role != "user":
        raise NotCacheableError(f"the last turn is not the user's but of role {role!r}")
    content = turn.get("content")
    if isinstance(content, str):
        return _text(content), {**turn, "content": None}
    if not isinstance(content, Sequence):
        raise NotCacheableError("the last turn has no text")
    texts, rest = _parted(content, text_kinds)
    return _text("\n".join(texts)), {**turn, "content": rest}


def _parted(content: Sequence[Any], text_kinds: Sequence[str]) -> tuple[list[str], list[Any]]:
    """The texts of a turn, and its parts without them."""
    rest = list(content)
    found: list[int] = []
    for at, part in enumerate(content):
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "tool_result":
            raise NotCacheableError("the answer depends on the results of tools")
        if kind in text_kinds and isinstance(part.get("text"), str):
            found.append(at)
            rest[at] = {**part, "text": None}
    if found and found[-1] - found[0] >= len(found):  # an image stands among the texts: what comes before it counts
        for at in found[:-1]:
            rest[at] = content[at]
    return [content[at]["text"] for at in found], rest


def _text(text: str) -> str:
    if not text or text.isspace():
        raise NotCacheableError("the last turn has no text")
    return text


def _list(request: Mapping[str, Any], name: str) -> list[Any]:
    value = request.get(name)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise NotCacheableError(f"the request has no {name}")
    return list(value)


def _refuse(request: Mapping[str, Any], name: str, why: str) -> None:
    if request.get(name):
        raise NotCacheableError(why)


def _check_tools(tools: Any, *, missing_is_own: bool) -> None:
    for tool in tools or ():
        kind = tool.get("type") if isinstance(tool, Mapping) else None
        if kind not in _OWN_TOOLS and not (kind is None and missing_is_own):
            raise NotCacheableError(f"the provider runs a tool ({kind})")


def _unmarked(message: Any) -> Any:
    if not isinstance(message, Mapping) or isinstance(message.get("content"), str):
        return message
    content = message.get("content")
    if not isinstance(content, Sequence):
        return message
    return {**message, "content": [_without_mark(part) for part in content]}


def _without_mark(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    return {name: value for name, value in part.items() if name != "cache_control"}


_READERS: Mapping[Api, Callable[[Mapping[str, Any]], ChatQuery]] = {
    "openai.chat": from_openai,
    "openai.responses": from_openai_responses,
    "anthropic.messages": from_anthropic,
}


def from_request(api: Api, request: Mapping[str, Any]) -> ChatQuery:
    """As the function for that API: `from_openai`, `from_openai_responses` or `from_anthropic`."""
    return _READERS[api](request)
