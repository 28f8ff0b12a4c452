"""What the caching transports of httpx and httpx2 do, once for both libraries and both faces.

The flow is a coroutine over an `Ends`: the blocking one is awaited as well, and never suspends.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from mneme import AsyncSemanticCache, MnemeError, SemanticCache
from mneme.integrations._exchange import (
    NAMESPACE,
    STATUS,
    Answer,
    Call,
    body_of,
    call_of,
    kept,
    may_be_call,
    pieces,
    why_not_keep,
)
from mneme.llm import NotCacheableError
from mneme.log import log_fields

__all__ = ["AsyncEnds", "BlockingEnds", "Ends", "Recording", "Relay", "run"]

T = TypeVar("T")

_TRUE_ON_THE_WAY = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Headers that are not true of a body that was decoded."""
_LONGEST = 4 * 2**20
"""Bytes of a stream that are recorded: what a cache takes by default."""

_NAME = "httpx"

logger = logging.getLogger("mneme")


class Ends(Protocol):
    """A cache on one side, a server on the other."""

    async def send(self, request: Any) -> Any: ...
    async def read(self, message: Any) -> bytes:
        """All of a request or response; a response is closed then."""
        ...

    async def get(self, query: str, **options: Any) -> Any: ...
    async def put(self, query: str, response: Any, **options: Any) -> Any: ...
    async def get_or_compute(self, query: str, compute: Callable[[], Awaitable[Any]], **options: Any) -> Any: ...
    def recorded(self, body: Any, store: Callable[[bytes], Coroutine[Any, Any, None]]) -> Any:
        """A stream that passes *body* on, and then has what passed stored."""
        ...

    def stream(self, parts: list[bytes]) -> Any: ...


class Relay:
    """Answers chat requests from a cache, or sends them on and keeps the answer."""

    def __init__(self, ends: Ends, make_response: Callable[..., Any], namespace: str, ttl: Any) -> None:
        self._ends = ends
        self._make_response = make_response
        self._namespace = namespace
        self._ttl = ttl

    async def handle(self, request: Any) -> Any:
        """The response, with a header that says where it comes from."""
        if not may_be_call(request.method, str(request.url)):
            request.headers.pop(NAMESPACE, None)
            return await self._pass(request, "not a chat API")
        body = await self._ends.read(request)
        try:
            call = call_of(request.method, str(request.url), request.headers, body, namespace=self._namespace)
        except (NotCacheableError, TypeError) as error:
            return await self._pass(request, str(error))
        finally:
            request.headers.pop(NAMESPACE, None)
        if not call.keep:
            return await self._pass(request, "no-store")
        try:
            return await (self._streamed if call.stream else self._whole)(request, call)
        except _CacheFailedError as failed:
            extra = log_fields("cache_bypassed", namespace=call.namespace, error=failed.__cause__, integration=_NAME)
            logger.warning("the cache could not be asked, and the request is sent on: %s", failed, extra=extra)
            return await self._pass(request, "the cache failed")

    async def _pass(self, request: Any, why: str) -> Any:
        response = await self._ends.send(request)
        response.headers[STATUS] = _said("pass", why)
        return response

    async def _whole(self, request: Any, call: Call) -> Any:
        asked = False

        async def compute() -> dict[str, Any]:
            nonlocal asked
            asked = True
            response = await self._ends.send(request)
            body = await self._ends.read(response)
            why = why_not_keep(call, response.status_code, body)
            if why is not None:
                headers = [one for one in response.headers.multi_items() if one[0].lower() not in _TRUE_ON_THE_WAY]
                raise Answer(response.status_code, headers, body, why)
            return kept(call, body.decode())

        try:
            stored = await self._ends.get_or_compute(call.query, compute, bypass=not call.look, **self._where(call))
        except Answer as answer:
            if not asked and answer.status != 200:  # refused to somebody else, whose key or quota it may be
                return await self._pass(request, answer.why)
            headers = [*answer.headers, (STATUS, _said("pass", answer.why))]
            return self._make_response(answer.status, headers=headers, content=answer.body, request=request)
        except (MnemeError, ValueError) as error:
            if asked:
                raise
            raise _CacheFailedError(str(error)) from error
        found = body_of(stored)
        if found is None:
            raise _CacheFailedError("somebody else stored the entry")
        return self._reply(request, call, found, "miss" if asked else "hit")

    async def _streamed(self, request: Any, call: Call) -> Any:
        if call.look:
            try:
                hit = await self._ends.get(call.query, scope=call.scope, namespace=call.namespace)
            except (MnemeError, ValueError) as error:
                raise _CacheFailedError(str(error)) from error
            found = None if hit is None else body_of(hit.response)
            if found is not None:
                return self._reply(request, call, found, "hit")
        request.headers["accept-encoding"] = "identity"  # what is recorded is what passes
        response = await self._ends.send(request)
        if response.status_code != 200:
            response.headers[STATUS] = _said("pass", f"status {response.status_code}")
            return response
        response.headers[STATUS] = "miss"

        async def store(body: bytes) -> None:
            if why_not_keep(call, 200, body) is None:
                try:
                    await self._ends.put(call.query, kept(call, body.decode()), **self._where(call))
                except Exception as error:
                    extra = log_fields("not_stored", namespace=call.namespace, error=error, integration=_NAME)
                    logger.warning("a streamed answer could not be stored", exc_info=True, extra=extra)

        response.stream = self._ends.recorded(response.stream, store)
        return response

    def _where(self, call: Call) -> dict[str, Any]:
        return {"scope": call.scope, "namespace": call.namespace, "ttl": self._ttl}

    def _reply(self, request: Any, call: Call, body: str, said: str) -> Any:
        kind = "text/event-stream; charset=utf-8" if call.stream else "application/json"
        stream = self._ends.stream(pieces(call, body))
        return self._make_response(200, headers={"content-type": kind, STATUS: said}, stream=stream, request=request)


