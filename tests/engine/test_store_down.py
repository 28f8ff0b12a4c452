"""A store that fails for a while: what memory answers, what misses, what raises, and that all recovers by itself."""

import asyncio
import logging
import threading

import pytest

from engine.bench import response
from faces.adapter import Compass, Events, assert_sound, index_contents, mneme_threads, on
from mneme import (
    AsyncSemanticCache,
    EmbedderMismatchError,
    MemoryStore,
    SemanticCache,
    SQLiteStore,
    StoreBackendError,
)
from mneme._runtime.breaker import FAILURES, FIRST_DELAY, GuardedStore
from mneme.testing import Faults, FlakyStore, SlowStore

ALWAYS = lambda number, name: True  # noqa: E731 -- a name for a condition
PATIENCE = 60


@pytest.fixture(params=["sync", "async"])
def face(request):
    with on(request.param) as face:
        yield face


@pytest.fixture
def faults():
    return Faults()


@pytest.fixture
def events():
    return Events()


@pytest.fixture
def compass():
    return Compass()


@pytest.fixture
def open_cache(face, faults, events, clock, compass):
    opened = []

    def open_(store=None, **options):
        store = FlakyStore(MemoryStore() if store is None else store, faults)
        cache = face.open(**{"store": store, "embedder": compass, "metrics_hook": events, "clock": clock, **options})
        opened.append(cache)
        return cache

    yield open_
    faults.lift()
    for cache in opened:
        cache.close()


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# --- what is asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ("ignore", ValueError, "on_store_error must be one of 'raise', 'miss', got 'ignore'"),
        (None, TypeError, "on_store_error must be a str, not NoneType"),
        (True, TypeError, "on_store_error must be a str, not bool"),
    ],
)
def test_what_to_do_is_one_of_two_words(face, cache_path, given, error, says):
    with pytest.raises(error, match=says):
        face.open(cache_path, Compass(), on_store_error=given)
    assert not cache_path.exists()


def test_by_default_a_store_that_fails_raises(open_cache, faults):
    cache = open_cache()
    cache.put("rain @0", "water")
    faults.arm(ALWAYS)
    for call in (
        lambda: cache.get("sun @90"),
        lambda: cache.get_many(["sun @90"]),
        lambda: cache.put("sun @90", "hot"),
        lambda: cache.put_many([("sun @90", "hot")]),
    ):
        with pytest.raises(StoreBackendError, match="as the test told it to"):
            call()
    assert cache.get("rain @0").response == "water"


def test_with_miss_reads_miss_and_writes_are_not_stored(open_cache, faults, events):
    cache = open_cache(on_store_error="miss")
    cache.put("rain @0", "water")
    faults.arm(ALWAYS)
    del events[:]
    assert cache.get("sun @90") is None
    assert events == [
        ("store_failure", {"namespace": "default", "doing": "looking up a query", "error": repr_of(faults)}),
        ("miss", {"namespace": "default", "reason": "store"}),
    ]
    del events[:]
    assert cache.put("sun @90", "hot") is False
    assert events == [
        ("store_failure", {"namespace": "default", "doing": "storing a response", "error": repr_of(faults)})
    ]
    assert cache.put_many([("sun @90", "hot"), ("snow @180", "cold")]) == 0
    del events[:]
    hits = cache.get_many(["sun @90", "rain @0", "snow @180"])
    assert [response(hit) for hit in hits] == [None, ("water", "exact"), None]
    assert events.names() == ["store_failure", "miss", "miss", "hit_exact"]
    assert cache.stats().misses == 3


def repr_of(faults):
    return repr(faults._error)


def test_what_is_wrong_with_a_call_raises_whether_the_store_fails_or_not(open_cache, faults):
    cache = open_cache(on_store_error="miss")
    for _ in range(2):
        for error, call in [
            (TypeError, lambda: cache.get(5)),
            (ValueError, lambda: cache.get(" ")),
            (TypeError, lambda: cache.put("sun @90", object())),
            (ValueError, lambda: cache.put("sun @90", "hot", ttl=-1)),
            (ValueError, lambda: cache.put("sun @90", "hot", embedding=[0.0] * 32)),
            (RuntimeError, lambda: cache.put("sun @fail", "hot")),
        ]:
            with pytest.raises(error):
                call()
        assert cache.put("sun @90", "[ERROR]") is False
        faults.arm(ALWAYS)


