"""As `mneme.integrations.httpx`, for httpx2, on which the clients of OpenAI and Anthropic stand. Extra `httpx2`."""

from __future__ import annotations

from typing import Any, ClassVar

import httpx2

from mneme.integrations._transport import AsyncCaching, AsyncRecordedStream, Caching, RecordedStream

__all__ = ["AsyncCachingTransport", "CachingTransport"]


class _Stream(RecordedStream, httpx2.SyncByteStream):
    pass


class _AsyncStream(AsyncRecordedStream, httpx2.AsyncByteStream):
    pass


class CachingTransport(Caching, httpx2.BaseTransport):
    """A transport for `httpx2.Client` with a cache before it. Arguments and promises are those of the one for httpx."""

    http: ClassVar[Any] = httpx2
    stream: ClassVar[type[RecordedStream]] = _Stream


class AsyncCachingTransport(AsyncCaching, httpx2.AsyncBaseTransport):
    """The same for `httpx2.AsyncClient` and `AsyncSemanticCache`."""

    http: ClassVar[Any] = httpx2
    stream: ClassVar[type[AsyncRecordedStream]] = _AsyncStream
