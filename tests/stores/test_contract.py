"""The stores that need no server keep the contract."""

import pytest

from mneme import ports
from mneme.errors import EmbedderMismatchError
from mneme.stores import MemoryStore, SQLiteStore
from mneme.testing import ReembeddingContract, SearchContract, StoreContract
from stores.searching import SearchingMemoryStore


class TestMemoryStore(ReembeddingContract, StoreContract):
    durable = False

    def make_store(self):
        return MemoryStore()


class TestSearchingMemoryStore(SearchContract):
    durable = False

    def make_store(self):
        return SearchingMemoryStore()


class TestSQLiteStore(ReembeddingContract, StoreContract):
    @pytest.fixture(autouse=True)
    def in_a_directory(self, tmp_path):
        self.path = tmp_path / "cache.db"

    def make_store(self):
        return SQLiteStore(self.path)


class TestSQLiteStoreWithFullDurability(TestSQLiteStore):
    def make_store(self):
        return SQLiteStore(str(self.path), durability="full", busy_timeout=30)


@pytest.mark.parametrize("make", [lambda _: MemoryStore(), lambda path: SQLiteStore(path / "cache.db")])
def test_opening_an_open_store_again_binds_or_checks_it(make, tmp_path):
    store: ports.Store = make(tmp_path)
    assert store.open(None, None).fingerprint is None
    assert store.open("one", 3).dim == 3
    assert store.open(None, None).fingerprint == "one"
    with pytest.raises(EmbedderMismatchError, match="two"):
        store.open("two", 3)
    assert store.open("one", 3).seq == 0
    store.close()
