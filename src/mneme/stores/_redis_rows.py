"""Records to heads and bodies and back. Knows the order of their bytes, and nothing of connections.

A head is what choosing and indexing need, a body the rest; the layout of a head is also known to the scripts. Times are
written so that the order of the bytes is the order of the times: the bits of a double, with the sign bit turned, and
all of them turned for a negative one.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from mneme.errors import CorruptCacheError, EmbedderDimensionError
from mneme.ports import Change, Counters, NamespaceSummary, Record, Vector, VectorBlock

__all__ = [
    "HEAD",
    "NEVER",
    "changes_of",
    "counters_bytes",
    "digest_of",
    "encoded",
    "id_bytes",
    "record_of",
    "sortable",
    "summary_of",
    "time_of",
    "vector_bytes",
    "vector_of",
    "vectors_of",
    "wrong_shape",
]

NEVER = b"\xff" * 8
HEAD = struct.Struct(">Qddd Q 16s 16s 32s B")
"""Sequence number, times of access, creation and removal, size, namespace, partition, key, whether it has a vector."""
_BODY = struct.Struct(">ddIIIIII")
"""After the id: expiry and computing time, then the lengths of namespace, scope, query, codec, metadata, and of what
few entries have."""
_TEXTS = 8 + _BODY.size
_DOUBLE = struct.Struct(">d")
_LARGEST = 2**64 - 1
_COUNTERS = struct.Struct(">qqqqqdd")
_NAMESPACE = struct.Struct(">qqqqqqqd")
_CHANGE = struct.Struct(">QQ32s")
_DELETION = struct.Struct(">Q32s")
_STORED = np.dtype("<f4")


def id_bytes(number: int) -> bytes:
    """Numbers that no entry can have become 0, or the largest."""
    return min(max(number, 0), _LARGEST).to_bytes(8, "big")


def digest_of(text: str) -> bytes:
    """What stands for a namespace or a tag in keys and indexes: of one length, whatever the text holds."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


def sortable(moment: float) -> bytes:
    bits = _DOUBLE.pack(-moment)  # the sign bit turned: all there is to do for a positive one
    if moment >= 0:
        return bits if moment else b"\x80" + bytes(7)
    if math.isnan(moment):
        raise ValueError("a time must be a number, not nan")
    return (int.from_bytes(bits, "big") ^ (2**63 - 1)).to_bytes(8, "big")


def time_of(written: bytes) -> float:
    value: float = -_DOUBLE.unpack(written)[0]
    if written[0] & 0x80:
        return value
    bits = int.from_bytes(written, "big") ^ _LARGEST
    negative: float = _DOUBLE.unpack(bits.to_bytes(8, "big"))[0]
    return negative


def encoded(record: Record) -> tuple[bytes, bytes, bytes]:
    """Head, body and vector; the scripts put the sequence number before the head, and the id before the body."""
    if len(record.key) != 32 or len(record.partition) != 16:
        raise ValueError("a key must be 32 bytes long, and a partition 16")
    texts = (
        record.namespace.encode(),
        record.scope.encode(),
        record.query.encode(),
        record.codec.encode(),
        record.metadata.encode(),
        _more(record),
    )
    size = len(record.payload) + len(texts[2]) + len(texts[4])
    head = b"".join(
        (
            sortable(record.accessed_at),
            sortable(record.created_at),
            NEVER if record.removable_at is None else sortable(record.removable_at),
            size.to_bytes(8, "big"),
            digest_of(record.namespace),
            record.partition,
            record.key,
            b"\0" if record.vector is None else b"\1",
            *[digest_of(tag) for tag in dict.fromkeys(record.tags)],
        )
    )
    expires = math.nan if record.expires_at is None else record.expires_at
    body = b"".join((_BODY.pack(expires, record.compute_seconds, *map(len, texts)), *texts, record.payload))
    vector = b"" if record.vector is None else vector_bytes(record.vector)
    return head, body, vector


def _more(record: Record) -> bytes:
    """What few entries have, as JSON: a list of tags or, if there is a cost as well, an object of both."""
    if record.cost:
        return json.dumps({"tags": list(record.tags), "cost": float(record.cost)}).encode()
    return json.dumps(list(record.tags)).encode() if record.tags else b""


