"""Where entries live. Start with `memory`, the reference; `sqlite` is the one that lasts.

The stores on a network load when they are first asked for, and their drivers when one is constructed.
"""

from __future__ import annotations

import importlib
import typing

from mneme.stores.memory import MemoryStore
from mneme.stores.sqlite import SQLiteStore

if typing.TYPE_CHECKING:
    from mneme.stores._sqlite_salvage import salvage
    from mneme.stores.dynamodb import AsyncDynamoDBStore, DynamoDBStore
    from mneme.stores.encrypted import AsyncEncryptedStore, EncryptedStore, KeyRing
    from mneme.stores.postgres import AsyncPostgresStore, PostgresStore
    from mneme.stores.redis import AsyncRedisStore, RedisStore

__all__ = [
    "AsyncDynamoDBStore",
    "AsyncEncryptedStore",
    "AsyncPostgresStore",
    "AsyncRedisStore",
    "DynamoDBStore",
    "EncryptedStore",
    "KeyRing",
    "MemoryStore",
    "PostgresStore",
    "RedisStore",
    "SQLiteStore",
    "salvage",
]

_LATER = {
    "AsyncDynamoDBStore": "mneme.stores.dynamodb",
    "AsyncEncryptedStore": "mneme.stores.encrypted",
    "AsyncPostgresStore": "mneme.stores.postgres",
    "AsyncRedisStore": "mneme.stores.redis",
    "DynamoDBStore": "mneme.stores.dynamodb",
    "EncryptedStore": "mneme.stores.encrypted",
    "KeyRing": "mneme.stores.encrypted",
    "PostgresStore": "mneme.stores.postgres",
    "RedisStore": "mneme.stores.redis",
    "salvage": "mneme.stores._sqlite_salvage",
}


def __getattr__(name: str) -> typing.Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_LATER[name]), name)
    return value
