"""The runtime of the blocking face: threads wait for threads, ports are called in place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar, cast

from mneme._rules.guards_kinds import is_awaited
from mneme._runtime.awaitable import AwaitablePort, is_async
from mneme._runtime.background import ThreadBackground
from mneme._runtime.drive import complete
from mneme.ports import AsyncEmbedder, AsyncIndex, AsyncStore, Embedder, Guard, Index, Store

T = TypeVar("T")


class _Lock:
    def __init__(self) -> None:
        self._lock = threading.Lock()

    async def __aenter__(self) -> None:
        self._lock.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


class _Signal:
    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        self._event.wait()


class ThreadRuntime:
    """Keeps `Runtime` without ever suspending."""

    def lock(self) -> _Lock:
        return _Lock()

    def signal(self) -> _Signal:
        return _Signal()

    def background(self) -> ThreadBackground:
        return ThreadBackground()

    async def finish(self, flow: Coroutine[Any, Any, T]) -> T:
        return await flow

    async def offload(self, work: Callable[[], T]) -> T:
        return work()

    async def together(self, flows: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        if len(flows) < 2:
            return [await flow for flow in flows]
        with ThreadPoolExecutor(len(flows), thread_name_prefix="mneme-together") as pool:
            running = [pool.submit(complete, flow) for flow in flows]
            return [one.result() for one in running]

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 -- the blocking face: nothing else is to go on meanwhile

    async def call(self, function: Callable[[str], Any], query: str) -> Any:
        return _not_awaited(function(query), "compute")

    async def consult(self, function: Callable[[], Any], *, slow: bool) -> Any:  # noqa: ARG002 -- here every call is waited for
        return _not_awaited(function(), "the guard")

    def guard(self, guard: Guard) -> Guard:
        if is_awaited(guard):
            raise TypeError(f"the guard {guard.name!r} is awaited; use it with AsyncSemanticCache")
        return guard

    def store(self, store: Store | AsyncStore) -> AsyncStore:
        if is_async(store, "read"):
            raise TypeError(f"{type(store).__name__} is awaited; use it with AsyncSemanticCache")
        return cast("AsyncStore", AwaitablePort(store))

    def index(self, index: Index) -> AsyncIndex:
        return cast("AsyncIndex", AwaitablePort(index))

    def embedder(self, embedder: Embedder | AsyncEmbedder) -> AsyncEmbedder:
        if is_async(embedder, "embed"):
            raise TypeError(
                f"{type(embedder).__name__} is awaited; wrap it in to_sync_embedder(...), or use AsyncSemanticCache"
            )
        return cast("AsyncEmbedder", AwaitablePort(embedder))

    def close(self) -> None:
        pass


def _not_awaited(result: Any, what: str) -> Any:
    if hasattr(result, "__await__"):
        if hasattr(result, "close"):
            result.close()
        raise TypeError(f"{what} returned an awaitable; use AsyncSemanticCache for coroutine functions")
    return result
