"""A random walk over the whole surface, compared step by step with a dictionary and a linear scan."""

import os
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import rule

from mneme import MemoryStore, SQLiteStore
from stateful.shared import Shared
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

    @property
    def file(self):
        return Path(self.directory.name) / "cache.db"

    def make_store(self):
        return SQLiteStore(self.file)

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


class OnSharedSQLite(Shared, OnSQLite):
    """With another cache at the same file."""


class OnSharedSQLiteAwaited(OnSharedSQLite):
    Face = OnTasks


TestMemory = OnMemory.TestCase
TestSQLite = OnSQLite.TestCase
TestMemoryAwaited = OnMemoryAwaited.TestCase
TestSQLiteAwaited = OnSQLiteAwaited.TestCase
TestSharedSQLite = OnSharedSQLite.TestCase
TestSharedSQLiteAwaited = OnSharedSQLiteAwaited.TestCase
for _case in (TestMemory, TestSQLite, TestMemoryAwaited, TestSQLiteAwaited):
    _case.settings = WALK
for _case in (TestSharedSQLite, TestSharedSQLiteAwaited):
    _case.settings = settings() if THOROUGH else settings(WALK, max_examples=50)
del _case  # or it would be collected as well
