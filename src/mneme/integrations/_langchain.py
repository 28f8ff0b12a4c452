"""What is asked in messages of LangChain's, and what is kept of an answer. No I/O."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, message_to_dict, messages_from_dict
from langchain_core.outputs import ChatGeneration, Generation

from mneme.integrations._chat import is_cut_off, is_own_tool, numbered, placed

__all__ = ["Asked", "asked", "digest", "generations", "kept"]

_BESIDE_THE_POINT = frozenset({"artifact", "id", "response_metadata", "usage_metadata"})
"""Of a message of an earlier turn: what it cost, what it was called, and what no model sees of it."""
_VERSION = 1


class Asked(NamedTuple):
    query: str
    scope: dict[str, str]


def asked(prompt: str, llm_string: str) -> Asked | None:
    """What is asked; `None` for what must not come from a cache.

    A chat model's prompt is a list of messages in LangChain's JSON.
    """
    if _runs_tools(llm_string):
        return None
    messages = _messages(prompt)
    if not messages:
        return None if not prompt or prompt.isspace() else Asked(prompt, {"model": digest(llm_string)})
    *earlier, last = messages
    if last.get("type") != "human":
        return None
    texts, rest = _texts(last.get("content"))
    if not texts or texts.isspace():
        return None
    context = digest(json.dumps([*earlier, {**last, "content": rest}], sort_keys=True, ensure_ascii=False))
    return Asked(texts, {"model": digest(llm_string), "context": context})


def _runs_tools(llm_string: str) -> bool:
    """Whether the provider runs tools, as far as the parameters can be read, which LangChain writes as Python does."""
    about = "[(" + llm_string.partition("}---[(")[2] if llm_string.startswith("{") else llm_string
    try:
        given = dict(ast.literal_eval(about))
        tools = given.get("tools") or ()
        return bool(given.get("web_search_options")) or any(not is_own_tool(one) for one in tools)
    except (AttributeError, MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
        return False


def _messages(prompt: str) -> list[dict[str, Any]]:
    """What the messages of a prompt say; none if it is a text."""
    try:
        value = json.loads(prompt)
    except ValueError:
        return []
    if not isinstance(value, list) or not all(
        isinstance(one, Mapping) and one.get("type") == "constructor" and "kwargs" in one for one in value
    ):
        return []
    said = [{name: part for name, part in one["kwargs"].items() if name not in _BESIDE_THE_POINT} for one in value]
    calls = [call for one in said for call in (*(one.get("tool_calls") or ()), {"id": one.get("tool_call_id")})]
    messages: list[dict[str, Any]] = numbered(said, [call.get("id") for call in calls if isinstance(call, Mapping)])
    return messages


def _texts(content: Any) -> tuple[str, Any]:
    """The text of a message, and the content without it."""
    if isinstance(content, str):
        return content, None
    texts, rest, found = [], [], []
    content = content if isinstance(content, list) else []
    for at, part in enumerate(content):
        text = part if isinstance(part, str) else part.get("text") if part.get("type") == "text" else None
        if isinstance(text, str):
            texts.append(text)
            found.append(at)
            rest.append(None if isinstance(part, str) else {**part, "text": None})
        else:
            rest.append(part)
    return "\n".join(texts), placed(rest, content, found)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def kept(generations: Sequence[Generation]) -> dict[str, Any] | None:
    """What is stored of an answer, calls of tools and all; `None` for one that is not whole."""
    parts = []
    for generation in generations:
        message = generation.message if isinstance(generation, ChatGeneration) else None
        said = {**(generation.generation_info or {}), **(message.response_metadata if message is not None else {})}
        if is_cut_off(said):
            return None
        if not generation.text and not (message is not None and getattr(message, "tool_calls", None)):
            return None
        if isinstance(message, AIMessage) and message.invalid_tool_calls:
            return None
        parts.append(
            {
                "text": generation.text,
                "info": generation.generation_info,
                "message": None if message is None else message_to_dict(message),
            }
        )
    try:  # providers put all sorts of things into messages; and texts are of a class of LangChain's
        return json.loads(json.dumps({"langchain": _VERSION, "generations": parts})) if parts else None
    except (TypeError, ValueError):
        return None


def generations(stored: Any) -> list[Generation] | None:
    """The answer again: a list, as LangChain takes anything else for a miss. `None` for what somebody else stored."""
    if not isinstance(stored, dict) or stored.get("langchain") != _VERSION:
        return None
    found: list[Generation] = []
    for one in stored["generations"]:
        if one["message"] is None:
            found.append(Generation(text=one["text"], generation_info=one["info"]))
        else:
            [message] = messages_from_dict([one["message"]])
            found.append(ChatGeneration(message=message, generation_info=one["info"]))
    return found
