"""The stores that keep everything on a Redis or Valkey server: a blocking one, and its asyncio twin.

What they do is in `_redis_verbs`, once for both; here is how they are made.
"""

from __future__ import annotations

import typing

from mneme.ports import Matrix, Record
from mneme.stores._redis_connection import AsyncLink, BlockingLink
from mneme.stores._redis_pools import async_pools, blocking_pools
from mneme.stores._redis_search import KINDS, SearchOptions
from mneme.stores._redis_statements import key_of
from mneme.stores._redis_verbs import RedisVerbs
from mneme.stores._twin import BlockingTwin, finished

if typing.TYPE_CHECKING:
    import redis
    import redis.asyncio
    import redis.cluster

__all__ = ["AsyncRedisStore", "RedisStore"]


class RedisStore(BlockingTwin):
    """Keeps entries on a Redis or Valkey server, under keys that begin with `{prefix}:`. Needs the extra `redis`.

    Any number of stores, in any number of processes, may use the same prefix at the same time: every verb is one
    script, which the server runs alone. Nothing is connected before `open`.

    Durability: that of the server. A verb returns when the server has done it, which may be before it is on a disk.

    Thread safety: all verbs, from any thread. What changes something waits for what this store is changing already;
    reads wait for nothing but a connection.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, as `redis.Redis.from_url` reads it. Its options come first.
        client: In place of *url*: a `redis.Redis` or `redis.cluster.RedisCluster`, which stays open when the store
            closes. Its time-outs hold, and the store uses its connections without its retries.
        prefix: What tells apart the stores on one server. No braces: all keys share the hash tag `{prefix}`.
        timeout: Seconds to wait for a free connection, to connect, and for an answer.
        max_connections: How many connections there may be, with *url*.
        search_type: When the server searches (`index_backend="store"`), which index it keeps: "hnsw", a graph, or
            "flat", which compares all vectors. This option and the next two take effect when a store is prepared for
            searching, and are kept from then on.
        search_m: Neighbours of each entry in the graph.
        search_ef_construction: How many candidates an entry's neighbours are chosen from.
        search_ef: How many candidates a search of the graph weighs: more find more, and take longer.

    Raises:
        ImportError: The extra is not installed.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        client: redis.Redis | redis.cluster.RedisCluster | None = None,
        prefix: str = "mneme",
        timeout: float = 5.0,
        max_connections: int = 16,
        search_type: typing.Literal["hnsw", "flat"] = "hnsw",
        search_m: int = 16,
        search_ef_construction: int = 100,
        search_ef: int = 100,
    ) -> None:
        check_options(url, client, prefix, timeout, max_connections)
        search = searching(search_type, search_m, search_ef_construction, search_ef)
        pools, where = blocking_pools(url, client, key_of(prefix), timeout=timeout, connections=max_connections)
        self._own = RedisVerbs(BlockingLink(pools, f"{prefix!r} on {where}", 6 * timeout + 1), prefix, search)
        super().__init__(self._own)

    def exists(self) -> bool:
        """Whether there is a cache here, or anything else where one would be. Makes nothing, and need not be open.

        Raises:
            StoreBackendError: The server cannot be asked.
        """
        return finished(self._own.exists())

    def marked(self) -> str | None:
        return finished(self._own.marked())

    def mark(self, text: str) -> None:
        finished(self._own.mark(text))

    def prepare_search(self, dim: int) -> None:
        finished(self._own.prepare_search(dim))

    def similar(self, partition: bytes, queries: Matrix, *, floor: float, k: int) -> list[list[Record]]:
        return finished(self._own.similar(partition, queries, floor=floor, k=k))


class AsyncRedisStore(RedisVerbs):
    """A `RedisStore` whose verbs are awaited, over redis-py's asyncio client. Needs the extra `redis`.

    Everything said of `RedisStore` holds, save that *client* is a `redis.asyncio.Redis` or
    `redis.asyncio.cluster.RedisCluster`. All verbs run on one event loop. A cancelled verb gives its connection up; a
    change that was cancelled may have been made.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        client: redis.asyncio.Redis | redis.asyncio.RedisCluster | None = None,
        prefix: str = "mneme",
        timeout: float = 5.0,
        max_connections: int = 16,
        search_type: typing.Literal["hnsw", "flat"] = "hnsw",
        search_m: int = 16,
        search_ef_construction: int = 100,
        search_ef: int = 100,
    ) -> None:
        check_options(url, client, prefix, timeout, max_connections)
        search = searching(search_type, search_m, search_ef_construction, search_ef)
        pools, where = async_pools(url, client, key_of(prefix), timeout=timeout, connections=max_connections)
        super().__init__(AsyncLink(pools, f"{prefix!r} on {where}", 6 * timeout + 1), prefix, search)


def check_options(url: object, client: object, prefix: object, timeout: object, max_connections: object) -> None:
    if (url is None) == (client is None):
        given = "neither" if url is None else "both"
        raise TypeError(f"pass a URL, such as 'redis://localhost:6379/0', or client=, and not {given}")
    if url is not None and not isinstance(url, str):
        raise TypeError(f"url must be a str, not {type(url).__name__}")
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be a str, not {type(prefix).__name__}")
    if not prefix.strip() or set(prefix) & set("{}") or len(prefix.encode()) > 512:
        raise ValueError(f"prefix must be 1 to 512 bytes of text without braces, not {prefix!r}")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be a number of seconds, not {type(timeout).__name__}")
    if not 0 < timeout <= 86_400:
        raise ValueError(f"timeout must be above 0 and at most 86400 seconds, not {timeout!r}")
    check_count("max_connections", max_connections, 1)


def searching(kind: str, m: int, ef_construction: int, ef: int) -> SearchOptions:
    if kind not in KINDS:
        raise ValueError(f"search_type must be 'hnsw' or 'flat', not {kind!r}")
    check_count("search_m", m, 2, 512)
    check_count("search_ef_construction", ef_construction, 1, 4096)
    check_count("search_ef", ef, 1, 4096)
    return SearchOptions(kind, m, ef_construction, ef)


def check_count(name: str, value: object, least: int, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value!r}")
    if most is not None and value > most:
        raise ValueError(f"{name} must be at most {most}, not {value!r}")
