"""Notes of a cache on every store there is: kept, followed, out of sight, and never evicted."""

import pytest

from faces.adapter import Compass, Events
from mneme import (
    DynamoDBStore,
    EncryptedStore,
    KeyRing,
    MemoryStore,
    PostgresStore,
    RedisStore,
    SemanticCache,
    SQLiteStore,
)
from mneme.testing import FakeClock
from stores.dynamodb_tables import credentials, place, tables  # noqa: F401 -- fixtures
from stores.postgres_schemas import new_schema
from stores.redis_servers import a_prefix


@pytest.fixture(params=["sqlite", "encrypted", "postgres", "redis", "redis_search", "dynamodb"])
def make_store(request, cache_path):
    """Makes stores that hold the same; and by what they are searched."""
    if request.param == "sqlite":
        return lambda: SQLiteStore(cache_path), "auto"
    if request.param == "encrypted":
        ring = KeyRing.generate()
        return lambda: EncryptedStore(SQLiteStore(cache_path), ring), "auto"
    if request.param == "dynamodb":
        where = request.getfixturevalue("place")
        return lambda: DynamoDBStore(**where), "auto"
    address = request.getfixturevalue("server_of")(request.param)
    if request.param == "postgres":
        schema = new_schema()
        return lambda: PostgresStore(address, schema=schema), "auto"
    prefix = a_prefix()
    return lambda: RedisStore(address, prefix=prefix), "store" if request.param == "redis_search" else "auto"


@pytest.mark.timeout(300)
def test_rejections_and_alarms_outlive_everything_but_are_never_seen(make_store):
    clock, events = FakeClock(), Events()
    make, backend = make_store

    def opened(**options):
        options = {
            "multi_process_mode": "stale-tolerant",
            "clock": clock,
            "index_backend": backend,
            "guards": (),
            **options,
        }
        return SemanticCache(store=make(), embedder=Compass(), **options)

    with (
        opened(max_entries=3, audit_rate=1.0, max_false_hit_rate=0.02, metrics_hook=events) as cache,
        opened() as other,
    ):
        cache.put("rain @0", "water")
        clock.advance(1)
        assert other.reject(other.get("mist @1")) is True
        clock.advance(1)
        assert cache.get("mist @1") is None
        for number in range(3):
            cache.get_or_compute(f"fog {number} @1", lambda query: f"fog of {query}")
            while (thread := cache._core.background._thread) is not None:
                thread.join()
        assert events.of("alarm")
        clock.advance(1)
        assert other.get("drizzle @30", similarity_threshold=0.5) is None
        assert other.watch().raised_to == 0.925
        for number in range(5):
            clock.advance(1)
            cache.put(f"entry {number} @{100 + 20 * number}", "x")
        assert cache.stats().entries == len(cache.entries()) == 3
        assert cache.list_namespaces() == ["default"]
        assert cache.health().entries == 3
        assert cache.clear() == 3
        assert cache.check() == []
        assert other.entries() == []
    with opened() as again:
        again.put("rain @0", "water")
        assert again.get("mist @1") is None
        assert again.watch().raised_to == 0.925
        assert again.reset_alarm() is True
        assert again.confirm(("mist @1", "rain @0")) is True
        assert again.get("mist @1").response == "water"
        assert again.get("drizzle @30", similarity_threshold=0.5).response == "water"


def test_a_memory_store_has_notes_for_as_long_as_it_lives():
    with SemanticCache(store=MemoryStore(), embedder=Compass(), guards=()) as cache:
        cache.put("rain @0", "water")
        cache.reject(("mist @1", "rain @0"))
        assert cache.get("mist @1") is None
