"""A cache on a Redis or Valkey server, from both faces: `python redis_store.py redis://localhost:6379/0`."""

import asyncio
import os
import sys

from mneme import AsyncRedisStore, AsyncSemanticCache, RedisStore, SemanticCache
from mneme.testing import HashEmbedder  # stands in for a model: similar words, similar vectors


async def ask_again(url: str) -> None:
    """Find what the blocking face stored, as another process would."""
    store = AsyncRedisStore(url, prefix="example", timeout=2.0)
    async with AsyncSemanticCache(store=store, embedder=HashEmbedder()) as cache:
        for question in ("how do I reset  my PASSWORD", "how do I reset my password please", "is it raining"):
            hit = await cache.get(question)
            print(f"{question!r}: {f'{hit.response!r} ({hit.layer})' if hit else 'nothing'}")
        print(await cache.clear(), "entries cleared")


def main(url: str) -> None:
    """Fill the cache, then open it anew."""
    with SemanticCache(store=RedisStore(url, prefix="example"), embedder=HashEmbedder()) as cache:
        cache.put("how do I reset my password", "Under Settings, Security.", tags=["account"], ttl="1h")
        cache.put("what does it cost", "Nothing.", metadata={"source": "prices.md"})
        print(cache.stats().entries, "entries,", "sound" if cache.check() == [] else "unsound")
    asyncio.run(ask_again(url))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MNEME_REDIS_SERVER", "redis://localhost:6379/0"))
