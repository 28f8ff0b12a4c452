"""Clients that do something besides at chosen requests: what may happen between any two of them."""

import asyncio
import threading
from contextlib import contextmanager

from botocore.exceptions import ClientError, ConnectionClosedError


class Killed(BaseException):
    """As if the process ended here: nothing of mneme catches it."""


class Meddling:
    """A client that calls `before(number, operation)` and `after(number, operation)` round each request, from 1."""

    def __init__(self, client):
        self._client = client
        self.calls = []
        self.before = self.after = lambda number, operation: None

    def __getattr__(self, operation):
        def call(**arguments):
            self.calls.append(operation)
            number = len(self.calls)
            self.before(number, operation)
            answer = self.answer(operation, arguments)
            self.after(number, operation)
            return answer

        return call

    def answer(self, operation, arguments):
        return getattr(self._client, operation)(**arguments)

    @contextmanager
    def at(self, number, do, *, after=False):
        """Do something at the request of this number, counted from now."""
        number += len(self.calls)

        def at(current, operation):
            if current == number:
                do()

        setattr(self, "after" if after else "before", at)
        try:
            yield
        finally:
            self.before = self.after = lambda number, operation: None


class Stingy(Meddling):
    """A client that does half of each batch, and finds DynamoDB busy every other time."""

    def answer(self, operation, arguments):
        if len(self.calls) % 2 and operation != "describe_table":
            raise busy(operation)
        if operation == "batch_write_item":
            return self._half(operation, arguments, "UnprocessedItems", lambda wanted: wanted)
        if operation == "batch_get_item":
            return self._half(operation, arguments, "UnprocessedKeys", lambda wanted: wanted["Keys"])
        return super().answer(operation, arguments)

    def _half(self, operation, arguments, left, listed):
        [(table, wanted)] = arguments["RequestItems"].items()
        every = listed(wanted)
        cut = (len(every) + 1) // 2 if len(self.calls) % 4 else 0
        some = {**wanted, "Keys": every[:cut]} if isinstance(wanted, dict) else every[:cut]
        rest = {**wanted, "Keys": every[cut:]} if isinstance(wanted, dict) else every[cut:]
        answer = {"Responses": {table: []}}
        if cut:
            answer = super().answer(operation, {"RequestItems": {table: some}})
        return {**answer, left: {table: rest}}


def busy(operation, code="ProvisionedThroughputExceededException"):
    return ClientError({"Error": {"Code": code, "Message": "slow down"}}, operation)


def broken(endpoint="http://nowhere"):
    return ConnectionClosedError(endpoint_url=endpoint)


def raising(error):
    def do():
        raise error

    return do


class AsyncMeddling:
    """An asyncio client that stops at the request of one number until it is let go, which may be never."""

    def __init__(self, client):
        self._client = client
        self.count = 0
        self.stop_at = 0
        self.after = False
        self.reached = asyncio.Event()

    def __getattr__(self, operation):
        async def call(**arguments):
            self.count += 1
            stop = self.count == self.stop_at
            if stop and not self.after:
                await self._stop()
            answer = await getattr(self._client, operation)(**arguments)
            if stop:
                await self._stop()
            return answer

        return call

    async def _stop(self):
        self.reached.set()
        await asyncio.Event().wait()


class Proxy:
    """Passes connections on to a server, until it is told to break off, or to be silent."""

    def __init__(self, address):
        host, _, port = address.removeprefix("http://").partition(":")
        self._target = (host, int(port))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._writers = set()
        self._silent = False
        self._server = None
        self.accepted = 0
        self.port = 0
        self.start()
        self.address = f"http://127.0.0.1:{self.port}"

    def start(self):
        self._silent = False
        self._run(self._listen())

    def stop(self):
        """Break off every connection, and accept no more."""
        self._run(self._end())

    def fall_silent(self):
        """Break off every connection, and accept others that are never answered."""
        self.stop()
        self._silent = True
        self._run(self._listen())

    def connections(self):
        return len(self._writers)

    def settle(self):
        """Wait until every connection that was closed at one end is closed at both."""
        self._run(self._ended())

    def close(self):
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _listen(self):
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self):
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        me = asyncio.current_task()
        await asyncio.gather(*(t for t in asyncio.all_tasks() if t is not me), return_exceptions=True)

    async def _ended(self):
        me = asyncio.current_task()
        await asyncio.wait([t for t in asyncio.all_tasks() if t is not me] or [asyncio.create_task(asyncio.sleep(0))])

    async def _accepted(self, reader, writer):
        self.accepted += 1
        if self._silent:
            await self._passed(reader, None, writer)
            return
        target_reader, target_writer = await asyncio.open_connection(*self._target)
        await asyncio.gather(
            self._passed(reader, target_writer, writer), self._passed(target_reader, writer, target_writer)
        )

    async def _passed(self, reader, to, mine):
        self._writers.add(mine)
        try:
            while data := await reader.read(65536):
                if to is not None:
                    to.write(data)
                    await to.drain()
        except OSError:
            pass
        finally:
            self._writers.discard(mine)
            if to is not None:
                to.close()
            if to is None or self._server is None:
                mine.close()
