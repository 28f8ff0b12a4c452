"""Both Redis stores keep the contract, against a real server."""

import itertools

import pytest

from mneme.stores import AsyncRedisStore, RedisStore
from mneme.testing import StoreContract
from stores.blocking import Blocking

_prefixes = (f"contract {number}" for number in itertools.count())


class TestRedisStore(StoreContract):
    @pytest.fixture(autouse=True)
    def on_a_server(self, server_of):
        self.url = server_of("redis")
        self.prefix = next(_prefixes)

    def make_store(self):
        return RedisStore(self.url, prefix=self.prefix)


class TestAsyncRedisStore(TestRedisStore):
    def make_store(self):
        return Blocking(lambda: AsyncRedisStore(self.url, prefix=self.prefix))
