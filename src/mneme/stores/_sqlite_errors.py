"""What SQLite's errors mean to the caller. Python 3.10 gives no error codes, so they are told apart by their texts."""

from __future__ import annotations

import sqlite3

from mneme.errors import CacheClosedError, CorruptCacheError, MnemeError, StoreBackendError

__all__ = ["REMEDY", "meaning_of"]

REMEDY = (
    "; restore it from a copy, save what can be read (`mneme check FILE --salvage NEW`), or delete it to start anew"
)
"""Of a file that is damaged."""

_DAMAGED = ("malformed", "not a database", "unsupported file format", "could not decode", "constraint failed")

_REMEDIES = (
    ("database or disk is full", "free some space, or raise the quota or page limit"),
    ("locked", "another process is writing to it; raise busy_timeout, or let that process finish"),
    ("readonly", "make the file and its directory writable for this user"),
    ("read-only", "make the file and its directory writable for this user"),
    ("unable to open", "check that file and directory are writable, and how many files the process may open"),
    ("disk i/o", "check the disk, its free space and the limit on file sizes"),
    ("no such", "the file was changed by something else; restore it from a copy, or delete it"),
)


def meaning_of(error: sqlite3.Error, path: str, *, closed: bool) -> MnemeError:
    """The error to raise for *error*, which names the file, the cause and the remedy."""
    text = str(error)
    lowered = text.lower()
    if closed or "closed database" in lowered:
        return CacheClosedError(f"the store {path!r} was closed")
    if any(word in lowered for word in _DAMAGED):
        return CorruptCacheError(f"{path!r} is damaged ({text}){REMEDY}")
    remedy = next((remedy for word, remedy in _REMEDIES if word in lowered), "nothing was altered")
    return StoreBackendError(f"{path!r} could not be used: {text}; {remedy}")
