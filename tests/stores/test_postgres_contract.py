"""Both Postgres stores keep the contract, on a real server."""

import itertools

import pytest

from mneme.stores.postgres import AsyncPostgresStore, PostgresStore
from mneme.testing import StoreContract
from stores.blocking import Blocking

_schemas = (f"contract_{number}" for number in itertools.count())


class TestPostgresStore(StoreContract):
    @pytest.fixture(autouse=True)
    def in_a_schema(self, server_of):
        self.address, self.schema = server_of("postgres"), next(_schemas)

    def make_store(self):
        return PostgresStore(self.address, schema=self.schema)


class TestAsyncPostgresStore(TestPostgresStore):
    def make_store(self):
        return Blocking(lambda: AsyncPostgresStore(self.address, schema=self.schema))


class TestPostgresStoreWithPreparedStatements(TestPostgresStore):
    def make_store(self):
        return PostgresStore(self.address, schema=self.schema, prepare_threshold=0)
