"""Transports for httpx that answer chat requests from a cache. Needs the extra `httpx`.

```python
client = httpx.Client(transport=CachingTransport(cache))
```

Requests to `.../chat/completions`, `.../responses` and `.../messages` are answered from the cache where that is safe;
all others, and those that `mneme.llm` refuses, pass through untouched. Answers are kept when they came whole: not those
that were cut off, refused, or an error. A streamed answer is recorded while it passes, and replayed event by event.

The response header `mneme` says what happened: `hit`, `miss`, or `pass` and why. A request can say
`Cache-Control: no-cache` (ask the server, keep the answer) or `no-store` (the cache is not to be touched), and
`mneme-namespace`, which is not sent on.
"""

from __future__ import annotations

from typing import Any, ClassVar

import httpx

from mneme.integrations._transport import AsyncCaching, AsyncRecordedStream, Caching, RecordedStream

__all__ = ["AsyncCachingTransport", "CachingTransport"]


class _Stream(RecordedStream, httpx.SyncByteStream):
    pass


class _AsyncStream(AsyncRecordedStream, httpx.AsyncByteStream):
    pass


class CachingTransport(Caching, httpx.BaseTransport):
    """A transport for `httpx.Client` with a cache before it.

    Args:
        cache: A `SemanticCache`, which stays open when the transport is closed.
        transport: What requests go through that the cache does not answer; by default `httpx.HTTPTransport()`.
        namespace: The tenant, unless a request names another.
        ttl: As for `put`.

    However many threads send equal requests at the same time, one reaches the server, unless they stream. A cache that
    fails, or cannot take the request, is passed by, with a warning.
    """

    http: ClassVar[Any] = httpx
    stream: ClassVar[type[RecordedStream]] = _Stream


class AsyncCachingTransport(AsyncCaching, httpx.AsyncBaseTransport):
    """The same for `httpx.AsyncClient` and `AsyncSemanticCache`."""

    http: ClassVar[Any] = httpx
    stream: ClassVar[type[AsyncRecordedStream]] = _AsyncStream
