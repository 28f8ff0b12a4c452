"""Both Postgres stores keep the contract, on a real server."""

import contextlib
import itertools

import pytest

from mneme.stores.postgres import AsyncPostgresStore, PostgresStore
from mneme.testing import SearchContract, StoreContract
from mneme.testing._store_suite import DIM, FINGERPRINT
from stores.blocking import Blocking, BlockingSearching

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


class TestPostgresStoreThatSearches(SearchContract, StoreContract):
    """What it keeps for searching goes with every verb, in every test of the contract."""

    @pytest.fixture(autouse=True)
    def in_a_schema(self, server_of):
        self.address, self.schema = server_of("postgres"), next(_schemas)

    def make_store(self):
        return PostgresStore(self.address, schema=self.schema)

    @contextlib.contextmanager
    def opened(self, fingerprint=FINGERPRINT, dim=DIM):
        with super().opened(fingerprint, dim) as store:
            if (fingerprint, dim) == (FINGERPRINT, DIM):
                store.prepare_search(dim)
            yield store


class TestAsyncPostgresStoreThatSearches(TestPostgresStoreThatSearches):
    def make_store(self):
        return BlockingSearching(lambda: AsyncPostgresStore(self.address, schema=self.schema))


class TestPostgresStoreThatSearchesInSinglePrecision(TestPostgresStoreThatSearches):
    def make_store(self):
        return PostgresStore(self.address, schema=self.schema, search_type="vector", prepare_threshold=0)
