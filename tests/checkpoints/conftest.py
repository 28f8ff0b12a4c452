import contextlib
import itertools
import secrets

import pytest

from mneme import DynamoDBStore, MemoryStore, PostgresStore, RedisStore, SQLiteStore
from stores.dynamodb_tables import CREDENTIALS, REGION, TABLE, new_prefix

STORES = ("memory", "sqlite", "postgres", "redis", "dynamodb")
_PREFIX = new_prefix()
_numbers = itertools.count()
_RUN = secrets.token_hex(4)
"""Pytest's copy of this module and one that a test imports count each for itself."""


@pytest.fixture
def make_store(tmp_path, server_of, monkeypatch):
    """Makes a store of the kind asked for, in a new place or in one that was used before. All are closed at the end."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    made = []

    def make(kind, place=None):
        number = next(_numbers) if place is None else place
        if kind == "memory":
            store = MemoryStore()
        elif kind == "sqlite":
            store = SQLiteStore(tmp_path / f"store-{number}.db")
        elif kind == "postgres":
            store = PostgresStore(server_of("postgres"), schema=f"checkpoint_{_RUN}_{number}")
        elif kind == "redis":
            store = RedisStore(server_of("redis"), prefix=f"checkpoint {_RUN} {number}")
        else:
            store = DynamoDBStore(
                table=TABLE,
                prefix=f"{_PREFIX}-{number}",
                region_name=REGION,
                endpoint_url=server_of("dynamodb"),
                create_table=True,
                timeout=60,
                retry_seconds=60,
            )
        made.append(store)
        return store

    with contextlib.ExitStack() as closing:
        yield make
        for store in made:
            closing.callback(store.close)
