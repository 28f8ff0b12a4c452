"""Where connections come from: a pool of our own, or that of the client which the caller passed. Imports the driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

__all__ = ["AsyncPools", "Pools", "async_pools", "blocking_pools"]

_MISSING = "the Redis stores need redis-py 5.3 or newer: pip install 'mneme-cache[redis]'"


class Pools(Protocol):
    """Hands out connections, each together with the pool that it goes back to."""

    def take(self) -> Any: ...
    def give(self, taken: Any, *, usable: bool) -> None: ...
    def find_keys(self) -> None: ...
    def close(self) -> None: ...


class AsyncPools(Protocol):
    """`Pools`, awaited."""

    async def take(self) -> Any: ...
    async def give(self, taken: Any, *, usable: bool) -> None: ...
    async def find_keys(self) -> None: ...
    async def close(self) -> None: ...


class _Pool:
    def __init__(self, pool: Any, *, ours: bool) -> None:
        self._pool = pool
        self._ours = ours

    def take(self) -> Any:
        return self._pool, self._pool.get_connection()

    def give(self, taken: Any, *, usable: bool) -> None:
        pool, connection = taken
        try:
            if not usable:
                connection.disconnect()
        finally:
            pool.release(connection)

    def find_keys(self) -> None:
        """They are where the pool leads to, or nowhere that it can know of."""

    def close(self) -> None:
        if self._ours:
            self._pool.disconnect()


class _Cluster(_Pool):
    """All keys lie in one slot, so there is one node to ask, as long as none of them is moved."""

    def __init__(self, client: Any, key: str) -> None:
        super().__init__(None, ours=False)
        self._client = client
        self._key = key

    def take(self) -> Any:
        node = self._client.get_node_from_key(self._key)
        pool = self._client.get_redis_connection(node).connection_pool
        return pool, pool.get_connection()

    def find_keys(self) -> None:
        self._client.nodes_manager.initialize()


class _AsyncPool:
    def __init__(self, pool: Any, *, ours: bool) -> None:
        self._pool = pool
        self._ours = ours

    async def take(self) -> Any:
        return self._pool, await self._pool.get_connection()

    async def give(self, taken: Any, *, usable: bool) -> None:
        pool, connection = taken
        try:
            if not usable:
                # Without waiting: whoever was cancelled would be held up, and whoever is told of a failure too.
                await connection.disconnect(nowait=True)
        finally:
            await pool.release(connection)

    async def find_keys(self) -> None:
        """As `_Pool.find_keys`."""

    async def close(self) -> None:
        if self._ours:
            await self._pool.disconnect()


class _AsyncCluster:
    def __init__(self, client: Any, key: str) -> None:
        self._client = client
        self._key = key

    async def take(self) -> Any:
        await self._client.initialize()
        node = self._client.get_node_from_key(self._key)
        connection = node.acquire_connection()
        try:
            # A pool would see to it that a connection which the server closed is not used; a node does not.
            can_read = getattr(connection, "can_read", None) or connection.can_read_destructive  # before redis-py 8
            if connection.is_connected and await can_read():
                await connection.disconnect(nowait=True)
            if not connection.is_connected:
                await connection.connect()
        except BaseException:
            await self.give((node, connection), usable=False)
            raise
        return node, connection

    async def give(self, taken: Any, *, usable: bool) -> None:
        node, connection = taken
        try:
            if not usable:
                await connection.disconnect(nowait=True)
        finally:
            if hasattr(node, "release"):
                node.release(connection)
            else:  # redis-py 5 has no word for it
                node._free.append(connection)  # noqa: SLF001 - there is no public word for it

    async def find_keys(self) -> None:
        await self._client.nodes_manager.initialize()

    async def close(self) -> None:
        """The client is the caller's."""


def blocking_pools(url: str | None, client: Any, key: str, *, timeout: float, connections: int) -> tuple[Pools, str]:
    """The pools, and how to call the place in messages, without a password."""
    try:
        import redis  # noqa: PLC0415 - an extra
        import redis.asyncio  # noqa: PLC0415 - an extra
        import redis.cluster  # noqa: PLC0415 - an extra
        from redis.backoff import NoBackoff  # noqa: PLC0415 - an extra
        from redis.retry import Retry  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ImportError(_MISSING) from error
    if url is not None:
        options = _options(url, timeout, connections)
        with _understood():
            pool = redis.BlockingConnectionPool.from_url(url, retry=Retry(NoBackoff(), 0), **options)
        return _Pool(pool, ours=True), _where(pool.connection_kwargs)
    if isinstance(client, redis.cluster.RedisCluster):
        return _Cluster(client, key), "a Redis cluster"
    if not isinstance(client, redis.Redis):
        _refuse(client, "redis.Redis or redis.cluster.RedisCluster", "RedisStore")
    return _Pool(client.connection_pool, ours=False), _where(client.connection_pool.connection_kwargs)


def async_pools(url: str | None, client: Any, key: str, *, timeout: float, connections: int) -> tuple[AsyncPools, str]:
    """As `blocking_pools`."""
    try:
        import redis.asyncio  # noqa: PLC0415 - an extra
        import redis.asyncio.cluster  # noqa: PLC0415 - an extra
        from redis.asyncio.retry import Retry  # noqa: PLC0415 - an extra
        from redis.backoff import NoBackoff  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ImportError(_MISSING) from error
    if url is not None:
        options = _options(url, timeout, connections)
        with _understood():
            pool = redis.asyncio.BlockingConnectionPool.from_url(url, retry=Retry(NoBackoff(), 0), **options)
        return _AsyncPool(pool, ours=True), _where(pool.connection_kwargs)
    if isinstance(client, redis.asyncio.cluster.RedisCluster):
        return _AsyncCluster(client, key), "a Redis cluster"
    if not isinstance(client, redis.asyncio.Redis):
        _refuse(client, "redis.asyncio.Redis or redis.asyncio.cluster.RedisCluster", "AsyncRedisStore")
    return _AsyncPool(client.connection_pool, ours=False), _where(client.connection_pool.connection_kwargs)


def _options(url: str, timeout: float, connections: int) -> dict[str, Any]:
    """What the URL itself says of these comes first, as the driver reads it."""
    options: dict[str, Any] = {
        "max_connections": connections,
        "timeout": timeout,
        "socket_timeout": timeout,
        "protocol": 2,
    }
    if not url.startswith("unix:"):
        options["socket_connect_timeout"] = timeout
    return options


@contextmanager
def _understood() -> Iterator[None]:
    """Around reading a URL: of a password that was not encoded the first piece counts as a port, and is shown."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith("Port "):
            raise
        raise ValueError(
            "the port in the URL is no number from 0 to 65535; write what is special in a password as its code (/ as "
            "%2F, # as %23, ? as %3F)"
        ) from None


def _where(options: dict[str, Any]) -> str:
    if "path" in options:
        return f"the socket {options['path']}"
    if "host" not in options:
        return "the server"
    return f"{options['host']}:{options.get('port', 6379)}/{options.get('db') or 0}"


def _refuse(client: Any, wanted: str, store: str) -> None:
    raise TypeError(f"{store} needs a client that is a {wanted}, not {type(client).__module__}.{type(client).__name__}")
