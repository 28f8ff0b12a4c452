"""What is brought over to another store, and what an unfinished target is known by."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import NamedTuple

from mneme.errors import CorruptCacheError
from mneme.ports import Record

_NAME = "mneme: unfinished re-embedding"
MARK_KEY = sha256(_NAME.encode()).digest()
"""Of the entry of an unfinished target that says so. No query has it: keys of queries begin with a partition."""


class Mark(NamedTuple):
    """Where a run has come to."""

    source: str
    """What the source is known by."""
    since: int
    """Up to which change of the source the target mirrors it, of the entries that were copied."""
    after: int
    """Up to which id of the source entries were copied."""
    copied: bool = False
    """Whether all were."""

    def at(self, after: int) -> Mark:
        return self._replace(after=after)

    def seen(self, since: int) -> Mark:
        return self._replace(since=since)

    def done(self) -> Mark:
        return self._replace(copied=True)

    def record(self) -> Record:
        """The entry that says so."""
        payload = json.dumps(self._asdict()).encode()
        return Record(
            key=MARK_KEY,
            partition=MARK_KEY[:16],
            namespace=_NAME,
            scope="",
            query=_NAME,
            payload=payload,
            codec="bytes",
            metadata="",
            tags=(),
            created_at=0.0,
            accessed_at=0.0,
            expires_at=None,
            removable_at=None,
            compute_seconds=0.0,
        )

    @classmethod
    def of(cls, record: Record) -> Mark:
        """What an entry says; `CorruptCacheError` if it says nothing."""
        try:
            return cls(**json.loads(record.payload))
        except (TypeError, ValueError):
            raise CorruptCacheError("the mark of an unfinished re-embedding is damaged: use an empty target") from None


def is_dead(record: Record, now: float) -> bool:
    """Whether an entry may be removed and so is not worth a vector: expired, and past being served stale."""
    return record.removable_at is not None and record.removable_at <= now


def same_entry(record: Record, other: Record | None) -> bool:
    """Whether *other* is that entry in another store: all but id, sequence number, vector and access time."""
    if other is None:
        return False
    names = ("id", "seq", "vector", "accessed_at")
    return all(getattr(record, name) == getattr(other, name) for name in Record._fields if name not in names)
