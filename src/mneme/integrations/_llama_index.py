"""What is asked of a model of LlamaIndex's. No I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from enum import Enum
from types import MethodType
from typing import Any, NamedTuple

from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.llms import LLM
from llama_index.core.tools import BaseTool
from pydantic import BaseModel

from mneme.integrations._chat import counting_headers, is_own_tool, numbered, placed

__all__ = ["Asked", "identity_of", "more_of", "question_of_chat", "question_of_prompt"]

_BESIDE_THE_POINT = frozenset(
    {
        *("api_key", "async_http_client", "callback_manager", "default_headers", "extra_headers", "http_client"),
        *(
            "max_retries",
            "num_workers",
            "rate_limiter",
            "request_timeout",
            "reuse_client",
            "timeout",
            "user",
            "verbose",
        ),
    }
)
"""Who asks, and how it travels. Of this only some headers change what is answered."""
_HEADERS = ("default_headers", "extra_headers")
_ELSEWHERE = ("built_in_tools", "previous_response_id", "track_previous_responses")
"""Parameters by which the conversation lies with the provider, or the provider runs tools."""
_OBSERVATION = "Observation:"
"""How a user's message begins that is none, but the result of a tool that LlamaIndex's ReAct agents ran."""


class Asked(NamedTuple):
    query: str
    scope: dict[str, str]


def identity_of(model: LLM) -> str | None:
    """Everything about a model that may change its answers; `None` for one that must not be cached.

    Raises:
        TypeError: It has a parameter of which that cannot be told.
    """
    # As the classes that they are, and not as those that a field is declared to hold.
    fields = model.model_dump(exclude=set(_BESIDE_THE_POINT), serialize_as_any=True)
    if any(fields.get(name) for name in _ELSEWHERE):
        return None
    within = [identity_of(one) for name in type(model).model_fields for one in _models(getattr(model, name))]
    if None in within:
        return None
    makers = [_maker(model, model.messages_to_prompt), _maker(model, model.completion_to_prompt)]
    headers = counting_headers(*(getattr(model, name, None) for name in _HEADERS))
    return _text([_name(type(model)), model.metadata.model_name, _plain(fields), makers, within, headers])


def _models(value: Any) -> list[LLM]:
    """The models that a parameter holds. Their fields do not say which class they are, or what makes their prompts."""
    if isinstance(value, (list, tuple)):
        return [model for one in value for model in _models(one)]
    if isinstance(value, Mapping):
        return _models([*value.values()])
    return [value] if isinstance(value, LLM) else []


def _maker(model: LLM, maker: Any) -> Any:
    """What makes a model's prompts: a method of its own, or a function."""
    return _name(maker) if getattr(maker, "__self__", None) is model else _plain(maker)


def question_of_chat(
    identity: str, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any], question: str | None, *, templated: bool
) -> Asked | None:
    """The query and scope of a conversation; `None` for what must not come from a cache.

    *question* is what of the last message, which is *templated*, is asked; without one, all of it is, word for word.
    """
    if not messages or messages[-1].role != MessageRole.USER:
        return None
    try:
        plain = [_message(message) for message in messages]
        told = _told(kwargs)
    except (TypeError, ValueError):  # an object that is no JSON, a file, or a tool that the provider runs
        return None
    texts = [block["text"] for block in plain[-1]["blocks"] if block["block_type"] == "text"]
    query = "\n".join(texts)
    if not query or query.isspace() or query.startswith(_OBSERVATION):
        return None
    slot = question if question and any(question in text for text in texts) else None
    blocks = plain[-1]["blocks"]
    at = [place for place, block in enumerate(blocks) if block["block_type"] == "text"]
    rest = [
        {**block, "text": _rest(block["text"], slot) if templated else None} if block["block_type"] == "text" else block
        for block in blocks
    ]
    plain[-1]["blocks"] = rest if templated else placed(rest, blocks, at)
    calls = [block.get("tool_call_id") for message in plain for block in message["blocks"]]
    named = [message["additional_kwargs"].get("tool_call_id") for message in plain]
    return _asked("chat", slot or query, [identity, numbered(plain, [*calls, *named]), told])


def question_of_prompt(
    identity: str, prompt: str, kwargs: Mapping[str, Any], question: str | None, *, templated: bool
) -> Asked | None:
    """The query and scope of a prompt, likewise. *kwargs* hold whether it is formatted."""
    if not prompt or prompt.isspace():
        return None
    try:
        told = _told(kwargs)
    except (TypeError, ValueError):
        return None
    slot = question if question and question in prompt else None
    return _asked("completion", slot or prompt, [identity, _rest(prompt, slot) if templated else None, told])


def _asked(kind: str, query: str, context: Any) -> Asked:
    digest = hashlib.sha256(_text(context).encode("utf-8", "surrogatepass")).hexdigest()
    return Asked(query, {"llama-index": kind, "context": digest})


def _rest(text: str, question: str | None) -> Any:
    """What must be equal of a text: what stands around the question, or all of it, where no question is in it."""
    if question is None or question not in text:
        return text
    before, _, after = text.rpartition(question)
    return [before, after]


def _told(kwargs: Mapping[str, Any]) -> Any:
    if any(kwargs.get(name) for name in _ELSEWHERE):
        raise ValueError("the conversation lies with the provider")
    told = _plain({name: one for name, one in kwargs.items() if name not in _BESIDE_THE_POINT and one is not None})
    told["headers"] = _plain(counting_headers(*(kwargs.get(name) for name in _HEADERS)))
    if any(isinstance(tool, dict) and not is_own_tool(tool) for tool in told.get("tools") or ()):
        raise ValueError("the provider runs a tool")
    return told


def _message(message: ChatMessage) -> dict[str, Any]:
    """A message as JSON. Raises `ValueError` for one that is not all there."""
    plain = message.model_dump(mode="json")
    plain["blocks"] = [block for block in plain["blocks"] if block["block_type"] != "cache"]
    if any(block.get("path") for block in plain["blocks"]):
        raise ValueError("what the file holds may be another thing tomorrow")
    plain["additional_kwargs"] = more_of(message, plain["additional_kwargs"])
    return plain


def more_of(message: ChatMessage, given: dict[str, Any]) -> dict[str, Any]:
    """Without what is said twice: clients repeat calls of tools in their own words."""
    repeated = any(isinstance(block, ToolCallBlock) for block in message.blocks)
    return {name: one for name, one in given.items() if not (repeated and name == "tool_calls")}


def _plain(value: Any) -> Any:
    """*value* as JSON. Raises `TypeError` for an object of which nobody knows when it equals another."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, Enum):
        return _plain(value.value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    return _of_object(value)


def _of_object(value: Any) -> Any:
    if isinstance(value, BaseTool):
        return value.metadata.to_openai_tool(skip_length_check=True)
    if isinstance(value, BaseModel):
        return [_name(type(value)), _plain(value.model_dump())]
    if isinstance(value, type) and issubclass(value, BaseModel):
        return [_name(value), value.model_json_schema()]
    if callable(value) and hasattr(value, "__qualname__"):
        if isinstance(value, MethodType) or "<" in value.__qualname__:  # holds an object, or shares its name
            raise TypeError(f"{value.__qualname__} cannot be told from another")
        return _name(value)
    raise TypeError(f"{type(value).__qualname__} cannot be told from another")


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
