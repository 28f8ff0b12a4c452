"""The DynamoDB store keeps the contract on both faces, on one of them with a snapshot every few commits."""

import pytest

from mneme import AsyncDynamoDBStore, DynamoDBStore
from mneme.stores import _dynamodb_journal
from mneme.testing import StoreContract
from stores.blocking import Blocking
from stores.dynamodb_tables import credentials, place, tables  # noqa: F401 -- fixtures

pytestmark = pytest.mark.timeout(400)  # moto answers some hundred requests a second, if nothing else is going on


class TestDynamoDBStore(StoreContract):
    @pytest.fixture(autouse=True)
    def in_a_place_of_its_own(self, place):  # noqa: F811 -- the fixture
        self.place = place

    def make_store(self):
        return DynamoDBStore(**self.place)


class TestAsyncDynamoDBStore(TestDynamoDBStore):
    @pytest.fixture(autouse=True)
    def with_a_snapshot_every_few_commits(self, monkeypatch):
        monkeypatch.setattr(_dynamodb_journal, "CHECKPOINT", 2000)

    def make_store(self):
        return Blocking(lambda: AsyncDynamoDBStore(**self.place))
