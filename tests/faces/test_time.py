"""Lives and deaths: every form of a TTL, the very moment of expiry, and clocks that misbehave."""

import time
from datetime import timedelta

import pytest

from mneme import SemanticCache
from mneme._runtime.clock import WallClock


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [(90, 90), (0.5, 0.5), (timedelta(minutes=1), 60), ("1m30s", 90), ("2h", 7200), ("250ms", 0.25)],
)
def test_an_entry_lives_until_the_very_moment_its_ttl_is_over(open_cache, clock, ttl, seconds):
    cache = open_cache()
    cache.put("rain @0", "water", ttl=ttl)
    clock.advance(seconds * 0.999)
    assert cache.get("rain @0").layer == "exact"
    assert cache.get("mist @1").layer == "semantic"
    clock.set(cache.entries()[0].expires_at)
    for layer_of in (lambda: cache.lookup("rain @0"), lambda: cache.get("mist @1"), lambda: cache.get("rain @0")):
        assert not layer_of()


@pytest.mark.parametrize("query", ["rain @0", "mist @1"])
def test_an_expired_entry_is_removed_when_a_reader_meets_it(cache, clock, events, query):
    cache.put("rain @0", "water", ttl=10)
    cache.put("sun @90", "hot")
    clock.advance(10)
    assert len(cache.entries()) == 2
    assert cache.get(query) is None
    assert [entry.query for entry in cache.entries()] == ["sun @90"]
    assert events.of("expire") == [{"namespace": "default", "count": 1}]
    assert events.of("miss")[-1]["reason"] == "expired"
    assert cache.stats().expirations == 1


def test_a_live_entry_behind_an_expired_one_answers(cache, clock):
    cache.put("near @0", "near", ttl=5)
    cache.put("next @20", "next")
    clock.advance(5)
    assert cache.get("p @1").response == "next"
    assert [entry.query for entry in cache.entries()] == ["next @20"]


def test_many_expired_entries_do_not_hide_a_live_one(cache, clock):
    cache.put_many([(f"q @{number / 100}", "dead") for number in range(100)], ttl=5)
    cache.put("live @25", "live")
    clock.advance(5)
    assert cache.get("p @0").response == "live"
    assert cache.get_many(["p @1", "p @2"])[1].response == "live"


def test_putting_again_restarts_the_ttl(cache, clock):
    cache.put("rain @0", "water", ttl=10)
    clock.advance(9)
    cache.put("rain @0", "water", ttl=10)
    clock.advance(9)
    assert cache.get("rain @0").response == "water"
    clock.advance(1)
    assert cache.get("rain @0") is None


def test_being_read_does_not(cache, clock):
    cache.put("rain @0", "water", ttl=10)
    for _ in range(9):
        clock.advance(1)
        assert cache.get("rain @0")
        assert cache.get("mist @1")
    clock.advance(1)
    assert cache.get("mist @1") is None
    assert cache.get("rain @0") is None


@pytest.mark.parametrize("default_ttl", [10, "10s", timedelta(seconds=10)])
def test_the_default_ttl_is_for_entries_that_do_not_say(open_cache, clock, default_ttl):
    cache = open_cache(default_ttl=default_ttl)
    cache.put("default @0", "1")
    cache.put("longer @40", "2", ttl=20)
    cache.put("for ever @80", "3", ttl=float("inf"))
    cache.put_many([("batch @120", "4"), {"query": "own @160", "response": "5", "ttl": "20s"}])
    cache.get_or_compute("computed @200", lambda query: "6")
    clock.advance(10)
    assert cache.vacuum() == 3
    assert {entry.query for entry in cache.entries()} == {"longer @40", "for ever @80", "own @160"}
    clock.advance(10)
    assert cache.vacuum() == 2
    clock.advance(1e9)
    assert cache.get("for ever @80").response == "3"


def test_without_any_ttl_nothing_expires(cache, clock):
    cache.put("rain @0", "water")
    clock.advance(1e10)
    assert cache.get("rain @0").age_seconds == 1e10
    assert cache.get("mist @1").response == "water"


def test_an_entry_expires_while_the_cache_is_closed(open_cache, cache_path, clock):
    cache = open_cache(cache_path)
    cache.put("rain @0", "water", ttl=10)
    cache.put("sun @90", "hot", ttl=30)
    cache.close()
    clock.advance(10)
    again = open_cache(cache_path)
    assert again.get("rain @0") is None
    assert again.get("mist @1") is None
    assert again.get("sun @90").age_seconds == 10


def test_an_entry_that_was_replaced_is_not_removed_by_a_reader_who_saw_it_expired(open_cache, clock):
    """The replacing happens between the reader's look at the store and its removing: while it embeds."""
    cache = open_cache()
    core = cache._core

    class Meddler:
        dim, fingerprint = core.embedder._port.dim, core.embedder._port.fingerprint
        inner = core.embedder._port
        meddles = False

        def embed(self, text):
            if self.meddles:
                self.meddles = False
                # As another thread would: straight into the store, the index and the hot layer.
                store = core.store._port
                [record] = store.read([1], vectors=True)
                store.write([record._replace(payload=b"newer", expires_at=None, removable_at=None)])
            return self.inner.embed(text)

    cache.close()
    meddler = Meddler()
    cache = open_cache(embedder=meddler)
    core = cache._core
    cache.put("rain @0", "older", ttl=10)
    clock.advance(10)
    meddler.meddles = True
    cache.get("rain @0")
    assert not meddler.meddles
    assert [entry.response for entry in cache.entries()] == ["newer"]


