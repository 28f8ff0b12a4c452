"""Two caches on one file: what one writes, the other follows after the interval, and says so if it was not meant."""

import asyncio
import logging
import threading

import pytest

from engine.bench import response
from faces.adapter import Compass, Events, assert_sound, on
from mneme import AsyncSemanticCache, SemanticCache, SQLiteStore
from mneme.testing import Faults, FlakyStore, SlowStore

INTERVAL = 0.5
PATIENCE = 60
UNEXPECTED = "another process or cache writes to the same store; if that is meant to be, pass multi_process_mode="


@pytest.fixture(params=["sync", "async"])
def face(request):
    with on(request.param) as face:
        yield face


@pytest.fixture
def events():
    return Events()


@pytest.fixture
def faults():
    return Faults()


@pytest.fixture
def open_cache(face, events, clock, cache_path):
    opened = []

    def open_(store=None, **options):
        given = {"embedder": Compass(), "clock": clock, "multi_process_mode": "stale-tolerant", **options}
        cache = face.open(store=store or SQLiteStore(cache_path), **given)
        opened.append(cache)
        return cache

    yield open_
    for cache in opened:
        if not cache._core.closed:
            assert_sound(cache)
        cache.close()


@pytest.fixture
def two(open_cache, events):
    return open_cache(metrics_hook=events), open_cache()


@pytest.fixture
def flaky(open_cache, faults, events, cache_path):
    """One that follows, on a store that can be made to fail; and one that writes."""
    cache = open_cache(FlakyStore(SQLiteStore(cache_path), faults), metrics_hook=events)
    return cache, open_cache()


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# --- what is followed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["stale-tolerant", "single"])
def test_a_deletion_by_another_is_followed_on_both_layers(open_cache, clock, mode):
    cache, other = open_cache(multi_process_mode=mode), open_cache()
    cache.put("rain @0", "water")
    assert other.delete("rain @0")
    assert cache.get("rain @0").response == "water"  # from memory, within the interval
    clock.advance(INTERVAL)
    assert cache.get("rain @0") is None
    assert cache.get("mist @1") is None
    assert cache.stats().entries == 0


@pytest.mark.parametrize("mode", ["stale-tolerant", "single"])
def test_a_replacement_by_another_is_followed_on_both_layers(open_cache, clock, mode):
    cache, other = open_cache(multi_process_mode=mode), open_cache()
    cache.put("rain @0", "water")
    other.put("rain @0", "newer", embedding=Compass().embed("@40"))
    clock.advance(INTERVAL)
    assert cache.get("rain @0").response == "newer"
    assert response(cache.get("mist @41")) == ("newer", "semantic")
    assert cache.get("mist @1") is None


@pytest.mark.parametrize("mode", ["stale-tolerant", "single"])
def test_what_another_adds_is_found_by_a_similar_query(open_cache, clock, mode):
    cache, other = open_cache(multi_process_mode=mode), open_cache()
    other.put_many([("rain @0", "water"), ("sun @90", "hot")])
    assert cache.get("rain @0").response == "water"  # an equal query is looked up in the store
    assert cache.get("warm @91") is None
    clock.advance(INTERVAL)
    assert cache.get("warm @91").response == "hot"
    assert cache.stats().entries == 2


def test_what_another_clears_is_gone_however_much_it_was(two, clock):
    cache, other = two
    cache.put_many([(f"question {n} @{n}", "answer") for n in range(50)])
    assert other.clear() == 50
    clock.advance(INTERVAL)
    assert cache.get_many(["question 3 @3", "mist @7"]) == [None, None]
    assert cache.stats().entries == 0


