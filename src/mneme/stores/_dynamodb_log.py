"""Steps: what one commit changes, as it is written to the log; a snapshot is a run of steps. JSON, deflated.

A step is a dictionary of which every member may be missing:

    seq       the latest sequence number after it
    places    [[partition, namespace, scope], ...], which rows refer to by position
    groups    [[name, rows], ...]: entries written; the data of a row is staged under this name
    gone      ids of entries deleted, in order; their sequence numbers are the last of the step
    accessed  [ids, times]
    counters  {namespace: [hits_exact, hits_semantic, misses, evictions, expirations, seconds_saved, cost_saved]}, to
            add; the last may be missing
    bind      [fingerprint, dim]
    mark      a text

and, in a snapshot only,

    deleted    [[seq, id, key], ...], deletions that are remembered
    forgotten  up to which sequence number they are not
    recent     names of the latest commits
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from mneme.errors import CorruptCacheError

__all__ = ["Entry", "Place", "Step", "decode", "encode", "entries_of", "framed", "rows_of", "text_of", "unframed"]

Step: TypeAlias = dict[str, Any]

_LENGTH = struct.Struct(">I")


class Place(NamedTuple):
    """What all entries of a partition have in common."""

    partition: bytes
    namespace: str
    scope: str


class Entry(NamedTuple):
    """What is known of an entry without reading its data: enough to select it and to find it."""

    id: int
    seq: int
    key: bytes
    place: Place
    tags: tuple[str, ...]
    created_at: float
    accessed_at: float
    removable_at: float | None
    size: int
    """Bytes of response, query and metadata."""
    vector: bool
    parts: int
    """In how many items its data are besides the first."""
    name: str
    """Under which its data were staged, together with `number`."""
    number: int


def encode(step: Step) -> bytes:
    return zlib.compress(json.dumps(step, separators=(",", ":")).encode(), 6)


def decode(blob: bytes) -> Step:
    try:
        step: Step = json.loads(zlib.decompress(blob))
    except (zlib.error, ValueError) as error:
        raise CorruptCacheError(f"the store is damaged: a step of its log cannot be read ({error})") from error
    return step


def framed(blobs: Iterable[bytes]) -> bytes:
    return b"".join(_LENGTH.pack(len(blob)) + blob for blob in blobs)


def unframed(joined: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(joined):
        end = start + _LENGTH.size
        if end > len(joined):
            raise CorruptCacheError("the store is damaged: its snapshot is cut off")
        length = _LENGTH.unpack_from(joined, start)[0]
        if end + length > len(joined):
            raise CorruptCacheError("the store is damaged: its snapshot is cut off")
        yield joined[end : end + length]
        start = end + length


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def rows_of(entries: Sequence[Entry]) -> tuple[list[list[Any]], list[list[Any]]]:
    """`places` and `groups` for a step that writes these entries, in this order."""
    places: dict[Place, int] = {}
    groups: list[list[Any]] = []
    for entry in entries:
        place = places.setdefault(entry.place, len(places))
        row = [
            entry.id,
            entry.seq,
            text_of(entry.key),
            place,
            list(entry.tags),
            entry.created_at,
            entry.accessed_at,
            entry.removable_at,
            entry.size,
            int(entry.vector),
            entry.parts,
            entry.number,
        ]
        if not groups or groups[-1][0] != entry.name:
            groups.append([entry.name, []])
        groups[-1][1].append(row)
    return [[text_of(place.partition), place.namespace, place.scope] for place in places], groups


def entries_of(step: Mapping[str, Any], known: dict[Place, Place]) -> Iterator[Entry]:
    """The entries that *step* writes; places that are equal become one object, by way of *known*."""
    try:
        places = []
        for partition, namespace, scope in step["places"]:
            place = Place(base64.b64decode(partition), namespace, scope)
            places.append(known.setdefault(place, place))
        for name, rows in step["groups"]:
            for id_, seq, key, place, tags, created, accessed, removable, size, vector, parts, number in rows:
                yield Entry(
                    id_,
                    seq,
                    base64.b64decode(key),
                    places[place],
                    tuple(tags),
                    created,
                    accessed,
                    removable,
                    size,
                    bool(vector),
                    parts,
                    name,
                    number,
                )
    except (LookupError, TypeError, ValueError, binascii.Error) as error:
        raise CorruptCacheError(f"the store is damaged: a row of its log cannot be read ({error})") from error
