"""Connections for reading, so that readers wait neither for the writer nor for each other."""

from __future__ import annotations

import sqlite3
import threading
import time
import weakref
from collections.abc import Callable

from mneme.errors import CacheClosedError
from mneme.stores._sqlite_file import uri

__all__ = ["Connection", "Readers", "connect"]

_STATEMENTS = 256
"""More than there are texts, so that none is ever prepared twice."""
_PATIENCE = 0.1
"""Seconds after which a thread that waits looks again."""


class Connection(sqlite3.Connection):
    """One that can be referred to weakly, which SQLite's own cannot."""


def connect(path: str, timeout: float, *pragmas: str) -> Connection:
    """A connection to a file that exists, which waits so many seconds for other processes."""
    connection = sqlite3.connect(
        uri(path, "mode=rw"),
        uri=True,
        timeout=timeout,
        isolation_level=None,  # transactions begin where the code says so
        check_same_thread=False,  # one thread at a time, which the lock and the pool see to
        cached_statements=_STATEMENTS,
        factory=Connection,
    )
    try:
        for pragma in ("temp_store = MEMORY", *pragmas):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


class Readers:
    """Hands out connections, the last one used first, and makes them as they are needed, up to *limit*.

    Thread safety: a connection belongs to one thread between `take` and `give`. Neither takes a lock unless a
    connection has to be made or waited for: appending to a list and popping from it are atomic.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], limit: int) -> None:
        self._connect = connect
        self._limit = limit
        self._idle: list[sqlite3.Connection] = []
        # Weak, because an interrupt may hit the line after `take`: the connection is then closed as it is forgotten.
        self._all: weakref.WeakSet[sqlite3.Connection] = weakref.WeakSet()
        self._changed = threading.Condition()
        self._waiting = 0
        self._closed = False

    def take(self) -> sqlite3.Connection:
        if not self._closed:
            try:
                return self._idle.pop()
            except IndexError:
                pass
        return self._make_or_wait()

    def give(self, connection: sqlite3.Connection) -> None:
        self._idle.append(connection)
        # Read after the append: whoever waits counts itself before it looks at the list, so one of both sees the other.
        if self._waiting or self._closed:
            self._settle()

    def close(self, patience: float) -> None:
        """Close every connection; what is being read is interrupted and waited for, at most *patience* seconds.

        A connection that is still in use then is closed when it is given back.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._close_idle()
            deadline = time.monotonic() + patience
            while self._all and (left := deadline - time.monotonic()) > 0:
                for connection in self._all:
                    connection.interrupt()
                self._changed.wait(min(left, _PATIENCE))

    def _make_or_wait(self) -> sqlite3.Connection:
        with self._changed:
            self._waiting += 1
            try:
                while not self._closed:
                    if self._idle:
                        return self._idle.pop()
                    if len(self._all) < self._limit:
                        connection = self._connect()
                        self._all.add(connection)
                        return connection
                    self._changed.wait(_PATIENCE)  # one that was forgotten wakes nobody
            finally:
                self._waiting -= 1
        raise CacheClosedError("the store was closed")

    def _settle(self) -> None:
        with self._changed:
            if self._closed:
                self._close_idle()
            self._changed.notify_all()

    def _close_idle(self) -> None:
        while self._idle:
            connection = self._idle.pop()
            self._all.discard(connection)
            connection.close()
