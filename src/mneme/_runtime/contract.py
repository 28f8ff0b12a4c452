"""The face-dependent part of the runtime: one contract, kept by `threads` and by `tasks`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from mneme.ports import AsyncEmbedder, AsyncIndex, AsyncStore, Embedder, Guard, Index, Store

T = TypeVar("T")


class Signal(Protocol):
    """Set once, waited for by many."""

    def set(self) -> None: ...
    async def wait(self) -> None: ...


class Background(Protocol):
    """Runs flows that nobody waits for, a few at the most."""

    def take(self, flow: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Run *flow*, which does not raise, when those before it are done; `False` if too many wait."""
        ...

    async def end(self) -> None:
        """Take no more, let go of what waits, and end the one that runs."""
        ...


class Runtime(Protocol):
    """How flows wait, lock and call ports on one of the two faces."""

    def lock(self) -> AbstractAsyncContextManager[None]:
        """A new mutual exclusion; entered again and again, by one flow at a time."""
        ...

    def signal(self) -> Signal: ...

    def background(self) -> Background:
        """For flows that nobody waits for; starts nothing before the first of them."""
        ...

    async def finish(self, flow: Coroutine[Any, Any, T]) -> T:
        """Run *flow* to its end even if the caller is cancelled meanwhile; then the cancellation goes on."""
        ...

    async def offload(self, work: Callable[[], T]) -> T:
        """Do work that takes time and waits for nothing but the system; it is done even if the caller is cancelled."""
        ...

    async def together(self, flows: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """The results of all of these, run at the same time. One that fails ends the others where that is possible."""
        ...

    async def pause(self, seconds: float) -> None:
        """Go on after so many seconds."""
        ...

    async def call(self, function: Callable[[str], Any], query: str) -> Any:
        """Call a caller's own function, and await what it returns where that is what this face does."""
        ...

    async def consult(self, function: Callable[[], Any], *, slow: bool) -> Any:
        """Call a caller's own function, a *slow* one where nobody waits for it, and await what it returns as `call`."""
        ...

    def guard(self, guard: Guard) -> Guard:
        """*guard* itself; raises `TypeError` where this face cannot ask it."""
        ...

    def store(self, store: Store | AsyncStore) -> AsyncStore: ...
    def index(self, index: Index) -> AsyncIndex: ...
    def embedder(self, embedder: Embedder | AsyncEmbedder) -> AsyncEmbedder: ...

    def close(self) -> None:
        """End the threads it started, if any."""
        ...
