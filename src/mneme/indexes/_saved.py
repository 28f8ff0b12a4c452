"""The saved form of an exact index: one file, mapped into memory and read where a search looks.

    64 bytes    the words "mneme index 4", then where the contents are, how long they are and their checksum
    ...         sections, each at a multiple of 64: ids, rows, errors, scales, marks and sketches of every piece, bases
    contents    JSON: what the sections are, and the checksum of each

Rows that have sketches are saved as int8 whatever the index holds, a quarter of float32: few of them are ever read, and
with its error a row names the candidates just as surely; float32 vectors lie in the store. Rows without sketches, which
are those of small partitions, are read whole by every search, and are saved as they are held. A section is checked when
it is first needed, so that opening reads next to none of it. Numbers are little endian.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from mneme.errors import CorruptCacheError
from mneme.indexes._basis import Basis
from mneme.indexes._file import written_anew
from mneme.indexes._piece import Piece, Unchecked
from mneme.indexes._quantise import Columns, decode, encode
from mneme.indexes._twins import errors_of

__all__ = ["SavedPartition", "read", "write"]

MAGIC = b"mneme index 4\n"
HEADER = struct.Struct("<14s2xQQI")  # magic, offset and length of the contents, their checksum
_ALIGNED = 64


class SavedPartition(NamedTuple):
    """What is saved of a partition."""

    key: bytes
    pieces: Sequence[Piece]


class _Section:
    """A part of the file, which is checked once."""

    __slots__ = ("_checksum", "_path", "_unchecked", "array")

    def __init__(self, array: npt.NDArray[Any], checksum: int, path: str) -> None:
        self.array = array
        self._unchecked = True
        self._checksum = checksum
        self._path = path

    def check(self) -> None:
        """Raise `CorruptCacheError` unless the section is what was written."""
        if self._unchecked:
            if zlib.crc32(self.array.data) != self._checksum:
                raise CorruptCacheError(f"the saved index {self._path!r} is damaged")
            self._unchecked = False


def write(path: str, stamp: str, dim: int, partitions: Iterable[SavedPartition]) -> None:
    """Put a file in the place of what is at *path*, whole or not at all. Raises `OSError`."""
    with written_anew(path) as file:
        file.write(bytes(_ALIGNED))
        bases: dict[int, tuple[int, dict[str, Any]]] = {}
        saved = []
        for key, pieces in partitions:
            described = [_write_piece(file, piece, bases) for piece in pieces if len(piece.ids) > len(piece.gone)]
            saved.append({"key": key.hex(), "pieces": described})
        contents = json.dumps(
            {
                "stamp": stamp,
                "dim": dim,
                "bases": [description for _, description in bases.values()],
                "partitions": saved,
            }
        ).encode()
        at = file.tell()
        file.write(contents)
        file.seek(0)
        file.write(HEADER.pack(MAGIC, at, len(contents), zlib.crc32(contents)))


def _write_piece(file: BinaryIO, piece: Piece, bases: dict[int, tuple[int, dict[str, Any]]]) -> dict[str, Any]:
    kept: Any = slice(None)
    if len(piece.gone):
        kept = np.ones(len(piece.ids), np.bool_)
        kept[piece.gone] = False
    piece.check_rows()
    piece.check_sketches()
    columns = tuple(column[kept] for column in piece.columns)
    ids, sketches, basis = _write_section(file, piece.ids[kept]), piece.sketches, piece.basis
    if sketches is None or basis is None or piece.sketched < len(piece.ids):
        return {"ids": ids, "columns": [_write_section(file, column) for column in columns]}
    if id(basis) not in bases:
        bases[id(basis)] = len(bases), _write_section(file, basis.directions)
    return {
        "ids": ids,
        "columns": [_write_section(file, column) for column in _as_int8(columns)],
        "sketches": _write_section(file, sketches[:, kept]),
        "basis": bases[id(basis)][0],
    }


def _as_int8(columns: Columns) -> Columns:
    if columns[0].dtype == np.int8:
        return columns
    rows, errors, scales = encode(decode(columns), "int8")
    already = errors_of(columns)
    if already is not None:
        errors = np.nextafter(errors + already, np.float32(np.inf))
    return rows, errors, scales, columns[-1]


def _write_section(file: BinaryIO, array: npt.NDArray[Any]) -> dict[str, Any]:
    stored = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    file.write(bytes(-file.tell() % _ALIGNED))
    at = file.tell()
    file.write(stored.data)
    return {"at": at, "shape": stored.shape, "dtype": stored.dtype.str, "checksum": zlib.crc32(stored.data)}


def read(path: str, dim: int) -> tuple[str, list[SavedPartition]]:
    """The stamp and the partitions of a file. The arrays lie in the file, and are checked when they are needed.

    Raises:
        FileNotFoundError, OSError: There is none, or it cannot be read.
        CorruptCacheError: It is damaged, or something else.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
    try:
        if os.fstat(descriptor).st_size < _ALIGNED:
            raise CorruptCacheError(f"the saved index {path!r} is damaged: it is too short")
        # The arrays keep the mapping alive, and it needs the descriptor no more.
        mapped = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)
    try:
        return _parsed(_contents(mapped, path), mapped, path, dim)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise CorruptCacheError(f"the saved index {path!r} is damaged: its table of contents is ({error!r})") from error
    except CorruptCacheError:
        with suppress(BufferError):  # of arrays that go when the error goes
            mapped.close()  # or it would be open for as long as somebody keeps the error
        raise


