"""Both Redis stores keep the contract, against a real server."""

import contextlib
import itertools
from typing import ClassVar

import pytest

from mneme.stores import AsyncRedisStore, RedisStore, _redis_verbs
from mneme.testing import SearchContract, StoreContract
from mneme.testing._store_suite import DIM, FINGERPRINT
from stores.blocking import Blocking, BlockingSearching

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


class TestRedisStoreThatSearches(SearchContract, StoreContract):
    """The documents go with every verb, in every test of the contract."""

    options: ClassVar = {}

    @pytest.fixture(autouse=True)
    def on_a_server(self, server_of):
        self.url = server_of("redis_search")
        self.prefix = next(_prefixes)

    def make_store(self):
        return RedisStore(self.url, prefix=self.prefix, **self.options)

    @contextlib.contextmanager
    def opened(self, fingerprint=FINGERPRINT, dim=DIM):
        with super().opened(fingerprint, dim) as store:
            if (fingerprint, dim) == (FINGERPRINT, DIM):
                store.prepare_search(dim)
            yield store


class TestAsyncRedisStoreThatSearches(TestRedisStoreThatSearches):
    def make_store(self):
        return BlockingSearching(lambda: AsyncRedisStore(self.url, prefix=self.prefix, **self.options))


class TestRedisStoreThatSearchesWithoutAGraph(TestRedisStoreThatSearches):
    options: ClassVar = {"search_type": "flat"}


class TestRedisStoreThatSearchesByTheGraph(TestRedisStoreThatSearches):
    """Wherever it can: by itself it would compare partitions of this size whole."""

    recall = 0.99

    @pytest.fixture(autouse=True)
    def nothing_is_small(self, monkeypatch):
        monkeypatch.setattr(_redis_verbs, "EXACT", 0)
