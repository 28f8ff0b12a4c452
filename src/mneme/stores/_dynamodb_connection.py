"""The two ways to reach DynamoDB, behind one protocol that is awaited: boto3, which never suspends, and aiobotocore.

Neither knows what is asked. Both refuse requests once they are closed, and are closed when the last one is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol

from mneme.errors import CacheClosedError

__all__ = ["AsyncioConnection", "BlockingConnection", "Connection", "Reach"]


class Reach(NamedTuple):
    """How to make a client; with *client* it is made already, and not ours to close."""

    client: Any
    region_name: str | None
    endpoint_url: str | None
    timeout: float
    max_connections: int

    def options(self, config: type[Any]) -> dict[str, Any]:
        return {
            "region_name": self.region_name,
            "endpoint_url": self.endpoint_url,
            "config": config(
                connect_timeout=self.timeout,
                read_timeout=self.timeout,
                max_pool_connections=self.max_connections,
                retries={"total_max_attempts": 1, "mode": "standard"},  # the store tries again, with a limit in seconds
            ),
        }


class Connection(Protocol):
    """What the store needs of a client."""

    async def start(self) -> None:
        """Make the client, if there is none yet. Nothing is sent."""
        ...

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Send one request; raises what the client raises."""
        ...

    async def sleep(self, seconds: float) -> None: ...

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Held by whoever commits: two at once would only get in each other's way."""
        ...

    async def close(self) -> None: ...


class BlockingConnection:
    """A boto3 client, shared by all threads."""

    def __init__(self, reach: Reach) -> None:
        if reach.client is None:
            _require("boto3")
        self._reach = reach
        self._client: Any = reach.client
        self._turn = threading.Lock()
        self._condition = threading.Condition()
        self._running = 0
        self._closing = threading.Event()

    async def start(self) -> None:
        if self._reach.client is not None:
            return
        from botocore.config import Config  # noqa: PLC0415 -- takes a while, and is an extra

        with self._condition, _making:  # a session makes one client at a time
            if self._client is None and not self._closing.is_set():
                self._client = _session().client("dynamodb", **self._reach.options(Config))

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        with self._condition:
            if self._closing.is_set():
                raise closed()
            self._running += 1
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**arguments)
            return answer
        finally:
            with self._condition:
                self._running -= 1
                self._condition.notify_all()

    async def sleep(self, seconds: float) -> None:
        self._closing.wait(seconds)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        with self._turn:
            yield

    async def close(self) -> None:
        self._closing.set()
        with self._condition:
            self._condition.wait_for(lambda: not self._running)
            client, self._client = self._client, None
        if client is not None and client is not self._reach.client:
            client.close()


class AsyncioConnection:
    """An aiobotocore client, shared by all tasks of one event loop."""

    def __init__(self, reach: Reach) -> None:
        if reach.client is None:
            _require("aiobotocore")
        self._reach = reach
        self._client: Any = reach.client
        self._exit = contextlib.AsyncExitStack()
        self._turn = asyncio.Lock()
        self._running = 0
        self._closing = asyncio.Event()
        self._idle = asyncio.Event()

    async def start(self) -> None:
        if self._reach.client is not None:
            return
        from aiobotocore.config import AioConfig  # noqa: PLC0415 -- takes a while, and is an extra
        from aiobotocore.session import get_session  # noqa: PLC0415 -- takes a while, and is an extra

        async with self._turn:
            if self._client is None and not self._closing.is_set():
                session = get_session()
                session.register_component("data_loader", _loader())
                making = session.create_client("dynamodb", **self._reach.options(AioConfig))
                self._client = await self._exit.enter_async_context(making)

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if self._closing.is_set():
            raise closed()
        self._running += 1
        try:
            answer: dict[str, Any] = await getattr(self._client, operation)(**arguments)
            return answer
        finally:
            self._running -= 1
            if self._closing.is_set() and not self._running:
                self._idle.set()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        async with self._turn:
            yield

    async def close(self) -> None:
        self._closing.set()
        if self._running:
            await self._idle.wait()
        self._client = None
        await self._exit.aclose()


_making = threading.Lock()


@functools.cache
def _session() -> Any:
    # One for all stores: it reads descriptions of AWS for a tenth of a second before it makes its first client.
    from boto3.session import Session  # noqa: PLC0415 -- takes a while, and is an extra

    return Session()


@functools.cache
def _loader() -> Any:
    # The part of a session that is worth sharing, where the rest belongs to an event loop.
    from botocore.loaders import create_loader  # noqa: PLC0415 -- an extra

    return create_loader()


def closed() -> CacheClosedError:
    return CacheClosedError("the store was closed; make a new one")


def _require(driver: str) -> None:
    try:
        __import__(driver)
    except ImportError as error:
        raise ImportError(
            f"a DynamoDB store needs {driver}, which is not installed: pip install 'mneme-cache[dynamodb]'"
        ) from error