def test_an_entry_replaced_meanwhile_is_not_removed_for_what_the_validator_said_of_the_old_one(open_cache):
    meddling = []

    def validator(response):
        if response == "older" and meddling:
            meddling.clear()
            store = cache._core.store._port
            [record] = store.read([1], vectors=True)
            store.write([record._replace(payload=b"newer")])
            return False
        return True

    cache = open_cache(validator=validator, hot_bytes=0)
    cache.put("rain @0", "older")
    meddling.append(True)
    cache.get("rain @0")
    assert not meddling
    assert [entry.response for entry in cache.entries()] == ["newer"]


# --- stale answers ---------------------------------------------------------------------------------------------------


def test_a_stale_answer_is_served_when_computing_fails_if_that_was_asked_for(cache, clock):
    calls = []

    def compute(query):
        calls.append(query)
        if len(calls) > 1:
            raise LookupError("down")
        return "water"

    options = {"ttl": 10, "stale_ttl": 20, "stale_on_error": True}
    assert cache.get_or_compute("rain @0", compute, **options) == "water"
    clock.advance(10)
    assert cache.get("rain @0") is None
    assert cache.get_or_compute("rain @0", compute, **options) == "water"
    with pytest.raises(LookupError, match="down"):
        cache.get_or_compute("rain @0", compute, ttl=10, stale_ttl=20)
    clock.advance(20)
    with pytest.raises(LookupError, match="down"):
        cache.get_or_compute("rain @0", compute, **options)
    assert cache.entries() == []
    assert len(calls) == 4


def test_what_may_be_served_stale_is_not_vacuumed_before_its_time(cache, clock):
    cache.get_or_compute("rain @0", lambda query: "water", ttl=10, stale_ttl="20s")
    clock.advance(29)
    assert cache.vacuum() == 0
    clock.advance(1)
    assert cache.vacuum() == 1


def test_jitter_shortens_lives_by_up_to_its_share_and_differently(cache, clock):
    for number in range(20):
        cache.get_or_compute(f"q @{number * 5}", lambda query: "a", ttl=100, jitter=0.5, similarity_threshold=1)
    lives = [entry.expires_at - clock.now() for entry in cache.entries()]
    assert len(lives) == 20
    assert all(50 < life <= 100 for life in lives)
    assert len({round(life, 3) for life in lives}) == 20


# --- clocks ----------------------------------------------------------------------------------------------------------


class Clocks:
    """The two clocks of the machine, moved by hand."""

    def __init__(self, monkeypatch):
        self.wall, self.monotonic = 1_700_000_000.0, 500.0
        monkeypatch.setattr(time, "time", lambda: self.wall)
        monkeypatch.setattr(time, "monotonic", lambda: self.monotonic)

    def pass_(self, seconds):
        self.wall += seconds
        self.monotonic += seconds


@pytest.fixture
def clocks(monkeypatch):
    return Clocks(monkeypatch)


def test_wall_time_is_believed_while_it_goes_forward(clocks):
    clock = WallClock()
    assert clock.now() == 1_700_000_000.0
    clocks.pass_(10)
    assert clock.now() == 1_700_000_010.0
    clocks.wall += 3600  # set forward, or the machine slept
    assert clock.now() == 1_700_003_610.0


def test_when_it_is_set_back_time_goes_on_at_the_pace_of_the_other_clock(clocks):
    clock = WallClock()
    clocks.wall -= 86_400
    assert clock.now() == 1_700_000_000.0
    clocks.pass_(10)
    assert clock.now() == 1_700_000_010.0
    clocks.wall += 86_400
    assert clock.now() == 1_700_000_010.0
    clocks.pass_(5)
    assert clock.now() == 1_700_000_015.0


def test_entries_expire_though_the_clock_was_set_back(clocks, compass):
    # On the blocking face alone: an event loop lives by these clocks too.
    with SemanticCache(":memory:", compass, guards=()) as cache:
        cache.put("rain @0", "water", ttl=60)
        clocks.wall -= 86_400
        clocks.pass_(59)
        assert cache.get("rain @0").age_seconds == pytest.approx(59)
        assert cache.get("mist @1").age_seconds == pytest.approx(59)
        clocks.pass_(1.001)
        assert cache.get("mist @1") is None
        assert cache.get("rain @0") is None


def test_an_age_is_never_negative_even_with_a_clock_that_runs_backwards(cache, clock):
    cache.put("rain @0", "water", ttl=10)
    clock.set(clock.now() - 3600)
    assert cache.get("rain @0").age_seconds == 0.0
    assert cache.get("mist @1").age_seconds == 0.0
    assert cache.explain("mist @1").candidates[0].age_seconds == 0.0
    assert cache.health().oldest_entry_age_seconds == 0.0
    assert cache.put("sun @90", "hot")
