"""Entries and vectors as the blocks of a checkpoint archive hold them."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mneme._rules.archive import BLOCK
from mneme._rules.keys import partition_of
from mneme.errors import CheckpointError
from mneme.ports import Matrix, Record

COUNT = struct.Struct("<I")
ENTRY = struct.Struct("<32s16s6d8I")
"""Key, partition, six numbers, flags, and the lengths of the seven texts that follow."""
HAS_VECTOR, EXPIRES, IS_REMOVABLE = 1, 2, 4
_TEXTS = ("namespace", "scope", "query", "codec", "metadata", "tags", "response")
SEALED = "sealed:"
"""What the codec of an encrypted entry begins with; there, all its texts are in codec and response."""
_FAR = 1e-3
"""How far a vector's length may be from 1: far more than rounding, far less than what is no unit vector."""
_AROUND = 4 * 2**20
"""What a block may take beside the largest texts: the other fields of its entries, and the entries before that one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may ask of its reader."""

    query: int
    response: int
    metadata: int
    total: int
    """Bytes of all blocks, unpacked."""

    def block(self, dim: int | None) -> int:
        """Bytes of one block, unpacked."""
        return _AROUND + BLOCK + self.query + self.response + self.metadata + 4 * (dim or 0)


UNLIMITED = Limits(2**32, 2**32, 2**32, 2**63)
"""For what this process wrote itself."""


def batches_of(records: Sequence[Record]) -> Iterator[list[Record]]:
    """The records in order, in parts that make blocks of a proper size."""
    part: list[Record] = []
    size = 0
    for record in records:
        takes = ENTRY.size + sum(map(len, (record.payload, record.query, record.metadata, record.codec, record.scope)))
        takes = max(takes, 0 if record.vector is None else record.vector.nbytes)
        if part and size + takes > BLOCK:
            yield part
            part, size = [], 0
        part.append(record)
        size += takes
    if part:
        yield part


def entries_body(records: Sequence[Record]) -> bytes:
    """Raises `CheckpointError` for an entry that no reader would take."""
    parts = [COUNT.pack(len(records))]
    for record in records:
        try:
            texts = (
                record.namespace.encode(),
                record.scope.encode(),
                record.query.encode(),
                record.codec.encode(),
                record.metadata.encode(),
                json.dumps(list(record.tags)).encode("ascii") if record.tags else b"",
                record.payload,
            )
            flags = (
                (record.vector is not None) * HAS_VECTOR
                | (record.expires_at is not None) * EXPIRES
                | (record.removable_at is not None) * IS_REMOVABLE
            )
            numbers = (
                record.created_at,
                record.accessed_at,
                record.expires_at or 0.0,
                record.removable_at or 0.0,
                record.compute_seconds,
                record.cost,
            )
            head = ENTRY.pack(record.key, record.partition, *numbers, flags, *map(len, texts))
        except (UnicodeEncodeError, struct.error) as error:
            raise CheckpointError(f"the entry with the id {record.id} cannot be written: {error}") from error
        if not all(map(math.isfinite, numbers)) or len(record.key) != 32:
            raise CheckpointError(f"the entry with the id {record.id} has an improper time or key; delete it")
        if not _is_in_its_place(record):
            raise CheckpointError(
                f"the entry with the id {record.id} is in the partition of another namespace or scope; delete it"
            )
        parts.append(head)
        parts.extend(texts)
    return b"".join(parts)


def vectors_body(records: Sequence[Record], dim: int | None) -> bytes:
    """The vectors of those that have one; raises `CheckpointError` for one that no reader would take."""
    held = [record for record in records if record.vector is not None]
    if not held:
        return b""
    for record in held:
        if record.vector is None or record.vector.shape != (dim,):
            raise CheckpointError(f"the entry with the id {record.id} has a vector of another dimension; delete it")
    matrix = np.stack([record.vector for record in held if record.vector is not None]).astype("<f4", copy=False)
    bad = improper(matrix)
    if bad is not None:
        raise CheckpointError(f"the vector of the entry with the id {held[bad].id} has not the length 1; delete it")
    return matrix.tobytes()


