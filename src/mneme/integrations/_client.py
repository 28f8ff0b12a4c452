"""A cache before a client of OpenAI's or Anthropic's, which are made alike."""

from __future__ import annotations

from typing import Any

from mneme import AsyncSemanticCache, SemanticCache
from mneme.integrations.httpx2 import AsyncCachingTransport, CachingTransport

__all__ = ["with_cache"]


def with_cache(sdk: Any, client: Any, cache: object, *, awaited: bool, transport: Any, **options: Any) -> Any:
    """A copy of a client of the module *sdk*, with a transport of its own."""
    wanted = AsyncSemanticCache if awaited else SemanticCache
    if not isinstance(cache, wanted):
        raise TypeError(
            f"{type(client).__name__} needs {'an' if awaited else 'a'} {wanted.__name__}, not {type(cache).__name__}"
        )
    make: Any = AsyncCachingTransport if awaited else CachingTransport
    http_client = sdk.DefaultAsyncHttpxClient if awaited else sdk.DefaultHttpxClient
    return client.with_options(http_client=http_client(transport=make(cache, transport, **options)))
