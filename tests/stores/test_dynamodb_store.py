"""What is special about the DynamoDB store: tables, clients, foreign data, servers that fail, many at once."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiobotocore.session import get_session

import mneme
from mneme import (
    AsyncDynamoDBStore,
    AsyncSemanticCache,
    CacheClosedError,
    CorruptCacheError,
    DynamoDBStore,
    EmbedderMismatchError,
    SchemaMigrationError,
    SemanticCache,
    StoreBackendError,
)
from mneme.ports import HISTORY, Counters, MarkedStore, Selection, Usage
from mneme.stores import _dynamodb_directory
from mneme.testing import HashEmbedder
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record, history
from stores.blocking import Blocking
from stores.dynamodb_clients import AsyncMeddling, Meddling, Proxy
from stores.dynamodb_tables import CREDENTIALS, REGION, TABLE, credentials, place, tables  # noqa: F401 -- fixtures

SOURCE = Path(mneme.__file__).parents[1]


@pytest.fixture(params=["blocking", "asyncio"])
def make(request, place):  # noqa: F811 -- the fixture
    """Makes stores of either face in the place of the test; options may differ. They are closed with the test."""
    made = []

    def make(**options):
        options = {**place, **options}
        blocking = request.param == "blocking"
        made.append(DynamoDBStore(**options) if blocking else Blocking(lambda: AsyncDynamoDBStore(**options)))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def client(tables):  # noqa: F811 -- the fixture
    return tables


@pytest.fixture
def proxy(place):  # noqa: F811 -- the fixture
    proxy = Proxy(place["endpoint_url"])
    yield proxy
    proxy.close()


def opened(store, fingerprint=FINGERPRINT, dim=DIM):
    store.open(fingerprint, dim)
    return store


# --- construction ----------------------------------------------------------------------------------------------------


def test_the_callers_own_client_is_used_and_stays_open(place, client):  # noqa: F811
    opened(DynamoDBStore(**place)).close()
    mine = Meddling(client)
    store = opened(DynamoDBStore(TABLE, prefix=place["prefix"], client=mine))
    store.write([a_record(1)])
    store.close()
    assert "transact_write_items" in mine.calls
    assert client.describe_table(TableName=TABLE)["Table"]["TableName"] == TABLE


async def test_the_callers_own_asyncio_client_is_used_and_stays_open(place):  # noqa: F811
    making = get_session().create_client("dynamodb", region_name=REGION, endpoint_url=place["endpoint_url"])
    async with making as client:
        store = AsyncDynamoDBStore(place["table"], prefix=place["prefix"], client=client, create_table=True)
        await store.open(FINGERPRINT, DIM)
        await store.write([a_record(1)])
        await store.close()
        assert (await client.describe_table(TableName=TABLE))["Table"]["TableName"] == TABLE


@pytest.mark.parametrize("face", [DynamoDBStore, AsyncDynamoDBStore])
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"table": ""}, ValueError),
        ({"table": 3}, TypeError),
        ({"prefix": ""}, ValueError),
        ({"prefix": "a#b"}, ValueError),
        ({"prefix": "x" * 513}, ValueError),
        ({"prefix": None}, TypeError),
        ({"client": object(), "region_name": REGION}, ValueError),
        ({"client": object(), "endpoint_url": "http://localhost"}, ValueError),
        ({"timeout": 0}, ValueError),
        ({"timeout": "5"}, TypeError),
        ({"retry_seconds": -1}, ValueError),
        ({"retry_seconds": True}, TypeError),
        ({"max_connections": 0}, ValueError),
        ({"max_connections": 1.5}, TypeError),
    ],
)
def test_options_that_make_no_sense_are_refused(face, options, error):
    with pytest.raises(error):
        face(**{"table": "table", **options})


def test_a_missing_driver_is_named_with_its_extra():
    for name, driver in (("DynamoDBStore", "boto3"), ("AsyncDynamoDBStore", "aiobotocore")):
        script = f"import sys; sys.modules[{driver!r}] = None\nimport mneme\nmneme.{name}('table')"
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONPATH": str(SOURCE)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert f"ImportError: a DynamoDB store needs {driver}" in done.stderr
        assert "mneme-cache[dynamodb]" in done.stderr


def test_a_store_without_a_region_says_so(credentials):  # noqa: F811
    store = DynamoDBStore("table")
    with pytest.raises(StoreBackendError, match="region"):
        store.open(None, None)
    store.close()


def test_a_table_that_is_missing_is_made_only_when_asked_for(make):
    store = make(table="missing", create_table=False)
    with pytest.raises(StoreBackendError, match="create_table=True"):
        store.open(FINGERPRINT, DIM)
    store.close()


def test_openers_at_once_make_one_table_and_one_store(make, place, client):  # noqa: F811
    table = place["prefix"]
    stores = [make(table=table) for _ in range(4)]
    together = threading.Barrier(4)

    def use(number):
        together.wait(timeout=30)
        stores[number].open(FINGERPRINT, DIM)
        return stores[number].write([a_record(number)])[0].seq

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(use, range(4))) == [1, 2, 3, 4]
    described = client.describe_table(TableName=table)["Table"]
    assert described["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    for store in stores:
        assert store.check() == []
        store.close()


def test_prefixes_of_one_table_know_nothing_of_each_other(make, place):  # noqa: F811
    one, other = opened(make()), opened(make(prefix=f"{place['prefix']}-other"), "another embedder", 3)
    one.write([a_record(1), a_record(2)])
    assert other.scan(Selection()) == other.changes(0) == []
    other.write([a_record(1, vector=None)])
    other.compact()
    one.delete(Selection())
    assert len(other.scan(Selection())) == 1
    for store in (one, other):
        assert store.check() == []
        store.close()


# --- what is found ---------------------------------------------------------------------------------------------------


def items_of(client, prefix):
    pages = client.get_paginator("scan").paginate(TableName=TABLE, ConsistentRead=True)
    items = [item for page in pages for item in page["Items"] if item["pk"]["S"].startswith(f"{prefix}#")]
    return sorted(items, key=lambda item: (item["pk"]["S"], item["sk"]["S"]))


@pytest.mark.parametrize(
    ("item", "error"),
    [
        ({}, CorruptCacheError),
        ({"format": {"S": "theirs"}, "version": {"N": "1"}}, CorruptCacheError),
        ({"format": {"S": "mneme"}, "version": {"S": "one"}}, CorruptCacheError),
        ({"format": {"S": "mneme"}, "version": {"N": "1"}}, CorruptCacheError),
        ({"format": {"S": "mneme"}, "version": {"N": "2"}}, SchemaMigrationError),
    ],
)
def test_what_is_not_ours_or_newer_is_refused_and_left_alone(make, place, client, item, error):  # noqa: F811
    opened(make(prefix="other")).close()
    key = {"pk": {"S": f"{place['prefix']}#head"}, "sk": {"S": "head"}}
    client.put_item(TableName=TABLE, Item=key | item)
    before = items_of(client, place["prefix"])
    store = make()
    with pytest.raises(error):
        store.open(FINGERPRINT, DIM)
    store.close()
    assert items_of(client, place["prefix"]) == before


def test_a_table_with_another_key_is_refused(make, place, client):  # noqa: F811
    table = f"{place['prefix']}-other"
    client.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
        BillingMode="PAY_PER_REQUEST",
    )
    store = make(table=table)
    with pytest.raises(CorruptCacheError, match="pk and sk"):
        store.open(FINGERPRINT, DIM)
    store.close()


def test_a_log_without_a_head_is_refused(make, place, client):  # noqa: F811
    store = opened(make())
    store.write([a_record(1)])
    client.delete_item(TableName=TABLE, Key={"pk": {"S": f"{place['prefix']}#head"}, "sk": {"S": "head"}})
    with pytest.raises(StoreBackendError, match="gone"):
        store.write([a_record(2)])
    store.close()
    store = make()
    with pytest.raises(CorruptCacheError, match="no head"):
        store.open(FINGERPRINT, DIM)
    store.close()


def test_damage_is_told_of(make, place, client):  # noqa: F811
    store = opened(make())
    store.write([a_record(n) for n in range(4)] + [a_record(4, payload=b"x" * 20_000)])
    data = [item for item in items_of(client, place["prefix"]) if "#data#" in item["pk"]["S"]]
    parts = [item for item in items_of(client, place["prefix"]) if "#part#" in item["pk"]["S"]]
    by_key = {item["key"]["B"]: item for item in data}

    def put(number, **changes):
        client.put_item(TableName=TABLE, Item=by_key[a_record(number).key] | changes)

    def delete(item):
        client.delete_item(TableName=TABLE, Key={"pk": item["pk"], "sk": item["sk"]})

    delete(by_key[a_record(0).key])
    put(1, vector={"B": b"short"}, text={"S": "no JSON"})
    put(2, key={"B": b"another key"}, vector={"B": b"\0" * 4 * DIM})
    delete(parts[0])
    found = "\n".join(store.check())
    for sentence in (
        "The data of entry 1 are missing.",
        "The vector of entry 2 does not have the dimension of the store.",
        "The data of entry 3 are those of another key.",
        "The vector of entry 3 is not of unit length, or not finite.",
        "Parts of the data of entry 5 are missing.",
    ):
        assert sentence in found
    for ref in (1, 2, 5):
        with pytest.raises(CorruptCacheError):
            store.read([ref])
    with pytest.raises(CorruptCacheError):
        store.vectors(after=1)
    assert store.read([4])[0].query == "question 3"
    client.delete_item(TableName=TABLE, Key={"pk": {"S": f"{place['prefix']}#log"}, "sk": {"S": "0000000000000001"}})
    store.close()
    store = make()
    with pytest.raises(CorruptCacheError, match="not in its log"):
        store.open(FINGERPRINT, DIM)
    store.close()


def test_a_store_that_was_made_anew_or_went_back_is_noticed(make, place, client):  # noqa: F811
    store, behind = opened(make()), opened(make())
    old = items_of(client, place["prefix"])
    store.write([a_record(1)])
    for item in items_of(client, place["prefix"]):
        client.delete_item(TableName=TABLE, Key={"pk": item["pk"], "sk": item["sk"]})
    for item in old:
        client.put_item(TableName=TABLE, Item=item)
    with pytest.raises(StoreBackendError, match="backup"):
        store.read([1])
    assert behind.read([1]) == [None]
    for item in old:
        client.delete_item(TableName=TABLE, Key={"pk": item["pk"], "sk": item["sk"]})
    opened(make()).close()
    with pytest.raises(StoreBackendError, match="another"):
        behind.write([a_record(2)])
    store.close()
    behind.close()


# --- many at once ----------------------------------------------------------------------------------------------------


def test_each_of_two_stores_follows_the_other(make):
    one, other = opened(make()), opened(make())
    numbers = []
    for step in range(6):
        numbers += [written.seq for written in (one, other)[step % 2].write([a_record(step), a_record(100 + step)])]
        assert history(one, 0) == history(other, 0)
        assert [change.seq for change in history(one, 0)] == numbers
    assert one.write([a_record(1, query="again")])[0].id == other.read([a_record(1).key])[0].id
    other.delete(Selection(refs=[a_record(2).key]))
    assert one.read([a_record(2).key]) == [None]
    assert other.read([a_record(1).key])[0].query == "again"
    with pytest.raises(EmbedderMismatchError):
        other.open("another", DIM)
    assert one.check() == other.check() == []
    one.close()
    other.close()


def test_two_openers_with_different_embedders_bind_it_once(make):
    stores = [make(), make()]
    together = threading.Barrier(2)

    def bind(number):
        together.wait(timeout=30)
        try:
            return stores[number].open(f"embedder {number}", DIM).fingerprint
        except EmbedderMismatchError:
            return None

    with ThreadPoolExecutor(2) as pool:
        bound = list(pool.map(bind, range(2)))
    assert sorted(map(bool, bound)) == [False, True]
    for store in stores:
        store.close()


WRITER = """
import json, sys
sys.path[:0] = json.loads(sys.argv[3])
from mneme import DynamoDBStore
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record
worker = int(sys.argv[1])
store = DynamoDBStore(**json.loads(sys.argv[2]))
store.open(FINGERPRINT, DIM)
sys.stdin.readline()
numbers = [[w.seq for w in store.write([a_record(1000 * worker + 2 * n), a_record(1000 * worker + 2 * n + 1)])]
           for n in range(15)]