def improper(matrix: Matrix) -> int | None:
    """The first row that is not finite, or not of unit length."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))
    wrong = ~(np.abs(lengths - 1) <= _FAR)
    return int(wrong.argmax()) if wrong.any() else None


def outline_of(body: bytes) -> list[tuple[bytes, str]]:
    """Key and namespace of every entry of a block, in order; of one that was written by this process."""
    outline, at = [], COUNT.size
    while at < len(body):
        fields = ENTRY.unpack_from(body, at)
        lengths = fields[-len(_TEXTS) :]
        at += ENTRY.size
        outline.append((fields[0], body[at : at + lengths[0]].decode()))
        at += sum(lengths)
    return outline


def records_of(body: bytes, limits: Limits) -> tuple[list[Record], list[int]]:
    """The records of a block of entries, without their vectors, and the positions of those that have one.

    Raises:
        CheckpointError: It is not what `entries_body` makes, or something in it is larger than the limits allow.
    """
    if len(body) < COUNT.size:
        raise CheckpointError("a block of entries is too short")
    [count] = COUNT.unpack_from(body)
    at, records, with_vector = COUNT.size, [], []
    for number in range(count):
        if len(body) - at < ENTRY.size:
            raise CheckpointError("a block of entries ends in the middle of one")
        record, flags, at = _record(body, at, limits)
        if flags & HAS_VECTOR:
            with_vector.append(number)
        records.append(record)
    if at != len(body) or not records:
        raise CheckpointError("a block of entries holds something else besides, or nothing")
    return records, with_vector


def _record(body: bytes, at: int, limits: Limits) -> tuple[Record, int, int]:
    key, partition, *rest = ENTRY.unpack_from(body, at)
    numbers, flags, lengths = rest[:6], rest[6], rest[7:]
    at += ENTRY.size
    if len(body) - at < sum(lengths):
        raise CheckpointError("a block of entries ends in the middle of one")
    for length, most, what in (
        (lengths[2], limits.query, "query"),
        (lengths[4], limits.metadata, "metadata"),
        (lengths[6], limits.response, "response"),
    ):
        if length > most:
            raise CheckpointError(
                f"an entry's {what} has {length} bytes, more than max_{what}_bytes={most}; raise it to read the archive"
            )
    texts = []
    for length in lengths:
        texts.append(body[at : at + length])
        at += length
    created_at, accessed_at, expires_at, removable_at, compute_seconds, cost = numbers
    if flags > 7 or not all(map(math.isfinite, numbers)) or compute_seconds < 0 or cost < 0:
        raise CheckpointError("an entry has improper flags or numbers")
    if (expires_at and not flags & EXPIRES) or (removable_at and not flags & IS_REMOVABLE):
        raise CheckpointError("an entry that does not expire has a time for it")
    namespace, scope, query, codec, metadata = map(_text, texts[:5])
    _object(metadata)
    record = Record(
        key,
        partition,
        namespace,
        scope,
        query,
        texts[6],
        codec,
        metadata,
        _tags(texts[5]),
        created_at,
        accessed_at,
        expires_at if flags & EXPIRES else None,
        removable_at if flags & IS_REMOVABLE else None,
        compute_seconds,
        cost=cost,
    )
    if not _is_in_its_place(record):
        raise CheckpointError("an entry is in the partition of another namespace or scope, or has no query")
    return record, flags, at


def _is_in_its_place(record: Record) -> bool:
    """Whether the partition is that of namespace and scope: stores take one for the other.

    Of an encrypted entry nobody can tell but who has the keys; and nobody else is served it.
    """
    if record.codec.startswith(SEALED):
        return not (record.query or record.scope or record.metadata or record.vector is not None)
    named = bool(record.namespace and record.query and record.codec)
    return named and record.partition == partition_of(record.namespace, record.scope)


def _text(encoded: bytes) -> str:
    try:
        return encoded.decode()
    except ValueError as error:
        raise CheckpointError(f"a text of an entry cannot be read: {error}") from None


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the {what} of an entry cannot be read: {error}") from None


def _object(metadata: str) -> None:
    if metadata and not isinstance(_json(metadata, "metadata"), dict):
        raise CheckpointError("the metadata of an entry are no JSON object")


def _tags(encoded: bytes) -> tuple[str, ...]:
    if not encoded:
        return ()
    tags = _json(_text(encoded), "tags")
    if not isinstance(tags, list) or not tags or not all(isinstance(tag, str) for tag in tags):
        raise CheckpointError("the tags of an entry are no list of texts")
    return tuple(tags)


def with_vectors(records: list[Record], positions: Sequence[int], body: bytes, dim: int | None) -> list[Record]:
    """The records with the vectors of a block; raises `CheckpointError` for what are no unit vectors, or too few."""
    if dim is None or len(body) != len(positions) * dim * 4:
        raise CheckpointError("a block of vectors has another length than its entries say")
    matrix: Matrix = np.frombuffer(body, dtype="<f4").astype(np.float32, copy=False).reshape(len(positions), dim)
    bad = improper(matrix)
    if bad is not None:
        raise CheckpointError(
            f"the vector of the entry with the key {records[positions[bad]].key.hex()} has not the length 1"
        )
    complete = list(records)
    for position, vector in zip(positions, matrix, strict=True):
        complete[position] = complete[position]._replace(vector=vector)
    return complete
