"""Aliases: what is stored with the answer of an entry nearby needs no vector of its own."""

import pytest

from faces.adapter import index_contents
from mneme import MemoryStore, StoreBackendError
from mneme.guards import DEFAULT_GUARDS
from mneme.testing import Faults, FlakyStore

NEAR = 0.9


@pytest.fixture
def aliasing(open_cache, make_store):
    return open_cache(store=make_store(), alias_threshold=NEAR, similarity_threshold=0.99)


def queries_with_vectors(cache):
    stored, _, _ = index_contents(cache)
    return [entry.query for entry in cache.entries() if entry.entry_id in stored]


def test_a_paraphrase_with_an_equal_answer_becomes_an_entry_of_the_exact_layer_alone(aliasing, events):
    aliasing.put("rain @0", "water")
    aliasing.put("drizzle @20", "water", metadata={"source": "b"}, tags=["t"])
    assert [entry.query for entry in aliasing.entries()] == ["rain @0", "drizzle @20"]
    assert queries_with_vectors(aliasing) == ["rain @0"]
    hit = aliasing.get("Drizzle @20")
    assert (hit.layer, hit.response, hit.query, hit.metadata) == ("exact", "water", "drizzle @20", {"source": "b"})
    assert aliasing.get("mist @20") is None  # it is 20 degrees from the only vector there is
    [alias] = events.of("alias")
    assert (alias["query"], alias["entry_id"]) == ("drizzle @20", aliasing.get("rain @0").entry_id)
    assert alias["similarity"] == pytest.approx(0.9397, abs=1e-4)
    assert aliasing.stats().entries == 2


def test_what_is_not_near_enough_gets_its_vector(aliasing, events):
    aliasing.put("rain @0", "water")
    aliasing.put("drizzle @27", "water")
    assert len(queries_with_vectors(aliasing)) == 2
    assert not events.of("alias")


def test_a_different_answer_nearby_is_a_conflict_and_both_are_kept(aliasing, events):
    aliasing.put("rain @0", "water")
    aliasing.put("hail @20", "ice")
    assert len(queries_with_vectors(aliasing)) == 2
    [conflict] = events.of("conflict")
    assert (conflict["query"], conflict["entry_id"]) == ("hail @20", 1)
    assert (aliasing.get("p @1").response, aliasing.get("p @19").response) == ("water", "ice")


def test_by_default_every_entry_gets_its_vector_and_nothing_is_told(cache, events):
    cache.put("rain @0", "water")
    cache.put("drizzle @1", "water")
    cache.put("hail @2", "ice")
    assert len(queries_with_vectors(cache)) == 3
    assert not events.of("alias")
    assert not events.of("conflict")


def test_the_nearest_entry_decides(aliasing, events):
    aliasing.put("rain @0", "water")
    aliasing.put("hail @30", "ice")
    aliasing.put("sleet @16", "water")
    assert len(queries_with_vectors(aliasing)) == 3
    assert len(events.of("conflict")) == 1
    aliasing.put("snow @20", "water")
    assert [event["query"] for event in events.of("alias")] == ["snow @20"]


def test_the_same_answer_is_what_value_eq_says(open_cache):
    cache = open_cache(alias_threshold=NEAR, value_eq=lambda one, other: one["city"] == other["city"])
    cache.put("capital of France @0", {"city": "Paris", "at": 1})
    cache.put("French capital @5", {"city": "Paris", "at": 2})
    assert queries_with_vectors(cache) == ["capital of France @0"]
    assert cache.get("French capital @5").response == {"city": "Paris", "at": 2}


def test_an_alias_lives_on_when_its_original_is_deleted_expired_or_replaced(aliasing, clock):
    for number, ttl in ((0, None), (100, 5), (200, None)):
        aliasing.put(f"rain @{number}", "water", ttl=ttl)
        aliasing.put(f"drizzle @{number + 5}", "water", ttl=50)
    aliasing.delete("rain @0")
    clock.advance(5)
    aliasing.put("rain @200", "ice")
    assert queries_with_vectors(aliasing) == ["rain @100", "rain @200"]
    assert [aliasing.get(f"drizzle @{number}").response for number in (5, 105, 205)] == ["water"] * 3
    assert aliasing.get("rain @200").response == "ice"
    clock.advance(45)
    assert [aliasing.get(f"drizzle @{number}") for number in (5, 105)] == [None, None]


