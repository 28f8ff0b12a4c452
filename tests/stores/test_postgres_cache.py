"""A cache over the Postgres stores, end to end, on both faces."""

import asyncio

import pytest

from mneme import AsyncPostgresStore, AsyncSemanticCache, PostgresStore, SemanticCache
from mneme.stores import _postgres_verbs
from mneme.testing import HashEmbedder
from stores.postgres_schemas import new_schema


@pytest.fixture
def address(server_of):
    return server_of("postgres")


@pytest.fixture
def schema():
    return new_schema()


def test_a_cache_lives_in_a_schema(address, schema):
    def opened():
        return SemanticCache(store=PostgresStore(address, schema=schema), embedder=HashEmbedder())

    with opened() as cache:
        cache.put("What are your opening hours?", "nine to five", tags=("shop",))
        cache.put("Where is the shop?", {"street": "Main"}, namespace="other")
        assert cache.get("what are your  opening hours?").layer == "exact"
        assert cache.get("What are the opening hours?", similarity_threshold=0.5).layer == "semantic"
        assert cache.health().store_backend == "postgres"
    with opened() as cache:
        assert cache.get("where is the shop?", namespace="other").response == {"street": "Main"}
        assert cache.get("What are the opening hours?", similarity_threshold=0.5).response == "nine to five"
        assert cache.delete("What are your opening hours?")
        assert cache.get("What are the opening hours?", similarity_threshold=0.5) is None
        assert cache.vacuum() == 0
        assert cache.check() == []
        cache.clear()
        assert cache.stats().entries == 0


async def test_an_async_cache_lives_in_a_schema(address, schema):
    def opened():
        return AsyncSemanticCache(store=AsyncPostgresStore(address, schema=schema), embedder=HashEmbedder())

    async with opened() as cache:
        await asyncio.gather(*(cache.put(f"question number {n}", n) for n in range(50)))
        assert (await cache.get("Question number 7")).layer == "exact"
        hit = await cache.get("the question number 7", similarity_threshold=0.5)
        assert hit.layer == "semantic"
    async with opened() as cache:
        found = await asyncio.gather(*(cache.get(f"question number {n}") for n in range(50)))
        assert [hit.response for hit in found] == list(range(50))
        assert await cache.delete("question number 7")
        assert await cache.get("question number 7", similarity_threshold=1.0) is None
        assert await cache.check() == []


def test_a_saved_index_opens_a_cache_on_postgres(address, schema, tmp_path, monkeypatch):
    def opened():
        options = {"path": tmp_path / "index"}
        return SemanticCache(
            store=PostgresStore(address, schema=schema), embedder=HashEmbedder(), index_options=options
        )

    with opened() as cache:
        cache.put_many([(f"question number {number}", number) for number in range(5000)])
    assert (tmp_path / "index").exists()
    monkeypatch.setattr(_postgres_verbs.PostgresVerbs, "vectors", None)  # none is read
    with opened() as cache:
        assert cache.get("the question number 77", similarity_threshold=0.5).layer == "semantic"


def test_a_cache_evicts_the_least_recent_of_all_namespaces(address, schema, clock):
    store = PostgresStore(address, schema=schema)
    with SemanticCache(store=store, embedder=HashEmbedder(), max_entries=50) as cache:
        for number in range(120):
            cache.put(f"question {number}", number, namespace=f"n{number % 3}")
        assert 0 < cache.stats().entries <= 50
        assert cache.get("question 119", namespace=f"n{119 % 3}").response == 119
        assert cache.check() == []
