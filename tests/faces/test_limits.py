"""Caps: who is evicted, when, and in whose place."""

import pytest

from mneme import NamespaceQuotaExceededError
from mneme._runtime.usage import FLUSH_COUNT, FLUSH_SECONDS


def put(cache, clock, *names, **options):
    for name in names:
        cache.put(name, f"answer to {name}", **options)
        clock.advance(1)


def stored(cache, **options):
    return [entry.query for entry in cache.entries(limit=10_000, **options)]


@pytest.fixture
def capped(open_cache, make_store):
    return lambda **options: open_cache(store=make_store(), **options)


@pytest.mark.parametrize("cap", [1, 2, 3, 5])
def test_the_least_recently_used_go_and_the_cap_is_met_exactly(capped, clock, cap):
    cache = capped(max_entries=cap)
    put(cache, clock, *"abcdefg")
    assert stored(cache) == list("abcdefg")[-cap:]
    assert cache.stats().entries == cap
    assert cache.stats().evictions == 7 - cap


@pytest.mark.parametrize("touch", ["exact", "hot", "semantic", "many", "compute"])
def test_being_read_in_any_way_keeps_an_entry(capped, clock, touch):
    cache = capped(max_entries=3, hot_bytes=0 if touch == "exact" else 2**20)
    put(cache, clock, "a @0", "b @60", "c @120")
    if touch == "semantic":
        assert cache.get("p @1").query == "a @0"
    elif touch == "many":
        assert cache.get_many(["a @0"])[0]
    elif touch == "compute":
        assert cache.get_or_compute("a @0", str) == "answer to a @0"
    else:
        assert cache.get("a @0")
    clock.advance(1)
    put(cache, clock, "d @180")
    assert stored(cache) == ["a @0", "c @120", "d @180"]
    assert cache.get("q @61") is None


def test_looking_does_not_keep_an_entry(capped, clock):
    cache = capped(max_entries=2)
    put(cache, clock, "a @0", "b @60")
    cache.lookup("a @0")
    cache.explain("a @0")
    cache.entries()
    cache.get("a @0", bypass=True)
    put(cache, clock, "c @120")
    assert stored(cache) == ["b @60", "c @120"]


def test_replacing_is_a_use_and_needs_no_room(capped, clock):
    cache = capped(max_entries=2)
    put(cache, clock, "a", "b", "a")
    assert stored(cache) == ["a", "b"]
    put(cache, clock, "c")
    assert stored(cache) == ["a", "c"]


def test_what_was_evicted_answers_on_no_layer(capped, clock):
    cache = capped(max_entries=1)
    put(cache, clock, "a @0", "b @60")
    assert cache.get("a @0") is None
    assert cache.get("p @1") is None
    assert cache.get_many(["a @0", "p @2"]) == [None, None]


def test_a_quota_is_for_one_namespace_and_comes_before_the_global_cap(capped, clock):
    cache = capped(max_entries=4, namespace_quotas={"small": 2})
    put(cache, clock, "x", "y")
    put(cache, clock, "a", "b", "c", namespace="small")
    assert stored(cache) == ["x", "y", "b", "c"]
    assert cache.stats("small").evictions == 1
    put(cache, clock, "d", namespace="small")
    assert stored(cache) == ["x", "y", "c", "d"]
    put(cache, clock, "z")
    assert stored(cache) == ["y", "c", "d", "z"]
    assert (cache.stats("small").evictions, cache.stats("default").evictions, cache.stats().evictions) == (2, 1, 3)


def test_the_scopes_of_a_namespace_share_its_quota(capped, clock):
    cache = capped(namespace_quotas={"default": 2})
    for scope in "abc":
        put(cache, clock, "q", scope=scope)
    assert [entry.scope for entry in cache.entries()] == ["b", "c"]


def test_a_quota_of_zero_admits_nothing_and_says_so(capped):
    cache = capped(namespace_quotas={"closed": 0})
    for verb in (
        lambda: cache.put("q", "a", namespace="closed"),
        lambda: cache.put_many([("p", "a"), {"query": "q", "response": "a", "namespace": "closed"}]),
    ):
        with pytest.raises(NamespaceQuotaExceededError, match="'closed' has a quota of 0 entries; raise it"):
            verb()
    assert cache.entries() == []
    assert cache.get("q", namespace="closed") is None
    assert cache.get_or_compute("q", lambda query: "computed", namespace="closed") == "computed"
    assert cache.entries() == []


def test_a_batch_larger_than_the_cap_leaves_its_last_items(capped):
    cache = capped(max_entries=3)
    assert cache.put_many([(name, name) for name in "abcdefg"]) == 7
    assert stored(cache) == ["e", "f", "g"]
    assert [hit and hit.response for hit in cache.get_many(list("aefg"))] == [None, "e", "f", "g"]


