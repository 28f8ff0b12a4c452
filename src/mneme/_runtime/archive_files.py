"""Where a checkpoint archive goes to and comes from: a path, or a file that somebody opened."""

from __future__ import annotations

import io
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from mneme._rules.archive import MAGIC
from mneme.errors import CheckpointError

__all__ = ["Destination", "Source", "publish", "sync_directory"]

_AT_ONCE = 2**20


class Destination:
    """A place for an archive. It gets the whole of it at one stroke, or nothing.

    *dest* is a path or a binary file object. Drafts for a path lie beside it, those for a stream are nameless.

    Raises:
        TypeError: *dest* is neither.
        CheckpointError: At the path lies something that is no checkpoint.
    """

    def __init__(self, dest: Any) -> None:
        self._stream: Any = None
        self._path: Path | None = None
        self._drafts: list[tuple[BinaryIO, Path | None]] = []
        if hasattr(dest, "write"):
            if isinstance(dest, io.TextIOBase):
                raise TypeError("dest must be opened for writing bytes, not text")
            self._stream = dest
        elif isinstance(dest, (str, os.PathLike)):
            path = Path(os.path.realpath(os.fspath(dest)))
            if not path.name or isinstance(os.fspath(dest), bytes):
                raise TypeError(f"dest must be a path or a binary file, not {dest!r}")
            self._path = path
            _check_replaceable(path)
        else:
            raise TypeError(f"dest must be a path or a binary file, not {type(dest).__name__}")

    def draft(self) -> BinaryIO:
        """A new file to write to, and to read again."""
        try:
            if self._path is None or _is_device(self._path):
                file = _nameless()
                self._drafts.append((file, None))
            else:
                beside = self._path.with_name(f"{self._path.name}.{os.urandom(4).hex()}.new")
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
                file = os.fdopen(os.open(beside, flags, 0o600), "w+b")
                self._drafts.append((file, beside))
        except OSError as error:
            raise self.failed(error) from error
        return file

    def accept(self, draft: BinaryIO) -> None:
        """Put this draft where the archive is to be."""
        try:
            [beside] = [path for file, path in self._drafts if file is draft]
            draft.flush()
            if beside is None:
                draft.seek(0)
                if self._stream is None:
                    with Path(str(self._path)).open("wb") as device:
                        _pour(draft, device)
                else:
                    _pour(draft, self._stream)
                return
            os.fsync(draft.fileno())
            draft.close()
            beside.replace(str(self._path))
            sync_directory(str(self._path))
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self.failed(error) from error

    def failed(self, error: OSError) -> CheckpointError:
        """What to raise for an error of the system."""
        where = "" if self._path is None else f" to {str(self._path)!r}"
        return CheckpointError(f"the checkpoint cannot be written{where}: {error.strerror or error}")

    def close(self) -> None:
        """Remove every draft that was not accepted."""
        for file, beside in self._drafts:
            with suppress(OSError):  # a full disk, which it says again
                file.close()
            if beside is not None:
                with suppress(OSError):
                    beside.unlink()
        self._drafts = []


def _check_replaceable(path: Path) -> None:
    try:
        if not path.exists() or _is_device(path):
            return
        with path.open("rb") as file:
            begins = file.read(len(MAGIC))
    except OSError as error:
        raise CheckpointError(
            f"the checkpoint cannot be written to {str(path)!r}: {error.strerror or error}"
        ) from error
    if begins and begins != MAGIC:
        raise CheckpointError(f"{str(path)!r} is no checkpoint; it was left alone. Choose another path")


def _is_device(path: Path) -> bool:
    """Whether it is something that is written to and not replaced: a pipe, a terminal."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _nameless() -> BinaryIO:
    """A file of the system's directory for temporary files, which is gone when it is closed."""
    import tempfile  # noqa: PLC0415 -- takes as long to import as ten modules of ours

    return tempfile.TemporaryFile()


def _pour(draft: BinaryIO, stream: Any) -> None:
    while part := draft.read(_AT_ONCE):
        rest = memoryview(part)
        while rest:
            written = stream.write(rest)
            if written is None:  # what some file objects give that take everything
                break
            rest = rest[written:]
    if hasattr(stream, "flush"):
        stream.flush()


class Source:
    """An archive to read from: a path, or a binary file object, which is read from where it stands.

    Raises:
        TypeError: It is neither.
        CheckpointError: It cannot be opened.
    """

    def __init__(self, source: Any) -> None:
        self._own: BinaryIO | None = None
        self._start: int | None = None
        if hasattr(source, "read"):
            if isinstance(source, io.TextIOBase):
                raise TypeError("source must be opened for reading bytes, not text")
            self.name = repr(getattr(source, "name", "stream"))
            self.file: BinaryIO = source
        elif isinstance(source, (str, os.PathLike)):
            self.name = repr(os.fspath(source))
            try:
                self.file = self._own = Path(source).open("rb")  # noqa: SIM115 -- closed by `close`
            except OSError as error:
                raise CheckpointError(
                    f"the checkpoint {self.name} cannot be read: {error.strerror or error}"
                ) from error
        else:
            raise TypeError(f"source must be a path or a binary file, not {type(source).__name__}")
        with suppress(OSError, AttributeError):
            self._start = self.file.tell() if self.file.seekable() else None

    def make_rereadable(self, most: int) -> None:
        """Copy a stream that can be read only once, at most so many bytes, to a nameless file."""
        if self._start is not None:
            return
        try:
            copy = self._own = _nameless()
            while part := self.file.read(_AT_ONCE):
                copy.write(part)
                if copy.tell() > most:
                    raise CheckpointError(
                        f"the checkpoint {self.name} has more than max_archive_bytes={most}; raise that if you trust it"
                    )
            copy.seek(0)
        except OSError as error:
            raise CheckpointError(f"the checkpoint {self.name} cannot be copied: {error.strerror or error}") from error
        self.file, self._start = copy, 0

    def rewind(self) -> None:
        """Go back to where the archive begins."""
        self.file.seek(self._start or 0)

    def close(self) -> None:
        """Close what was opened here."""
        if self._own is not None:
            self._own.close()


def publish(draft: str, path: str) -> None:
    """Give a finished file its name; a file that has it already stays, and `FileExistsError` is raised."""
    with Path(draft).open("rb+") as file:
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except (OSError, AttributeError):  # a file system without links
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        Path(draft).rename(path)
    else:
        Path(draft).unlink()
    sync_directory(path)


def sync_directory(path: str) -> None:
    """Make the name of a file as durable as the file. Where a directory cannot be opened (Windows) nothing is done."""
    with suppress(OSError):
        descriptor = os.open(Path(path).parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
