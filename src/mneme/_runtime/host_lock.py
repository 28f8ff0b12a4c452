"""Mutual exclusion between the processes of one host, which ends with the process that holds it."""

from __future__ import annotations

import os
from importlib.util import find_spec

__all__ = ["HostLock", "is_possible"]


def is_possible() -> bool:
    """Whether this system has such locks."""
    return find_spec("fcntl") is not None


class HostLock:
    """A lock on a file of its own, which stays when it is released: who deletes it splits the lock in two.

    Not on the file that it protects: that is replaced. Not on the database: closing any descriptor of a file ends the
    locks that SQLite has on it in this process.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._held: int | None = None

    def acquire(self) -> bool:
        """Take the lock, unless somebody has it; whether it was taken. One thread at a time.

        Raises:
            OSError: The file cannot be made.
        """
        import fcntl  # noqa: PLC0415 -- which Windows has not

        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._held = descriptor
        return True

    def release(self) -> None:
        """Give it back, if it is held."""
        import fcntl  # noqa: PLC0415 -- which Windows has not

        held, self._held = self._held, None
        if held is not None:
            fcntl.flock(held, fcntl.LOCK_UN)  # or it would last as long as a child that was forked meanwhile
            os.close(held)