def test_get_many_and_get_or_compute_follow_too(two, clock):
    cache, other = two
    cache.put("rain @0", "water")
    cache.put("sun @90", "hot")
    assert cache.get("sun @90")
    other.put("rain @0", "newer")
    other.delete("sun @90")
    clock.advance(INTERVAL)
    assert [response(hit) for hit in cache.get_many(["rain @0", "sun @90"])] == [("newer", "exact"), None]
    other.put("rain @0", "newest")
    clock.advance(INTERVAL)
    assert cache.get_or_compute("rain @0", lambda _: pytest.fail("was computed")) == "newest"
    other.delete("rain @0")
    clock.advance(INTERVAL)
    assert cache.get_or_compute("rain @0", lambda _: "computed") == "computed"


@pytest.mark.parametrize("verb", ["lookup", "explain"])
def test_what_only_looks_follows_too(two, clock, verb):
    cache, other = two
    other.put("rain @0", "water")
    clock.advance(INTERVAL)
    found = getattr(cache, verb)("mist @1")
    assert [candidate.query for candidate in (found if verb == "lookup" else found.candidates)] == ["rain @0"]


def test_an_interval_of_nothing_asks_every_time(open_cache):
    cache, other = open_cache(stale_check_interval=0), open_cache(stale_check_interval=0)
    for number in range(3):
        other.put("rain @0", number)
        assert cache.get("rain @0").response == number
        cache.put("rain @0", -number)
        assert other.get("rain @0").response == -number
        assert other.get("mist @1").response == -number
    cache.delete("rain @0")
    assert other.get("rain @0") is None


def test_deletions_so_many_that_they_are_forgotten_are_followed_all_the_same(open_cache, clock, monkeypatch):
    monkeypatch.setattr("mneme.stores._sqlite_write.HISTORY", 5)
    cache, other = open_cache(), open_cache()
    cache.put_many([(f"question {n} @{n}", "answer") for n in range(20)])
    other.clear()
    other.put("rain @0", "water")
    clock.advance(INTERVAL)
    assert cache.get("question 3 @3").response == "water"
    assert cache.stats().entries == 1


def test_caps_count_what_others_wrote(open_cache, clock):
    cache, other = open_cache(max_entries=4), open_cache()
    for number in range(6):
        other.put(f"question {number} @{number}", "answer")
        clock.advance(1)
    cache.put("rain @90", "water")
    assert cache.stats().entries == 4


def test_counters_of_others_are_seen_once_they_are_written(two, clock):
    cache, other = two
    other.put("rain @0", "water")
    assert other.get("rain @0")
    other.close()
    clock.advance(INTERVAL)
    assert cache.stats().hits_exact == 1


def test_health_says_the_mode_and_is_well_while_others_write(open_cache, clock):
    cache, other = open_cache(), open_cache(multi_process_mode="single")
    assert cache.health().multi_process_mode == "stale-tolerant"
    assert other.health().multi_process_mode == "single"
    other.put("rain @0", "water")
    for one in (cache, other):  # within the interval as well
        assert one.health().healthy
        assert one.health().entries == 1
        assert one.check() == []


@pytest.mark.parametrize("given", ["many", ""])
def test_other_modes_are_refused(face, cache_path, given):
    with pytest.raises(ValueError, match=f"must be one of 'single', 'stale-tolerant', 'mmap-shared', got '{given}'"):
        face.open(cache_path, Compass(), multi_process_mode=given)
    with pytest.raises(TypeError, match="multi_process_mode must be a str, not int"):
        face.open(cache_path, Compass(), multi_process_mode=1)


# --- how it is asked -------------------------------------------------------------------------------------------------


def test_the_store_is_asked_once_an_interval_and_hits_stay_hot(flaky, faults, clock):
    cache, _ = flaky
    cache.put("rain @0", "water")
    faults.arm(())
    for _ in range(5):
        clock.advance(INTERVAL)
        for _ in range(10):
            assert cache.get("rain @0").response == "water"
    assert faults.calls == ["store.changes"] * 5


