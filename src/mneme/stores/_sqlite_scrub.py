"""Overwriting what deleted and replaced rows left behind in a file, in its log and among its deletions.

Not `PRAGMA secure_delete`, which overwrites what is deleted from then on, and costs every write: what lies in free
space may be as old as the file. VACUUM writes every page anew from the rows that are there, through the log; when the
log has been copied back and cut to nothing, no other page is left.
"""

from __future__ import annotations

import sqlite3
import time

from mneme.stores import _sqlite_statements as sql
from mneme.stores._sqlite_repaired import Aside
from mneme.stores._sqlite_transaction import in_transaction

__all__ = ["scrubbed"]

_LONGEST = 2**31 - 1
"""Milliseconds that SQLite can be told to wait."""


def scrubbed(writer: sqlite3.Connection, path: str, timeout: float, *, usually: float) -> list[str]:
    """As `ScrubbingStore.scrub`; the writer *usually* waits so many seconds for others. The caller holds it.

    Raises `sqlite3.Error` for what waiting does not help against.
    """
    try:
        return [*_scrubbed(writer, path, time.monotonic() + timeout), *Aside(path).remains()]
    finally:
        _wait(writer, usually)


def _scrubbed(writer: sqlite3.Connection, path: str, deadline: float) -> list[str]:
    try:
        _wait_until(writer, deadline)
        in_transaction(writer, "BEGIN IMMEDIATE", _scrub)
        _wait_until(writer, deadline)
        writer.execute("VACUUM")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        why = "because another process is writing to it: forget again when it is done"
        return [f"the free pages and the log of {path!r} still hold what was removed, {why}"]
    _wait_until(writer, deadline)
    (busy, _, _) = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        why = "because another process is reading an earlier state of it: forget again when it has finished"
        return [f"{path!r} and its log still hold what was removed, {why}"]
    return []


def _scrub(connection: sqlite3.Connection) -> None:
    connection.execute(sql.SCRAMBLE_TOMBSTONES)
    connection.execute(sql.FORGET_ALL)
    connection.execute("DROP TABLE IF EXISTS retired_vectors")  # left by a change of the embedder that was cut short


def _wait_until(connection: sqlite3.Connection, deadline: float) -> None:
    """Let *connection* wait for locks of others until then."""
    _wait(connection, deadline - time.monotonic())


def _wait(connection: sqlite3.Connection, seconds: float) -> None:
    milliseconds = min(max(seconds, 0.0) * 1000, _LONGEST)
    connection.execute(f"PRAGMA busy_timeout = {round(milliseconds)}")
