"""Opening and closing, failed at every port call: whatever happens nothing stays open, and the file stays whole."""

import asyncio
import itertools

import pytest

from faces.adapter import Compass, assert_sound, mneme_threads, on
from mneme import AsyncSemanticCache, CacheClosedError, MemoryStore, SemanticCache, SQLiteStore, StoreBackendError
from mneme.indexes import ExactIndex
from mneme.testing import Faults, FlakyIndex, FlakyStore

ERRORS = {"store error": StoreBackendError, "unexpected error": RuntimeError, "interrupt": KeyboardInterrupt}
KNOWN = {f"question @{number * 20}": f"answer {number}" for number in range(4)}


@pytest.fixture(params=["sync", "async"])
def face(request):
    with on(request.param) as face:
        yield face


@pytest.fixture(params=ERRORS)
def error(request, face):
    if request.param == "interrupt" and face.name == "async":
        # An interrupt on a worker thread would end the event loop; on the loop's own thread it is no port that fails.
        return MemoryError("no memory")
    return ERRORS[request.param]("as told")


def ports(faults, path):
    return {
        "store": FlakyStore(SQLiteStore(path), faults),
        "index_backend": FlakyIndex(ExactIndex(), faults),
        "embedder": Compass(),
    }


def filled(path):
    with SemanticCache(path, Compass(), guards=()) as cache:
        assert cache.put_many(list(KNOWN.items())) == len(KNOWN)
        assert cache.get("question @0")


def assert_whole(path, *, hits=1):
    with SemanticCache(path, Compass(), guards=()) as cache:
        assert_sound(cache)
        assert {entry.query: entry.response for entry in cache.entries()} == KNOWN
        assert cache.stats().hits_exact == hits
        assert cache.get("other @21").response == "answer 1"


@pytest.mark.parametrize("after", [False, True], ids=["before", "afterwards"])
def test_a_cache_that_cannot_be_opened_leaves_nothing_open(face, error, after, cache_path):
    filled(cache_path)
    before = cache_path.read_bytes()
    for position in itertools.count(1):
        faults = Faults({position}, error=error, after=after)
        raised, cache = None, None
        try:
            cache = face.open(**ports(faults, cache_path))
        except BaseException as caught:  # noqa: BLE001 -- an interrupt is among what is thrown
            raised = caught
        faults.lift()
        if not faults.fired:
            assert faults.calls[:3] == ["store.open", "store.summary", "index.open"]
            cache.close()
            break
        assert raised is error
        assert mneme_threads() == []
        assert not cache_path.with_name(cache_path.name + "-wal").exists()
        assert cache_path.read_bytes() == before
    assert position > 5
    assert_whole(cache_path)


@pytest.mark.parametrize("after", [False, True], ids=["before", "afterwards"])
def test_a_cache_that_fails_while_it_closes_lets_go_of_everything_it_can(face, error, after, cache_path):
    filled(cache_path)
    recorded = 1
    for position in itertools.count(1):
        faults = Faults()
        cache = face.open(**ports(faults, cache_path))
        assert cache.get("question @0")
        faults.arm({position}, error=error, after=after)
        raised = None
        try:
            cache.close()
        except BaseException as caught:  # noqa: BLE001 -- an interrupt is among what is thrown
            raised = caught
        assert faults.calls == ["store.record", "store.close", "index.close"]
        assert mneme_threads() == []
        cache.close()
        with pytest.raises(CacheClosedError):
            cache.get("question @0")
        if not faults.fired:
            assert raised is None
            break
        unfelt = isinstance(error, StoreBackendError) and faults.fired == ["store.record"]
        assert raised is (None if unfelt else error)
        if faults.fired == ["store.close"] and not after:
            cache_store = cache._core.store._port.inner
            cache_store.close()  # what was never asked to close is open still
        recorded += faults.fired != ["store.record"] or after
        assert_whole(cache_path, hits=recorded)
    assert position == 4


@pytest.mark.parametrize("fingerprint", ["", "  ", None, 5, b"f"])
def test_an_embedder_without_a_proper_fingerprint_is_refused_before_a_file_is_made(face, fingerprint, cache_path):
    with pytest.raises((TypeError, ValueError), match="the embedder's fingerprint"):
        face.open(cache_path, Compass(fingerprint))
    assert not cache_path.exists()


@pytest.mark.parametrize("dim", [0, -1, 1.5, None, "3", True])
def test_an_embedder_without_a_proper_dimension_is_refused_before_a_file_is_made(face, dim, cache_path):
    compass = Compass()
    compass.dim = dim
    with pytest.raises((TypeError, ValueError), match="the embedder's dim"):
        face.open(cache_path, compass)
    assert not cache_path.exists()


def test_closing_twice_and_at_the_same_time_closes_once():
    faults = Faults()

    async def main():
        cache = AsyncSemanticCache(store=FlakyStore(MemoryStore(), faults), embedder=Compass(), guards=())
        await cache.put("a", "b")
        await asyncio.gather(*(cache.close() for _ in range(5)))
        assert faults.calls.count("store.close") == 1
        await cache.close()
        assert faults.calls.count("store.close") == 1

    asyncio.run(main())


async def test_a_cache_that_was_never_opened_can_be_closed():
    cache = AsyncSemanticCache(":memory:", Compass(), guards=())
    await cache.close()
    assert mneme_threads() == []
    with pytest.raises(CacheClosedError):
        await cache.get("a")


async def test_after_a_failure_to_open_the_cache_says_that_it_is_closed():
    store = FlakyStore(MemoryStore(), Faults({1}))
    cache = AsyncSemanticCache(store=store, embedder=Compass(), guards=())
    with pytest.raises(StoreBackendError):
        await cache.get("a")
    with pytest.raises(CacheClosedError, match="open a new one"):
        await cache.get("a")
    await cache.close()
