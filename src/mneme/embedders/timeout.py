"""Gives up on an embedder that hangs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast, overload

from mneme.embedders._lifted import Wrapper, batch_verb, check_seconds, is_async
from mneme.ports import AsyncEmbedder, Embedder, Matrix, Vector

__all__ = ["with_timeout"]

_T = TypeVar("_T")

_MAX_STUCK = 16
"""So many hung calls are left behind; beyond that no new one is begun until one of them ends."""


@overload
def with_timeout(embedder: Embedder, seconds: float) -> Embedder: ...
@overload
def with_timeout(embedder: AsyncEmbedder, seconds: float) -> AsyncEmbedder: ...
def with_timeout(embedder: Embedder | AsyncEmbedder, seconds: float) -> Embedder | AsyncEmbedder:
    """The same embedder, except that a call, of one text or a batch, raises `TimeoutError` after *seconds*.

    An asynchronous call is cancelled then. A blocking call cannot be: it runs in a thread of its own, which is left
    behind, and later calls go on in others. When 16 are left behind and none has come back, calls raise `TimeoutError`
    at once instead of starting a seventeenth. Threads left behind do not keep the interpreter from ending.
    """
    check_seconds(seconds)
    batches = batch_verb(embedder) is not None
    if is_async(embedder):
        limited = _AsyncLimitedBatches if batches else _AsyncLimited
        return limited(cast("AsyncEmbedder", embedder), seconds)
    blocking = _LimitedBatches if batches else _Limited
    return blocking(cast("Embedder", embedder), seconds)


def _too_late(seconds: float) -> TimeoutError:
    return TimeoutError(
        f"the embedder did not answer within {seconds:g} s; raise seconds=, or see whether its server is overloaded"
    )


class _Limited(Wrapper):
    def __init__(self, inner: Embedder, seconds: float) -> None:
        super().__init__(inner)
        self._embed = inner.embed
        self._seconds = seconds
        self._lock = threading.Lock()
        self._stuck = 0

    def embed(self, text: str) -> Vector:
        """The vector of *text*; `TimeoutError` if it takes too long."""
        return self._within(self._embed, text)

    def _within(self, function: Callable[[Any], _T], argument: Any) -> _T:
        if self._stuck >= _MAX_STUCK:
            raise TimeoutError(f"{self._stuck} earlier calls of the embedder still hang; none is begun until one ends")
        outcome: concurrent.futures.Future[_T] = concurrent.futures.Future()
        context = contextvars.copy_context()
        # A thread for each call costs some 0.1 ms. A pool would have to be closed, and its threads, which are not
        # daemons, would keep the interpreter from ending while a call hangs.
        threading.Thread(
            target=_settle, args=(outcome, context, function, argument), name="mneme-embedder-timeout", daemon=True
        ).start()
        try:
            concurrent.futures.wait([outcome], self._seconds)
        finally:  # an interrupted caller leaves its call behind as well
            if not outcome.done():
                self._leave_behind(outcome)
        if not outcome.done():
            raise _too_late(self._seconds)
        return outcome.result()

    def _leave_behind(self, outcome: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            self._stuck += 1
        outcome.add_done_callback(self._came_back)

    def _came_back(self, _: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            self._stuck -= 1


class _LimitedBatches(_Limited):
    def embed_many(self, texts: Sequence[str]) -> Matrix:
        """The vectors of *texts*, a row each; `TimeoutError` if they take too long together."""
        many = batch_verb(self._inner)
        assert many is not None  # noqa: S101 - this class was chosen because there is one
        return self._within(many, texts)


def _settle(
    outcome: concurrent.futures.Future[_T],
    context: contextvars.Context,
    function: Callable[[Any], _T],
    argument: Any,
) -> None:
    try:
        result = context.run(function, argument)
    except BaseException as error:  # noqa: BLE001 - the caller gets it, whatever it is
        outcome.set_exception(error)
    else:
        outcome.set_result(result)


class _AsyncLimited(Wrapper):
    def __init__(self, inner: AsyncEmbedder, seconds: float) -> None:
        super().__init__(inner)
        self._embed = inner.embed
        self._seconds = seconds

    async def embed(self, text: str) -> Vector:
        """The vector of *text*; `TimeoutError` if it takes too long."""
        return await self._within(self._embed(text))

    async def _within(self, call: Awaitable[_T]) -> _T:
        try:
            return await asyncio.wait_for(call, self._seconds)
        except asyncio.TimeoutError as error:  # a class of its own before Python 3.11
            raise _too_late(self._seconds) from error


class _AsyncLimitedBatches(_AsyncLimited):
    async def embed_many(self, texts: Sequence[str]) -> Matrix:
        """The vectors of *texts*, a row each; `TimeoutError` if they take too long together."""
        many = batch_verb(self._inner)
        assert many is not None  # noqa: S101 - this class was chosen because there is one
        return await self._within(many(texts))
