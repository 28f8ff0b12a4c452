"""Looking at a file before SQLite does, and making a new one that only its owner can read."""

from __future__ import annotations

import os
import sqlite3
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from mneme.errors import CorruptCacheError, SchemaMigrationError, StoreBackendError
from mneme.stores._sqlite_errors import REMEDY
from mneme.stores._sqlite_schema import APPLICATION_ID, TABLES, version_of

__all__ = ["checked_path", "inspect", "make", "remove", "size_of", "uri"]

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"


def uri(path: str, options: str) -> str:
    return f"{Path(path).as_uri()}?{options}"


def inspect(path: str, version: int, look: Callable[[sqlite3.Connection], object]) -> bool:
    """Make sure that *path* is a file of ours that this version can use. Alters nothing and leaves nothing beside it.

    *look* is called with a connection that only reads, and may raise. It is not called for a file that is still empty,
    or older than *version*.

    Returns:
        Whether the file exists.

    Raises:
        CorruptCacheError: It is something else, or visibly damaged.
        SchemaMigrationError: It has a newer schema than *version*.
        StoreBackendError: It cannot be read, or its directory does not exist.
    """
    header = _read_header(path)
    if not header:
        return header is not None
    application_id, found = _identity(header)
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC) or application_id != APPLICATION_ID:
        raise CorruptCacheError(f"{path!r} is not a mneme cache; it was left alone. Choose another path")
    _refuse_newer(path, found, version)
    if size_of(f"{path}-journal"):
        return True  # whoever made the file was interrupted: SQLite will undo it
    # Opening a file in WAL mode leaves files beside it, unless SQLite is told that nobody can change it. That holds
    # when there is no log. Where there is one its files exist already, and only a reader that uses them sees the truth.
    logged = Path(f"{path}-wal").exists()
    if not logged:
        _refuse_truncated(path, header)
    connection = sqlite3.connect(uri(path, "mode=ro" if logged else "mode=ro&immutable=1"), uri=True)
    try:
        found = version_of(connection)
        _refuse_newer(path, found, version)
        if found == 0:
            raise CorruptCacheError(f"{path!r} is damaged: it has no schema version{REMEDY}")
        if found == version:
            if missing := TABLES - {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}:
                raise CorruptCacheError(f"{path!r} is damaged: no table {', '.join(sorted(missing))}{REMEDY}")
            look(connection)
    finally:
        connection.close()
    return True


def make(path: str) -> bool:
    """Make an empty file that only its owner may read and write; whether it was made by this call.

    SQLite gives the files beside it the same permissions. Where there are no POSIX permissions (Windows) the file
    inherits those of its directory.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    except FileExistsError:
        return False  # another process was faster
    except OSError as error:
        _cannot("make", path, error)
    try:
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, 0o600)  # the umask may have taken bits away
    finally:
        os.close(descriptor)
    return True


def remove(path: str) -> None:
    """Remove a file that this process made and could not finish, and what SQLite put beside it."""
    for suffix in ("-journal", "-wal", "-shm", ""):
        Path(path + suffix).unlink(missing_ok=True)


def size_of(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def _read_header(path: str) -> bytes | None:
    """The first bytes, or `None` if there is no such file."""
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):
            raise CorruptCacheError(f"{path!r} is not a regular file, so it cannot be a mneme cache")
        with Path(path).open("rb") as file:
            return file.read(_HEADER_BYTES)
    except FileNotFoundError:
        parent = Path(path).parent
        if not parent.is_dir():
            raise StoreBackendError(f"cannot make {path!r}: there is no directory {str(parent)!r}; create it") from None
        return None
    except OSError as error:
        _cannot("read", path, error)


def _cannot(verb: str, path: str, error: OSError) -> NoReturn:
    raise StoreBackendError(
        f"cannot {verb} {path!r}: {error.strerror}; check the path, and what this user may do in its directory"
    ) from error


def _identity(header: bytes) -> tuple[int, int]:
    if len(header) < _HEADER_BYTES:
        return 0, 0
    return struct.unpack_from(">I", header, 68)[0], struct.unpack_from(">I", header, 60)[0]


def _refuse_newer(path: str, found: int, known: int) -> None:
    if found > known:
        raise SchemaMigrationError(
            f"{path!r} has schema version {found}, and this mneme knows versions up to {known}: it was left alone. "
            "Upgrade mneme, or choose another path"
        )


def _refuse_truncated(path: str, header: bytes) -> None:
    page_size = struct.unpack_from(">H", header, 16)[0]
    pages = struct.unpack_from(">I", header, 28)[0]
    needed = pages * (65536 if page_size == 1 else page_size)
    if size_of(path) < needed:
        raise CorruptCacheError(f"{path!r} is damaged: {size_of(path)} of {needed} bytes are there{REMEDY}")


def checked_path(path: object) -> str:
    """The file that *path* names, from the root on; raises `TypeError` or `ValueError` if it names none."""
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(f"path must be a str or a path object, not {type(path).__name__}")
    if not text or "\0" in text:
        raise ValueError(f"path must name a file, not {text!r}")
    if text == ":memory:":
        raise ValueError("path must name a file; for a cache in memory use MemoryStore()")
    return os.path.abspath(text)  # noqa: PTH100 - a later change of directory must not move the store; text stays text
