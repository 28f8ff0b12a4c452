"""Which answers are whole: those that are cut off, refused, empty or an error are not kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from mneme.llm._requests import Api

__all__ = ["Event", "events_of", "reason_not_to_keep", "reason_not_to_keep_stream"]

_WHOLE = ("stop", "tool_calls", "function_call", "end_turn", "stop_sequence", "tool_use")
"""Why a model may have stopped that leaves nothing out. Others are "length", "max_tokens", "content_filter"."""
_ERROR = "the provider reported an error"
_EMPTY = "it is empty"
_REFUSED = "the model refused"


def reason_not_to_keep(response: Mapping[str, Any]) -> str | None:
    """Why an answer of OpenAI's Chat Completions or Responses, or Anthropic's Messages, must not be kept.

    `None` for one that is whole. *response* is the body, or what `model_dump()` of a client's object returns.
    """
    if response.get("error") or response.get("type") == "error":
        return _ERROR
    if "choices" in response:
        return _of_chat(response)
    if response.get("object") == "response":
        return _of_responses(response)
    if response.get("type") == "message":
        return _stopped(response.get("stop_reason")) or (None if response.get("content") else _EMPTY)
    return "it is of no known shape"


def _of_chat(response: Mapping[str, Any]) -> str | None:
    choices = response["choices"]
    if not choices:
        return _EMPTY
    for choice in choices:
        message = choice.get("message") or {}
        if message.get("refusal"):
            return _REFUSED
        why = _stopped(choice.get("finish_reason"))
        if why is not None:
            return why
        if not (message.get("content") or message.get("tool_calls") or message.get("function_call")):
            return _EMPTY
    return None


def _of_responses(response: Mapping[str, Any]) -> str | None:
    if response.get("status") != "completed":
        return f"its status is {response.get('status')!r}"
    parts = [part for item in response.get("output") or () for part in item.get("content") or ()]
    if any(part.get("type") == "refusal" for part in parts):
        return _REFUSED
    return None if response.get("output") else _EMPTY


def _stopped(reason: object) -> str | None:
    return None if reason in _WHOLE else f"the model stopped because of {reason!r}"


# --- streams ----------------------------------------------------------------------------------------------------------


class Event(NamedTuple):
    """A server-sent event (WHATWG HTML, section 9.2): as it was sent, and its data."""

    text: str
    data: str


def events_of(text: str) -> list[Event]:
    """The events of a stream; what follows the last blank line is one that was cut off, and is left out."""
    found, lines = [], []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
        if line:
            lines.append(line)
        elif lines:
            data = "\n".join(line[5:].removeprefix(" ") for line in lines if line.startswith("data:"))
            found.append(Event("\n".join(lines) + "\n\n", data))
            lines = []
    return found


def reason_not_to_keep_stream(api: Api, text: str) -> str | None:
    """Why a streamed answer must not be kept; `None` for one that came to its end and is whole."""
    data = [event.data for event in events_of(text) if event.data]
    try:
        return _STREAMS[api](data)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        return f"it cannot be read ({error!r})"


def _chat_stream(data: list[str]) -> str | None:
    if not data or data[-1] != "[DONE]":
        return "it did not come to its end"
    stopped: dict[int, object] = {}
    said = False
    for chunk in map(json.loads, data[:-1]):
        if chunk.get("error"):
            return _ERROR
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            if delta.get("refusal"):
                return _REFUSED
            said = said or bool(delta.get("content") or delta.get("tool_calls") or delta.get("function_call"))
            stopped[choice.get("index", 0)] = choice.get("finish_reason") or stopped.get(choice.get("index", 0))
    return next(filter(None, map(_stopped, stopped.values())), None if said else _EMPTY)


def _responses_stream(data: list[str]) -> str | None:
    for event in map(json.loads, _but_done(data)):
        if event.get("type") in ("error", "response.failed"):
            return _ERROR
        if event.get("type") in ("response.completed", "response.incomplete"):
            return _of_responses(event["response"])
    return "it did not come to its end"


def _messages_stream(data: list[str]) -> str | None:
    reason: object = None
    said = False
    for event in map(json.loads, data):
        kind = event.get("type")
        if kind == "error":
            return _ERROR
        said = said or kind == "content_block_start"
        if kind == "message_delta":
            reason = event["delta"].get("stop_reason") or reason
        if kind == "message_stop":
            return _stopped(reason) or (None if said else _EMPTY)
    return "it did not come to its end"


def _but_done(data: Iterable[str]) -> Iterable[str]:
    return (one for one in data if one != "[DONE]")


_STREAMS: Mapping[Api, Callable[[list[str]], str | None]] = {
    "openai.chat": _chat_stream,
    "openai.responses": _responses_stream,
    "anthropic.messages": _messages_stream,
}
