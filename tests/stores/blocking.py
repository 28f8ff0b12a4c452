"""A network store's asyncio face in the shape that the contract suite wants: blocking, with one loop that all share."""

import asyncio
import functools
import threading


class Blocking:
    """The verbs of an `AsyncStore`, each run to its end in an event loop on a thread that ends with `close`."""

    def __init__(self, make_store):
        """The store is made in the loop, as a program would that has asyncio running when it connects."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._store = self._run(_made(make_store))

    @property
    def name(self):
        return self._store.name

    def close(self):
        if not self._loop.is_closed():
            self._run(self._store.close())
            self._run(self._loop.shutdown_default_executor())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _verb(self, name, *args, **kwargs):
        if not self._loop.is_closed():
            return self._run(getattr(self._store, name)(*args, **kwargs))
        return asyncio.run(getattr(self._store, name)(*args, **kwargs))  # a closed store needs no loop to say so


def _verb(name):
    return functools.partialmethod(Blocking._verb, name)


for each in ("open", "read", "write", "delete", "record", "scan", "vectors", "changes", "summary", "check", "compact"):
    setattr(Blocking, each, _verb(each))


async def _made(make_store):
    return make_store()
