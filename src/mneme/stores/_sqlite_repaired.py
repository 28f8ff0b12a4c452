"""The transaction of a repair, and the file for what cannot stay."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from mneme.errors import StoreBackendError
from mneme.stores._sqlite_repair import SALVAGE, repairs
from mneme.stores._sqlite_transaction import in_transaction
from mneme.types import Repair

__all__ = ["Aside", "repaired"]


class Aside:
    """The file beside a store for rows that were moved out: a JSON object a line, readable by its owner only."""

    def __init__(self, path: str) -> None:
        self.path = f"{path}-broken.jsonl"

    def add(self, lines: Sequence[str]) -> None:
        """Append rows; they are on the disk when this returns. Raises `StoreBackendError`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        try:
            with os.fdopen(os.open(self.path, flags, 0o600), "ab") as file:
                file.write("".join(f"{line}\n" for line in lines).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreBackendError(
                f"{self.path!r} cannot be written ({error.strerror}): nothing was repaired"
            ) from error

    def remains(self) -> list[str]:
        """A sentence, if there is such a file."""
        if not Path(self.path).exists():
            return []
        return [f"{self.path!r} holds rows that a repair moved out of the store: look through it, and delete it"]


def repaired(connection: sqlite3.Connection, aside: Aside | None) -> list[Repair]:
    """What is repaired; without *aside* it is undone again. The caller holds the connection."""
    try:
        return in_transaction(
            connection,
            "BEGIN IMMEDIATE",
            lambda one: repairs(one, lambda lines: None if aside is None else aside.add(lines)),
            "ROLLBACK" if aside is None else "COMMIT",
        )
    except sqlite3.OperationalError:  # says nothing about what the file holds
        raise
    except sqlite3.DatabaseError as error:
        return [Repair(f"SQLite: {error}.", SALVAGE, possible=False)]
