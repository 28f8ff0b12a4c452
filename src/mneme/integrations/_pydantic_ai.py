"""What is asked in messages of PydanticAI's, and what is kept of a response. No I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelRequest, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings, merge_model_settings
from pydantic_core import to_jsonable_python

from mneme.integrations._chat import placed

__all__ = ["Asked", "asked", "kept", "response_of", "sent_back"]


class Asked(NamedTuple):
    query: str
    scope: dict[str, str]


_VERSION = 1
_PARAMETERS = TypeAdapter(ModelRequestParameters)

# When and where it was said, what it cost and what it was called: it differs from run to run, and no model sees it.
_ABOUT_A_MESSAGE = frozenset(
    {
        *("timestamp", "run_id", "conversation_id", "metadata", "usage", "model_name", "model_id", "provider_name"),
        *("provider_url", "provider_details", "provider_response_id", "canonical_system", "finish_reason"),
        *("workspace_ref", "history_digest", "failed_attempts"),
    }
)
_ABOUT_A_PART = frozenset({"id", "metadata", "timestamp"})
_BESIDE_THE_POINT = frozenset(
    {"cache", "first_event_timeout", "max_retries", "request_timeout", "service_tier", "timeout"}
)
_ELSEWHERE = ("_previous_response_id", "_conversation_id", "_background")
"""How settings end by which the conversation, or the answer, lies with the provider."""
_RETRIES = ("retry-prompt", "retry-feedback")
_RETRIED = ("<pyai:retry_feedback>", "<pyai:validation_errors>")
"""What PydanticAI makes of these before a model sees them, in a user prompt."""
_FRAME = "<system>"
"""How a user prompt begins that is none, but a system prompt for a model that takes these at the beginning alone."""
_CUT_OFF = ("length", "content_filter", "error")
_NOT_KEPT = (
    _ABOUT_A_MESSAGE
    - {"model_name", "provider_name", "provider_url", "provider_details", "canonical_system"}
    - {"finish_reason"}
)


def asked(
    model: Model, messages: Sequence[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
) -> Asked | None:
    """The query and scope of a request; `None` for what must not come from a cache."""
    merged = merge_model_settings(model.settings, settings) or {}
    if not _stands_alone(messages, merged) or parameters.native_tools:
        return None
    try:
        plain = _plain(messages)
        told = to_jsonable_python({name: one for name, one in merged.items() if name not in _BESIDE_THE_POINT})
        wanted = _PARAMETERS.dump_python(parameters, mode="json", exclude={"cache"})
    except ValueError:  # an object somewhere that is no JSON, of which nobody knows when it equals another
        return None
    query = ""
    for part in reversed(plain[-1]["parts"]):
        if part["part_kind"] == "user-prompt" and not str(part["content"]).startswith(_FRAME):
            query, part["content"] = _texts(part["content"])
            break
    if not query or query.isspace():
        return None
    return Asked(query, {"model": model.model_id, "context": _digest([model.base_url, plain, told, wanted])})


def _stands_alone(messages: Sequence[ModelMessage], settings: Mapping[str, Any]) -> bool:
    """Whether a question is asked that depends on nothing outside the request."""
    if not messages or not isinstance(messages[-1], ModelRequest):
        return False
    if any(value and name.endswith(_ELSEWHERE) for name, value in settings.items()):
        return False
    return not any(part.part_kind == "tool-return" or _is_retry(part) for part in messages[-1].parts)


def sent_back(messages: Sequence[ModelMessage]) -> bool:
    """Whether the last answer did not hold: the model is asked to give another."""
    if len(messages) < 3 or not isinstance(messages[-1], ModelRequest) or not isinstance(messages[-2], ModelResponse):
        return False
    return any(map(_is_retry, messages[-1].parts))


def _is_retry(part: Any) -> bool:
    if part.part_kind in _RETRIES or getattr(part, "outcome", None) == "retried":
        return True
    return part.part_kind == "user-prompt" and any(mark in str(part.content) for mark in _RETRIED)


def kept(response: ModelResponse) -> dict[str, Any] | None:
    """What is stored of an answer, calls of tools and all; `None` for one that is not whole."""
    if response.state != "complete" or response.finish_reason in _CUT_OFF:
        return None
    if not any(_says_something(part) for part in response.parts):
        return None
    try:
        [plain] = ModelMessagesTypeAdapter.dump_python([response], mode="json")
    except ValueError:
        return None
    return {
        "pydantic-ai": _VERSION,
        "response": {name: value for name, value in plain.items() if name not in _NOT_KEPT},
    }


def response_of(stored: Any) -> ModelResponse | None:
    """The answer again, which used nothing; `None` for what somebody else stored, or another release."""
    if not isinstance(stored, dict) or stored.get("pydantic-ai") != _VERSION:
        return None
    try:
        [response] = ModelMessagesTypeAdapter.validate_python([stored["response"]])
    except (KeyError, ValueError):
        return None
    return response if isinstance(response, ModelResponse) else None


def _says_something(part: Any) -> bool:
    if part.part_kind in ("text", "thinking"):
        return part.part_kind == "text" and bool(part.content.strip())
    return True


def _plain(messages: Sequence[ModelMessage]) -> list[dict[str, Any]]:
    """The messages as JSON, without what is about them. Calls of tools are numbered: their names are chance."""
    calls: dict[str, int] = {}
    found = []
    for message in ModelMessagesTypeAdapter.dump_python(list(messages), mode="json"):
        parts = []
        for part in message["parts"]:
            bare = {name: value for name, value in part.items() if name not in _ABOUT_A_PART}
            if isinstance(bare.get("tool_call_id"), str):
                bare["tool_call_id"] = calls.setdefault(bare["tool_call_id"], len(calls))
            parts.append(bare)
        found.append(
            {**{name: value for name, value in message.items() if name not in _ABOUT_A_MESSAGE}, "parts": parts}
        )
    return found


def _texts(content: Any) -> tuple[str, Any]:
    """The text of a prompt, and its content without it."""
    if isinstance(content, str):
        return content, None
    texts: list[str] = []
    rest: list[Any] = []
    found: list[int] = []
    content = [part for part in content if not (isinstance(part, Mapping) and part.get("kind") == "cache-point")]
    for at, part in enumerate(content):
        kind = part.get("kind") if isinstance(part, Mapping) else None
        if isinstance(part, str) or kind == "text-content":
            texts.append(part if isinstance(part, str) else part["content"])
            rest.append(None)
            found.append(at)
        else:
            rest.append(part)
    return "\n".join(texts), placed(rest, content, found)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