def test_an_expired_entry_makes_no_aliases(aliasing, clock, events):
    aliasing.put("rain @0", "water", ttl=5)
    clock.advance(5)
    aliasing.put("drizzle @5", "water")
    aliasing.put("hail @10", "ice")
    assert "drizzle @5" in queries_with_vectors(aliasing)
    assert [event["query"] for event in events.of("conflict")] == ["hail @10"]


def test_an_entry_that_has_a_vector_keeps_it_when_it_is_put_again(aliasing, events):
    aliasing.put_many([("rain @0", "water"), ("drizzle @5", "water")])
    assert len(queries_with_vectors(aliasing)) == 2  # those of one batch are not compared
    aliasing.put("rain @0", "water")
    aliasing.put("drizzle @5", "ice")
    assert len(queries_with_vectors(aliasing)) == 2
    assert not events.of("alias")


def test_an_alias_that_is_put_with_another_answer_gets_a_vector(aliasing):
    aliasing.put("rain @0", "water")
    aliasing.put("drizzle @5", "water")
    aliasing.put("drizzle @5", "ice")
    assert len(queries_with_vectors(aliasing)) == 2
    aliasing.put("drizzle @5", "water")
    assert len(queries_with_vectors(aliasing)) == 2
    assert len(aliasing.entries()) == 2


def test_a_batch_is_compared_with_what_is_stored_in_its_own_namespaces_and_scopes(aliasing):
    aliasing.put("rain @0", "water", namespace="n")
    aliasing.put("sun @90", "heat", scope="s")
    aliasing.put_many(
        [
            {"query": "drizzle @5", "response": "water", "namespace": "n"},
            {"query": "drizzle @5", "response": "water", "namespace": "m"},
            {"query": "glow @95", "response": "heat", "scope": "s"},
            {"query": "glow @95", "response": "heat"},
        ]
    )
    stored, _, _ = index_contents(aliasing)
    aliases = {
        (entry.query, entry.namespace, entry.scope) for entry in aliasing.entries() if entry.entry_id not in stored
    }
    assert aliases == {("drizzle @5", "n", None), ("glow @95", "default", "s")}


def test_what_a_guard_tells_apart_is_neither_alias_nor_conflict(open_cache, events):
    aliasing = open_cache(alias_threshold=NEAR, guards=DEFAULT_GUARDS)
    aliasing.put("a train in 5 minutes @0", "wait")
    aliasing.put("a train in 9 minutes @2", "wait")
    aliasing.put("a train in 25 minutes @4", "walk")
    assert len(queries_with_vectors(aliasing)) == 3
    assert not events.of("alias")
    assert not events.of("conflict")


def test_what_was_computed_becomes_an_alias_and_what_was_served_does_not(aliasing):
    aliasing.put("rain @0", "water")
    assert aliasing.get_or_compute("drizzle @20", lambda query: "water") == "water"
    assert queries_with_vectors(aliasing) == ["rain @0"]
    assert len(aliasing.entries()) == 2
    assert aliasing.get_or_compute("mist @1", lambda query: "never") == "water"
    assert aliasing.get("mist @2").layer == "semantic"
    assert len(aliasing.entries()) == 2


def test_aliases_are_counted_evicted_and_survive_like_any_entry(open_cache, cache_path, clock):
    options = {"alias_threshold": NEAR, "max_entries": 2}
    cache = open_cache(cache_path, **options)
    cache.put("rain @0", "water")
    clock.advance(1)
    cache.put("drizzle @5", "water")
    cache.close()
    again = open_cache(cache_path, **options)
    assert again.get("drizzle @5").layer == "exact"
    clock.advance(1)
    again.put("sun @90", "heat")
    assert [entry.query for entry in again.entries()] == ["drizzle @5", "sun @90"]
    assert again.get("p @5") is None


def test_a_store_that_fails_while_neighbours_are_looked_for_stores_nothing(open_cache):
    faults = Faults()
    cache = open_cache(store=FlakyStore(MemoryStore(), faults), alias_threshold=NEAR)
    cache.put("rain @0", "water")
    faults.arm(lambda number, verb: verb == "store.read")
    with pytest.raises(StoreBackendError):
        cache.put("drizzle @5", "water")
    faults.lift()
    assert [entry.query for entry in cache.entries()] == ["rain @0"]


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [(1.1, ValueError, "alias_threshold must be from 0 to 1"), ("0.9", TypeError, "alias_threshold must be a number")],
)
def test_an_alias_threshold_that_is_no_similarity_is_refused(open_cache, value, error, says):
    with pytest.raises(error, match=says):
        open_cache(alias_threshold=value)
