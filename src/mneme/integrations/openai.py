"""A client of OpenAI's that asks a cache first. Needs the extra `openai`."""

from __future__ import annotations

from typing import Any, TypeVar

import openai

from mneme import AsyncSemanticCache, SemanticCache
from mneme.integrations._client import with_cache

__all__ = ["cached"]

Client = TypeVar("Client", openai.OpenAI, openai.AsyncOpenAI)


def cached(
    client: Client,
    cache: SemanticCache | AsyncSemanticCache,
    *,
    transport: Any = None,
    namespace: str = "default",
    ttl: Any = None,
) -> Client:
    """A copy of *client* whose chat requests are answered from *cache* where that is safe; *client* is left as it is.

    `mneme.integrations.httpx` tells what is safe, which answers are kept, and what one call can say about it; here it
    says so in `extra_headers`. Streams are recorded and replayed.

    Args:
        client: `openai.OpenAI` with a `SemanticCache`, `openai.AsyncOpenAI` with an `AsyncSemanticCache`.
        cache: Stays open when the client is closed.
        transport: What requests go through that the cache does not answer, if *client* needs a special one (a proxy, a
            certificate): that of the client cannot be taken over.
        namespace: The tenant.
        ttl: As for `put`.

    Raises:
        TypeError: The client blocks and the cache does not, or the other way round.
    """
    awaited = isinstance(client, openai.AsyncOpenAI)
    copy: Client = with_cache(openai, client, cache, awaited=awaited, transport=transport, namespace=namespace, ttl=ttl)
    return copy
