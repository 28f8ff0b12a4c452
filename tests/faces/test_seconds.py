"""How long things took, told to a hook that wants to know, on both faces."""

import pytest

from faces.adapter import Events


@pytest.fixture
def events():
    events = Events()
    events.wants_seconds = True
    return events


def test_every_answer_says_how_long_it_took(open_cache, make_store, events):
    cache = open_cache(store=make_store())
    cache.put("rain @0", "water")
    cache.get("rain @0")
    cache.get("mist @1")
    cache.get("sun @90")
    cache.get_many(["rain @0", "mist @1", "moon @180"])
    names = ["hit_exact", "hit_semantic", "miss"]
    answers = [(name, fields) for name, fields in events if name in names]
    assert sorted(name for name, _ in answers) == sorted(names * 2)
    assert all(0 < fields["seconds"] < 60 for _, fields in answers)


def test_an_answer_from_memory_does_so_too(open_cache, make_store, events):
    cache = open_cache(store=make_store())
    cache.put("rain @0", "water")
    for _ in range(2):
        assert cache._core.peek("rain @0", "default", None) is not None
        assert events.pop()[1]["seconds"] > 0


def test_computing_says_how_long_it_took_by_the_clock_of_the_cache_and_whether_it_failed(
    open_cache, make_store, events, clock
):
    cache = open_cache(store=make_store())

    def compute(query):
        clock.advance(2)
        return "water"

    def fail(query):
        clock.advance(3)
        raise ValueError("no water")

    cache.get_or_compute("rain @0", compute)
    with pytest.raises(ValueError, match="no water"):
        cache.get_or_compute("sun @90", fail)
    done, failed = events.of("compute")
    assert done == {"namespace": "default", "seconds": 2}
    assert failed == {"namespace": "default", "seconds": 3, "error": "ValueError('no water')"}
    assert [fields["seconds"] < 2 for fields in events.of("miss")] == [True, True]


def test_the_embedder_is_timed_by_the_call(open_cache, make_store, events):
    cache = open_cache(store=make_store())
    cache.put_many([("a @0", "1"), ("b @90", "2")], namespace="n")
    cache.get("c @180")
    assert [(fields["namespace"], fields["count"]) for fields in events.of("embed")] == [("n", 2), ("default", 1)]
    assert all(fields["seconds"] > 0 for fields in events.of("embed"))


def test_a_hook_that_does_not_ask_is_told_nothing_of_it_and_costs_nothing(open_cache, make_store, events):
    events.wants_seconds = False
    cache = open_cache(store=make_store())
    cache.get_or_compute("rain @0", lambda _: "water")
    cache.get("rain @0")
    assert events.names() == ["miss", "put", "hit_exact"]
    assert not any("seconds" in fields for _, fields in events)
    assert "peek" not in vars(cache._core)