def test_what_another_wrote_leaves_what_else_is_hot(flaky, faults, clock):
    cache, other = flaky
    cache.put("rain @0", "water")
    cache.put("sun @90", "hot")
    other.put("rain @0", "newer")
    clock.advance(INTERVAL)
    faults.arm(())
    assert cache.get("sun @90").response == "hot"
    assert "store.changes" in faults.calls
    faults.arm(())
    assert cache.get("sun @90").response == "hot"
    assert faults.calls == []
    assert cache.get("rain @0").response == "newer"


def test_writing_in_turns_keeps_both_right_and_what_one_wrote_hot(flaky, faults, clock):
    cache, other = flaky
    for number in range(5):
        other.put(f"other {number} @{number * 10}", number)
        cache.put(f"mine {number} @{number * 10 + 180}", number)
        clock.advance(INTERVAL)
    cache.get("rain @99")
    faults.arm(())
    for number in range(5):
        assert response(cache.get(f"mine {number} @{number * 10 + 180}")) == (number, "exact")
    assert faults.calls == []
    for number in range(5):
        assert response(cache.get(f"that {number} @{number * 10 + 0.5}")) == (number, "semantic")


def test_a_store_that_cannot_be_asked_leaves_memory_to_answer(flaky, faults, events, clock, caplog):
    cache, other = flaky
    cache.put("rain @0", "water")
    other.delete("rain @0")
    with caplog.at_level(logging.WARNING, "mneme"):
        for _ in range(3):
            faults.arm(lambda number, name: name == "store.changes")
            clock.advance(INTERVAL)
            assert cache.get("rain @0").response == "water"
            assert cache.get("rain @0").response == "water"  # and nobody asks again before the interval is over
            assert faults.fired == ["store.changes"]
    assert [fields["doing"] for fields in events.of("store_failure")] == ["asking what others wrote"] * 3
    assert len(warnings(caplog)) == 1
    faults.lift()
    clock.advance(INTERVAL)
    assert cache.get("rain @0") is None


@pytest.mark.parametrize("verb", ["read", "changes 2", "vectors"])
def test_what_could_not_be_applied_is_applied_the_next_time(flaky, faults, clock, verb):
    cache, other = flaky
    cache.put("rain @0", "water")
    other.put("sun @90", "hot")
    other.delete("rain @0")
    clock.advance(INTERVAL)
    name, _, number = verb.partition(" ")
    faults.arm(lambda n, called: called == f"store.{name}" and faults.calls.count(called) >= int(number or 1))
    cache.get("rain @0", similarity_threshold=1.0) if verb == "vectors" else cache.get("rain @0")
    faults.lift()
    clock.advance(INTERVAL)
    assert cache.get("rain @0") is None
    assert cache.get("warm @91").response == "hot"


def test_while_one_asks_the_others_are_served_from_memory(cache_path, clock):
    gate = threading.Event()
    gate.set()
    slow = SlowStore(SQLiteStore(cache_path), gate, verbs=("changes",))
    with SemanticCache(
        store=slow, embedder=Compass(), guards=(), clock=clock, multi_process_mode="stale-tolerant"
    ) as cache:
        cache.put("rain @0", "water")
        gate.clear()
        clock.advance(INTERVAL)
        done = []
        asking = threading.Thread(target=lambda: done.append(cache.get("rain @0")))
        asking.start()
        slow.wait_for_calls(1)
        for _ in range(10):
            assert cache.get("rain @0").response == "water"
        assert cache.get("mist @1").response == "water"
        assert done == []
        gate.set()
        asking.join(PATIENCE)
        assert done[0].response == "water"


