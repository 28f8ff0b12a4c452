"""What a request of DSPy's asks. No I/O."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from mneme.llm import NotCacheableError, from_openai

__all__ = ["Asked", "asked", "lacks_fields"]

_FIELD = re.compile(r"^\[\[ ## (\w+) ## \]\]$", re.MULTILINE)
"""How DSPy's adapters for chats and for JSON head the value of an input."""
_ELEMENT = re.compile(r"^<(\w+)>\n(.*?)\n</\1>$", re.MULTILINE | re.DOTALL)
"""And its adapter for XML."""
_ENDING = "\n\nRespond with "
"""How all of them begin what they ask for, after the last value."""
_NAMED = re.compile(r"`(\[\[ ## |<|)(\w+)(?: ## \]\]|>|)`")
_SAID = {"[[ ## ": "[[ ## {} ## ]]", "<": "<{}>", "": '"{}"'}
"""How an output field is named in what is asked for, and how it stands in an answer."""
_CONCERNS = ("modalities", "tools", "web_search_options")
_WHERE = ("api_base", "base_url")
"""Where the model is. DSPy leaves it out of its keys."""


class Asked(NamedTuple):
    query: str
    scope: dict[str, str]


def asked(request: Mapping[str, Any], key_of: Callable[[dict[str, Any]], str], fields: Collection[str]) -> Asked:
    """The query and scope of a request; *key_of* is DSPy's own hash of one.

    What is not to be found by meaning has a scope of its own, in which there is nothing else.
    """
    question = None if request.get("rollout_id") is not None else _question(request, fields)
    address = [str(request[name]) for name in _WHERE if request.get(name)]
    where = {"address": hashlib.sha256("\n".join(address).encode()).hexdigest()} if address else {}  # may hold a key
    if question is None:
        key = key_of(dict(request))
        return Asked(key, {"dspy": f"exact {key}", **where})
    query, rest = question
    if isinstance(request.get("request"), Mapping):
        reduced = {**request, "request": {**request["request"], "messages": rest}}
    else:
        reduced = {**request, "messages": rest}
    return Asked(query, {"dspy": key_of(reduced), **where})


def lacks_fields(request: Mapping[str, Any], text: str) -> bool:
    """Whether an answer is without a field that was asked for, so that DSPy will not be able to read it."""
    said = _last_text(request)
    _, ending, demand = said.rpartition(_ENDING)
    if not ending:
        return False
    wanted = [_SAID[form].format(name) for form, name in _NAMED.findall(demand) if name != "completed"]
    return any(one not in text for one in wanted)


def _question(request: Mapping[str, Any], fields: Collection[str]) -> tuple[str, list[Any]] | None:
    """The query, and what else was said; `None` where an answer holds for an equal request alone."""
    try:
        about = {name: request[name] for name in _CONCERNS if name in request}
        chat = from_openai({**about, "messages": _messages(request)})
    except (NotCacheableError, TypeError, ValueError, KeyError, AttributeError):
        return None
    context, text = chat.scope["context"], chat.query
    values = _values(text)
    if values is None:
        return text, [context]
    name = next(iter(values)) if len(values) == 1 else next((one for one in fields if one in values), None)
    if name is None:
        return None
    start, end = values[name]
    value = text[start:end]
    return None if not value or value.isspace() else (value, [context, text[:start], text[end:]])


def _messages(request: Mapping[str, Any]) -> list[Any]:
    """The messages as OpenAI shapes them; those of a canonical request have parts."""
    canonical = request.get("request")
    if isinstance(canonical, Mapping):
        system = [{"role": "system", "content": canonical["system"]}] if canonical.get("system") else []
        if canonical.get("tools"):
            raise NotCacheableError("tools of a canonical request, whoever runs them")
        return [*system, *({**one, "content": one["parts"], "parts": None} for one in canonical["messages"])]
    return list(request["messages"])


def _last_text(request: Mapping[str, Any]) -> str:
    try:
        return from_openai({"messages": _messages(request)}).query
    except (NotCacheableError, TypeError, ValueError, KeyError, AttributeError):
        return ""


def _values(text: str) -> dict[str, tuple[int, int]] | None:
    """Where in a turn the values are that an adapter put into it; `None` if no adapter did.

    None where a field stands twice: a value has another in it that looks like a field.
    """
    end = text.rfind(_ENDING)
    body = text if end < 0 else text[:end]
    heads = list(_FIELD.finditer(body))
    if heads:
        ends = [*(head.start() for head in heads[1:]), len(body)]
        found = [(head[1], _within(body, head.end(), end)) for head, end in zip(heads, ends, strict=True)]
    elif end < 0:
        return None
    else:
        found = [(one[1], one.span(2)) for one in _ELEMENT.finditer(body)]
    values = dict(found)
    return values if len(values) == len(found) else {}


def _within(text: str, start: int, end: int) -> tuple[int, int]:
    """Without the line breaks around it."""
    said = text[start:end]
    return start + len(said) - len(said.lstrip("\n")), start + len(said.rstrip("\n"))
