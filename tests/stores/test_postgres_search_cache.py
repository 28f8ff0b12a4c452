"""Caches over a Postgres server that searches."""

import asyncio

import pytest

from mneme import (
    AsyncPostgresStore,
    AsyncSemanticCache,
    PostgresStore,
    SemanticCache,
)
from mneme.testing import HashEmbedder
from stores.postgres_schemas import (
    new_schema,
)


@pytest.fixture
def address(server_of):
    return server_of("postgres")


@pytest.fixture
def schema():
    return new_schema()


TOPICS = ("refund", "delivery", "password", "invoice", "opening hours", "warranty")


def queries(number):
    return [f"question {n} about the {TOPICS[n % 6]} of order {n // 6}, please" for n in range(number)]


def outcomes(cache):
    asked = [query.replace("please", word) for query in queries(60) for word in ("please!", "now", "please please")]
    hits = [cache.get(query, similarity_threshold=threshold) for query in asked for threshold in (0.6, 0.8, 0.95)]
    found = [(hit.response, hit.layer, round(hit.similarity, 5), hit.query) if hit else None for hit in hits]
    many = [hit and (hit.response, hit.query) for hit in cache.get_many(asked, similarity_threshold=0.7)]
    looked = [[(each.query, round(each.similarity, 5)) for each in cache.lookup(query, k=5)] for query in asked[::9]]
    return found, many, looked


def test_the_cache_decides_as_with_an_index_in_the_process(address):
    told = []
    for backend in ("store", "numpy"):
        store = PostgresStore(address, schema=new_schema())
        with SemanticCache(store=store, embedder=HashEmbedder(), index_backend=backend) as cache:
            cache.put_many([(query, f"answer {n}") for n, query in enumerate(queries(240))])
            cache.put(queries(7)[6], "another answer")
            cache.put(queries(9)[8], "elsewhere", namespace="other")
            cache.delete(queries(5)[4])
            assert (cache.health().index_backend, cache.check()) == (backend, [])
            told.append(outcomes(cache))
    assert told[0] == told[1]
    assert sum(hit is not None and hit[1] == "semantic" for hit in told[0][0]) > 100


async def test_so_does_the_asyncio_cache(address):
    told = []
    for backend in ("store", "numpy"):
        store = AsyncPostgresStore(address, schema=new_schema())
        async with AsyncSemanticCache(store=store, embedder=HashEmbedder(), index_backend=backend) as cache:
            await cache.put_many([(query, f"answer {n}") for n, query in enumerate(queries(60))])
            hits = await asyncio.gather(
                *(cache.get(query.replace("please", "now"), similarity_threshold=0.6) for query in queries(60))
            )
            told.append([(hit.response, round(hit.similarity, 5)) if hit else None for hit in hits])
    assert told[0] == told[1]
    assert any(told[0])


def test_a_cache_that_does_not_search_keeps_the_search_of_another_right(address, schema):
    store = PostgresStore(address, schema=schema)
    with SemanticCache(store=store, embedder=HashEmbedder(), index_backend="store") as searching:
        searching.put("What are your opening hours?", "nine to five")
        with SemanticCache(store=PostgresStore(address, schema=schema), embedder=HashEmbedder()) as other:
            other.put("How long is the warranty period?", "two years")
            other.delete("What are your opening hours?")
        asked = "How long is the warranty period, then?"
        assert searching.get(asked, similarity_threshold=0.5).response == "two years"
        assert searching.get("What are your opening hours, then?", similarity_threshold=0.5) is None
        searching.close()


def test_a_semantic_answer_takes_two_round_trips(address, schema, monkeypatch):
    store = PostgresStore(address, schema=schema)
    with SemanticCache(store=store, embedder=HashEmbedder(), index_backend="store") as cache:
        cache.put("How long is the warranty period?", "two years")
        driver, runs = store._verbs._links._driver, []
        run, run_all = driver.run, driver.run_all

        async def counted(connection, step, prepare):
            runs.append(step[0])
            return await run(connection, step, prepare)

        async def counted_all(connection, steps, prepare):
            runs.append(steps[2][0])
            return await run_all(connection, steps, prepare)

        monkeypatch.setattr(driver, "run", counted)
        monkeypatch.setattr(driver, "run_all", counted_all)
        assert cache.get("How long is the warranty period, then?", similarity_threshold=0.5).layer == "semantic"
        assert runs == [store._verbs._sql.read_key, store._verbs._sql.search_similar]