@pytest.mark.parametrize(
    "verb",
    [
        ("delete", "rain @0"),
        ("clear",),
        ("clear_namespace", "default"),
        ("vacuum",),
        ("compact",),
        ("entries",),
        ("lookup", "rain @1"),
        ("explain", "rain @1"),
        ("list_namespaces",),
        ("check",),
        ("requantize", "int8"),
    ],
    ids=lambda verb: verb[0],
)
def test_other_verbs_raise_all_the_same(open_cache, faults, verb):
    cache = open_cache(on_store_error="miss")
    cache.put("rain @0", "water")
    faults.arm(ALWAYS)
    name, *arguments = verb
    with pytest.raises(StoreBackendError, match="as the test told it to"):
        getattr(cache, name)(*arguments)


@pytest.mark.parametrize("on_store_error", ["raise", "miss"])
def test_get_or_compute_returns_its_value_whatever_the_store_does(open_cache, faults, on_store_error):
    cache = open_cache(on_store_error=on_store_error)
    faults.arm(ALWAYS)
    for number in range(2 * FAILURES):
        assert cache.get_or_compute("sun @90", lambda _, n=number: n) == number
        assert cache.get_or_compute("sun @90", lambda _, n=number: n, bypass=True) == number
    faults.lift()


# --- a store that is down when the cache is opened ------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["open", "summary", "vectors"])
def test_with_miss_a_store_that_is_down_at_first_is_opened_when_it_is_back(  # noqa: PLR0917 -- fixtures, all by name
    open_cache, faults, clock, events, cache_path, verb
):
    with open_filled(cache_path):
        pass
    faults.arm(lambda number, name: name == f"store.{verb}")
    cache = open_cache(SQLiteStore(cache_path), on_store_error="miss")
    assert ("store_failure", "opening") in [(name, fields.get("doing")) for name, fields in events]
    assert cache.get("rain @0") is None
    assert cache.get_many(["rain @0", "sun @90"]) == [None, None]
    assert cache.put("sun @90", "hot") is False
    assert cache.put_many([("sun @90", "hot")]) == 0
    assert cache.put("sun @90", " ") is False
    assert cache.get("rain @0", embedding=[1.0] * 32) is None
    assert cache.get_or_compute("sun @90", lambda _: "computed") == "computed"
    assert cache.get_or_compute("sun @90", lambda _: "computed", bypass=True) == "computed"
    with pytest.raises(TypeError):
        cache.get(5)
    with pytest.raises(StoreBackendError):
        cache.stats()
    health = cache.health()
    assert (health.healthy, health.schema_version, health.index_backend) == (False, 0, "none")
    faults.lift()
    clock.advance(FIRST_DELAY)
    assert cache.get("rain @0").response == "water"
    assert cache.get("mist @1").response == "water"
    assert cache.put("sun @90", "hot") is True
    assert cache.health().healthy
    assert cache.stats().misses > 4
    assert_sound(cache)


def open_filled(path):
    cache = SemanticCache(path, Compass(), guards=())
    cache.put("rain @0", "water")
    return cache


def test_without_it_a_store_that_is_down_at_first_raises_and_nothing_stays_open(face, faults):
    faults.arm(ALWAYS)
    with pytest.raises(StoreBackendError):
        face.open(store=FlakyStore(MemoryStore(), faults), embedder=Compass())
    assert mneme_threads() == []


def test_what_a_store_finds_wrong_when_it_is_back_is_raised(open_cache, faults, cache_path):
    with open_filled(cache_path):
        pass
    faults.arm({1})
    cache = open_cache(SQLiteStore(cache_path), on_store_error="miss", embedder=Compass("another"))
    with pytest.raises(EmbedderMismatchError):
        cache.get("rain @0")


def test_a_cache_that_never_reached_its_store_can_be_closed(face, faults):
    faults.arm(ALWAYS)
    cache = face.open(store=FlakyStore(MemoryStore(), faults), embedder=Compass(), on_store_error="miss")
    faults.lift()
    cache.close()
    assert faults.calls[-1] == "store.close"
    assert mneme_threads() == []


