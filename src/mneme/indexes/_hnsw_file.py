"""An HNSW index as one file: a head, a section for each partition, and a table of sections at the end.

The table names the length and the CRC-32 of every section, and has one of its own. A file that was cut off has no
table, one that was altered has a wrong sum. The sums guard against accidents, not against malice: who can write this
file could make the library read what it should not.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from mneme.errors import CorruptCacheError
from mneme.indexes._file import written_anew
from mneme.indexes._hnsw_contents import Contents
from mneme.indexes._hnsw_flat import Flat
from mneme.indexes._hnsw_graph import Graph, GraphState

__all__ = ["load", "save"]

HEAD = b"mneme hnsw 1\n"
END = struct.Struct("<QI8s")  # length and sum of the table, and a word to know the end by
WORD = b"mnemeend"


def save(contents: Contents, path: str, stamp: str) -> None:
    """Write everything to *path* at one stroke: there is the old file or the new one, whole.

    A rebuild that is under way is not saved. Changes wait meanwhile, searches do not.
    """
    with written_anew(path) as file:
        contents.snapshot(lambda parts: _write(file, contents, parts, stamp))


def load(contents: Contents, path: str) -> str:
    """Fill empty *contents* from *path*; the stamp that was saved with them.

    Raises:
        CorruptCacheError: The file is damaged, no such file, or of an index of another shape, options or library.
        OSError: It cannot be read.
    """
    with Path(path).open("rb") as file:
        table = _table(file, path)
        for name, value in _shape(contents).items():
            if table.get(name) != value:
                _refuse(path, f"its {name} is {table.get(name)!r} and not {value!r}")
        try:
            contents.fill(dict(_parts(file, path, contents, table["sections"])))
            return str(table["stamp"])
        except (CorruptCacheError, OSError):
            raise
        except Exception as error:
            raise CorruptCacheError(f"{path!r} cannot be made an index of: {error}") from error


def _shape(contents: Contents) -> dict[str, Any]:
    """What must agree. The numbers are laid out as this machine does it."""
    return {
        "dim": contents.dim,
        "dtype": contents.dtype,
        "library": contents.maker.name,
        "m": contents.settings.m,
        "ef_construction": contents.settings.ef_construction,
        "byteorder": sys.byteorder,
    }


# --- writing ---------------------------------------------------------------------------------------------------------


def _write(file: BinaryIO, contents: Contents, parts: Mapping[bytes, Flat | Graph], stamp: str) -> None:
    file.write(HEAD)
    sections = []
    for partition, part in parts.items():
        length = total = 0
        described, arrays = _described(part)
        for piece in arrays:
            data = memoryview(piece).cast("B")
            file.write(data)
            length, total = length + len(data), zlib.crc32(data, total)
        sections.append({"partition": partition.hex(), **described, "length": length, "crc32": total})
    table = json.dumps(_shape(contents) | {"stamp": stamp, "sections": sections}).encode()
    file.write(table)
    file.write(END.pack(len(table), zlib.crc32(table), WORD))


def _described(part: Flat | Graph) -> tuple[dict[str, int], Iterator[Any]]:
    """How many rows, and of a graph how many nodes; and what the section consists of, one after the other."""
    if isinstance(part, Flat):
        ids = np.array(part.ids(), np.int64)
        return {"rows": len(ids)}, iter((ids, *part.columns_of(ids.tolist())))
    state = part.state()
    pieces = (state.ids, state.nodes, state.digests, *state.extras)
    return {"rows": len(state.ids), "nodes": len(state.digests)}, _and_then(pieces, part)


def _and_then(pieces: tuple[Any, ...], graph: Graph) -> Iterator[Any]:
    yield from pieces
    yield graph.dump()


# --- reading ---------------------------------------------------------------------------------------------------------


def _table(file: BinaryIO, path: str) -> dict[str, Any]:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(len(HEAD)) != HEAD:
        _refuse(path, "it does not begin like one of this version")
    if size < len(HEAD) + END.size:
        _refuse(path, "it was cut off")
    file.seek(size - END.size)
    length, total, word = END.unpack(file.read(END.size))
    if word != WORD or length > size - END.size - len(HEAD):
        _refuse(path, "it was cut off, or its end is damaged")
    file.seek(size - END.size - length)
    data = file.read(length)
    if zlib.crc32(data) != total:
        _refuse(path, "its table is damaged")
    table: dict[str, Any] = json.loads(data)
    if len(HEAD) + sum(section["length"] for section in table["sections"]) + length + END.size != size:
        _refuse(path, "its table is of another file")
    return table


def _parts(
    file: BinaryIO, path: str, contents: Contents, sections: list[dict[str, Any]]
) -> Iterator[tuple[bytes, Flat | Graph]]:
    file.seek(len(HEAD))
    for section in sections:
        data = file.read(section["length"])
        if zlib.crc32(data) != section["crc32"]:
            _refuse(path, f"partition {section['partition']} is damaged")
        yield bytes.fromhex(section["partition"]), _part(_Reader(data), contents, section)


def _part(reader: _Reader, contents: Contents, section: dict[str, Any]) -> Flat | Graph:
    rows = section["rows"]
    like = contents.like
    ids = reader.take(np.empty(0, np.int64), rows)
    if "nodes" not in section:
        columns = tuple(reader.take(column, rows) for column in like)
        return contents.flat_of(ids.tolist(), columns)
    count = section["nodes"]
    nodes = reader.take(np.empty(0, np.int64), rows)
    digests = reader.take(np.empty(0, np.uint64), count)
    extras = tuple(reader.take(column, count) for column in like[1:])
    return contents.graph_of(reader.rest(), GraphState(digests, extras, ids, nodes))


class _Reader:
    """Takes arrays off the front of a section."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, like: Any, count: int) -> Any:
        shape = (count, *like.shape[1:])
        found = np.frombuffer(self._data, like.dtype, int(np.prod(shape)), self._at).reshape(shape)
        self._at += found.nbytes
        return found

    def rest(self) -> memoryview:
        return memoryview(self._data)[self._at :]


def _refuse(path: str, why: str) -> NoReturn:
    raise CorruptCacheError(f"{path!r} is not a usable hnsw index: {why}; remove it, and it is made anew")
