"""Where entries live. Start with `memory`, the reference; `sqlite` is the one that lasts."""

from __future__ import annotations

from mneme.stores.memory import MemoryStore
from mneme.stores.sqlite import SQLiteStore

__all__ = ["MemoryStore", "SQLiteStore"]
