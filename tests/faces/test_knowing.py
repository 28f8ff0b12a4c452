"""Stats, health and events: what is told, and that telling never hurts."""

import dataclasses

import pytest

from faces.adapter import Compass
from mneme import CorruptCacheError, MemoryStore, SemanticCache, StoreBackendError
from mneme.testing import Faults, FlakyStore


def test_stats_count_by_namespace_and_in_all(cache, clock):
    cache.put("rain @0", "water")
    cache.put("rain @0", "water", namespace="n", ttl=5)
    assert cache.get("rain @0")
    assert cache.get("rain @0")
    assert cache.get("mist @1")
    assert cache.get("sun @90") is None
    assert cache.get("mist @1", namespace="n")
    clock.advance(5)
    assert cache.get("rain @0", namespace="n") is None

    def numbers(namespace=None):
        stats = cache.stats(namespace)
        assert stats.namespace == namespace
        return stats.entries, stats.hits_exact, stats.hits_semantic, stats.misses, stats.evictions, stats.expirations

    assert numbers("default") == (1, 2, 1, 1, 0, 0)
    assert numbers("n") == (0, 0, 1, 1, 0, 1)
    assert numbers("nobody") == (0, 0, 0, 0, 0, 0)
    assert numbers() == (1, 2, 2, 2, 0, 1)
    assert cache.stats().hit_rate == pytest.approx(4 / 6)
    assert cache.stats("nobody").hit_rate == 0.0


def test_stats_say_what_the_index_and_the_memory_hold(cache, compass):
    empty = cache.stats()
    assert (empty.embedder_fingerprint, empty.vector_dtype) == (compass.fingerprint, "float32")
    cache.put_many([(f"q{number}", "answer" * 50) for number in range(100)])
    full = cache.stats()
    assert full.index_memory_bytes - empty.index_memory_bytes >= 100 * 32 * 4
    assert full.memory_bytes_estimate >= full.index_memory_bytes + 100 * 300
    assert full.index_tombstone_count == 0
    cache.clear()
    assert cache.stats().memory_bytes_estimate < full.memory_bytes_estimate


def test_counters_survive_a_restart(open_cache, cache_path, clock):
    cache = open_cache(cache_path, max_entries=2)
    for name in ("a @0", "b @60", "c @120"):
        cache.put(name, "1", ttl=50)
    assert cache.get("c @120")
    assert cache.get("p @121")
    assert cache.get("nothing @300") is None
    clock.advance(50)
    assert cache.get("c @120") is None
    before = cache.stats()
    assert (before.hits_exact, before.hits_semantic, before.misses, before.evictions) == (1, 1, 2, 1)
    cache.close()
    again = open_cache(cache_path, max_entries=2)
    after = again.stats()
    same = ("entries", "hits_exact", "hits_semantic", "misses", "evictions", "expirations", "seconds_saved")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
    assert again.get("nothing @300") is None
    assert again.stats().misses == 3
    assert again.stats("default").misses == 3


def test_the_time_that_hits_saved_is_added_up_and_survives(open_cache, cache_path, clock):
    def compute(query):
        clock.advance(2)
        return "water"

    cache = open_cache(cache_path)
    assert cache.get_or_compute("rain @0", compute) == "water"
    assert cache.stats().seconds_saved == 0
    assert cache.entries()[0].compute_seconds == 2
    cache.get("rain @0")
    cache.get("mist @1")
    cache.get_or_compute("rain @0", compute)
    assert cache.stats().seconds_saved == 6
    cache.close()
    assert open_cache(cache_path).stats().seconds_saved == 6


def test_health_says_on_what_the_cache_stands(open_cache, make_store, clock):
    store = make_store()
    cache = open_cache(store=store, vector_dtype="float16")
    health = cache.health()
    assert dataclasses.asdict(health) == {
        "healthy": True,
        "schema_version": health.schema_version,
        "integrity_ok": True,
        "embedder_fingerprint_match": True,
        "entries": 0,
        "namespaces": 0,
        "oldest_entry_age_seconds": None,
        "index_backend": "numpy",
        "store_backend": store.name,
        "vector_dtype": "float16",
        "multi_process_mode": "single",
    }
    assert health.schema_version >= 1
    cache.put("a", "1")
    clock.advance(5)
    cache.put("b", "2", namespace="n")
    clock.advance(5)
    health = cache.health()
    assert (health.entries, health.namespaces, health.oldest_entry_age_seconds) == (2, 2, 10)


