"""The Postgres stores over a network that loses answers, cuts them short, or is slow."""

import contextlib
from urllib.parse import parse_qs, urlsplit

import pytest

from mneme import AsyncPostgresStore, PostgresStore, SemanticCache, StoreBackendError
from mneme.ports import Counters, Selection, Usage
from mneme.testing import HashEmbedder
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record, history
from servers.proxy import Proxy
from stores.postgres_schemas import new_schema

FAULTS = ["cut", "halve"]


@pytest.fixture
def address(server_of):
    return server_of("postgres")


@pytest.fixture
def proxy(address):
    (directory,) = parse_qs(urlsplit(address).query)["host"]
    with Proxy(f"{directory}/.s.PGSQL.5432", greeting=b"Z\0\0\0\5I") as proxy:  # "ready for query, idle"
        yield proxy


@pytest.fixture
def schema():
    return new_schema()


def through(proxy):
    return f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres?sslmode=disable&gssencmode=disable"


@contextlib.contextmanager
def opened(address, schema):
    store = PostgresStore(address, schema=schema)
    try:
        store.open(FINGERPRINT, DIM)
        yield store
    finally:
        store.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_read_whose_answer_is_lost_is_asked_for_again(proxy, schema, fault):
    with opened(through(proxy), schema) as store:
        (written,) = store.write([a_record(1)])
        setattr(proxy, fault, 1)
        (found,) = store.read([written.id])
        assert getattr(proxy, fault) == 0
        assert found.id == written.id


@pytest.mark.parametrize("fault", FAULTS)
def test_a_change_whose_answer_is_lost_is_told_to_be_uncertain_and_is_whole_or_not_there(address, proxy, schema, fault):
    verbs = {
        "one": lambda store, n: store.write([a_record(n)]),
        "many": lambda store, n: store.write([a_record(n), a_record(n + 1), a_record(n + 2)]),
        "delete": lambda store, _: store.delete(Selection()),
        "record": lambda store, _: store.record(Usage({}, {"main": Counters(misses=1)})),
        "mark": lambda store, n: store.mark(str(n)),
    }
    with opened(through(proxy), schema) as store, opened(address, schema) as other:
        for number, (name, verb) in enumerate(verbs.items()):
            verb(store, 100)
            before = other.open(None, None).seq
            setattr(proxy, fault, 1)
            with pytest.raises(StoreBackendError, match="whether the change was made is not known"):
                verb(store, 10 * number)
            assert getattr(proxy, fault) == 0
            made = other.open(None, None).seq - before
            assert made in {"one": {0, 1}, "many": {0, 3}, "delete": {0, 4}, "record": {0}, "mark": {0}}[name]
            assert other.check() == []
            verb(store, 10 * number)  # and the store is of use again


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_asyncio_store_says_the_same(address, proxy, schema, fault):
    store = AsyncPostgresStore(through(proxy), schema=schema)
    await store.open(FINGERPRINT, DIM)
    try:
        (written,) = await store.write([a_record(1)])
        setattr(proxy, fault, 1)
        assert (await store.read([written.id]))[0].id == written.id
        setattr(proxy, fault, 1)
        with pytest.raises(StoreBackendError, match="whether the change was made is not known"):
            await store.write([a_record(2)])
        await store.write([a_record(3)])
    finally:
        await store.close()
    with opened(address, schema) as other:
        assert other.check() == []
        assert [each.seq for each in history(other, 0)][-1] in (2, 3)


def test_a_cache_knows_in_the_end_what_became_of_a_put_without_an_answer(proxy, schema):
    with SemanticCache(store=PostgresStore(through(proxy), schema=schema), embedder=HashEmbedder()) as cache:
        cache.put("the first", "1")
        proxy.cut = 1
        with pytest.raises(StoreBackendError):
            cache.put("the second", "2")
        stored = cache.get("the second")
        assert cache.stats().entries == (1 if stored is None else 2)
        cache.put("the second", "3")
        assert cache.get("the second").response == "3"
        assert cache.get("the first").response == "1"
        assert cache.check() == []


def test_over_a_slow_network_every_verb_does_what_it_does(proxy, schema):
    with opened(through(proxy), schema) as store:
        proxy.delay = 0.01
        store.write([a_record(1), a_record(2)])
        assert [record.id for record in store.read([1, 2])] == [1, 2]
        assert len(store.delete(Selection())) == 2
        assert store.check() == []
