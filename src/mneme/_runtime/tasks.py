"""The runtime of the async face: tasks wait for tasks, blocking ports run on worker threads.

A store and an index have one worker thread each: calls keep their order, and a database sees one thread. Embedders get
a pool, because the slow ones wait for a network; asyncio's own pool would have six threads on two cores.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from mneme._runtime.awaitable import AwaitablePort, Run, is_async
from mneme._runtime.background_tasks import TaskBackground
from mneme._runtime.crossing import Lock, Signal
from mneme.errors import CacheClosedError
from mneme.ports import AsyncEmbedder, AsyncIndex, AsyncStore, Embedder, Guard, Index, Store

T = TypeVar("T")
_EMBEDDER_THREADS = 16


class TaskRuntime:
    """Keeps `Runtime` on an event loop."""

    def __init__(self) -> None:
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._closed = False

    def lock(self) -> Lock:
        return Lock()

    def signal(self) -> Signal:
        return Signal()

    def background(self) -> TaskBackground:
        return TaskBackground()

    async def finish(self, flow: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(flow)
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:  # noqa: PERF203 -- each cancellation is one turn of the loop
                cancelled = error
        if cancelled is not None:
            task.exception()  # retrieved, or asyncio would report it as never looked at
            raise cancelled
        return task.result()

    async def offload(self, work: Callable[[], T]) -> T:
        return await self.finish(asyncio.to_thread(work))

    async def together(self, flows: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        tasks = [asyncio.ensure_future(flow) for flow in flows]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def call(self, function: Callable[[str], Any], query: str) -> Any:
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004 -- a callable object may have an async __call__
            return await function(query)
        # A plain function may block; a lambda around a coroutine function is found out by what it returns.
        result = await asyncio.to_thread(function, query)
        return await result if inspect.isawaitable(result) else result

    async def consult(self, function: Callable[[], Any], *, slow: bool) -> Any:
        result = await asyncio.to_thread(function) if slow else function()
        return await result if inspect.isawaitable(result) else result

    def guard(self, guard: Guard) -> Guard:
        return guard

    def store(self, store: Store | AsyncStore) -> AsyncStore:
        if is_async(store, "read"):
            return cast("AsyncStore", store)
        return cast("AsyncStore", AwaitablePort(store, self._worker(1, "store")))

    def index(self, index: Index) -> AsyncIndex:
        return cast("AsyncIndex", AwaitablePort(index, self._worker(1, "index")))

    def embedder(self, embedder: Embedder | AsyncEmbedder) -> AsyncEmbedder:
        if is_async(embedder, "embed"):
            return cast("AsyncEmbedder", embedder)
        return cast("AsyncEmbedder", AwaitablePort(embedder, self._worker(_EMBEDDER_THREADS, "embedder")))

    def _worker(self, threads: int, what: str) -> Run:
        pool = self._pools.get(what)
        if pool is None:  # it starts no thread before its first call
            pool = self._pools[what] = ThreadPoolExecutor(threads, thread_name_prefix=f"mneme-{what}")

        async def run(call: Callable[[], Any]) -> Any:
            try:
                result = asyncio.get_running_loop().run_in_executor(pool, call)
            except RuntimeError:
                if self._closed:  # by another task, in the middle of this one's flow
                    raise CacheClosedError("the cache was closed; open a new one") from None
                raise
            return await result

        return run

    def close(self) -> None:
        self._closed = True
        for pool in self._pools.values():
            pool.shutdown(wait=False)
