"""Whether a saved index is whole, of whichever kind: every checksum in it, without making an index of it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mneme.indexes._hnsw_file import END, HEAD, WORD
from mneme.indexes._saved import HEADER, MAGIC

__all__ = ["damage_of"]

_CHUNK = 2**20


def damage_of(path: str) -> str | None:
    """What is wrong with the file; `None` if there is none, or nothing is. Reads all of it."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(max(len(MAGIC), len(HEAD)))
            if start.startswith(MAGIC):
                return _of_exact(file)
            if start.startswith(HEAD):
                return _of_graph(file)
            return "it is no saved index, or one of another version"
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return f"its table of contents makes no sense ({error!r})"


def _of_exact(file: BinaryIO) -> str | None:
    file.seek(0)
    header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        return "it is too short"
    _, at, length, checksum = HEADER.unpack(header)
    if at + length > file.seek(0, 2):
        return "its table of contents is missing"
    file.seek(at)
    contents = file.read(length)
    if len(contents) != length or zlib.crc32(contents) != checksum:
        return "its table of contents does not have its checksum"
    for section in _sections(json.loads(contents)):
        size = int(np.prod(section["shape"])) * np.dtype(section["dtype"]).itemsize
        if _checksum(file, section["at"], size) != section["checksum"]:
            return "a section does not have its checksum"
    return None


def _sections(value: Any) -> Iterator[dict[str, Any]]:
    """Whatever in a table of contents says where it lies."""
    if isinstance(value, dict):
        if "checksum" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _sections(each)


def _of_graph(file: BinaryIO) -> str | None:
    file.seek(0, 2)
    end = file.tell() - END.size
    if end < len(HEAD):
        return "it is too short"
    file.seek(end)
    length, checksum, word = END.unpack(file.read(END.size))
    if word != WORD or length > end - len(HEAD):
        return "its end is missing"
    file.seek(end - length)
    table = file.read(length)
    if zlib.crc32(table) != checksum:
        return "its table does not have its checksum"
    at = len(HEAD)
    for section in json.loads(table)["sections"]:
        if _checksum(file, at, section["length"]) != section["crc32"]:
            return "a section does not have its checksum"
        at += section["length"]
    return None


def _checksum(file: BinaryIO, at: int, size: int) -> int:
    file.seek(at)
    total = 0
    while size > 0 and (chunk := file.read(min(size, _CHUNK))):
        total = zlib.crc32(chunk, total)
        size -= len(chunk)
    return total if size <= 0 else -1
