"""Threads and tasks that wait for each other by events and never by the clock."""

import asyncio
import threading
from concurrent.futures import Future

from mneme.ports import Store
from mneme.testing import HashEmbedder

PATIENCE = 30
"""Seconds after which something that should have happened counts as hanging."""


def start(function, *args, **kwargs):
    """Run a function in a thread of its own; a future for its outcome, whatever it raises."""
    future = Future()

    def run():
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 -- a killed leader raises KeyboardInterrupt
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def outcomes(futures):
    """What each future came to: its result, or its exception."""
    return [future.exception(PATIENCE) or future.result(PATIENCE) for future in futures]


class Gate:
    """A function that says when it is called and returns when it may."""

    def __init__(self, result=None):
        self.calls = 0
        self._result = result
        self._changed = threading.Condition()
        self._open = False

    def __call__(self, *_):
        with self._changed:
            self.calls += 1
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._open, PATIENCE), "nobody opened the gate"
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result

    def open(self):
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def wait_for_calls(self, number):
        with self._changed:
            assert self._changed.wait_for(lambda: self.calls >= number, PATIENCE), f"{self.calls} calls"


class AsyncGate(Gate):
    """The same for tasks."""

    async def __call__(self, *_):
        self.calls += 1
        await until(lambda: self._open)
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result


async def until(true):
    """Let other tasks and threads go on until something is true."""

    async def poll():
        while not true():  # noqa: ASYNC110 -- what is waited for may happen in a thread, which sets no event of a loop
            await asyncio.sleep(0.001)

    await asyncio.wait_for(poll(), PATIENCE)


class Waiters:
    """Counts who waits in a cache for the computation of another."""

    def __init__(self, cache):
        self.followers = self.twins = 0
        self._changed = threading.Condition()
        flights = cache._core.flights
        join, twin = flights.join, flights.twin

        def counted_join(*args, **kwargs):
            flight, leads = join(*args, **kwargs)
            with self._changed:
                self.followers += not leads
                self._changed.notify_all()
            return flight, leads

        def counted_twin(*args, **kwargs):
            found, holds = twin(*args, **kwargs)
            with self._changed:
                self.twins += found is not None
                self._changed.notify_all()
            return found, holds

        flights.join, flights.twin = counted_join, counted_twin

    def wait_for(self, *, followers=0, twins=0):
        def there():
            return self.followers >= followers and self.twins >= twins

        with self._changed:
            assert self._changed.wait_for(there, PATIENCE), f"{self.followers} followers, {self.twins} twins"


class HeldEmbedder(HashEmbedder):
    """Holds back the texts that begin with "held" until the gate is open."""

    def __init__(self):
        super().__init__()
        self.gate = Gate()

    def embed(self, text):
        if text.startswith("held"):
            self.gate()
        return super().embed(text)

    def embed_many(self, texts):
        if any(text.startswith("held") for text in texts):
            self.gate()
        return super().embed_many(texts)


class CountingStore:
    """Notes which verbs are called."""

    def __init__(self, inner):
        self.inner = inner
        self.calls = []

    @property
    def name(self):
        return self.inner.name


def _verb(name):
    def verb(self, *args, **kwargs):
        self.calls.append(name)
        return getattr(self.inner, name)(*args, **kwargs)

    return verb


for _name in vars(Store):
    if not _name.startswith("_") and _name != "name":
        setattr(CountingStore, _name, _verb(_name))
