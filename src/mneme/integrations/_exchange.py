"""One exchange of a chat API over HTTP: whose question it is, and whether and how its answer is kept. No I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mneme.llm import (
    Api,
    NotCacheableError,
    events_of,
    from_request,
    reason_not_to_keep,
    reason_not_to_keep_stream,
)

__all__ = ["NAMESPACE", "STATUS", "Answer", "Call", "body_of", "call_of", "kept", "pieces", "why_not_keep"]

NAMESPACE = "mneme-namespace"
"""Request header that names the namespace of one call. It is not sent on."""
STATUS = "mneme"
"""Response header that says what the cache did."""

_ENDPOINTS: dict[str, Api] = {
    "/chat/completions": "openai.chat",
    "/responses": "openai.responses",
    "/messages": "anthropic.messages",
}
# These change what a model answers, or in which shape.
_HEADERS_IN_SCOPE = ("anthropic-beta", "anthropic-version", "openai-beta")
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Call:
    """A request that a cache may answer."""

    api: Api
    query: str
    scope: dict[str, str]
    namespace: str
    stream: bool
    look: bool
    """Whether a stored answer will do."""
    keep: bool
    """Whether the answer may be stored."""


class Answer(Exception):  # noqa: N818 -- raised through `get_or_compute`, to reach whoever waits for it
    """What a server answered, decoded, where that must not be kept; and why."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.headers = headers
        self.body = body
        self.why = why


def call_of(method: str, url: str, headers: Mapping[str, str], body: bytes, *, namespace: str) -> Call:
    """The question in a request.

    Raises:
        NotCacheableError: There is none, or its answer must not come from a cache.
    """
    where = urlsplit(url)
    api = _api_at(where.path.rstrip("/"))
    if method != "POST" or api is None:
        raise NotCacheableError("not a chat API")
    try:
        request = json.loads(body)
    except ValueError:
        raise NotCacheableError("the body is not JSON") from None
    if not isinstance(request, dict):
        raise NotCacheableError("the body is not a JSON object")
    chat = from_request(api, request)
    place = f"{where.hostname or ''}{f':{where.port}' if where.port else ''}{where.path}"
    if where.query:
        place += f"?{hashlib.sha256(where.query.encode()).hexdigest()}"  # which may hold a key
    beside = {name: headers[name] for name in _HEADERS_IN_SCOPE if name in headers}
    options = {"stream": True, **(request.get("stream_options") or {})} if chat.stream else {}
    scope = {**chat.scope, **beside, "endpoint": place, "form": json.dumps(options, sort_keys=True)}
    wishes = {wish.strip().lower() for wish in headers.get("cache-control", "").split(",")}  # RFC 9111, section 5.2.1
    return Call(
        api,
        chat.query,
        scope,
        headers.get(NAMESPACE, namespace),
        chat.stream,
        look=not wishes & {"no-cache", "no-store"},
        keep="no-store" not in wishes,
    )


def may_be_call(method: str, url: str) -> bool:
    """Whether the body is worth reading: other requests are not held up for it."""
    return method == "POST" and _api_at(urlsplit(url).path.rstrip("/")) is not None


def _api_at(path: str) -> Api | None:
    for end, api in _ENDPOINTS.items():
        if path.endswith(end):
            return api
    return None


def kept(call: Call, body: str) -> dict[str, Any]:
    """What is stored of an answer: its body, word for word."""
    return {"mneme": _VERSION, "api": call.api, "body": body}


def body_of(stored: Any) -> str | None:
    """The body of what `kept` made; `None` of anything else, which somebody else stored."""
    if isinstance(stored, dict) and stored.get("mneme") == _VERSION and isinstance(stored.get("body"), str):
        return str(stored["body"])
    return None


def pieces(call: Call, body: str) -> list[bytes]:
    """The body as it is sent: an event at a time, or all at once."""
    return [event.text.encode() for event in events_of(body)] if call.stream else [body.encode()]


def why_not_keep(call: Call, status: int, body: bytes) -> str | None:
    """Why an answer must not be kept; `None` for one that is whole."""
    if status != 200:
        return f"status {status}"
    try:
        text = body.decode()
        return reason_not_to_keep_stream(call.api, text) if call.stream else reason_not_to_keep(json.loads(text))
    except (ValueError, TypeError, AttributeError):
        return "it cannot be read"
