"""Records to items and back. Knows what an entry's data look like, and nothing of requests."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mneme.errors import CorruptCacheError, EmbedderDimensionError
from mneme.ports import Record, Vector
from mneme.stores._dynamodb_log import Entry, Place
from mneme.stores._dynamodb_statements import Item, Layout, key_item, pieces

__all__ = ["Content", "content_of", "items_of", "record_of", "size_of", "staged", "vector_of", "wrong_shape"]

INLINE = 8 * 1024
"""What is longer goes into parts: reading all vectors reads the first item of every entry."""

_STORED = np.dtype("<f4")
_LENGTH = struct.Struct(">I")


class Content(NamedTuple):
    """The data of one entry."""

    text: str
    payload: bytes
    vector: bytes | None


def staged(record: Record, name: str, number: int) -> tuple[Entry, list[bytes]]:
    """The entry of *record*, still without an id and a number, and its parts."""
    text = _text(record)
    long = len(text) + len(record.payload) > INLINE
    parts = pieces(_LENGTH.pack(len(text)) + text.encode() + record.payload) if long else []
    entry = Entry(
        0,
        0,
        bytes(record.key),
        Place(bytes(record.partition), record.namespace, record.scope),
        tuple(record.tags),
        float(record.created_at),
        float(record.accessed_at),
        None if record.removable_at is None else float(record.removable_at),
        size_of(record),
        record.vector is not None,
        len(parts),
        name,
        number,
    )
    return entry, parts


def items_of(record: Record, layout: Layout, entry: Entry, parts: Sequence[bytes]) -> list[Item]:
    """What is put for one record, before the commit that names it."""
    first = key_item(layout.data(entry.name, entry.number)) | {"key": {"B": entry.key}}
    if not parts:
        first["text"] = {"S": _text(record)}
        if record.payload:
            first["body"] = {"B": bytes(record.payload)}
    if record.vector is not None:
        first["vector"] = {"B": np.asarray(record.vector, dtype=_STORED).tobytes()}
    keys = layout.parts(entry.name, entry.number, len(parts))
    return [
        first,
        *(key_item(key) | {"body": {"B": part}} for key, part in zip(keys, parts, strict=True)),
    ]


def content_of(item: Item, parts: Sequence[Item]) -> Content:
    """The data in an entry's item and its parts."""
    vector = item["vector"]["B"] if "vector" in item else None
    if not parts:
        return Content(item["text"]["S"], item["body"]["B"] if "body" in item else b"", vector)
    joined = b"".join(part["body"]["B"] for part in parts)
    end = _LENGTH.size + _LENGTH.unpack_from(joined)[0]
    return Content(joined[_LENGTH.size : end].decode(), joined[end:], vector)


def record_of(entry: Entry, content: Content, *, vectors: bool) -> Record:
    try:
        query, codec, metadata, expires_at, compute_seconds, *more = json.loads(content.text)
    except ValueError as error:
        raise CorruptCacheError(
            f"the store is damaged: the data of entry {entry.id} cannot be read ({error}); `check` says what else"
        ) from error
    return Record(
        entry.key,
        entry.place.partition,
        entry.place.namespace,
        entry.place.scope,
        query,
        content.payload,
        codec,
        metadata,
        entry.tags,
        entry.created_at,
        entry.accessed_at,
        expires_at,
        entry.removable_at,
        compute_seconds,
        entry.id,
        entry.seq,
        vector_of(content.vector) if vectors and content.vector is not None else None,
        more[0] if more else 0.0,
    )


def vector_of(blob: bytes | bytearray) -> Vector:
    return np.frombuffer(blob, dtype=_STORED).astype(np.float32, copy=False)


def wrong_shape(vector: Vector, dim: int | None) -> EmbedderDimensionError:
    return EmbedderDimensionError(
        f"the vector has shape {vector.shape}, the store holds "
        + ("none: open it with a fingerprint and a dim" if dim is None else f"({dim},)")
    )


def size_of(record: Record) -> int:
    return len(record.payload) + _bytes_in(record.query) + _bytes_in(record.metadata)


def _text(record: Record) -> str:
    row: list[Any] = [record.query, record.codec, record.metadata, record.expires_at, float(record.compute_seconds)]
    if record.cost:  # most have none, and items are paid for by their size
        row.append(float(record.cost))
    return json.dumps(row, separators=(",", ":"))  # ASCII, whatever is in it


def _bytes_in(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
