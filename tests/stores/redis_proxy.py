"""Stands between a store and its server, and breaks connections at the worst moment: when the work is done."""

import contextlib
import selectors
import socket
import threading


class Proxy:
    """One thread carries everything. `cut` answers are kept back, and their connections closed instead."""

    def __init__(self, port):
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._pairs = []
        self.cut = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

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
            for key, _ in self._selector.select():
                if key.data is None:
                    for pair in list(self._pairs):
                        self._break(pair)
                    return
                if key.fileobj.fileno() != -1:  # its other half may have ended it just now
                    key.data()

    def _accept(self):
        client, _ = self._listener.accept()
        server = socket.create_connection(self._target)
        pair = (client, server)
        self._pairs.append(pair)
        self._selector.register(client, selectors.EVENT_READ, lambda: self._carry(pair, client, server))
        self._selector.register(server, selectors.EVENT_READ, lambda: self._carry(pair, server, client))

    def _carry(self, pair, source, target):
        data = b""
        with contextlib.suppress(OSError):
            data = source.recv(2**20)
        keep = source is pair[1] and data and self.cut > 0
        self.cut -= bool(keep)
        try:
            if keep or not data:
                raise ConnectionResetError
            target.sendall(data)
        except OSError:
            self._break(pair)

    def _break(self, pair):
        self._pairs.remove(pair)
        for one in pair:
            self._selector.unregister(one)
            one.close()