def test_health_reports_a_store_that_does_not_answer_instead_of_raising(open_cache, events):
    faults = Faults()
    cache = open_cache(store=FlakyStore(MemoryStore(), faults))
    cache.put("rain @0", "water")
    faults.arm(lambda number, name: True)
    health = cache.health()
    assert (health.healthy, health.integrity_ok) == (False, False)
    assert events.of("store_failure")
    assert cache.get("rain @0").response == "water"  # memory goes on answering
    with pytest.raises(StoreBackendError):
        cache.get("mist @1")
    cache._core.mark_dirty()
    assert cache.health().healthy is False
    assert cache.stats().misses == 0
    faults.lift()
    assert cache.health().healthy is True
    assert cache.get("mist @1").response == "water"


def test_health_and_check_notice_when_memory_and_store_disagree(open_cache):
    store = MemoryStore()
    cache = open_cache(store=store)
    cache.put("rain @0", "water")
    [record] = store.read([1], vectors=True)
    store.write([record._replace(key=b"x" * 32)])
    assert (cache.health().healthy, cache.health().integrity_ok) == (False, False)
    by_namespace, by_vectors = cache.check()
    assert "2} entries by namespace, memory counts {'default': 1}; reopen" in by_namespace
    assert "holds 2 vectors, the index 1; reopen" in by_vectors
    cache.close()


# --- events ----------------------------------------------------------------------------------------------------------


def test_every_event_has_its_fields(open_cache, clock, events):
    faults = Faults()
    cache = open_cache(store=FlakyStore(MemoryStore(), faults), max_entries=2)
    cache.put("rain @0", "water", namespace="n")
    assert events.pop() == ("put", {"namespace": "n", "query": "rain @0", "bytes": 5})
    clock.advance(3)
    hit = cache.get("rain @0", namespace="n")
    common = {"namespace": "n", "entry_id": hit.entry_id, "age_seconds": 3.0, "seconds_saved": 0.0, "cost_saved": 0.0}
    assert events.pop() == ("hit_exact", {**common, "similarity": 1.0, "score": 1.0, "confidence": 1.0})
    hit = cache.get("mist @1", namespace="n")
    assert events.pop() == (
        "hit_semantic",
        {**common, "similarity": hit.similarity, "score": hit.score, "confidence": hit.confidence},
    )
    cache.get("mist @1")
    assert events.pop() == ("miss", {"namespace": "default", "reason": "no_match"})
    cache.put("rain @0", "[ERROR]")
    assert events.pop() == ("put_rejected", {"namespace": "default", "query": "rain @0"})
    cache.put_many([("b", "1"), ("c", "2")])
    assert [(name, fields["namespace"]) for name, fields in events[-3:]] == [
        ("put", "default"),
        ("put", "default"),
        ("evict", "n"),
    ]
    assert events.pop()[1] == {"namespace": "n", "count": 1}
    cache.put("b", "1", ttl=1)
    clock.advance(1)
    events.clear()
    assert cache.get("b") is None
    assert events == [
        ("miss", {"namespace": "default", "reason": "expired"}),
        ("expire", {"namespace": "default", "count": 1}),
    ]
    cache.get("sun @fail")
    assert ("embedder_failure", {"namespace": "default", "error": "RuntimeError('the embedder failed')"}) in events
    clock.advance(100)
    faults.arm(lambda number, name: name == "store.record")
    cache.get("nothing")
    name, fields = events.pop()
    assert (name, fields["namespace"]) == ("store_failure", "")
    assert fields["doing"] == "recording access times"
    assert "StoreBackendError" in fields["error"]
    faults.lift()
    kinds = {"put", "hit_exact", "hit_semantic", "miss", "put_rejected", "evict", "expire"}
    assert not kinds & {name for name in events.names() if name not in kinds}


def test_a_stale_answer_served_while_another_computes_is_told(cache, clock, events):
    cache.get_or_compute("rain @0", lambda query: "old", ttl=5, stale_ttl=60)
    clock.advance(5)
    events.clear()

    def compute(query):
        return "new"

    assert cache.get_or_compute("rain @0", compute, ttl=5, stale_ttl=60) == "new"
    assert events.of("miss") == [{"namespace": "default", "reason": "expired"}]