assert store.check() == []
store.close()
print(json.dumps(numbers))
"""


def test_four_processes_write_at_once_and_a_follower_sees_every_pair_whole(place):  # noqa: F811
    store = opened(DynamoDBStore(**place))
    command = [sys.executable, "-W", "error", "-c", WRITER]
    processes = [
        subprocess.Popen(
            [*command, str(worker), json.dumps(place), json.dumps([str(SOURCE)])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | CREDENTIALS,
            text=True,
        )
        for worker in range(4)
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    followed = []
    while len(followed) < 120 and any(process.poll() in {None, 0} for process in processes):
        new = history(store, followed[-1].seq if followed else 0)
        assert len(new) % 2 == 0
        followed += new
    written = []
    for process in processes:
        said, _ = process.communicate()
        assert process.returncode == 0
        pairs = json.loads(said)
        numbers = [number for pair in pairs for number in pair]
        assert numbers == sorted(numbers)
        assert all(second == first + 1 for first, second in pairs)
        written += numbers
    assert [change.seq for change in followed] == sorted(written) == list(range(1, 121))
    assert store.check() == []
    store.close()


def test_more_threads_than_connections_get_their_turn(make):
    store = opened(make(max_connections=1))
    store.write([a_record(1)])
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: store.read([a_record(1).key])[0].query, range(40)))
    assert found == ["question 1"] * 40
    store.close()


# --- failing ---------------------------------------------------------------------------------------------------------


def test_a_server_that_stops_is_told_of_and_one_that_starts_again_is_used(make, proxy):
    store = opened(make(endpoint_url=proxy.address, timeout=20, retry_seconds=5))
    store.write([a_record(1)])
    proxy.stop()
    for call in (
        lambda: store.read([1]),
        lambda: store.write([a_record(2)]),
        lambda: store.delete(Selection()),
        lambda: store.record(Usage({}, {"main": Counters(misses=1)})),
        store.summary,
    ):
        with pytest.raises(StoreBackendError, match="cannot be reached"):
            call()
    proxy.start()
    assert store.read([1])[0].query == "question 1"
    assert store.write([a_record(3)])[0].id == 2
    assert store.check() == []
    store.close()


def test_a_server_that_does_not_answer_is_given_up(make, proxy):
    store = opened(make(endpoint_url=proxy.address))
    store.close()
    proxy.fall_silent()
    store = make(endpoint_url=proxy.address, timeout=0.2, create_table=False)
    with pytest.raises(StoreBackendError, match="cannot be reached"):
        store.open(FINGERPRINT, DIM)
    store.close()


def test_no_connection_outlives_the_store(make, proxy):
    store = opened(make(endpoint_url=proxy.address))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: store.write([a_record(n)]), range(8)))
    store.close()
    proxy.settle()
    assert proxy.accepted > 0
    assert proxy.connections() == 0


@pytest.mark.parametrize("after", [False, True], ids=["before", "afterwards"])
async def test_a_verb_that_is_cancelled_at_any_request_leaves_a_usable_store(place, after):  # noqa: F811
    making = get_session().create_client("dynamodb", region_name=REGION, endpoint_url=place["endpoint_url"])
    async with making as real:
        for number in itertools.count(1):
            client = AsyncMeddling(real)
            prefix = f"{place['prefix']}-{number}"
            store = AsyncDynamoDBStore(TABLE, prefix=prefix, client=client, create_table=True)
            await store.open(FINGERPRINT, DIM)
            await store.write([a_record(1), a_record(2)])
            client.stop_at, client.after = client.count + number, after
            task = asyncio.create_task(store.write([a_record(1, query="new"), a_record(3)]))
            stopped = asyncio.create_task(client.reached.wait())
            await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
            reached, client.stop_at = client.reached.is_set(), 0
            task.cancel()
            stopped.cancel()
            await asyncio.gather(task, stopped, return_exceptions=True)
            queries = [record.query for record in await store.scan(Selection())]
            assert queries in (["question 1", "question 2"], ["new", "question 2", "question 3"])
            (written,) = await store.write([a_record(4)])
            assert written.seq == (3 if len(queries) == 2 else 5)
            assert await store.check() == []
            await store.close()
            if not reached:
                break
        assert number > 2


def test_a_closed_store_or_one_that_was_never_opened_says_so(make):
    store = make()
    with pytest.raises(CacheClosedError, match="open first"):
        store.read([1])
    store.close()
    with pytest.raises(CacheClosedError, match="closed"):
        store.open(FINGERPRINT, DIM)


# --- the rest --------------------------------------------------------------------------------------------------------


def test_a_text_can_be_left_for_later(place):  # noqa: F811
    store = opened(DynamoDBStore(**place))
    assert isinstance(store, MarkedStore)
    assert store.marked() is None
    store.mark("one")
    store.mark("two")
    store.close()
    store = opened(DynamoDBStore(**place))
    assert store.marked() == "two"
    assert store.changes(0) == []
    store.compact()
    assert store.marked() == "two"
    store.close()


async def test_a_text_can_be_left_for_later_by_either_face(place):  # noqa: F811
    store = AsyncDynamoDBStore(**place)
    await store.open(FINGERPRINT, DIM)
    await store.mark("one")
    other = opened(DynamoDBStore(**place))
    assert other.marked() == "one"
    other.mark("two")
    other.close()
    assert await store.marked() == "two"
    await store.close()


def test_a_payload_of_four_mebibytes_comes_back(make):
    store = opened(make())
    payload = os.urandom(4 * 2**20)
    store.write([a_record(1, payload=payload, metadata="m" * 65_536, query="q" * 32_768)])
    found = store.read([a_record(1).key], vectors=True)[0]
    assert (found.payload, len(found.metadata), len(found.query)) == (payload, 65_536, 32_768)
    assert store.check() == []
    store.delete(Selection())
    store.close()


def test_old_deletions_are_forgotten_and_that_is_told(make, monkeypatch):
    assert HISTORY == _dynamodb_directory.HISTORY
    monkeypatch.setattr(_dynamodb_directory, "HISTORY", 10)
    store = opened(make())
    store.write([a_record(n) for n in range(5)])
    store.delete(Selection(refs=[1, 2]))
    store.write([a_record(n) for n in range(10, 18)])
    store.delete(Selection(refs=[3]))
    assert store.changes(0) is None
    assert store.changes(5) is None
    assert [change.seq for change in store.changes(6)] == list(range(7, 17))
    assert store.check() == []
    store.compact()
    assert store.changes(5) is None
    assert opened(make()).changes(5) is None
    store.close()


@pytest.mark.parametrize("again", [1, 2])
def test_a_cache_of_it_answers_exactly_and_by_meaning_and_is_there_again(place, again):  # noqa: F811
    for opening in range(again):
        with SemanticCache(store=DynamoDBStore(**place), embedder=HashEmbedder()) as cache:
            if not opening:
                cache.put_many([("a question of mine", "mine"), ("something else entirely", "else")])
            assert cache.get("A question of mine").layer == "exact"
            assert cache.get("a question of mine ?", similarity_threshold=0.5).layer == "semantic"
            assert cache.check() == []
    with SemanticCache(store=DynamoDBStore(**place), embedder=HashEmbedder()) as cache:
        assert cache.delete("a question of mine")
        assert cache.get("a question of mine") is None
        assert cache.health().store_backend == "dynamodb"


async def test_an_async_cache_of_it_does_the_same(place):  # noqa: F811
    for opening in range(2):
        async with AsyncSemanticCache(store=AsyncDynamoDBStore(**place), embedder=HashEmbedder()) as cache:
            if not opening:
                await cache.put_many([("a question of mine", "mine"), ("something else entirely", "else")])
            assert (await cache.get("A question of mine")).layer == "exact"
            assert (await cache.get("a question of mine ?", similarity_threshold=0.5)).layer == "semantic"
    async with AsyncSemanticCache(store=AsyncDynamoDBStore(**place), embedder=HashEmbedder()) as cache:
        assert await cache.delete("a question of mine")
        assert await cache.get("a question of mine") is None
        assert await cache.check() == []