class _CacheFailedError(Exception):
    """There is no telling what the cache holds. The server can be asked all the same."""


class Recording:
    """The bytes that pass, as long as they are not too many."""

    def __init__(self) -> None:
        self._parts: list[bytes] | None = []
        self._size = 0

    def add(self, part: bytes) -> None:
        if self._parts is not None:
            self._parts.append(part)
            self._size += len(part)
            if self._size > _LONGEST:
                self._parts = None

    def take(self) -> bytes | None:
        """What passed, the first time that it is asked for; `None` if that was too much."""
        parts, self._parts = self._parts, None
        return None if parts is None else b"".join(parts)


class BlockingEnds:
    """`SemanticCache` and a blocking transport. *streams* makes one of an iterable and of what is to be told of it."""

    def __init__(self, cache: SemanticCache, transport: Any, streams: Callable[..., Any]) -> None:
        self._cache = cache
        self._transport = transport
        self._streams = streams

    async def send(self, request: Any) -> Any:
        return self._transport.handle_request(request)

    async def read(self, message: Any) -> bytes:
        try:
            body: bytes = message.read()
            return body
        finally:
            if hasattr(message, "close"):
                message.close()

    async def get(self, query: str, **options: Any) -> Any:
        return self._cache.get(query, **options)

    async def put(self, query: str, response: Any, **options: Any) -> Any:
        return self._cache.put(query, response, **options)

    async def get_or_compute(self, query: str, compute: Callable[[], Any], **options: Any) -> Any:
        return self._cache.get_or_compute(query, lambda _: run(compute()), **options)

    def recorded(self, body: Any, store: Callable[[bytes], Coroutine[Any, Any, None]]) -> Any:
        return self._streams(body, lambda passed: run(store(passed)))

    def stream(self, parts: list[bytes]) -> Any:
        return self._streams(parts, None)


class AsyncEnds:
    """`AsyncSemanticCache` and a transport that is awaited."""

    def __init__(self, cache: AsyncSemanticCache, transport: Any, streams: Callable[..., Any]) -> None:
        self._cache = cache
        self._transport = transport
        self._streams = streams

    async def send(self, request: Any) -> Any:
        return await self._transport.handle_async_request(request)

    async def read(self, message: Any) -> bytes:
        try:
            body: bytes = await message.aread()
            return body
        finally:
            if hasattr(message, "aclose"):
                await message.aclose()

    async def get(self, query: str, **options: Any) -> Any:
        return await self._cache.get(query, **options)

    async def put(self, query: str, response: Any, **options: Any) -> Any:
        return await self._cache.put(query, response, **options)

    async def get_or_compute(self, query: str, compute: Callable[[], Any], **options: Any) -> Any:
        async def awaited(_: str) -> Any:
            return await compute()

        return await self._cache.get_or_compute(query, awaited, **options)

    def recorded(self, body: Any, store: Callable[[bytes], Coroutine[Any, Any, None]]) -> Any:
        return self._streams(body, store)

    def stream(self, parts: list[bytes]) -> Any:
        return self._streams(parts, None)


def run(flow: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine over blocking ends, which never suspends."""
    try:
        flow.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    flow.close()
    raise RuntimeError("a blocking transport was awaited")


def _said(what: str, why: str) -> str:
    return f"{what}; {why}".encode("ascii", "replace").decode()
