"""A task of the async face is cancelled at every point where it waits.

It must end, leave no task and no lock behind, and leave store and memory as they were or as they were to become. Worker
threads are replaced by something that goes on like a thread when nobody waits for it any more, but step by step.
"""

import asyncio
import itertools
import threading

import pytest

from faces.adapter import Compass, assert_mirrored, mneme_threads
from mneme import AsyncSemanticCache, CacheClosedError, MemoryStore, SQLiteStore
from mneme._runtime.tasks import TaskRuntime
from mneme.indexes import ExactIndex
from mneme.testing import FakeClock, SlowStore

PATIENCE = 30.0
KNOWN = {"question @0": "answer 0", "question @20": "answer 1", "question @40": "answer 2"}


def stepped(_runtime, _threads, _what):
    """Instead of a worker thread: the call is made a few turns of the loop later, whether or not anyone still waits."""

    async def run(call):
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def work():
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 -- handed on, as by a thread
                if not done.done():
                    done.set_exception(error)
            else:
                if not done.done():
                    done.set_result(result)

        loop.call_soon(loop.call_soon, work)
        return await done

    return run


@pytest.fixture(autouse=True)
def no_threads(monkeypatch, request):
    if "with_threads" not in request.fixturenames:
        monkeypatch.setattr(TaskRuntime, "_worker", stepped)


async def turns(number):
    for _ in range(number):
        await asyncio.sleep(0)


async def others():
    """Tasks that are still there after they had time to end."""
    await turns(30)
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def cancel_after(number, coroutine, *, insistent=False):
    """Run *coroutine* for so many turns of the loop and cancel it; whether it was, or what it returned."""
    task = asyncio.ensure_future(coroutine)
    await turns(number)
    in_time = task.cancel()
    while insistent and not task.done():
        task.cancel()
        await turns(1)
    done, _ = await asyncio.wait([task], timeout=PATIENCE)
    assert done, f"hangs after it was cancelled {number} turns in"
    return in_time, task


async def state(cache):
    return {entry.query: entry.response for entry in await cache.entries(limit=1000)}


async def within_patience(coroutine):
    return await asyncio.wait_for(coroutine, PATIENCE)


async def assert_usable(cache, allowed):
    """The cache is sound, holds one of *allowed*, and no lock is held."""
    assert await others() == []
    found = await within_patience(state(cache))
    assert found in allowed
    assert (await cache.stats()).entries == len(found)
    assert await within_patience(cache.check()) == []
    assert_mirrored(cache)
    for query in {query for each in allowed for query in each if not query.startswith("mortal")}:
        hit = await within_patience(cache.get(query, similarity_threshold=1.0))
        assert (hit and hit.response) == found.get(query)
    assert await within_patience(cache.put("afterwards @200", "new"))
    assert (await cache.get("afterwards, that is @200.5")).response == "new"
    assert await within_patience(cache.delete("afterwards @200"))


def with_(**more):
    return {**KNOWN, **{query.replace("_", " @"): answer for query, answer in more.items()}}


def without(query):
    return {known: answer for known, answer in KNOWN.items() if known != query}


async def slowly(query):
    await turns(3)
    return "computed"


async def expired(cache, clock):
    clock.advance(10)
    return await cache.get("mortal @100")


async def vacuum(cache, clock):
    clock.advance(10)
    return await cache.vacuum()


MORTAL = with_(mortal_100="soon gone")

