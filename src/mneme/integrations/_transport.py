"""The caching transports, once for httpx and httpx2, which have the same interface; each adds its own base class."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, ClassVar

from mneme import AsyncSemanticCache, SemanticCache
from mneme.integrations._relay import AsyncEnds, BlockingEnds, Recording, Relay, run

__all__ = ["AsyncCaching", "Caching"]


class Caching:
    """What is blocking. `http` is the library, `stream` the class of its streams made of `RecordedStream`."""

    http: ClassVar[Any]
    stream: ClassVar[type[RecordedStream]]

    def __init__(
        self, cache: SemanticCache, transport: Any = None, *, namespace: str = "default", ttl: Any = None
    ) -> None:
        self._transport = self.http.HTTPTransport() if transport is None else transport
        self._relay = Relay(BlockingEnds(cache, self._transport, self.stream), self.http.Response, namespace, ttl)

    def handle_request(self, request: Any) -> Any:
        """Answer from the cache, or send on."""
        return run(self._relay.handle(request))

    def close(self) -> None:
        """Close the transport behind; the cache stays open."""
        self._transport.close()


class AsyncCaching:
    """What is awaited."""

    http: ClassVar[Any]
    stream: ClassVar[type[AsyncRecordedStream]]

    def __init__(
        self, cache: AsyncSemanticCache, transport: Any = None, *, namespace: str = "default", ttl: Any = None
    ) -> None:
        self._transport = self.http.AsyncHTTPTransport() if transport is None else transport
        self._relay = Relay(AsyncEnds(cache, self._transport, self.stream), self.http.Response, namespace, ttl)

    async def handle_async_request(self, request: Any) -> Any:
        """Answer from the cache, or send on."""
        return await self._relay.handle(request)

    async def aclose(self) -> None:
        """Close the transport behind; the cache stays open."""
        await self._transport.aclose()


class RecordedStream:
    """Passes a body on, and has what passed stored when it is closed, if it is to be stored.

    Clients stop at the last event, and may never ask whether anything follows.
    """

    def __init__(self, body: Any, store: Callable[[bytes], None] | None) -> None:
        self._body = body
        self._store = store
        self._recording = Recording()

    def __iter__(self) -> Iterator[bytes]:
        for part in self._body:
            self._recording.add(part)
            yield part

    def close(self) -> None:
        if hasattr(self._body, "close"):
            self._body.close()
        passed = self._recording.take()
        if passed and self._store is not None:
            self._store(passed)


class AsyncRecordedStream:
    """The same, awaited; the body may be a list."""

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
        if hasattr(self._body, "aclose"):
            await self._body.aclose()
        passed = self._recording.take()
        if passed and self._store is not None:
            await self._store(passed)
