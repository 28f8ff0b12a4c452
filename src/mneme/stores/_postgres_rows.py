"""Records to columns and rows to records. Knows the order of the columns, and nothing of connections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from mneme.ports import Record, Ref, Usage
from mneme.stores._sqlite_rows import blob_of

__all__ = ["chunks", "columns_of", "counters_of", "held", "one_row", "places_of", "record_of", "split", "told"]

_LARGEST = 2**63 - 1
"""Of a bigint: a larger number can name no entry."""
_ROWS, _BYTES = 2000, 8 * 2**20
"""A statement carries no more rows, nor, save for a single row, more bytes than this."""
_ESCAPE = "\x1a"


def held(text: str) -> str:
    """*text* as Postgres can hold it, which is all but U+0000. Equal texts stay equal, others stay different."""
    if "\0" not in text and _ESCAPE not in text:
        return text
    return text.replace(_ESCAPE, f"{_ESCAPE}e").replace("\0", f"{_ESCAPE}0")


def told(text: str) -> str:
    """The opposite of `held`."""
    return text if _ESCAPE not in text else text.replace(f"{_ESCAPE}0", "\0").replace(f"{_ESCAPE}e", _ESCAPE)


def record_of(row: Sequence[Any]) -> Record:
    """The record of a row in the order of `_postgres_statements`."""
    key, partition, namespace, scope, query, payload, codec, metadata, tags = row[:9]
    created_at, accessed_at, expires_at, removable_at, compute_seconds, cost, entry_id, seq, blob = row[9:]
    return Record(
        key,
        partition,
        told(namespace),
        told(scope),
        told(query),
        payload,
        told(codec),
        told(metadata),
        tuple([told(tag) for tag in tags]) if tags else (),
        created_at,
        accessed_at,
        expires_at,
        removable_at,
        compute_seconds,
        entry_id,
        seq,
        None if blob is None else np.frombuffer(blob, "<f4").astype(np.float32, copy=False),
        cost,
    )


def chunks(records: Sequence[Record]) -> Iterator[tuple[int, Sequence[Record]]]:
    """Runs of records that one statement carries, each with the position of its first, counted from 1."""
    start = size = 0
    for position, record in enumerate(records):
        weight = len(record.payload) + len(record.query) + len(record.metadata)
        weight += 0 if record.vector is None else record.vector.nbytes
        if position > start and (size + weight > _BYTES or position - start == _ROWS):
            yield start + 1, records[start:position]
            start, size = position, 0
        size += weight
    yield start + 1, records[start:]


def columns_of(start: int, records: Sequence[Record]) -> dict[str, list[Any]]:
    """What `Statements.write` takes: each key once, with its last record, and where it occurs first and last."""
    firsts: dict[bytes, int] = {}
    lasts: dict[bytes, int] = {}
    for position, record in enumerate(records, start):
        firsts.setdefault(record.key, position)
        lasts[record.key] = position
    kept = [records[position - start] for position in lasts.values()]
    queries, metadatas = [held(r.query) for r in kept], [held(r.metadata) for r in kept]
    return {
        "keys": list(lasts),
        "firsts": list(firsts.values()),
        "lasts": list(lasts.values()),
        "digests": [r.partition for r in kept],
        "queries": queries,
        "payloads": [r.payload for r in kept],
        "codecs": [held(r.codec) for r in kept],
        "metadatas": metadatas,
        "tags": [_array_of(r.tags) for r in kept],
        "created": [float(r.created_at) for r in kept],
        "accessed": [float(r.accessed_at) for r in kept],
        "expires": [None if r.expires_at is None else float(r.expires_at) for r in kept],
        "removable": [None if r.removable_at is None else float(r.removable_at) for r in kept],
        "compute": [float(r.compute_seconds) for r in kept],
        "costs": [float(r.cost) for r in kept],
        "sizes": [len(r.payload) + _bytes_in(r.query) + _bytes_in(r.metadata) for r in kept],
        "vectors": [None if r.vector is None else blob_of(r.vector) for r in kept],
    }


def swaps_of(records: Sequence[Record]) -> dict[str, list[Any]]:
    """What `Statements.swap` takes."""
    return {
        "ids": [r.id for r in records],
        "seqs": [r.seq for r in records],
        "queries": [held(r.query) for r in records],
        "payloads": [r.payload for r in records],
        "codecs": [held(r.codec) for r in records],
        "metadatas": [held(r.metadata) for r in records],
        "sizes": [len(r.payload) + _bytes_in(r.query) + _bytes_in(r.metadata) for r in records],
    }


def one_row(record: Record) -> tuple[Any, ...]:
    """What `Statements.write_one` takes."""
    return (
        record.key,
        record.partition,
        held(record.namespace),
        held(record.scope),
        held(record.query),
        record.payload,
        held(record.codec),
        held(record.metadata),
        _array_of(record.tags),
        record.created_at,
        record.accessed_at,
        record.expires_at,
        record.removable_at,
        record.compute_seconds,
        record.cost,
        len(record.payload) + _bytes_in(record.query) + _bytes_in(record.metadata),
        None if record.vector is None else blob_of(record.vector),
    )


def places_of(places: dict[bytes, tuple[str, str]]) -> dict[str, list[Any]]:
    """What `Statements.add_places` takes, of namespace and scope by partition."""
    return {
        "digests": list(places),
        "names": [held(namespace) for namespace, _ in places.values()],
        "scopes": [held(scope) for _, scope in places.values()],
    }


def counters_of(usage: Usage) -> dict[str, list[Any]]:
    """What `Statements.add_counters` takes."""
    counters = usage.counters.values()
    return {
        "names": [held(name) for name in usage.counters],
        "exact": [c.hits_exact for c in counters],
        "semantic": [c.hits_semantic for c in counters],
        "misses": [c.misses for c in counters],
        "evictions": [c.evictions for c in counters],
        "expirations": [c.expirations for c in counters],
        "seconds": [float(c.seconds_saved) for c in counters],
        "costs": [float(c.cost_saved) for c in counters],
    }


def split(refs: Iterable[Ref]) -> tuple[list[int], list[bytes]]:
    """The ids and the keys among *refs*, without ids that Postgres cannot hold."""
    ids: list[int] = []
    keys: list[bytes] = []
    for ref in refs:
        if not isinstance(ref, int):
            keys.append(ref)
        elif 0 < ref <= _LARGEST:
            ids.append(ref)
    return ids, keys


def _array_of(tags: Sequence[str]) -> str:
    """A `text[]` as a literal: arrays of arrays must be rectangular, so a column of them travels as text."""
    if not tags:
        return "{}"
    quoted = (held(tag).replace("\\", "\\\\").replace('"', '\\"') for tag in tags)
    return "{" + ",".join(f'"{tag}"' for tag in quoted) + "}"


def _bytes_in(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
