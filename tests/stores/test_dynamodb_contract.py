"""The DynamoDB store keeps the contract on both faces, also when it makes a snapshot every few commits."""

import pytest

from mneme import AsyncDynamoDBStore, DynamoDBStore
from mneme.stores import _dynamodb_journal
from mneme.testing import StoreContract
from stores.blocking import Blocking
from stores.dynamodb_tables import credentials, place  # noqa: F401 -- fixtures


class TestDynamoDBStore(StoreContract):
    @pytest.fixture(autouse=True)
    def in_a_place_of_its_own(self, place):  # noqa: F811 -- the fixture
        self.place = place

    def make_store(self):
        return DynamoDBStore(**self.place)


class TestDynamoDBStoreWithManySnapshots(TestDynamoDBStore):
    @pytest.fixture(autouse=True)
    def with_many_snapshots(self, monkeypatch):
        monkeypatch.setattr(_dynamodb_journal, "CHECKPOINT", 1)


class TestAsyncDynamoDBStore(TestDynamoDBStore):
    def make_store(self):
        return Blocking(lambda: AsyncDynamoDBStore(**self.place))