FLOWS = {
    "get, exact": (lambda cache, clock: cache.get("question @0"), KNOWN, KNOWN, {"hot_bytes": 0}),
    "get, semantic": (lambda cache, clock: cache.get("other @21"), KNOWN, KNOWN, {}),
    "get, miss": (lambda cache, clock: cache.get("other @300"), KNOWN, KNOWN, {}),
    "get, expired": (expired, MORTAL, KNOWN, {}),
    "put, new": (lambda cache, clock: cache.put("question @100", "new"), KNOWN, with_(question_100="new"), {}),
    "put, replacing": (lambda cache, clock: cache.put("question @20", "newer"), KNOWN, with_(question_20="newer"), {}),
    "put, evicting": (
        lambda cache, clock: cache.put("question @100", "new"),
        KNOWN,
        {**without("question @0"), "question @100": "new"},
        {"max_entries": 3},
    ),
    "put_many": (
        lambda cache, clock: cache.put_many([("question @20", "newer"), ("question @100", "new")]),
        KNOWN,
        with_(question_20="newer", question_100="new"),
        {},
    ),
    "delete": (lambda cache, clock: cache.delete("question @20"), KNOWN, without("question @20"), {}),
    "invalidate": (lambda cache, clock: cache.clear_namespace("default"), KNOWN, {}, {}),
    "vacuum": (vacuum, MORTAL, KNOWN, {}),
    "compact": (lambda cache, clock: cache.compact(), KNOWN, KNOWN, {}),
    "requantize": (lambda cache, clock: cache.requantize("int8"), KNOWN, KNOWN, {}),
    "requantize, in place": (lambda cache, clock: cache.requantize("int8"), KNOWN, KNOWN, {"index_backend": "own"}),
    "get_or_compute": (
        lambda cache, clock: cache.get_or_compute("question @100", slowly),
        KNOWN,
        with_(question_100="computed"),
        {},
    ),
    "get_or_compute, semantic": (
        lambda cache, clock: cache.get_or_compute("question @100", slowly, single_flight="semantic"),
        KNOWN,
        with_(question_100="computed"),
        {},
    ),
}


async def prepared(before, options, store=None):
    clock = FakeClock()
    if options.get("index_backend") == "own":
        options = {**options, "index_backend": ExactIndex()}
    cache = AsyncSemanticCache(store=store or MemoryStore(), embedder=Compass(), guards=(), clock=clock, **options)
    for query, answer in before.items():
        assert await cache.put(query, answer, ttl=5 if query.startswith("mortal") else None)
        clock.advance(1)
    return cache, clock


@pytest.mark.parametrize("insistent", [False, True], ids=["once", "again and again"])
@pytest.mark.parametrize("name", FLOWS)
async def test_a_flow_may_be_cancelled_wherever_it_waits(name, insistent):
    act, before, after, options = FLOWS[name]
    for number in itertools.count():
        cache, clock = await prepared(before, options)
        in_time, task = await cancel_after(number, act(cache, clock), insistent=insistent)
        if not in_time:
            assert number > 2
            assert task.exception() is None
            await assert_usable(cache, [after])
            await cache.close()
            break
        assert task.cancelled()
        await assert_usable(cache, [before, after])
        await cache.close()


@pytest.mark.parametrize("single_flight", ["exact", "semantic"])
async def test_a_cancelled_leader_leaves_the_computing_to_whoever_waits(single_flight):
    for number in itertools.count():
        cache, _ = await prepared(KNOWN, {})
        computed = []

        async def compute(query, computed=computed):
            computed.append(query)
            await turns(3)
            return f"computed {len(computed)}"

        leader = asyncio.ensure_future(cache.get_or_compute("question @100", compute, single_flight=single_flight))
        await turns(1)
        queries = ["question @100", "question @100"]
        if single_flight == "semantic":
            queries.append("paraphrase @100.5")
        waiters = [cache.get_or_compute(query, compute, single_flight=single_flight) for query in queries]
        together = asyncio.gather(*waiters)
        in_time, task = await cancel_after(number, leader)
        values = await within_patience(together)
        assert len(set(values)) == 1
        if in_time:
            assert task.cancelled()
            assert 1 <= len(computed) <= 2
        else:
            assert task.result() == "computed 1"
            assert values[0] == "computed 1"
            assert len(computed) == 1
        await assert_usable(cache, [with_(question_100=values[0]), {**KNOWN, "paraphrase @100.5": values[0]}])
        await cache.close()
        if not in_time:
            break


