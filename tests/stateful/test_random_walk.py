"""A random walk over the whole surface, compared step by step with a dictionary and a linear scan."""

from stateful.machine import WALK, OnMemory, OnSQLite, OnTasks


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
