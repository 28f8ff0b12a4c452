"""What is brought over to another store, and what an unfinished target is known by."""

from __future__ import annotations

import json
from typing import NamedTuple

from mneme._rules.keys import key_of, partition_of
from mneme._rules.reserved import BEYOND, RESERVED, is_reserved
from mneme.errors import CorruptCacheError, DecryptionError
from mneme.ports import Record

_NAMESPACE = f"{RESERVED}reembedding"
_PARTITION = partition_of(_NAMESPACE, "")
_SEALED = "mneme-encrypted-"
MARK_KEY = key_of(_PARTITION, "target")
"""Of the entry of a target that says how far it is. Nobody's query has it: the namespace is reserved."""


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
    finished: bool = False
    """Whether the target was all that the source was."""

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
            partition=_PARTITION,
            namespace=_NAMESPACE,
            scope="",
            query="target",
            payload=payload,
            codec="bytes",
            metadata="",
            tags=(),
            created_at=BEYOND,
            accessed_at=BEYOND,
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


def refuse_sealed(fingerprint: str | None) -> None:
    """Raise if this is the fingerprint of a store whose entries are sealed: their queries are no text to embed."""
    if fingerprint is not None and fingerprint.startswith(_SEALED):
        raise DecryptionError("the store is encrypted, and was opened as if it were not: pass it in an EncryptedStore")


def is_users(record: Record) -> bool:
    """Whether it is an answer, not something that the cache keeps for itself."""
    return not is_reserved(record.namespace)


def is_dead(record: Record, now: float) -> bool:
    """Whether an entry may be removed and so is not worth a vector: expired, and past being served stale."""
    return record.removable_at is not None and record.removable_at <= now


def same_entry(record: Record, other: Record | None) -> bool:
    """Whether *other* is that entry in another store: all but id, sequence number, vector and access time."""
    if other is None:
        return False
    names = ("id", "seq", "vector", "accessed_at")
    return all(getattr(record, name) == getattr(other, name) for name in Record._fields if name not in names)
