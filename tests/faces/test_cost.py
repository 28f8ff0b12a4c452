"""What answers cost: said when they are put, added up by the hits that make paying again unnecessary."""

import logging

import pytest

from mneme.testing import Faults, FlakyStore


def test_the_cost_that_hits_saved_is_added_up_by_namespace_and_survives(open_cache, cache_path):
    cache = open_cache(cache_path)
    cache.put("rain @0", "water", cost=0.5)
    cache.put("sun @90", "light", cost=2, namespace="other")
    assert cache.stats().cost_saved == 0
    cache.get("rain @0")
    cache.get("mist @1")
    cache.get("sun @90", namespace="other")
    assert cache.stats().cost_saved == 3.0
    assert cache.stats("default").cost_saved == 1.0
    cache.close()
    again = open_cache(cache_path)
    assert again.stats("other").cost_saved == 2.0
    assert again.get("rain @0").response == "water"  # read from the file, not from memory
    assert again.stats("default").cost_saved == 1.5


def test_the_cost_is_kept_with_the_entry_and_told_with_the_hit(cache, events):
    cache.put("rain @0", "water", cost=0.25)
    assert cache.entries()[0].cost == 0.25
    for query in ("rain @0", "mist @1"):
        cache.get(query)
        assert events.pop()[1]["cost_saved"] == 0.25
    cache.put("rain @0", "water")
    assert cache.entries()[0].cost == 0.0


def test_items_of_a_batch_may_have_a_cost_each(cache):
    items = [("a @0", "1"), {"query": "b @90", "response": "2", "cost": 7}, {"query": "c @180", "response": "3"}]
    assert cache.put_many(items, cost=0.5) == 3
    assert [entry.cost for entry in cache.entries()] == [0.5, 7.0, 0.5]


def test_a_computed_value_costs_what_was_said_or_what_a_function_makes_of_it(cache):
    assert cache.get_or_compute("rain @0", lambda _: "water", cost=1.5) == "water"
    assert cache.get_or_compute("sun @90", lambda _: {"tokens": 40}, cost=lambda v: v["tokens"] * 0.01) == {
        "tokens": 40
    }
    assert [entry.cost for entry in cache.entries()] == [1.5, 0.4]
    cache.get_or_compute("mist @1", lambda _: "nothing", cost=lambda _: 1 / 0)
    assert cache.stats().cost_saved == 1.5


@pytest.mark.parametrize("wrong", [lambda _: -1, lambda _: "dear", lambda _: 1 / 0, lambda _: float("nan")])
def test_a_cost_function_that_fails_loses_no_value(cache, wrong, caplog):
    with caplog.at_level(logging.WARNING, "mneme"):
        assert cache.get_or_compute("rain @0", lambda _: "water", cost=wrong) == "water"
    assert "without a cost" in caplog.text
    assert cache.entries()[0].cost == 0.0
    assert cache.get("rain @0").response == "water"


@pytest.mark.parametrize(
    ("cost", "error"),
    [(-0.01, ValueError), (float("nan"), ValueError), (float("inf"), ValueError), ("1", TypeError), (True, TypeError),
     (None, TypeError), (1j, TypeError)],
)  # fmt: skip
def test_what_is_no_cost_is_refused_before_anything_is_written_or_computed(cache, cost, error):
    calls = []
    with pytest.raises(error, match="cost"):
        cache.put("rain @0", "water", cost=cost)
    with pytest.raises(error, match="cost"):
        cache.put_many([("a @0", "1"), {"query": "b @90", "response": "2", "cost": cost}])
    with pytest.raises(error, match="cost"):
        cache.get_or_compute("rain @0", calls.append, cost=cost)
    assert cache.entries() == []
    assert calls == []


def test_a_cost_that_could_not_be_written_down_yet_is_not_lost(open_cache, make_store, clock):
    faults = Faults()
    cache = open_cache(store=FlakyStore(make_store(), faults))
    cache.put("rain @0", "water", cost=0.5)
    cache.get("rain @0")
    clock.advance(120)
    faults.arm(lambda _, name: name == "store.record")
    assert cache.get("nothing @90") is None
    assert faults.fired == ["store.record"]
    assert cache.stats().cost_saved == 0.5
    faults.lift()
    clock.advance(120)
    assert cache.get("nothing @90") is None
    assert faults.calls.count("store.record") == 2
    assert cache.stats().cost_saved == 0.5