# --- a store that stays down ----------------------------------------------------------------------------------------


def test_a_store_that_is_down_is_asked_seldom_and_found_again_without_help(open_cache, faults, clock):
    cache = open_cache(on_store_error="miss")
    cache.put("rain @0", "water")
    faults.arm(ALWAYS)
    for _ in range(20):
        assert cache.get("sun @90") is None
    assert len(faults.calls) == FAILURES
    assert cache.get("rain @0").response == "water"
    faults.lift()
    assert cache.get("sun @90") is None
    clock.advance(FIRST_DELAY)
    assert cache.put("sun @90", "hot") is True
    assert cache.get("warm @91").response == "hot"
    assert_sound(cache)


def test_nothing_is_embedded_for_a_store_that_is_not_asked(open_cache, faults, clock, compass):
    cache = open_cache(on_store_error="miss")
    faults.arm(ALWAYS)
    for _ in range(FAILURES):
        assert cache.put("sun @90", "hot") is False
    asked = list(compass.calls)
    assert cache.put("rain @0", "water") is False
    assert cache.put_many([("rain @0", "water"), ("snow @180", "cold")]) == 0
    assert cache.get("rain @0") is None
    assert compass.calls == asked
    faults.lift()
    clock.advance(FIRST_DELAY)
    assert cache.put("rain @0", "water") is True


def test_stores_on_this_machine_are_asked_every_time(face, clock, cache_path):
    for cache in (face.open(":memory:", Compass()), face.open(cache_path, Compass())):
        with cache:
            assert not isinstance(cache._core.store, GuardedStore)


def test_warnings_are_not_repeated_but_events_are(open_cache, faults, clock, events, caplog):
    cache = open_cache(on_store_error="miss")
    faults.arm(ALWAYS)
    del events[:]
    with caplog.at_level(logging.WARNING, "mneme"):
        for _ in range(100):
            assert cache.get("sun @90") is None
            assert cache.put("sun @90", "hot") is False
    assert len(events.of("store_failure")) == 200
    assert len(warnings(caplog)) == 3  # of looking up, of storing, and that it is asked less often now
    caplog.clear()
    clock.advance(60)
    with caplog.at_level(logging.WARNING, "mneme"):
        assert cache.get("sun @90") is None
    assert "99 more such failures since the last warning" in warnings(caplog)[0]


def test_a_store_that_hangs_delays_no_hit_from_memory(clock):
    gate = threading.Event()
    gate.set()
    slow = SlowStore(MemoryStore(), gate, verbs=("read", "write", "changes"))
    with SemanticCache(store=slow, embedder=Compass(), guards=(), clock=clock) as cache:
        cache.put("rain @0", "water")
        gate.clear()
        done = []
        threads = [
            threading.Thread(target=lambda: done.append(cache.get("sun @90"))),
            threading.Thread(target=lambda: done.append(cache.put("sun @90", "hot"))),
        ]
        for thread in threads:
            thread.start()
        slow.wait_for_calls(3)  # the first put was one of them
        for _ in range(10):
            assert cache.get("rain @0").response == "water"
        assert done == []
        gate.set()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(done) == 2


async def test_on_the_async_face_such_a_hit_is_answered_on_the_loop(clock):
    gate = threading.Event()
    gate.set()
    slow = SlowStore(MemoryStore(), gate, verbs=("read", "write", "changes"))
    async with AsyncSemanticCache(store=slow, embedder=Compass(), guards=(), clock=clock) as cache:
        await cache.put("rain @0", "water")
        gate.clear()
        tasks = [asyncio.ensure_future(call) for call in (cache.get("sun @90"), cache.put("sun @90", "hot"))]
        await asyncio.to_thread(slow.wait_for_calls, 2)  # one worker thread: the other waits for it
        for _ in range(10):
            assert (await cache.get("rain @0")).response == "water"
        assert not any(task.done() for task in tasks)
        gate.set()
        await asyncio.gather(*tasks)


# --- writes whose outcome is not known ------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["nothing happened", "it happened"])
def happened(request):
    return request.param


