"""Turns a blocking embedder into an asynchronous one, and the other way round."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from mneme.embedders._lifted import Wrapper, batch_verb, check_count, is_async
from mneme.errors import CacheClosedError
from mneme.ports import AsyncEmbedder, Embedder, Matrix, Vector

__all__ = ["OffloadedEmbedder", "PortalEmbedder", "to_async_embedder", "to_sync_embedder"]

_T = TypeVar("_T")


# --- blocking to asynchronous ----------------------------------------------------------------------------------------


def to_async_embedder(embedder: Embedder, *, max_workers: int = 16) -> OffloadedEmbedder:
    """An asynchronous embedder that runs *embedder* in threads of its own, at most *max_workers* at once.

    Not in asyncio's default pool: that one is small on small machines and shared with everything else. The threads
    start when they are needed. A cancelled task stops waiting at once; a call already running ends in its thread
    unheard.
    """
    if is_async(embedder):
        raise TypeError(f"{embedder!r} is asynchronous already; use it as it is")
    check_count("max_workers", max_workers)
    kind = OffloadedEmbedder if batch_verb(embedder) is None else _OffloadedBatches
    return kind(embedder, max_workers)


class OffloadedEmbedder(Wrapper):
    """An `AsyncEmbedder` on a blocking one. Made by `to_async_embedder`; has `embed_many` if the inner one has it."""

    def __init__(self, inner: Embedder, max_workers: int) -> None:
        super().__init__(inner)
        self._embed = inner.embed
        self._max_workers = max_workers
        self._lock = threading.Lock()
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None
        self._process = os.getpid()
        self._closed = False

    async def embed(self, text: str) -> Vector:
        """The vector of *text*."""
        return await self._offload(self._embed, text)

    def close(self) -> None:
        """Wait for the calls that are running, drop those that wait, and end the threads. Again is harmless."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
            inherited = self._process != os.getpid()
        if pool is not None and not inherited:
            pool.shutdown(wait=True, cancel_futures=True)

    async def _offload(self, function: Callable[[Any], _T], argument: Any) -> _T:
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads(), lambda: context.run(function, argument))

    def _threads(self) -> concurrent.futures.ThreadPoolExecutor:
        with self._lock:
            if self._closed:
                raise CacheClosedError("the embedder was closed; make a new one with to_async_embedder()")
            if self._pool is None or self._process != os.getpid():  # threads do not survive a fork
                self._process = os.getpid()
                self._pool = concurrent.futures.ThreadPoolExecutor(self._max_workers, "mneme-embedder")
            return self._pool


class _OffloadedBatches(OffloadedEmbedder):
    async def embed_many(self, texts: Sequence[str]) -> Matrix:
        """The vectors of *texts*, a row each, in one call of the inner embedder."""
        many = batch_verb(self._inner)
        assert many is not None  # noqa: S101 - this class was chosen because there is one
        return await self._offload(many, texts)


# --- asynchronous to blocking ----------------------------------------------------------------------------------------


def to_sync_embedder(embedder: AsyncEmbedder) -> PortalEmbedder:
    """A blocking embedder that runs *embedder* on one private event loop, in a background thread.

    It works inside a running event loop, which it blocks like any blocking call. Calls of several threads overlap. The
    thread starts with the first call, and ends with `close`, when the embedder is garbage, or with the interpreter; all
    three wait for it.
    """
    if not is_async(embedder):
        raise TypeError(f"{embedder!r} blocks already; use it as it is")
    kind = PortalEmbedder if batch_verb(embedder) is None else _PortalBatches
    return kind(embedder)


class PortalEmbedder(Wrapper):
    """An `Embedder` on an asynchronous one. Made by `to_sync_embedder`; has `embed_many` if the inner one has it."""

    def __init__(self, inner: AsyncEmbedder) -> None:
        super().__init__(inner)
        self._embed = inner.embed
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Callable[[], object] | None = None
        self._process = os.getpid()
        self._closed = False

    def embed(self, text: str) -> Vector:
        """The vector of *text*."""
        return self._complete(self._embed, text)

    def close(self) -> None:
        """Cancel the calls that are running, and end the thread; their callers get `CacheClosedError`."""
        with self._lock:
            self._closed = True
            stop, self._stop = self._stop, None
        if stop is not None:
            stop()

    def _complete(self, function: Callable[[Any], Awaitable[_T]], argument: Any) -> _T:
        async def call() -> _T:
            return await function(argument)

        future = self._submit(call())
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            if self._closed:
                raise CacheClosedError("the embedder was closed while it was at work") from None
            raise
        except BaseException:  # the caller was interrupted: nobody waits for the result any more
            future.cancel()
            raise

    def _submit(self, call: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
        with self._lock:  # so that a call is either refused, or known to the loop before it stops
            try:
                return asyncio.run_coroutine_threadsafe(call, self._running_loop())
            except BaseException:
                call.close()
                raise

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """The private loop, started if need be. The caller holds the lock."""
        if self._closed:
            raise CacheClosedError("the embedder was closed; make a new one with to_sync_embedder()")
        if self._loop is None or self._process != os.getpid():  # threads do not survive a fork
            self._process = os.getpid()
            loop = self._loop = asyncio.new_event_loop()
            # A daemon, so that a forgotten close() does not keep the interpreter from ending; yet it is always joined,
            # by the finalizer at the latest, which runs at exit as well.
            thread = threading.Thread(target=_run, args=(loop,), name="mneme-embedder-loop", daemon=True)
            thread.start()
            self._stop = weakref.finalize(self, _end, loop, thread, self._process)
        elif _current_loop() is self._loop:
            raise RuntimeError("an asynchronous embedder called its own blocking wrapper, which would wait for itself")
        return self._loop


class _PortalBatches(PortalEmbedder):
    def embed_many(self, texts: Sequence[str]) -> Matrix:
        """The vectors of *texts*, a row each, in one call of the inner embedder."""
        many = batch_verb(self._inner)
        assert many is not None  # noqa: S101 - this class was chosen because there is one
        return self._complete(many, texts)


def _current_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run *loop* until it is stopped, then let what is still running on it end."""
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread, process: int) -> None:
    if process != os.getpid():  # the thread is the parent's
        return
    loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():  # garbage may be collected in any thread, this one as well
        thread.join()