def test_an_eviction_is_told_by_namespace(capped, clock, events):
    cache = capped(max_entries=2)
    put(cache, clock, "a", "b", namespace="n")
    cache.put_many([("c", "1"), ("d", "2")])
    assert events.of("evict") == [{"namespace": "n", "count": 2}]


def test_a_large_cache_goes_a_little_below_its_cap_in_one_go(capped):
    cache = capped(max_entries=1024, hot_bytes=0)
    cache.put_many([(f"q{number}", "a") for number in range(1024)])
    cache.put("one more", "a")
    assert cache.stats().entries == 1020
    assert stored(cache)[-1] == "one more"


def test_a_lower_cap_takes_hold_with_the_first_write(open_cache, cache_path, clock):
    cache = open_cache(cache_path)
    put(cache, clock, *"abcdef")
    cache.close()
    smaller = open_cache(cache_path, max_entries=2)
    assert len(stored(smaller)) == 6
    put(smaller, clock, "g")
    assert stored(smaller) == ["f", "g"]


def test_what_was_read_last_is_known_after_reopening(open_cache, cache_path, clock):
    cache = open_cache(cache_path, max_entries=3)
    put(cache, clock, *"abc")
    assert cache.get("a")
    cache.close()
    clock.advance(1)
    again = open_cache(cache_path, max_entries=3)
    assert again.entries()[0].accessed_at == clock.now() - 1
    put(again, clock, "d")
    assert stored(again) == ["a", "c", "d"]


def test_a_hit_never_costs_a_write(open_cache, clock):
    from mneme import MemoryStore
    from mneme.testing import Faults, FlakyStore

    faults = Faults()
    cache = open_cache(store=FlakyStore(MemoryStore(), faults), hot_bytes=0)
    cache.put("rain @0", "water")
    faults.arm(())
    for _ in range(FLUSH_COUNT + 50):
        assert cache.get("rain @0")
    clock.advance(FLUSH_SECONDS + 1)
    assert cache.get("mist @1")
    assert set(faults.calls) == {"store.read"}


def test_a_hot_hit_touches_no_port_at_all(open_cache, compass):
    from mneme import MemoryStore
    from mneme.indexes import ExactIndex
    from mneme.testing import Faults, FlakyIndex, FlakyStore

    faults = Faults()
    cache = open_cache(store=FlakyStore(MemoryStore(), faults), index_backend=FlakyIndex(ExactIndex(), faults))
    cache.put("rain @0", "water")
    faults.arm(lambda number, name: True)
    compass.calls.clear()
    assert cache.get("rain @0").response == "water"
    assert cache.get(" RAIN @0", similarity_threshold=1).response == "water"
    assert cache.get_or_compute("rain @0", str) == "water"
    faults.lift()
    assert faults.calls == []
    assert compass.calls == []


def test_access_times_are_written_by_count_and_by_age(open_cache, cache_path, clock):
    cache = open_cache(cache_path)
    cache.put_many([(f"q{number}", "a") for number in range(FLUSH_COUNT)])
    clock.advance(5)
    for number in range(FLUSH_COUNT - 1):
        assert cache.get(f"q{number}")
    assert cache.get("nothing") is None
    assert cache.entries(limit=1)[0].accessed_at == clock.now() - 5
    assert cache.get(f"q{FLUSH_COUNT - 1}")
    assert cache.get("nothing") is None
    assert cache.entries(limit=1)[0].accessed_at == clock.now()
    clock.advance(FLUSH_SECONDS)
    assert cache.get("q0")
    assert cache.get("nothing") is None
    assert cache.entries(limit=1)[0].accessed_at == clock.now()


def test_a_hot_layer_without_room_changes_nothing_but_speed(open_cache, clock):
    answers = []
    for hot_bytes in (0, 1, 5_000, 2**26):
        cache = open_cache(hot_bytes=hot_bytes, max_entries=20)
        for number in range(40):
            cache.put(f"q @{number * 7}", f"{number}" * 200)
            clock.advance(1)
            cache.get(f"q @{(number // 2) * 7}")
            clock.advance(1)
        answers.append([(entry.query, cache.get(entry.query).response) for entry in cache.entries()])
        if hot_bytes < 5_000:
            assert cache.stats().memory_bytes_estimate == cache.stats().index_memory_bytes
        assert cache._core.hot.memory_bytes <= hot_bytes
    assert answers[0] == answers[1] == answers[2] == answers[3]
    assert len(answers[0]) == 20


class Ticking:
    """A clock that a second has gone by on, whenever somebody looks."""

    def __init__(self):
        self.time = 1e9

    def now(self):
        self.time += 1
        return self.time


def test_of_one_batch_the_first_are_the_least_recently_used(capped):
    cache = capped(max_entries=2, clock=Ticking())
    cache.put_many([("a @0", 1), ("b @60", 2)])
    cache.put_many([("b @60", 3), ("a @0", 4)])  # replaced in the other order: the ids stay as they were
    cache.put("c @120", 5)
    assert stored(cache) == ["a @0", "c @120"]