def test_a_put_that_failed_is_looked_up_before_memory_is_believed(open_cache, faults, happened):
    cache = open_cache()
    cache.put("rain @0", "water")
    cache.put("sun @90", "hot")
    faults.arm({1}, after=happened)
    with pytest.raises(StoreBackendError):
        cache.put("rain @0", "newer")
    faults.arm(ALWAYS)
    assert cache.get("sun @90").response == "hot"  # memory goes on with what was not concerned
    with pytest.raises(StoreBackendError):
        cache.get("rain @0")  # and does not answer with what may be old
    faults.lift()
    assert cache.get("rain @0").response == ("newer" if happened else "water")
    assert cache.get("mist @1").response == ("newer" if happened else "water")
    assert_sound(cache)


def test_a_new_entry_whose_put_failed_is_found_by_a_similar_query_if_it_was_stored(open_cache, faults, happened):
    cache = open_cache()
    faults.arm({1}, after=happened)
    with pytest.raises(StoreBackendError):
        cache.put("rain @0", "water")
    assert response(cache.get("mist @1")) == (("water", "semantic") if happened else None)
    assert cache.stats().entries == happened
    assert_sound(cache)


@pytest.mark.parametrize(
    "verb",
    [
        ("delete", ("rain @0",), {}),
        ("invalidate", (), {"tags": ["wet"]}),
        ("clear", (), {}),
        ("clear_namespace", ("default",), {}),
    ],
    ids=lambda verb: verb[0],
)
def test_what_a_failed_removal_meant_answers_no_more_until_the_store_does(open_cache, faults, verb, happened):
    cache = open_cache()
    cache.put("rain @0", "water", tags=["wet"])
    cache.put("sun @90", "hot", namespace="b", tags=["dry"])
    name, arguments, options = verb
    faults.arm({1}, after=happened)
    with pytest.raises(StoreBackendError):
        getattr(cache, name)(*arguments, **options)
    faults.arm(ALWAYS)
    with pytest.raises(StoreBackendError):
        cache.get("rain @0")
    if name != "clear":
        assert cache.get("sun @90", namespace="b").response == "hot"
    faults.lift()
    assert response(cache.get("rain @0")) == (None if happened else ("water", "exact"))
    assert response(cache.get("mist @1")) == (None if happened else ("water", "semantic"))
    assert_sound(cache)
    stored, found, held = index_contents(cache)
    assert stored == found
    assert held == len(stored)


def test_a_put_that_was_not_even_tried_puts_nothing_in_doubt(open_cache, faults):
    cache = open_cache(on_store_error="miss")
    cache.put("rain @0", "water")
    faults.arm(ALWAYS)
    for _ in range(FAILURES):
        assert cache.get("sun @90") is None
    assert cache.put("rain @0", "newer") is False
    assert cache.get("rain @0").response == "water"


def test_an_eviction_that_failed_leaves_what_is_hot(open_cache, faults, happened):
    cache = open_cache(max_entries=2)
    cache.put("rain @0", "water")
    cache.put("sun @90", "hot")
    faults.arm(lambda number, name: name == "store.delete", after=happened)
    assert cache.put("snow @180", "cold")
    assert faults.fired == ["store.delete"]
    faults.arm(ALWAYS)
    assert cache.get("sun @90").response == "hot"
    assert cache.get("snow @180").response == "cold"
    faults.lift()
    assert (cache.get("mist @1") is None) == happened
    assert (cache.get("rain @0") is None) == happened
    assert_sound(cache)


def test_an_access_before_a_replacement_whose_answer_was_lost_does_not_age_the_entry(open_cache, faults, clock):
    cache = open_cache(max_entries=2)
    cache.put("rain @0", "water")
    assert cache.get("rain @0")
    clock.advance(1)
    cache.put("sun @90", "hot")
    clock.advance(1)
    faults.arm({1}, after=True)
    with pytest.raises(StoreBackendError):
        cache.put("rain @0", "newer")
    faults.lift()
    clock.advance(1)
    cache.put("snow @180", "cold")
    assert [entry.query for entry in cache.entries()] == ["rain @0", "snow @180"]
