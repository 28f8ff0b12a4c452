"""Replacing a file at one stroke."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["written_anew"]


@contextmanager
def written_anew(path: str) -> Iterator[BinaryIO]:
    """A new file that takes the place of *path* when the block ends well: there is the old one or the new one, whole.

    Only its owner may read and write it. Raises `OSError`; nothing is left over then. Where a file that is in use
    cannot be replaced (Windows) that is such an error.
    """
    beside = Path(f"{path}.{os.urandom(4).hex()}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    # Not forced to the disk: what a crash of the machine leaves half-written is found out by its checksums.
    descriptor = os.open(beside, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
