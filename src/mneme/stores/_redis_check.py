"""What must be true of the data: each page of entries by itself, at any moment, and the sums if nothing changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np

from mneme.errors import CorruptCacheError
from mneme.stores._redis_rows import HEAD, NEVER, digest_of, id_bytes, record_of, vector_of

__all__ = ["inconsistencies"]

_PAGE = 200
_RUNS = 20
_ATTEMPTS = 3
_UNIT_TOLERANCE = 1e-3
_SUMS = (
    *("entries", "payload_bytes", "heads", "bodies", "vectors", "ids", "partitions", "places", "accessed", "recent"),
    *("created", "removable", "rewritten", "tags"),
)

Ask = Callable[[str, Sequence[bytes]], Awaitable[Any]]


async def inconsistencies(ask: Ask, dim: int | None) -> list[str]:
    """Every inconsistency found, a sentence each.

    What other stores write meanwhile makes no difference to what is true of each entry. The sums can be compared only
    when nothing was written between first and last page; that is tried a few times.
    """
    found: list[str] = []
    for _ in range(_ATTEMPTS):
        seq, *before = await ask("totals", [])
        page = _Seen(dim)
        after = id_bytes(0)
        while rows := await ask("check_entries", [after, b"%d" % _PAGE]):
            for row in rows:
                page.look_at(row)
            after = rows[-1][0]
        found = page.sentences(seq if seq == (totals := await ask("totals", []))[0] else totals[0])
        if totals == [seq, *before]:
            found.extend(_wrong_sums(dict(zip(_SUMS, before, strict=True)), page.counted))
            break
    found.extend(await _wrong_deletions(ask))
    return found


def _wrong_sums(held: dict[str, int], counted: Counter[str]) -> list[str]:
    return [
        f"There are {held[name]} of {name}, where the entries make {counted[name]}."
        for name in _SUMS
        if held[name] != counted[name]
    ]


async def _wrong_deletions(ask: Ask) -> list[str]:
    after, alive, odd = b"", 0, 0
    while True:
        after, more_alive, more_odd = await ask("check_deletions", [after, b"%d" % _RUNS])
        if not after:
            break
        alive, odd = alive + more_alive, odd + more_odd
    found = [f"{alive} ids are both alive and deleted."] if alive else []
    return [*found, f"{odd} runs of deletions are damaged."] if odd else found


class _Seen:
    """What one pass over the entries found."""

    def __init__(self, dim: int | None) -> None:
        self.counted: Counter[str] = Counter()
        self._dim = dim
        self._wrong: Counter[str] = Counter()
        self._highest = 0
        self._places: set[bytes] = set()

    def sentences(self, seq: int) -> list[str]:
        if self._highest > seq:
            self._wrong["have a sequence number above that of the store"] += 1
        return [f"{count} entries {what}." for what, count in sorted(self._wrong.items())]

    def look_at(self, row: Sequence[Any]) -> None:
        entry_id, head, body, size, vector, missing = row if len(row) == 6 else (row[0], None, None, 0, None, [])
        if head is None or len(head) < HEAD.size or (len(head) - HEAD.size) % 16:
            self._wrong["have no head, or one of another length"] += 1
            return
        seq, _, _, _, payload_bytes, namespace, partition, _, has_vector = HEAD.unpack_from(head)
        self._highest = max(self._highest, seq)
        for name in missing:
            self._wrong[f"are missing from {name.decode()}"] += 1
        if seq < int.from_bytes(entry_id, "big"):
            self._wrong["have a sequence number below their id"] += 1
        if body is None or body[:8] != entry_id:
            self._wrong["have no body, or that of another entry"] += 1
            return
        try:
            record = record_of(head, body)
        except CorruptCacheError:
            self._wrong["cannot be read"] += 1
            return
        tags = [digest_of(tag) for tag in dict.fromkeys(record.tags)]
        length = size - len(body) + len(record.query.encode()) + len(record.metadata.encode())
        if digest_of(record.namespace) != namespace or b"".join(tags) != head[HEAD.size :] or length != payload_bytes:
            self._wrong["disagree with their head about namespace, tags or size"] += 1
        if (vector is not None) != bool(has_vector) or (vector is not None and len(vector) != 4 * (self._dim or 0)):
            self._wrong["have a vector of another dimension, or lack theirs"] += 1
        elif vector is not None and not _is_unit(vector):
            self._wrong["have a vector that is not of unit length, or not finite"] += 1
        place = namespace + partition
        self.counted.update(
            dict.fromkeys(("entries", "heads", "bodies", "ids", "partitions", "accessed", "recent", "created"), 1),
            payload_bytes=payload_bytes,
            vectors=int(vector is not None),
            places=int(place not in self._places),
            removable=int(head[24:32] != NEVER),
            rewritten=int(seq != int.from_bytes(entry_id, "big")),
            tags=len(tags),
        )
        self._places.add(place)


def _is_unit(blob: bytes) -> bool:
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(abs(np.linalg.norm(vector_of(blob).astype(np.float64)) - 1.0) <= _UNIT_TOLERANCE)