def test_a_hook_that_raises_is_logged_and_never_felt(open_cache, caplog, clock):
    seen = []

    def hook(event, fields):
        seen.append(event)
        raise LookupError("hook")

    cache = open_cache(metrics_hook=hook, max_entries=1)
    assert cache.put("rain @0", "water")
    assert cache.get("rain @0").response == "water"
    assert cache.get("mist @1").response == "water"
    assert cache.get("sun @90") is None
    assert cache.get("sun @fail") is None
    assert cache.put("sun @90", "") is False
    clock.advance(1)
    assert cache.put("sun @90", "hot", ttl=1)
    clock.advance(1)
    assert cache.get("sun @90") is None
    assert set(seen) == {
        *("put", "hit_exact", "hit_semantic", "miss", "embedder_failure", "put_rejected", "evict", "expire")
    }
    assert "metrics_hook raised" in caplog.text


def test_a_hook_may_use_the_cache_whatever_happened(clock):
    """No event is sent while a lock is held, or this would wait for itself for ever."""
    faults = Faults()
    inside, seen, ignored = [], [], set()

    def hook(event, fields):
        if inside or event in ignored:
            return
        seen.append(event)
        inside.append(True)
        try:
            faults.lift()
            cache.put("from the hook @200", event)
            cache.stats()
            cache.health()
            cache.check()
        finally:
            inside.pop()

    cache = SemanticCache(
        store=FlakyStore(MemoryStore(), faults),
        embedder=Compass(),
        metrics_hook=hook,
        clock=clock,
        max_entries=2,
        guards=(),
    )
    cache.put("rain @0", "water", ttl=5)
    cache.get("rain @0")
    cache.get("mist @1")
    clock.advance(5)
    cache.get("rain @0")
    cache.get("sun @fail")
    cache.put("sun @90", "")
    cache.put_many([("a @20", "1"), ("b @60", "2"), ("c @120", "3")])
    faults.arm(lambda number, name: name == "store.delete")
    assert cache.put("d @160", "4")  # the eviction fails
    clock.advance(100)
    faults.arm(lambda number, name: name == "store.record")
    ignored.add("miss")
    cache.get("nothing")
    faults.arm(lambda number, name: name == "store.summary")
    assert cache.health().healthy is False
    assert set(seen) >= {
        *("put", "hit_exact", "hit_semantic", "miss", "expire", "embedder_failure", "put_rejected", "evict"),
        "store_failure",
    }
    assert seen.count("store_failure") == 3
    assert cache.get("from the hook @200").response == "store_failure"
    cache.close()


def test_a_hook_that_is_interrupted_is_felt(open_cache):
    """Only `Exception` is swallowed: an interrupt is not the hook's."""

    def hook(event, fields):
        if event == "miss":
            raise KeyboardInterrupt

    with SemanticCache(":memory:", metrics_hook=hook) as cache, pytest.raises(KeyboardInterrupt):
        cache.get("nothing")


def test_a_damaged_response_is_an_error_that_says_so(open_cache):
    store = MemoryStore()
    cache = open_cache(store=store, hot_bytes=0)
    cache.put("rain @0", {"a": 1})
    [record] = store.read([1], vectors=True)
    store.write([record._replace(payload=b"{")])
    with pytest.raises(CorruptCacheError, match="does not decode"):
        cache.get("rain @0")
    assert cache.delete("rain @0")


class Pairs:
    """A codec for complex numbers."""

    name = "pairs"

    def encode(self, value):
        return f"{value.real} {value.imag}".encode()

    def decode(self, payload):
        return complex(*map(float, payload.split()))


def test_entries_of_a_codec_that_was_not_passed_are_listed_with_their_bytes(open_cache, cache_path):
    cache = open_cache(cache_path, codec=Pairs())
    cache.put("i", 1j)
    assert [(entry.response, entry.codec) for entry in cache.entries()] == [(1j, "codec:pairs")]
    cache.close()
    again = open_cache(cache_path)
    assert [(entry.response, entry.codec) for entry in again.entries()] == [(b"0.0 1.0", "codec:pairs")]
