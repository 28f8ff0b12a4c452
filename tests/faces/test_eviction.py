"""Which entries go, by the policy that the cache was told."""

import pytest

from mneme import SQLiteStore
from mneme.testing import Faults, FlakyStore

POLICIES = ["gdsf", "sieve"]
QUERIES = ["a @0", "b @20", "c @40", "d @60", "e @80", "f @100", "g @120", "h @140"]


def left(cache):
    return [entry.query[0] for entry in cache.entries()]


def test_what_is_cheap_seldom_asked_for_and_large_goes_first(open_cache, make_store):
    cache = open_cache(store=make_store(), max_entries=3, eviction="gdsf", similarity_threshold=0.99)
    cache.put("a @0", "x", cost=1)
    cache.put("b @20", "x", cost=5)
    cache.put("c @40", "x", cost=5)
    cache.put("d @60", "x", cost=5)
    assert left(cache) == ["b", "c", "d"]  # the cheapest went
    cache.get("b @20")
    cache.get("c @40.1")  # by similarity
    cache.put("e @80", "x", cost=5)
    assert left(cache) == ["b", "c", "e"]  # the one that nobody asked for
    cache.put("f @100", "x" * 500, cost=5)
    cache.put("g @120", "x", cost=5)
    assert left(cache) == ["b", "c", "g"]  # of those since, the large one and the one before it


def test_computing_time_is_the_cost_where_none_is_said(open_cache, make_store, clock):
    cache = open_cache(store=make_store(), max_entries=2, eviction="gdsf")

    def compute(seconds):
        return lambda _: clock.advance(seconds) or "x"

    cache.get_or_compute("a @0", compute(9))
    cache.get_or_compute("b @20", compute(1))
    cache.get_or_compute("c @40", compute(2))
    assert left(cache) == ["a", "c"]


def test_what_was_asked_for_since_the_hand_came_by_stays(open_cache, make_store):
    cache = open_cache(store=make_store(), max_entries=3, eviction="sieve", similarity_threshold=0.99)
    for query in QUERIES[:3]:
        cache.put(query, "x")
    cache.get("a @0")
    cache.put("d @60", "x")
    assert left(cache) == ["a", "c", "d"]
    cache.put("e @80", "x")
    assert left(cache) == ["a", "d", "e"]
    cache.get_or_compute("d @60", lambda _: "unused")
    cache.put("f @100", "x")
    assert left(cache) == ["a", "d", "f"]


@pytest.mark.parametrize("policy", POLICIES)
def test_what_was_just_put_is_there(open_cache, make_store, policy):
    """However cheap and large it is: who puts it may ask for it at once."""
    cache = open_cache(store=make_store(), max_entries=2, eviction=policy)
    for query in QUERIES[:2]:
        cache.put(query, "x", cost=100)
        cache.get(query)
    cache.put("c @40", "x" * 1000, cost=0.001)
    assert cache.get("c @40") is not None
    assert len(left(cache)) == 2


@pytest.mark.parametrize("policy", POLICIES)
def test_a_batch_above_the_cap_is_cut_to_it(open_cache, make_store, policy):
    cache = open_cache(store=make_store(), max_entries=3, eviction=policy)
    assert cache.put_many([(query, "x") for query in QUERIES]) == 8
    assert len(left(cache)) == 3
    cache.put("z @200", "x")
    assert len(left(cache)) == 3
    assert cache.stats().evictions == 6


@pytest.mark.parametrize("policy", POLICIES)
def test_quotas_come_before_the_cap_and_touch_no_other_namespace(open_cache, make_store, policy):
    cache = open_cache(store=make_store(), max_entries=5, namespace_quotas={"small": 2}, eviction=policy)
    for query in QUERIES[:4]:
        cache.put(query, "x", namespace="large")
    for query in QUERIES[:3]:
        cache.put(query, "x", namespace="small")
        cache.get(query, namespace="small")
    assert cache.stats("small").entries == 2
    assert cache.stats("large").entries == 3
    assert cache.stats("small").evictions == 1


@pytest.mark.parametrize("policy", POLICIES)
def test_a_cache_that_is_opened_again_ranks_what_it_finds(open_cache, cache_path, policy, clock):
    cache = open_cache(cache_path, max_entries=3, eviction=policy)
    for query, cost in zip(QUERIES[:3], (5, 1, 5), strict=True):
        cache.put(query, "x", cost=cost)
        clock.advance(1)
    cache.get("a @0")
    cache.close()
    again = open_cache(cache_path, max_entries=3, eviction=policy)
    again.put("d @60", "x", cost=5)
    assert left(again) == ["a", "c", "d"]  # the cheapest; and the one used longest ago
    again.put("e @80", "x", cost=5)
    assert left(again) == ["a", "d", "e"]


