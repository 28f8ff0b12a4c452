"""What the cache keeps in its store for itself: notes, which are entries that no user's verb ever sees.

They are rows like any other, in a namespace that users cannot name, so that every store, follower and copy has them
without knowing of them. Their times lie so far ahead that no selection by age or last access reaches them; that is
also how a selection of everything leaves them out.
"""

from __future__ import annotations

import json

from mneme._rules.keys import key_of, partition_of
from mneme.ports import Record

RESERVED = "mneme:"
"""What no user's namespace may begin with."""
NOTES = "mneme:notes"
"""Where the notes are."""
BEYOND = 1e12
"""A moment after all others, in seconds since the epoch. Not infinity: not every store can hold that."""

_CODEC = "text"


def is_reserved(namespace: str) -> bool:
    """Whether this is a namespace of the cache's own."""
    return namespace.startswith(RESERVED)


def subject_of(record: Record) -> str:
    """The namespace that an entry belongs to, or that a note is about; for a note about none, that of the notes."""
    if record.namespace != NOTES:
        return record.namespace
    if record.scope in _NAMED_BY_NAMESPACE:
        return record.query
    if record.scope == "certificate" and record.query.startswith("="):
        return record.query[1:]
    if record.scope == "denied":
        try:
            return str(json.loads(record.payload)["namespace"])
        except (ValueError, KeyError, TypeError):
            return NOTES
    return NOTES


_NAMED_BY_NAMESPACE = frozenset({"watch", "raised"})


def note_key(kind: str, name: str) -> bytes:
    """The key of a note."""
    return key_of(partition_of(NOTES, kind), name)


def note(kind: str, name: str, text: str) -> Record:
    """A note as a store keeps it: without a vector, a tag or an end."""
    partition = partition_of(NOTES, kind)
    return Record(
        key=key_of(partition, name),
        partition=partition,
        namespace=NOTES,
        scope=kind,
        query=name,
        payload=text.encode(),
        codec=_CODEC,
        metadata="",
        tags=(),
        created_at=BEYOND,
        accessed_at=BEYOND,
        expires_at=None,
        removable_at=None,
        compute_seconds=0.0,
    )
