"""What the messages of all frameworks have in common. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

__all__ = ["counting_headers", "is_cut_off", "is_own_tool", "numbered", "placed"]

_REASONS = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_CUT_OFF = frozenset(
    {
        *("length", "max_tokens", "max_output_tokens", "model_context_window_exceeded", "pause_turn"),
        *("content_filter", "content_filtered", "guardrail_intervened", "refusal"),
        *("blocklist", "malformed_function_call", "prohibited_content", "recitation", "safety", "spii"),
        *("image_safety", "language", "model_armor", "unexpected_tool_call"),
        *("abort", "error", "error_limit", "error_toxic", "insufficient_system_resource", "model_length", "timeout"),
    }
)
"""Why a model stopped that leaves something out, as providers say it, in small letters."""
_STATES = ("incomplete", "failed", "cancelled")
"""Of an answer of the Responses API that is not whole."""
_OWN_TOOLS = ("function", "custom")
"""Kinds of tools that the caller runs; the provider's own look things up, and find something else tomorrow."""
_WRAPPED = frozenset({"cachePoint", "functionDeclarations", "function_declarations", "toolSpec"})
"""Where Amazon's and Google's clients put the caller's tools; the provider's own stand beside them."""
_HEADERS = frozenset({"anthropic-beta", "anthropic-version", "openai-beta"})
_NAMES_OF_IDS = ("id", "call_id", "tool_call_id", "tool_use_id")


def counting_headers(*given: Any) -> dict[str, Any]:
    """The headers that change what a model answers."""
    headers = (one for one in given if isinstance(one, Mapping))
    return {str(name).lower(): value for one in headers for name, value in one.items() if str(name).lower() in _HEADERS}


def is_cut_off(said: Mapping[str, Any]) -> bool:
    """Whether a model says of its answer that something was left out."""
    return any(_word(said.get(name)) in _CUT_OFF for name in _REASONS) or _word(said.get("status")) in _STATES


def _word(reason: Any) -> str:
    """A reason in small letters: clients have texts, and members of enumerations whose values may be numbers."""
    return str(reason.name if isinstance(reason, Enum) else reason).lower()


def is_own_tool(tool: Mapping[str, Any]) -> bool:
    """Whether the caller runs a tool that is described like this."""
    kind = tool.get("type")
    if kind:
        return kind in _OWN_TOOLS
    return _WRAPPED.issuperset(tool) or ("name" in tool and ("input_schema" in tool or "parameters" in tool))


def placed(rest: list[Any], content: Sequence[Any], texts: Sequence[int]) -> list[Any]:
    """*rest*, a turn without its *texts*, with all but the last of them if an image or a file stands among them."""
    if texts and texts[-1] - texts[0] >= len(texts):
        return [content[at] if at in texts[:-1] else one for at, one in enumerate(rest)]
    return rest


def numbered(value: Any, ids: Iterable[Any]) -> Any:
    """*value*, JSON, with numbers for the names *ids*, which calls of tools have by chance."""
    numbers: dict[str, str] = {}
    for name in ids:
        if isinstance(name, str):
            numbers.setdefault(name, str(len(numbers)))

    def renamed(value: Any) -> Any:
        if isinstance(value, list):
            return [renamed(one) for one in value]
        if not isinstance(value, dict):
            return value
        return {
            name: numbers.get(one, one) if name in _NAMES_OF_IDS and isinstance(one, str) else renamed(one)
            for name, one in value.items()
        }

    return renamed(value) if numbers else value
