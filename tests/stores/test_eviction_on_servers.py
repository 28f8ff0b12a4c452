"""What a policy chooses goes, on servers too: they are told which entries, and need know nothing of policies."""

import pytest

from mneme import DynamoDBStore, PostgresStore, RedisStore, SemanticCache
from mneme.testing import HashEmbedder
from stores.dynamodb_tables import credentials, place, tables  # noqa: F401 -- fixtures
from stores.postgres_schemas import new_schema
from stores.redis_servers import a_prefix


@pytest.fixture(params=["postgres", "redis", "dynamodb"])
def make_store(request, server_of):
    """Makes stores that mean the same place."""
    if request.param == "dynamodb":
        there = request.getfixturevalue("place")
        return lambda: DynamoDBStore(**there)
    address = server_of(request.param)
    if request.param == "redis":
        prefix = a_prefix()
        return lambda: RedisStore(address, prefix=prefix)
    schema = new_schema()
    return lambda: PostgresStore(address, schema=schema)


@pytest.mark.parametrize(("policy", "stays"), [("gdsf", "dear"), ("sieve", "asked")])
def test_what_the_policy_keeps_stays_and_what_it_cost_is_remembered(make_store, policy, stays):
    def opened():
        return SemanticCache(store=make_store(), embedder=HashEmbedder(), max_entries=3, eviction=policy)

    with opened() as cache:
        cache.put("dear", "answer", cost=64.0)
        cache.put("asked", "answer", cost=0.25)
        assert cache.get("asked") is not None
    with opened() as cache:
        assert cache.get("dear" if policy == "gdsf" else "asked") is not None
        for number in range(10):
            cache.put(f"filler {number}", "answer", cost=0.25)
        left = {entry.query for entry in cache.entries()}
        assert len(left) == 3
        assert stays in left
        assert "filler 9" in left
        assert cache.stats().evictions == 9
        assert cache.stats().cost_saved == (64.25 if policy == "gdsf" else 0.5)
        assert cache.check() == []