@pytest.mark.parametrize("policy", POLICIES)
def test_what_others_write_is_ranked_and_what_they_remove_is_not(open_cache, cache_path, policy):
    one = open_cache(
        cache_path, max_entries=4, eviction=policy, multi_process_mode="stale-tolerant", stale_check_interval=0
    )
    other = open_cache(cache_path, multi_process_mode="stale-tolerant", stale_check_interval=0)
    for query in QUERIES[:4]:
        one.put(query, "x")
    other.delete("a @0")
    other.put("e @80", "x")
    other.put("f @100", "x")
    one.put("g @120", "x")
    assert len(left(one)) == 4
    assert {"g"} < set(left(one))
    assert one.check() == other.check() == []


@pytest.mark.parametrize("policy", POLICIES)
def test_an_eviction_that_fails_is_made_up_for_by_the_next_write(open_cache, make_store, policy, events):
    faults = Faults()
    cache = open_cache(store=FlakyStore(make_store(), faults), max_entries=2, eviction=policy)
    for query in QUERIES[:2]:
        cache.put(query, "x")
    faults.arm(lambda _, name: name == "store.delete")
    assert cache.put("c @40", "x")
    assert events.of("store_failure")[0]["doing"] == "evicting"
    faults.lift()
    assert len(left(cache)) == 3
    cache.put("d @60", "x")
    assert len(left(cache)) == 2
    assert "d" in left(cache)


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_removed_otherwise_is_no_victim(open_cache, make_store, policy, clock):
    cache = open_cache(store=make_store(), max_entries=3, eviction=policy)
    cache.put("a @0", "x", ttl=5)
    cache.put("b @20", "x")
    cache.put("c @40", "x")
    clock.advance(10)
    cache.vacuum()
    cache.delete("b @20")
    cache.put("d @60", "x")
    cache.put("e @80", "x")
    assert left(cache) == ["c", "d", "e"]
    cache.put("f @100", "x")
    assert left(cache) == ["d", "e", "f"]
    cache.clear()
    for query in QUERIES[:4]:
        cache.put(query, "x")
    assert len(left(cache)) == 3
    assert left(cache)[-2:] == ["c", "d"]


@pytest.mark.parametrize("policy", POLICIES)
def test_an_entry_that_the_ranking_does_not_know_goes_as_the_least_recently_used(open_cache, cache_path, policy):
    """The cap holds whatever happens to the ranking."""
    cache = open_cache(cache_path, max_entries=3, eviction=policy)
    for query in QUERIES[:3]:
        cache.put(query, "x")
    cache._core.ranking.clear()
    for query in QUERIES[3:6]:
        cache.put(query, "x")
        assert len(left(cache)) == 3


def test_without_a_cap_or_another_policy_nothing_is_ranked(open_cache, make_store):
    assert open_cache(store=make_store(), eviction="gdsf")._core.ranking is None
    assert open_cache(max_entries=5)._core.ranking is None


def test_a_policy_that_is_not_known_is_refused(open_cache):
    with pytest.raises(ValueError, match="eviction must be one of 'lru', 'gdsf', 'sieve', got 'fifo'"):
        open_cache(eviction="fifo")
    with pytest.raises(TypeError, match="eviction must be a str"):
        open_cache(eviction=None)


@pytest.mark.parametrize("policy", POLICIES)
def test_notes_of_the_cache_are_never_evicted(open_cache, cache_path, policy):
    cache = open_cache(cache_path, max_entries=2, eviction=policy)
    for query in QUERIES[:2]:
        cache.put(query, "x")
    hit = cache.get("a @0")
    cache.reject(hit)
    cache.close()
    store = SQLiteStore(cache_path)
    store.open(None, None)
    before = {part.namespace: part.entries for part in store.summary() if part.namespace.startswith("mneme:")}
    store.close()
    again = open_cache(cache_path, max_entries=2, eviction=policy)
    for query in QUERIES[2:]:
        again.put(query, "x")
    assert len(left(again)) == 2
    again.close()
    store = SQLiteStore(cache_path)
    store.open(None, None)
    after = {part.namespace: part.entries for part in store.summary() if part.namespace.startswith("mneme:")}
    store.close()
    assert before
    assert before == after
