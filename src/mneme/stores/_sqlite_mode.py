"""Switching a file to a write-ahead log."""

from __future__ import annotations

import sqlite3
import time

from mneme.errors import StoreBackendError

__all__ = ["use_log"]


def use_log(writer: sqlite3.Connection, path: str, patience: float) -> None:
    """Switch to WAL mode. SQLite does not wait by itself for another process that is doing the same."""
    deadline = time.monotonic() + patience
    while True:
        try:
            mode = writer.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
            time.sleep(0.005)
            continue
        if mode != "wal":
            raise StoreBackendError(
                f"{path!r} lies on a file system without shared memory (SQLite stays in mode {mode!r}): "
                "choose a path on a local disk"
            )
        return
