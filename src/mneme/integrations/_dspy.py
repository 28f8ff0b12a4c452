"""What a request of DSPy's asks. No I/O."""

from __future__ import annotations

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


class Asked(NamedTuple):
    query: str
    scope: dict[str, str]


def asked(request: Mapping[str, Any], key_of: Callable[[dict[str, Any]], str], fields: Collection[str]) -> Asked:
    """The query and scope of a request; *key_of* is DSPy's own hash of one.

    What is not to be found by meaning has a scope of its own, in which there is nothing else.
    """
    question = None if request.get("rollout_id") is not None else _question(request, fields)
    if question is None:
        key = key_of(dict(request))
        return Asked(key, {"dspy": f"exact {key}"})
    query, rest = question
    if isinstance(request.get("request"), Mapping):
        reduced = {**request, "request": {**request["request"], "messages": rest}}
    else:
        reduced = {**request, "messages": rest}
    return Asked(query, {"dspy": key_of(reduced)})


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
    context = chat.scope["context"]
    values, demand = _values(chat.query)
    if values is None:
        return chat.query, [context]
    name = next(iter(values)) if len(values) == 1 else next((one for one in fields if one in values), None)
    if name is None or not values[name] or values[name].isspace():
        return None
    others = {**values, name: None}
    return values[name], [context, list(others.items()), demand]


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


def _values(text: str) -> tuple[dict[str, str] | None, str]:
    """The values of the inputs that an adapter put into a turn, and what it asks for; `None` if no adapter did."""
    body, ending, demand = text.rpartition(_ENDING)
    body, demand = (body, demand) if ending else (text, "")
    heads = list(_FIELD.finditer(body))
    if heads:
        ends = [*(head.start() for head in heads[1:]), len(body)]
        found = {head[1]: body[head.end() : end].strip("\n") for head, end in zip(heads, ends, strict=True)}
        return found, body[: heads[0].start()] + demand
    elements = list(_ELEMENT.finditer(body)) if ending else []
    if elements:
        return {one[1]: one[2] for one in elements}, _ELEMENT.sub("", body) + demand
    return ({} if ending else None), demand