def test_a_cache_that_writes_does_not_take_itself_for_another(cache_path, clock, caplog):
    """The question falls between a write of its own to the store and to memory."""
    gate, asked = threading.Event(), threading.Event()

    class Late(SQLiteStore):
        """Its writes are done before they return."""

        def write(self, records):
            done = super().write(records)
            asked.set()
            assert gate.wait(PATIENCE)
            return done

    gate.set()
    with SemanticCache(store=Late(cache_path), embedder=Compass(), guards=(), clock=clock) as cache:
        cache.put("rain @0", "water")
        asked.clear()
        gate.clear()
        clock.advance(INTERVAL)
        writing = threading.Thread(target=lambda: cache.put("sun @90", "hot"))
        writing.start()
        assert asked.wait(PATIENCE)
        with caplog.at_level(logging.WARNING, "mneme"):
            asking = threading.Thread(target=lambda: cache.get("rain @0"))
            asking.start()  # sees the write, and waits until memory has it
            gate.set()
            asking.join(PATIENCE)
            writing.join(PATIENCE)
            clock.advance(INTERVAL)
            assert cache.get("rain @0").response == "water"
        assert warnings(caplog) == []
        assert_sound(cache)


async def test_a_question_that_is_cancelled_is_asked_by_the_next(cache_path, clock):
    gate = threading.Event()
    gate.set()
    slow = SlowStore(SQLiteStore(cache_path), gate, verbs=("changes",))
    options = {"embedder": Compass(), "clock": clock, "multi_process_mode": "stale-tolerant"}
    async with AsyncSemanticCache(store=slow, **options) as cache, AsyncSemanticCache(cache_path, **options) as other:
        await cache.put("rain @0", "water")
        await other.delete("rain @0")
        gate.clear()
        clock.advance(INTERVAL)
        asking = asyncio.ensure_future(cache.get("rain @0"))
        await asyncio.to_thread(slow.wait_for_calls, 1)
        assert (await cache.get("rain @0")).response == "water"
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        gate.set()
        assert await cache.get("rain @0") is None


# --- who was not told ------------------------------------------------------------------------------------------------


def test_a_single_cache_that_is_not_alone_says_so_once(open_cache, clock, caplog):
    cache, other = open_cache(multi_process_mode="single"), open_cache()
    with caplog.at_level(logging.WARNING, "mneme"):
        for number in range(3):
            other.put(f"question {number} @{number}", "answer")
            clock.advance(INTERVAL)
            cache.get("rain @0")
    assert len(warnings(caplog)) == 1
    assert warnings(caplog)[0].startswith(UNEXPECTED)


def test_a_cache_that_is_alone_says_nothing_whatever_happens(face, faults, clock, cache_path, caplog):
    with caplog.at_level(logging.WARNING, "mneme"):
        options = {"embedder": Compass(), "clock": clock, "max_entries": 3}
        with face.open(cache_path, **options) as cache:
            for number in range(10):
                cache.put(f"question {number} @{number}", "answer")
                cache.put_many([(f"question {number} @{number}", "newer"), (f"more {number} @{number}", "answer")])
                clock.advance(INTERVAL)
                cache.get(f"question {number} @{number}")
                cache.delete(f"question {number} @{number}")
                clock.advance(INTERVAL)
                cache.get(f"question {number} @{number}")
        with face.open(store=FlakyStore(SQLiteStore(cache_path), faults), **options) as cache:
            faults.arm({1}, error=KeyboardInterrupt() if face.name == "sync" else MemoryError(), after=True)
            with pytest.raises((KeyboardInterrupt, MemoryError)):
                cache.put("rain @0", "water")
            clock.advance(INTERVAL)
            assert cache.get("mist @1").response == "water"
    assert warnings(caplog) == []


def test_on_other_stores_a_single_cache_notices_with_its_next_write(open_cache, faults, clock, cache_path, caplog):
    cache = open_cache(FlakyStore(SQLiteStore(cache_path), faults), multi_process_mode="single")
    other = open_cache()
    cache.put("rain @0", "water")
    other.delete("rain @0")
    clock.advance(3600)
    faults.arm(())
    assert cache.get("rain @0").response == "water"
    assert faults.calls == []
    with caplog.at_level(logging.WARNING, "mneme"):
        cache.put("sun @90", "hot")
        assert cache.get("rain @0") is None
    assert warnings(caplog)[0].startswith(UNEXPECTED)
    faults.arm(())
    assert cache.get("sun @90").response == "hot"
    assert faults.calls == []