async def test_a_cancelled_waiter_disturbs_nobody():
    for number in itertools.count():
        cache, _ = await prepared(KNOWN, {})
        computed = []

        async def compute(query, computed=computed):
            computed.append(query)
            await turns(6)
            return "computed"

        leader = asyncio.ensure_future(cache.get_or_compute("question @100", compute))
        await turns(1)
        other = asyncio.ensure_future(cache.get_or_compute("question @100", compute))
        in_time, task = await cancel_after(number, cache.get_or_compute("question @100", compute))
        assert await within_patience(asyncio.gather(leader, other)) == ["computed", "computed"]
        assert computed == ["question @100"]
        assert task.cancelled() == in_time
        await assert_usable(cache, [with_(question_100="computed")])
        await cache.close()
        if not in_time:
            break


async def test_a_writer_that_waits_for_its_turn_may_be_cancelled():
    for number in range(20):
        cache, _ = await prepared(KNOWN, {})
        first = asyncio.ensure_future(cache.put("question @100", "new"))
        _, task = await cancel_after(number, cache.put("question @120", "never or whole"))
        assert await within_patience(first)
        whole = with_(question_100="new", question_120="never or whole")
        await assert_usable(cache, [whole] if not task.cancelled() else [whole, with_(question_100="new")])
        await cache.close()


async def test_opening_may_be_cancelled_and_the_cache_is_open_or_can_be_opened(cache_path):
    cache, _ = await prepared(KNOWN, {}, SQLiteStore(cache_path))
    await cache.close()
    for number in itertools.count():
        cache = AsyncSemanticCache(cache_path, Compass(), guards=())
        in_time, task = await cancel_after(number, cache.list_namespaces())
        assert await others() == []
        await assert_usable(cache, [KNOWN])
        await cache.close()
        assert mneme_threads() == []
        if not in_time:
            assert task.result() == ["default"]
            break


async def test_entering_may_be_cancelled_and_nothing_stays_open(cache_path):
    cache, _ = await prepared(KNOWN, {}, SQLiteStore(cache_path))
    await cache.close()
    for number in itertools.count():
        cache = AsyncSemanticCache(cache_path, Compass(), guards=())
        in_time, _ = await cancel_after(number, cache.__aenter__())
        assert await others() == []
        if not in_time:
            await cache.close()
            break
        # The files of a cache that is still open would be found by the check that ends every test.
        if number:
            with pytest.raises(CacheClosedError):
                await cache.get("question @0")
    async with AsyncSemanticCache(cache_path, Compass(), guards=()) as cache:
        await assert_usable(cache, [KNOWN])


async def test_closing_may_be_cancelled_and_is_done_all_the_same(cache_path):
    for number in itertools.count():
        cache, _ = await prepared(KNOWN, {}, SQLiteStore(cache_path))
        busy = asyncio.ensure_future(cache.put("question @100", "new"))
        await turns(4)
        in_time, _ = await cancel_after(number, cache.close())
        await asyncio.wait([busy], timeout=PATIENCE)
        assert await others() == []
        if number:  # a task that was cancelled before it began did nothing
            assert cache._core.released
        await cache.close()
        assert busy.exception() is None or isinstance(busy.exception(), CacheClosedError)
        if not in_time:
            break


@pytest.mark.parametrize("verb", ["write", "delete"])
async def test_with_real_threads_a_write_that_was_begun_is_finished(verb, with_threads):
    gate = threading.Event()
    slow = SlowStore(MemoryStore(), gate, verbs={verb})
    gate.set()
    cache, _ = await prepared(KNOWN, {}, slow)
    gate.clear()
    begun = cache.put("question @100", "new") if verb == "write" else cache.delete("question @20")
    calls = len(KNOWN) if verb == "write" else 0
    task = asyncio.ensure_future(begun)
    await asyncio.to_thread(slow.wait_for_calls, calls + 1)
    task.cancel()
    waiting = asyncio.ensure_future(cache.put("question @120", "next"))
    await turns(20)
    assert not task.done()
    gate.set()
    assert await within_patience(waiting)
    assert task.cancelled() or (await asyncio.wait([task], timeout=PATIENCE) and task.cancelled())
    after = with_(question_100="new") if verb == "write" else without("question @20")
    await assert_usable(cache, [{**after, "question @120": "next"}])
    await cache.close()
    assert mneme_threads() == []


@pytest.fixture
def with_threads():
    """Asked for by tests that are about worker threads."""
