"""Stands between a client and its server: delays what passes, cuts answers off, or keeps them back."""

import contextlib
import heapq
import itertools
import selectors
import socket
import sys
import threading
import time


class Proxy:
    """One thread carries everything. *target* is a port of this host, or the path of a socket.

    Of the next `cut` answers nothing arrives, and of the next `halve` the first half; then the connection is closed,
    though the server has done its work. What passes takes `delay` seconds in each direction.

    Answers on a connection count from the *greeting* on, with which the server ends its own part of connecting. Without
    one they count from the first: a pool that connects in the background then takes faults that were meant for a call.
    """

    def __init__(self, target, *, delay=0.0, greeting=b""):
        self.cut = 0
        self.halve = 0
        self.delay = delay
        self._greeting = greeting
        self._ungreeted = set()
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._pairs = []
        self._under_way = []
        self._order = itertools.count()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def port(self):
        return self._listener.getsockname()[1]

    def close(self):
        self._wake.send(b"!")
        self._thread.join()
        for one in (self._selector, self._listener, self._wake, self._woken):
            one.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _run(self):
        while True:
            wait = max(0.0, self._under_way[0][0] - time.monotonic()) if self._under_way else None
            for key, _ in self._selector.select(wait):
                if key.data is None:
                    for pair in list(self._pairs):
                        self._break(pair)
                    return
                if key.fileobj.fileno() != -1:  # its other half may have ended it just now
                    key.data()
            while self._under_way and self._under_way[0][0] <= time.monotonic():
                _, _, pair, target, data = heapq.heappop(self._under_way)
                self._deliver(pair, target, data)

    def _accept(self):
        client, _ = self._listener.accept()
        if isinstance(self._target, int):
            server = socket.create_connection(("127.0.0.1", self._target))
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = (client, server)
        self._pairs.append(pair)
        if self._greeting:
            self._ungreeted.add(server)
        self._selector.register(client, selectors.EVENT_READ, lambda: self._carry(pair, client, server))
        self._selector.register(server, selectors.EVENT_READ, lambda: self._carry(pair, server, client))

    def _carry(self, pair, source, target):
        data = b""
        with contextlib.suppress(OSError):
            data = source.recv(2**20)
        if source in self._ungreeted:
            if data.endswith(self._greeting):
                self._ungreeted.remove(source)
        elif source is pair[1] and data:
            if self.cut:
                self.cut -= 1
                data = b""
            elif self.halve:
                self.halve -= 1
                self._deliver(pair, target, data[: len(data) // 2])
                data = b""
        if data and self.delay:
            due = time.monotonic() + self.delay
            heapq.heappush(self._under_way, (due, next(self._order), pair, target, data))
        else:
            self._deliver(pair, target, data)

    def _deliver(self, pair, target, data):
        if pair not in self._pairs:
            return
        try:
            if not data:
                raise ConnectionResetError
            target.sendall(data)
        except OSError:
            self._break(pair)

    def _break(self, pair):
        if pair in self._pairs:
            self._pairs.remove(pair)
            self._ungreeted.discard(pair[1])
            for one in pair:
                self._selector.unregister(one)
                one.close()


if __name__ == "__main__":
    # As a process of its own: target, and delay in seconds; says its port, and ends with its standard input.
    with Proxy(int(sys.argv[1]) if sys.argv[1].isdigit() else sys.argv[1], delay=float(sys.argv[2])) as proxy:
        print(proxy.port, flush=True)
        sys.stdin.read()
