"""The layout of a checkpoint archive, version 1: blocks, and the small JSON documents in some of them.

`docs/checkpoint-format.md` describes it for other readers. Nothing here reads or writes a file.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple, NoReturn

from mneme.errors import CheckpointError
from mneme.ports import Counters

MAGIC = b"\x93mneme\r\n"
"""A byte that is no text, so that nobody takes it for one, and a line end that a careless copy would change."""
VERSION = 1
HEAD = struct.Struct("<8sI")
BLOCK_HEAD = struct.Struct("<BBHIII")
"""Kind, packing, zero, bytes stored, bytes unpacked, CRC-32 of the twelve bytes before it and of what is stored."""
HEADER, ENTRIES, VECTORS, COUNTERS, END = b"HEVCZ"
PLAIN, DEFLATE = 0, 1
BLOCK = 2**20
"""A writer ends a block of entries when it has so many bytes; only a single entry that is longer makes a longer one."""
_CRC_FROM = 12
_LEVEL = 1
"""Of zlib. Higher levels take several times as long to save a few per cent of what is mostly vectors."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the first block says."""

    created_at: float
    generator: str
    fingerprint: str | None
    dim: int | None
    namespaces: tuple[str, ...] | None
    """What the archive was restricted to; `None` for everything."""


@dataclass(frozen=True, slots=True)
class End:
    """What the last block says."""

    entries: int
    """Of all blocks, notes of the cache's own included."""
    seq: int
    """Of the latest change in the store that the archive reflects."""
    sha256: str
    """Of every byte before the last block."""


class BlockHead(NamedTuple):
    """The sixteen bytes before a block."""

    kind: int
    packing: int
    stored: int
    length: int
    crc: int


def framed(kind: int, body: bytes, *, pack: bool) -> bytes:
    """A block, packed if asked to and if that makes it smaller."""
    packing, stored = PLAIN, body
    if pack and len(packed := zlib.compress(body, _LEVEL)) < len(body):
        packing, stored = DEFLATE, packed
    head = BLOCK_HEAD.pack(kind, packing, 0, len(stored), len(body), 0)[:_CRC_FROM]
    return b"".join((head, struct.pack("<I", _crc(head, stored)), stored))


def block_head(raw: bytes, longest: int) -> BlockHead:
    """The head of a block; raises `CheckpointError` for one that no writer makes, or that is longer than allowed."""
    kind, packing, zero, stored, length, crc = BLOCK_HEAD.unpack(raw)
    if kind not in (HEADER, ENTRIES, VECTORS, COUNTERS, END):
        raise CheckpointError(f"it has a block of the unknown kind {kind:#04x}")
    if packing not in (PLAIN, DEFLATE) or zero or (packing and kind == VECTORS):
        raise CheckpointError("it has a block that is packed in an unknown way")
    if stored > length or (packing == PLAIN and stored != length):
        raise CheckpointError("the two lengths of a block contradict each other")
    if length > longest:
        raise CheckpointError(
            f"it has a block of {length} bytes, and no more than {longest} are allowed by max_query_bytes, "
            "max_response_bytes and max_metadata_bytes; raise them if you trust the archive"
        )
    return BlockHead(kind, packing, stored, length, crc)


def unpacked(raw_head: bytes, head: BlockHead, stored: bytes) -> bytes:
    """What a block holds, never more bytes than its head says; raises `CheckpointError` if anything is not as said."""
    if _crc(raw_head[:_CRC_FROM], stored) != head.crc:
        raise CheckpointError("the checksum of a block is wrong")
    if head.packing == PLAIN:
        return stored
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(stored, head.length + 1)
    except zlib.error as error:
        raise CheckpointError(f"a block does not unpack: {error}") from None
    if len(body) != head.length or not inflater.eof or inflater.unused_data:
        raise CheckpointError("a block unpacks to another length than it says")
    return body


def _crc(head: bytes, stored: bytes) -> int:
    return zlib.crc32(stored, zlib.crc32(head))


# --- documents -------------------------------------------------------------------------------------------------------


def header_body(header: Header) -> bytes:
    return _dumped(asdict(header))


def header_of(body: bytes) -> Header:
    """Raises `CheckpointError` unless it is exactly what `header_body` makes."""
    said = _document(body, "header", Header)
    names = said["namespaces"]
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        _refuse("header", "namespaces")
    fingerprint, dim = said["fingerprint"], said["dim"]
    if (fingerprint is None) != (dim is None):
        _refuse("header", "dim")
    return Header(
        created_at=_number(said, "created_at", "header"),
        generator=said["generator"] if isinstance(said["generator"], str) else _refuse("header", "generator"),
        fingerprint=fingerprint if isinstance(fingerprint, str | None) else _refuse("header", "fingerprint"),
        dim=None if dim is None else _count(said, "dim", "header"),
        namespaces=None if names is None else tuple(names),
    )


def end_body(end: End) -> bytes:
    return _dumped(asdict(end))


def end_of(body: bytes) -> End:
    """Raises `CheckpointError` unless it is exactly what `end_body` makes."""
    said = _document(body, "end", End)
    digest = said["sha256"] if isinstance(said["sha256"], str) else _refuse("end", "sha256")
    return End(_count(said, "entries", "end"), _count(said, "seq", "end"), digest)


def counters_body(counters: Mapping[str, Counters]) -> bytes:
    return _dumped({namespace: asdict(one) for namespace, one in counters.items()})


def counters_of(body: bytes) -> dict[str, Counters]:
    """Raises `CheckpointError` unless it is what `counters_body` makes, or made when there were fewer counters."""
    said = _parsed(body, "counters")
    kinds = {one.name: one.default for one in fields(Counters)}
    found = {}
    for namespace, values in said.items():
        if not isinstance(values, dict) or not values.keys() <= kinds.keys():
            _refuse("counters", namespace)
        numbers: dict[str, Any] = {
            name: _number(values, name, "counters") if type(kinds[name]) is float else _count(values, name, "counters")
            for name in values
        }
        found[namespace] = Counters(**numbers)
    return found


def _dumped(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True, allow_nan=False).encode("ascii")


def _document(body: bytes, what: str, kind: type) -> dict[str, Any]:
    said = _parsed(body, what)
    if said.keys() != {one.name for one in fields(kind)}:
        raise CheckpointError(f"its {what} does not hold what it should")
    return said


def _parsed(body: bytes, what: str) -> dict[str, Any]:
    try:
        said = json.loads(body.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"its {what} is no JSON: {error}") from None
    if not isinstance(said, dict):
        raise CheckpointError(f"its {what} is no JSON object")
    return said


def _count(said: Mapping[str, Any], name: str, what: str) -> int:
    value = said[name]
    return value if type(value) is int and 0 <= value < 2**63 else _refuse(what, name)


def _number(said: Mapping[str, Any], name: str, what: str) -> float:
    value = said[name]
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        _refuse(what, name)
    return float(value)


def _refuse(what: str, name: str) -> NoReturn:
    raise CheckpointError(f"its {what} has no proper value for {name!r}")