def record_of(head: bytes, body: bytes, vector: bytes | None = None) -> Record:
    """The record that these make; every cold read pays for it."""
    try:
        seq, accessed, created, removable, _, _, partition, key, _ = HEAD.unpack_from(head)
        expires, compute, a, b, c, d, e, f = _BODY.unpack_from(body, 8)
        b += (at_scope := _TEXTS + a)
        c += b
        d += c
        e += d
        f += e
        more = json.loads(body[e:f]) if f > e else None
        return Record(
            key,
            partition,
            body[_TEXTS:at_scope].decode(),
            body[at_scope:b].decode(),
            body[b:c].decode(),
            body[f:],
            body[c:d].decode(),
            body[d:e].decode(),
            () if more is None else tuple(more) if type(more) is list else tuple(more["tags"]),
            -created if head[16] & 0x80 else time_of(head[16:24]),
            -accessed if head[8] & 0x80 else time_of(head[8:16]),
            None if expires != expires else expires,  # noqa: PLR0124 - the fastest test for "not a number"
            None if head[24:32] == NEVER else -removable if head[24] & 0x80 else time_of(head[24:32]),
            compute,
            int.from_bytes(body[:8], "big"),
            seq,
            None if vector is None else vector_of(vector),
            float(more["cost"]) if type(more) is dict else 0.0,
        )
    except (KeyError, TypeError, ValueError, IndexError, struct.error) as error:
        raise CorruptCacheError(
            f"the store is damaged: an entry cannot be read ({error}); `check` says which"
        ) from None


def vector_bytes(vector: Vector) -> bytes:
    return np.asarray(vector, dtype=_STORED).tobytes()


def vector_of(blob: bytes) -> Vector:
    return np.frombuffer(blob, dtype=_STORED).astype(np.float32, copy=False)


def vectors_of(ids: bytes, partitions: bytes, blobs: bytes, dim: int) -> VectorBlock:
    count = len(ids) // 8
    if len(blobs) != 4 * dim * count:
        raise CorruptCacheError(f"the store is damaged: a vector does not have dimension {dim}; `check` says which")
    return VectorBlock(
        np.frombuffer(ids, dtype=">i8").astype(np.int64),
        [partitions[16 * n : 16 * n + 16] for n in range(count)],
        np.frombuffer(bytearray(blobs), dtype=_STORED).astype(np.float32, copy=False).reshape(count, dim),
    )


def changes_of(written: bytes, runs: Sequence[bytes], since: int, limit: int) -> list[Change]:
    """The first *limit* of all, in order of sequence number."""
    changes = [Change(seq, entry_id, key, deleted=False) for seq, entry_id, key in _CHANGE.iter_unpack(written)]
    for run in runs:
        gone = list(_DELETION.iter_unpack(run[8:]))
        first = int.from_bytes(run[:8], "big") - len(gone) + 1
        changes.extend(
            Change(seq, entry_id, key, deleted=True) for seq, (entry_id, key) in enumerate(gone, first) if seq > since
        )
    changes.sort()
    return changes[:limit]


def counters_bytes(counters: Counters) -> bytes:
    c = counters
    return _COUNTERS.pack(
        c.hits_exact, c.hits_semantic, c.misses, c.evictions, c.expirations, c.seconds_saved, c.cost_saved
    )


def summary_of(rows: Sequence[bytes]) -> list[NamespaceSummary]:
    """*rows* are by turns what is kept of a namespace, the cost that it saved, and when its oldest entry was made."""
    found = []
    for row, cost, oldest in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
        entries, size, a, b, c, d, e, seconds = _NAMESPACE.unpack_from(row)
        name = row[_NAMESPACE.size :].decode()
        totals = Counters(a, b, c, d, e, seconds, float(cost) if cost else 0.0)
        found.append(NamespaceSummary(name, entries, size, time_of(oldest) if oldest else None, totals))
    return sorted(found, key=lambda each: each.namespace)


def wrong_shape(vector: Any, dim: int | None) -> EmbedderDimensionError:
    return EmbedderDimensionError(
        f"the vector has shape {vector.shape}, the store holds "
        + ("none: open it with a fingerprint and a dim" if dim is None else f"({dim},)")
    )
