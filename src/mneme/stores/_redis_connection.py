"""One exchange with the server, written once, over a link of either colour.

Connections are taken from the driver's pools and used directly, not through its commands: these repeat by themselves
what may have been done already, and decode what they should not, by the settings of whoever made the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from mneme.errors import CacheClosedError
from mneme.stores._redis_errors import meaning_of
from mneme.stores._redis_pools import AsyncPools, Pools
from mneme.stores._redis_statements import Script
from mneme.stores._redis_wire import command

__all__ = ["AsyncLink", "BlockingLink", "Link", "exchange"]

_MOVES = 3
"""How often the keys may be elsewhere before that is told."""


class Link(Protocol):
    """What an exchange needs: connections, one owner each, from `take` to `give`."""

    where: str
    closed: bool

    async def take(self) -> Any: ...
    async def ask(self, connection: Any, data: Sequence[bytes]) -> Any: ...
    async def give(self, connection: Any, *, usable: bool) -> None: ...
    async def find_keys(self) -> None: ...
    async def close(self) -> None: ...
    def alone(self) -> AbstractAsyncContextManager[None]:
        """Whoever holds it is the only one of this store that changes something."""
        ...


async def exchange(
    link: Link,
    script: Script,
    arguments: Sequence[bytes],
    *,
    source: bool = False,
    changes: bool = False,
    lost: bool = False,
) -> Any:
    """What the script answers; with *source* all of it is sent, and not only its digest.

    With *changes* it must be one that makes its change once, however often it is sent; *lost* says that it was sent
    already. A connection that breaks is made anew, once. A read that is not answered in time is not sent again: the
    server is slow enough.
    """
    data = command(script.by_source if source else script.by_digest, script.words, arguments)
    again, moves = True, _MOVES
    while True:
        try:
            connection = await link.take()
        except _failures() as error:
            raise meaning_of(error, link.where, closed=link.closed, lost=lost) from error
        try:
            answer = await link.ask(connection, [data])
        except (_driver().ResponseError, _driver().BusyLoadingError) as error:
            text = str(error)
            await link.give(connection, usable="READONLY" not in text and "read only replica" not in text)
            if not (moves and await _found_elsewhere(link, error)):
                raise meaning_of(error, link.where, closed=link.closed, lost=lost) from error
            moves -= 1
        except _failures() as error:
            await link.give(connection, usable=False)
            lost = lost or changes
            if link.closed or not again or (isinstance(error, _driver().TimeoutError) and not changes):
                raise meaning_of(error, link.where, closed=link.closed, lost=lost) from error
            again = False
        except BaseException as error:
            await link.give(connection, usable=False)
            if link.closed and isinstance(error, Exception):  # the driver trips over what was closed under it
                raise meaning_of(error, link.where, closed=True) from error
            raise
        else:
            await link.give(connection, usable=True)
            return answer


def _driver() -> Any:
    """The driver's errors, asked for only when there is one: this file is imported where the driver may be missing."""
    import redis.exceptions  # noqa: PLC0415 - an extra

    return redis.exceptions


def _failures() -> tuple[type[Exception], ...]:
    """What the driver raises when a server cannot be reached, or a cluster be made out."""
    return _driver().RedisError, _driver().RedisClusterException, OSError


async def _found_elsewhere(link: Link, error: Exception) -> bool:
    """Whether the keys have moved to another node of a cluster; if so, that is where they are looked for next."""
    if type(error) is not _driver().MovedError:  # an AskError, which is one too, tells of keys that are on their way
        return False
    try:
        await link.find_keys()
    except _failures() as failure:
        raise meaning_of(failure, link.where, closed=link.closed) from failure
    return True


class BlockingLink:
    """A link whose coroutines never suspend."""

    def __init__(self, pools: Pools, where: str, patience: float) -> None:
        self.where = where
        self.closed = False
        self._pools = pools
        self._patience = patience
        self._busy = 0
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._changing = threading.Lock()

    async def take(self) -> Any:
        with self._lock:
            if self.closed:
                raise CacheClosedError(f"the store {self.where} was closed")
            self._busy += 1
        try:
            return self._pools.take()
        except BaseException:
            self._leave()
            raise

    async def ask(self, connection: Any, data: Sequence[bytes]) -> Any:
        connection[1].send_packed_command(data)
        return connection[1].read_response(disable_decoding=True)

    async def give(self, connection: Any, *, usable: bool) -> None:
        try:
            self._pools.give(connection, usable=usable)
        finally:
            self._leave()

    async def find_keys(self) -> None:
        self._pools.find_keys()

    async def close(self) -> None:
        """Let those finish that are at work, as long as an exchange may take, then release what is our own."""
        with self._lock:
            self.closed = True
            self._idle.wait_for(lambda: self._busy == 0, self._patience)
        self._pools.close()

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        with self._changing:
            yield

    def _leave(self) -> None:
        with self._lock:
            self._busy -= 1
            if self.closed and not self._busy:
                self._idle.notify_all()


class AsyncLink:
    """A link over the driver's asyncio client."""

    def __init__(self, pools: AsyncPools, where: str, patience: float) -> None:
        self.where = where
        self.closed = False
        self._pools = pools
        self._patience = patience
        self._busy = 0
        self._idle = asyncio.Event()
        self._changing = asyncio.Lock()

    async def take(self) -> Any:
        if self.closed:
            raise CacheClosedError(f"the store {self.where} was closed")
        self._busy += 1
        try:
            return await self._pools.take()
        except BaseException:
            self._leave()
            raise

    async def ask(self, connection: Any, data: Sequence[bytes]) -> Any:
        await connection[1].send_packed_command(data)
        return await connection[1].read_response(disable_decoding=True)

    async def give(self, connection: Any, *, usable: bool) -> None:
        try:
            await self._pools.give(connection, usable=usable)
        finally:
            self._leave()

    async def find_keys(self) -> None:
        await self._pools.find_keys()

    async def close(self) -> None:
        """As `BlockingLink.close`."""
        self.closed = True
        if self._busy:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._idle.wait(), self._patience)
        await self._pools.close()

    def alone(self) -> AbstractAsyncContextManager[None]:
        return self._changing

    def _leave(self) -> None:
        self._busy -= 1
        if self.closed and not self._busy:
            self._idle.set()
