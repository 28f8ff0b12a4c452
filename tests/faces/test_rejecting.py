"""Rejected pairs are never served again, whoever asks, whatever replaces the entry; confirming one lifts it."""

import pytest

from faces.adapter import assert_sound
from mneme._engine import denial


@pytest.fixture
def rejected(cache):
    """A cache in which the answer of "rain @0" was rejected for "mist @1"."""
    cache.put("rain @0", "water")
    hit = cache.get("mist @1")
    assert cache.reject(hit) is True
    return cache


def test_a_rejected_pair_is_not_served_again_in_either_direction(rejected, events):
    assert rejected.get("mist @1") is None
    assert events.of("miss")[-1]["reason"] == "denied"
    assert events.of("reject") == [{"namespace": "default"}]
    assert rejected.get("  MIST  @1 ") is None
    rejected.delete("rain @0")
    rejected.put("mist @1", "drops")
    assert rejected.get("rain @0") is None


def test_what_replaces_a_rejected_entry_is_not_served_for_it_either(rejected):
    rejected.put("rain @0", "a better answer")
    assert rejected.get("mist @1") is None
    rejected.clear()
    rejected.put("rain @0", "another entry")
    assert rejected.get("mist @1") is None


def test_a_rejection_holds_for_its_pair_alone(rejected):
    assert rejected.get("rain @0").response == "water"
    assert rejected.get("fog @1").response == "water"
    rejected.put("drizzle @4", "little water")
    hit = rejected.get("mist @1")
    assert (hit.response, hit.query) == ("little water", "drizzle @4")
    rejected.put("mist @1", "drops")
    assert rejected.get("mist @1").response == "drops"


def test_a_rejection_holds_in_every_scope_of_its_namespace_and_in_no_other(rejected):
    rejected.put("rain @0", "water", scope="s")
    rejected.put("rain @0", "water", namespace="other")
    assert rejected.get("mist @1", scope="s") is None
    assert rejected.get("mist @1", namespace="other").response == "water"


def test_rejecting_again_is_no_news(rejected):
    assert rejected.reject(("mist @1", "rain @0")) is False
    assert rejected.reject(("Rain @0", "MIST @1")) is False
    assert rejected.reject(("mist @1", "rain @0"), namespace="other") is True


def test_confirming_lifts_a_rejection(rejected, events):
    assert rejected.confirm(("mist @1", "rain @0"), namespace="other") is False
    assert rejected.get("mist @1") is None
    assert rejected.confirm(("rain @0", "mist @1")) is True
    assert rejected.get("mist @1").response == "water"
    assert rejected.confirm(rejected.get("mist @1")) is False
    assert events.names().count("confirm") == 3


def test_an_expired_entry_of_a_rejected_pair_is_not_served_stale(cache, clock):
    cache.get_or_compute("rain @0", lambda _: "water", ttl=5, stale_ttl=100)
    cache.reject(("mist @1", "rain @0"))
    clock.advance(10)

    def fail(_):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        cache.get_or_compute("mist @1", fail, stale_ttl=100, stale_on_error=True)
    assert cache.get_or_compute("fog @1", fail, stale_ttl=100, stale_on_error=True) == "water"


def test_an_exact_hit_that_is_rejected_loses_its_entry_unless_it_has_got_another_answer(cache):
    cache.put("rain @0", "water")
    hit = cache.get("rain @0")
    cache.put("rain @0", "more water")
    assert cache.reject(hit) is False
    assert cache.get("rain @0").response == "more water"
    assert cache.reject(cache.get("rain @0")) is True
    assert cache.get("rain @0") is None
    assert cache.reject(hit) is False
    assert cache.confirm(hit) is False
    assert cache.put("rain @0", "water")
    assert cache.get("mist @1").response == "water"
    assert_sound(cache)


def test_explain_and_lookup_know_of_rejections(rejected):
    explanation = rejected.explain("mist @1")
    assert (explanation.layer, explanation.reason) == (None, "denied")
    assert [candidate.reason for candidate in explanation.candidates] == ["denied"]
    assert rejected.lookup("mist @1") == []
    assert rejected.lookup("mist @80")[0].query == "rain @0"
    rejected.reject(("mist @80", "rain @0"))
    assert rejected.lookup("mist @80") == []


def test_a_rejection_outlives_the_cache_and_reaches_those_who_follow(open_cache, cache_path, clock):
    first = open_cache(cache_path, multi_process_mode="stale-tolerant")
    second = open_cache(cache_path, multi_process_mode="stale-tolerant")
    first.put("rain @0", "water")
    clock.advance(1)
    hit = second.get("mist @1")
    first.reject(hit)
    clock.advance(1)
    assert second.get("mist @1") is None
    second.close()
    assert open_cache(cache_path, multi_process_mode="stale-tolerant").get("mist @1") is None


def test_the_oldest_pair_is_let_go_when_there_are_too_many(cache, monkeypatch, caplog):
    monkeypatch.setattr(denial, "MAX_PAIRS", 3)
    cache.put("rain @0", "water")
    for number in range(4):
        cache.reject((f"mist {number} @1", "rain @0"))
    assert "the oldest is let go" in caplog.text
    served = [cache.get(f"mist {number} @1") is not None for number in range(4)]
    assert served == [True, False, False, False]
    assert len(cache._core.notes.denied) == 3


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("mist @1", TypeError, "pass a Hit, or a pair"),
        (("a", "b", "c"), TypeError, "pass a Hit, or a pair"),
        (("a", 1), TypeError, "query must be a str"),
        (("a", " "), ValueError, "query is empty"),
        (("Rain @0", "rain  @0"), ValueError, "use delete"),
    ],
)
def test_what_is_no_pair_is_refused(cache, given, error, message):
    for verb in (cache.reject, cache.confirm):
        with pytest.raises(error, match=message):
            verb(given)
    assert not cache._core.notes.denied


def test_a_namespace_of_the_caches_own_is_refused(cache):
    with pytest.raises(ValueError, match="the cache's own"):
        cache.reject(("a", "b"), namespace="mneme:notes")
