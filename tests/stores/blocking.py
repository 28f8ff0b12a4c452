"""A network store's asyncio face in the shape that the contract suite wants: blocking, with one loop that all share."""

import asyncio
import functools
import threading


class Blocking:
    """The verbs of an `AsyncStore`, each run to its end in an event loop on a thread that ends with `close`."""

    def __init__(self, make_store):
        """The store is made in the loop, as a program would that has asyncio running when it connects."""
        self._loop = asyncio.new_event_loop()
        self._closing = False
        self._lock = threading.Lock()  # no verb may come to a loop that is about to stop: it would never end
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._store = self._run(_made(make_store))

    @property
    def name(self):
        return self._store.name

    def close(self):
        if not self._loop.is_closed():
            self._run(self._store.close())
            with self._lock:
                self._closing = True
            self._run(_others_done())
            self._run(self._loop.shutdown_default_executor())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _verb(self, name, *args, **kwargs):
        with self._lock:
            started = None
            if not self._closing:
                started = asyncio.run_coroutine_threadsafe(getattr(self._store, name)(*args, **kwargs), self._loop)
        if started is not None:
            return started.result()
        return asyncio.run(getattr(self._store, name)(*args, **kwargs))  # a closed store needs no loop to say so


def _verb(name):
    return functools.partialmethod(Blocking._verb, name)


for each in ("open", "read", "write", "delete", "record", "scan", "vectors", "changes", "summary", "check", "compact"):
    setattr(Blocking, each, _verb(each))


class BlockingSearching(Blocking):
    """Of a store that searches by itself."""

    prepare_search = _verb("prepare_search")
    similar = _verb("similar")


async def _others_done():
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)


async def _made(make_store):
    return make_store()
