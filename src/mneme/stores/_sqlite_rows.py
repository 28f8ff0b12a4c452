"""Records to rows and back. Knows the order of the columns, and nothing of connections."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mneme.errors import CorruptCacheError, EmbedderDimensionError
from mneme.ports import Matrix, Record, Vector

__all__ = ["Place", "blob_of", "entry_row", "facts_row", "matrix_of", "record_of", "size_of", "tags_of", "wrong_shape"]


_STORED = np.dtype("<f4")


class Place(NamedTuple):
    """What a row of `partitions` says."""

    partition: bytes
    namespace: str
    scope: str
    namespace_id: int


def record_of(row: Sequence[Any], place: Place) -> Record:
    """The record of a row in the order of `_sqlite_statements`; 1 µs, as every cold read pays for it."""
    key, _, query, payload, codec, metadata, tags, *numbers = row
    created, accessed, expires, removable, compute, cost, id_, seq, blob = numbers
    return Record(
        key,
        place[0],
        place[1],
        place[2],
        query,
        payload,
        codec,
        metadata,
        tags_of(tags) if tags else (),
        created,
        accessed,
        expires,
        removable,
        compute,
        id_,
        seq,
        None if blob is None else _vector_of(blob),
        cost,
    )


def entry_row(record: Record, seq: int, partition_id: int) -> tuple[Any, ...]:
    tags = json.dumps(list(record.tags)) if record.tags else ""
    return (
        seq,  # the id, if the entry is new
        seq,
        record.key,
        partition_id,
        record.query,
        record.payload,
        record.codec,
        record.metadata,
        tags,
        record.expires_at,
        record.compute_seconds,
        record.cost,
    )


def facts_row(record: Record, entry_id: int, numbers: tuple[int, int]) -> tuple[Any, ...]:
    """*numbers* are those of the partition and of the namespace."""
    return (
        entry_id,
        numbers[1],
        numbers[0],
        record.created_at,
        record.accessed_at,
        record.removable_at,
        size_of(record),
    )


def size_of(record: Record) -> int:
    """What the summary counts of it."""
    return len(record.payload) + _bytes_in(record.query) + _bytes_in(record.metadata)


def wrong_shape(vector: Vector, dim: int | None) -> EmbedderDimensionError:
    return EmbedderDimensionError(
        f"the vector has shape {vector.shape}, the store holds "
        + ("none: open it with a fingerprint and a dim" if dim is None else f"({dim},)")
    )


def blob_of(vector: Vector) -> bytes:
    """float32, little endian, whatever the machine."""
    return np.asarray(vector, dtype=_STORED).tobytes()


def matrix_of(blobs: Sequence[bytes], dim: int) -> Matrix:
    joined = bytearray().join(blobs)  # writable, so that the array is
    if len(joined) != 4 * dim * len(blobs):
        raise CorruptCacheError(f"the store is damaged: a vector does not have dimension {dim}; `check` says which")
    return np.frombuffer(joined, dtype=_STORED).astype(np.float32, copy=False).reshape(len(blobs), dim)


def _vector_of(blob: bytes) -> Vector:
    return np.frombuffer(blob, dtype=_STORED).astype(np.float32, copy=False)


def tags_of(text: str) -> tuple[str, ...]:
    try:
        return tuple(json.loads(text))
    except (TypeError, ValueError):
        raise CorruptCacheError("the store is damaged: the tags of an entry are not a JSON list") from None


def _bytes_in(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
