"""Transports for httpx2 that answer chat requests from a cache. Needs the extra `httpx2`.

```python
client = httpx2.Client(transport=CachingTransport(cache))
```

Requests to `.../chat/completions`, `.../responses` and `.../messages` are answered from the cache where that is safe;
all others, and those that `mneme.llm` refuses, pass through untouched. Answers are kept when they came whole: not those
that were cut off, refused, or an error. A streamed answer is recorded while it passes, and replayed event by event.

The response header `mneme` says what happened: `hit`, `miss`, or `pass` and why. A request can say
`Cache-Control: no-cache` (ask the server, keep the answer) or `no-store` (the cache is not to be touched), and
`mneme-namespace`, which is not sent on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx2

from mneme import AsyncSemanticCache, SemanticCache
from mneme.integrations._relay import AsyncEnds, BlockingEnds, Recording, Relay, run

__all__ = ["AsyncCachingTransport", "CachingTransport"]


class CachingTransport(httpx2.BaseTransport):
    """A transport for `httpx2.Client` with a cache before it.

    Args:
        cache: Stays open when the transport is closed.
        transport: What requests go through that the cache does not answer; by default `httpx2.HTTPTransport()`.
        namespace: The tenant, unless a request names another.
        ttl: As for `put`.

    However many threads send equal requests at the same time, one reaches the server, unless they stream. A cache that
    fails, or cannot take the request, is passed by, with a warning.
    """

    def __init__(
        self,
        cache: SemanticCache,
        transport: httpx2.BaseTransport | None = None,
        *,
        namespace: str = "default",
        ttl: Any = None,
    ) -> None:
        self._transport = httpx2.HTTPTransport() if transport is None else transport
        self._relay = Relay(BlockingEnds(cache, self._transport, _Stream), httpx2.Response, namespace, ttl)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer from the cache, or send on."""
        response: httpx2.Response = run(self._relay.handle(request))
        return response

    def close(self) -> None:
        self._transport.close()


class AsyncCachingTransport(httpx2.AsyncBaseTransport):
    """The same for `httpx2.AsyncClient` and `AsyncSemanticCache`."""

    def __init__(
        self,
        cache: AsyncSemanticCache,
        transport: httpx2.AsyncBaseTransport | None = None,
        *,
        namespace: str = "default",
        ttl: Any = None,
    ) -> None:
        self._transport = httpx2.AsyncHTTPTransport() if transport is None else transport
        self._relay = Relay(AsyncEnds(cache, self._transport, _AsyncStream), httpx2.Response, namespace, ttl)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer from the cache, or send on."""
        response: httpx2.Response = await self._relay.handle(request)
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


class _Stream(httpx2.SyncByteStream):
    def __init__(self, body: Any, store: Callable[[bytes], None] | None) -> None:
        self._body = body
        self._store = store
        self._recording = Recording()

    def __iter__(self) -> Iterator[bytes]:
        for part in self._body:
            self._recording.add(part)
            yield part

    def close(self) -> None:
        # Clients stop at the last event, and may never ask whether anything follows.
        if isinstance(self._body, httpx2.SyncByteStream):
            self._body.close()
        passed = self._recording.take()
        if passed and self._store is not None:
            self._store(passed)


class _AsyncStream(httpx2.AsyncByteStream):
    def __init__(self, body: Any, store: Callable[[bytes], Awaitable[None]] | None) -> None:
        self._body = body
        self._store = store
        self._recording = Recording()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if isinstance(self._body, list):
            for part in self._body:
                yield part
            return
        async for part in self._body:
            self._recording.add(part)
            yield part

    async def aclose(self) -> None:
        if isinstance(self._body, httpx2.AsyncByteStream):
            await self._body.aclose()
        passed = self._recording.take()
        if passed and self._store is not None:
            await self._store(passed)
