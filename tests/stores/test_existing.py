"""A store on a server says whether there is a cache, before anything is made there."""

import inspect

import boto3
import psycopg
import pytest
import redis

from mneme import (
    AsyncDynamoDBStore,
    AsyncPostgresStore,
    AsyncRedisStore,
    CacheClosedError,
    DynamoDBStore,
    PostgresStore,
    RedisStore,
    StoreBackendError,
)
from stores.dynamodb_tables import CREDENTIALS, REGION
from stores.postgres_schemas import beside

NAME = "nobody_was_here"
TABLE = "mneme-existing"


def redis_(address, kind):
    client = redis.Redis.from_url(address)
    return kind(address, prefix=NAME), client.close, lambda: client.keys(f"*{NAME}*")


def postgres(address, kind):
    other = psycopg.connect(address, autocommit=True)
    found = "SELECT nspname FROM pg_namespace WHERE nspname = %s"
    return kind(address, schema=NAME), other.close, lambda: other.execute(found, (NAME,)).fetchall()


def dynamodb(address, kind):
    store = kind(TABLE, prefix=NAME, region_name=REGION, endpoint_url=address, create_table=True)
    client = boto3.session.Session().client("dynamodb", region_name=REGION, endpoint_url=address)
    return store, client.close, lambda: client.list_tables()["TableNames"]


@pytest.fixture(
    params=[
        ("redis", redis_, RedisStore),
        ("redis", redis_, AsyncRedisStore),
        ("postgres", postgres, PostgresStore),
        ("postgres", postgres, AsyncPostgresStore),
        ("dynamodb", dynamodb, DynamoDBStore),
        ("dynamodb", dynamodb, AsyncDynamoDBStore),
    ],
    ids=lambda param: param[2].__name__,
)
def place(request, server_of, monkeypatch):
    """Makes a store, and says what is where it would keep its entries; afterwards there is nothing."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    server, make, kind = request.param
    address = server_of(server)
    store, close, traces = make(address, kind)
    yield store, traces
    if server == "postgres":
        with beside(address) as other:
            other.execute(f"DROP SCHEMA IF EXISTS {NAME} CASCADE")
    elif server == "redis":
        with redis.Redis.from_url(address) as client:
            for key in client.keys(f"*{NAME}*"):
                client.delete(key)
    else:
        client = boto3.session.Session().client("dynamodb", region_name=REGION, endpoint_url=address)
        if TABLE in client.list_tables()["TableNames"]:
            client.delete_table(TableName=TABLE)
        client.close()
    close()


async def done(value):
    return await value if inspect.isawaitable(value) else value


async def test_asking_whether_there_is_a_cache_makes_nothing(place):
    store, traces = place
    assert await done(store.exists()) is False
    assert not traces()
    await done(store.open(None, None))
    assert await done(store.exists()) is True
    assert traces()
    await done(store.close())
    with pytest.raises(CacheClosedError):
        await done(store.exists())


async def test_a_store_can_be_opened_after_it_was_asked(place):
    store, _ = place
    for _ in range(2):
        assert await done(store.exists()) is False
    await done(store.open("an embedder", 3))
    assert await done(store.exists()) is True
    await done(store.close())


@pytest.mark.parametrize(
    "store",
    [
        lambda: RedisStore("redis://127.0.0.1:1/0"),
        lambda: PostgresStore("postgresql://me@127.0.0.1:1/app"),
        lambda: DynamoDBStore("t", region_name=REGION, endpoint_url="http://127.0.0.1:1", retry_seconds=0.1),
    ],
    ids=["redis", "postgres", "dynamodb"],
)
def test_a_server_that_is_away_is_no_answer(store, monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    made = store()
    with pytest.raises(StoreBackendError):
        made.exists()
    made.close()