def _contents(mapped: mmap.mmap, path: str) -> Any:
    magic, at, length, checksum = HEADER.unpack_from(mapped)
    if magic != MAGIC:
        raise CorruptCacheError(f"{path!r} is no saved index, or one of another version")
    contents = mapped[at : at + length]
    if len(contents) != length or zlib.crc32(contents) != checksum:
        raise CorruptCacheError(f"the saved index {path!r} is damaged: its table of contents is")
    return json.loads(contents)


def _parsed(table: Any, mapped: mmap.mmap, path: str, dim: int) -> tuple[str, list[SavedPartition]]:
    if table["dim"] != dim:
        raise CorruptCacheError(f"the saved index {path!r} holds vectors of {table['dim']} dimensions, not {dim}")

    def section(described: Mapping[str, Any]) -> _Section:
        dtype, shape = np.dtype(described["dtype"]), tuple(described["shape"])
        count = int(np.prod(shape))
        if described["at"] + count * dtype.itemsize > len(mapped):
            raise CorruptCacheError(f"the saved index {path!r} is damaged: it is too short")
        array = np.frombuffer(mapped, dtype, count, described["at"]).reshape(shape)
        return _Section(array, described["checksum"], path)

    bases = [_basis(section(described)) for described in table["bases"]]
    return table["stamp"], [
        SavedPartition(bytes.fromhex(one["key"]), [_piece(each, section, bases) for each in one["pieces"]])
        for one in table["partitions"]
    ]


def _basis(section: _Section) -> Basis:
    section.check()
    return Basis(section.array)


def _piece(described: Mapping[str, Any], section: Callable[[Mapping[str, Any]], _Section], bases: list[Basis]) -> Piece:
    ids = section(described["ids"])
    columns = [section(column) for column in described["columns"]]
    sketches = section(described["sketches"]) if "sketches" in described else None
    basis = None if sketches is None else bases[described["basis"]]
    if basis is not None and sketches is not None and sketches.array.shape != (basis.columns, len(ids.array)):
        raise ValueError(f"sketches of shape {sketches.array.shape}")
    return Piece(
        ids.array,
        tuple(column.array for column in columns),
        None if sketches is None else sketches.array,
        basis,
        np.empty(0, np.intp),
        Unchecked([ids, *columns], [] if sketches is None else [sketches]),
    )
