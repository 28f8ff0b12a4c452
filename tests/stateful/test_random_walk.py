"""A random walk over the whole surface, compared step by step with a dictionary and a linear scan."""

import os
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import rule

from mneme import MemoryStore, SQLiteStore
from stateful.troubles import Troubles
from stateful.world import DTYPES, OnTasks

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
WALK = settings() if THOROUGH else settings(max_examples=100, stateful_step_count=30)


class OnMemory(Troubles):
    def make_store(self):
        return MemoryStore()


class OnSQLite(Troubles):
    """May be closed and opened again."""

    def __init__(self):
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()

    def make_store(self):
        return SQLiteStore(Path(self.directory.name) / "cache.db")

    def teardown(self):
        super().teardown()
        self.directory.cleanup()

    @rule(dtype=DTYPES)
    def close_and_open_again(self, dtype):
        self.do("close")
        self.options["vector_dtype"] = dtype
        self._open()
        self.model.threshold = 0.85


class OnMemoryAwaited(OnMemory):
    Face = OnTasks


class OnSQLiteAwaited(OnSQLite):
    Face = OnTasks


TestMemory = OnMemory.TestCase
TestSQLite = OnSQLite.TestCase
TestMemoryAwaited = OnMemoryAwaited.TestCase
TestSQLiteAwaited = OnSQLiteAwaited.TestCase
for _case in (TestMemory, TestSQLite, TestMemoryAwaited, TestSQLiteAwaited):
    _case.settings = WALK
del _case  # or it would be collected as well
