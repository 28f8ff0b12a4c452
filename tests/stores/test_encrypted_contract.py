"""Every kind of store keeps the contract when it is encrypted, on both faces."""

import itertools

import pytest

from mneme.stores import (
    AsyncEncryptedStore,
    AsyncPostgresStore,
    AsyncRedisStore,
    EncryptedStore,
    KeyRing,
    MemoryStore,
    PostgresStore,
    RedisStore,
    SQLiteStore,
)
from mneme.testing import StoreContract
from stores.blocking import Blocking

RING = KeyRing.generate().with_key("2")
_places = (f"encrypted_{number}" for number in itertools.count())


class TestEncryptedMemoryStore(StoreContract):
    durable = False

    def make_store(self):
        return EncryptedStore(MemoryStore(), RING)


class TestEncryptedSQLiteStore(StoreContract):
    @pytest.fixture(autouse=True)
    def in_a_directory(self, tmp_path):
        self.path = tmp_path / "cache.db"

    def make_store(self):
        return EncryptedStore(SQLiteStore(self.path), RING)


class TestEncryptedPostgresStore(StoreContract):
    @pytest.fixture(autouse=True)
    def in_a_schema(self, server_of):
        self.address, self.schema = server_of("postgres"), next(_places)

    def make_store(self):
        return EncryptedStore(PostgresStore(self.address, schema=self.schema), RING)


class TestAsyncEncryptedPostgresStore(TestEncryptedPostgresStore):
    def make_store(self):
        return Blocking(lambda: AsyncEncryptedStore(AsyncPostgresStore(self.address, schema=self.schema), RING))


class TestEncryptedRedisStore(StoreContract):
    @pytest.fixture(autouse=True)
    def on_a_server(self, server_of):
        self.url, self.prefix = server_of("redis"), next(_places)

    def make_store(self):
        return EncryptedStore(RedisStore(self.url, prefix=self.prefix), RING)


class TestAsyncEncryptedRedisStore(TestEncryptedRedisStore):
    def make_store(self):
        return Blocking(lambda: AsyncEncryptedStore(AsyncRedisStore(self.url, prefix=self.prefix), RING))
