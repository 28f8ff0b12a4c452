"""Everything at once, from eight threads or a hundred tasks: afterwards nothing is lost, doubled or out of date."""

import asyncio
import random
import threading
import time

import pytest

from concurrency.crowd import PATIENCE, start
from mneme import AsyncSemanticCache, CacheClosedError, MemoryStore, SemanticCache, SQLiteStore
from mneme.ports import Selection
from mneme.testing import HashEmbedder

QUESTIONS = [f"question number {number} about {topic}" for number in range(10) for topic in ("rain", "cheese", "tides")]
STORES = ["memory", "sqlite"]


@pytest.fixture(params=STORES)
def store(request, cache_path):
    return MemoryStore() if request.param == "memory" else SQLiteStore(cache_path)


def operations(draw):
    """A verb and its arguments, drawn at random; writes far more often than what empties the cache."""
    question = draw.choice(QUESTIONS)
    place = {"namespace": draw.choice(["default", "b"]), "scope": draw.choice([None, "s"])}
    answer = f"{place['namespace']}|{place['scope']}|{question}"
    return draw.choices(
        [
            ("put", (question, answer), {**place, "ttl": draw.choice([None, None, 0.001, 60])}),
            ("put_many", ([(one, f"{answer[: -len(question)]}{one}") for one in draw.sample(QUESTIONS, 5)],), place),
            ("get", (question,), {**place, "similarity_threshold": 0.999}),
            ("get_many", (draw.sample(QUESTIONS, 4),), {**place, "similarity_threshold": 0.999}),
            ("lookup", (question,), place),
            ("get_or_compute", (question, lambda _: answer), {**place, "similarity_threshold": 0.999}),
            ("delete", (question,), place),
            ("invalidate", (), {**place, "tags": ("none",)}),
            ("vacuum", (), {"compact": draw.random() < 0.1}),
            ("requantize", (draw.choice(["float32", "float16", "int8"]),), {}),
            ("clear_namespace", ("b",), {}),
            ("clear", (), {}),
            ("stats", (), {}),
            ("check", (), {}),
            ("health", (), {}),
        ],
        weights=[20, 8, 40, 8, 6, 20, 8, 1, 2, 1, 1, 0.3, 2, 0.3, 1],
    )[0]


def believable(verb, arguments, options, result):
    """Whatever others do meanwhile, an answer belongs to its question, namespace and scope."""
    whose = f"{options.get('namespace')}|{options.get('scope')}|"
    if verb == "get" and result is not None:
        assert result.response == whose + arguments[0] == whose + result.query
    elif verb == "get_or_compute":
        assert result == whose + arguments[0]
    elif verb in ("get_many", "lookup"):
        assert all(hit is None or hit.response == whose + hit.query for hit in result)
    elif verb == "check":
        assert result == []


class Clock:
    """Wall time, which can be put ahead."""

    ahead = 0.0

    def now(self):
        return time.time() + self.ahead


def settled(store, stats, entries):
    """Store, counts and listing must say the same."""
    records = store.scan(Selection(), limit=10_000)
    assert [record.id for record in records] == [entry.entry_id for entry in entries]
    assert stats.entries == len(records) <= 25
    for record in records:
        assert record.payload.decode() == f"{record.namespace}|{'s' if record.scope else None}|{record.query}"
    return records


def test_eight_threads_do_everything_at_once(store):
    quotas = {"namespace_quotas": {"b": 12}, "max_entries": 25, "hot_bytes": 12_000}
    clock = Clock()
    with SemanticCache(store=store, embedder=HashEmbedder(), clock=clock, **quotas) as cache:

        def work(seed):
            draw = random.Random(seed)
            for _ in range(120):
                verb, arguments, options = operations(draw)
                believable(verb, arguments, options, getattr(cache, verb)(*arguments, **options))

        for future in [start(work, seed) for seed in range(8)]:
            future.result(PATIENCE)
        assert cache.check() == []
        clock.ahead = 1.0  # what lives for a millisecond must not expire while it is looked at
        cache.vacuum()
        for record in settled(store, cache.stats(), cache.entries(limit=1000)):
            hit = cache.get(record.query, namespace=record.namespace, scope="s" if record.scope else None)
            assert (hit.entry_id, hit.layer) == (record.id, "exact")
            nearest = cache.lookup(record.query, k=1, namespace=record.namespace, scope="s" if record.scope else None)
            assert nearest[0].entry_id == record.id
        assert cache._core.flights._flying == {}


async def test_a_hundred_tasks_do_everything_at_once(store):
    quotas = {"namespace_quotas": {"b": 12}, "max_entries": 25, "hot_bytes": 12_000}
    clock = Clock()
    async with AsyncSemanticCache(store=store, embedder=HashEmbedder(), clock=clock, **quotas) as cache:

        async def work(seed):
            draw = random.Random(seed)
            for _ in range(8):
                verb, arguments, options = operations(draw)
                believable(verb, arguments, options, await getattr(cache, verb)(*arguments, **options))

        await asyncio.wait_for(asyncio.gather(*(work(seed) for seed in range(100))), PATIENCE)
        assert await cache.check() == []
        clock.ahead = 1.0
        await cache.vacuum()
        settled(store, await cache.stats(), await cache.entries(limit=1000))
        assert cache._core.flights._flying == {}


# --- the hot layer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hot_bytes", [0, 3_000, 2**20], ids=["no hot layer", "a tiny one", "a large one"])
def test_once_a_write_is_acknowledged_nobody_sees_what_was_before_it(store, hot_bytes):
    """Versions only rise. A reader sees what was acknowledged before it asked, or something newer."""
    keys = [f"key {number}" for number in range(6)]
    acknowledged = dict.fromkeys(keys, 0)  # of the latest put or deletion
    deletion_begun = dict.fromkeys(keys, 0)
    done = threading.Event()

    def write(mine):
        draw = random.Random(mine[0])
        for version in range(1, 200):
            key = draw.choice(mine)
            if draw.random() < 0.3:
                deletion_begun[key] = version
                cache.delete(key, namespace="n")
            else:
                cache.put(key, version, namespace="n")
            acknowledged[key] = version

    def read(seed):
        draw = random.Random(seed)
        while not done.is_set():
            key = draw.choice(keys)
            least = acknowledged[key]
            hit = cache.get(key, namespace="n")
            seen = deletion_begun[key] if hit is None else hit.response
            assert seen >= least, key

    with SemanticCache(store=store, embedder=HashEmbedder(), hot_bytes=hot_bytes, similarity_threshold=1.0) as cache:
        writers = [start(write, keys[:3]), start(write, keys[3:])]
        readers = [start(read, seed) for seed in range(4)]
        for writer in writers:
            writer.result(PATIENCE)
        done.set()
        for reader in readers:
            reader.result(PATIENCE)
        for key in keys:
            hit = cache.get(key, namespace="n")
            assert (deletion_begun[key] if hit is None else hit.response) == acknowledged[key]


# --- closing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_threads_at_work_when_the_cache_closes_get_an_answer_or_are_told(store, seed):
    cache = SemanticCache(store=store, embedder=HashEmbedder(), max_entries=25, hot_bytes=8_000)
    going = threading.Barrier(9)

    def work(seed):
        draw = random.Random(seed)
        going.wait(PATIENCE)
        while True:
            verb, arguments, options = operations(draw)
            try:
                result = getattr(cache, verb)(*arguments, **options)
            except CacheClosedError:
                return
            believable(verb, arguments, options, result)

    futures = [start(work, 100 * seed + number) for number in range(8)]
    going.wait(PATIENCE)
    for _ in range(20 * seed):
        cache.stats()
    cache.close()
    for future in futures:
        future.result(PATIENCE)
    with pytest.raises(CacheClosedError):
        cache.get(QUESTIONS[0])
    cache.close()


@pytest.mark.parametrize("seed", range(4))
async def test_tasks_at_work_when_the_cache_closes_get_an_answer_or_are_told(store, seed):
    cache = AsyncSemanticCache(store=store, embedder=HashEmbedder(), max_entries=25, hot_bytes=8_000)

    async def work(seed):
        draw = random.Random(seed)
        while True:
            verb, arguments, options = operations(draw)
            try:
                result = await getattr(cache, verb)(*arguments, **options)
            except CacheClosedError:
                return
            believable(verb, arguments, options, result)

    tasks = [asyncio.ensure_future(work(100 * seed + number)) for number in range(20)]
    for _ in range(20 * seed):
        await cache.stats()
    await cache.close()
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
    with pytest.raises(CacheClosedError):
        await cache.get(QUESTIONS[0])
    await cache.close()


async def test_a_value_being_computed_when_the_cache_closes_is_returned(cache_path):
    inside, free = asyncio.Event(), asyncio.Event()

    async def compute(_):
        inside.set()
        await free.wait()
        return "computed"

    async with AsyncSemanticCache(cache_path, HashEmbedder()) as cache:
        task = asyncio.ensure_future(cache.get_or_compute("question", compute))
        await inside.wait()
    free.set()
    assert await task == "computed"


def test_a_value_being_computed_by_a_thread_when_the_cache_closes_is_returned(cache_path):
    inside, free = threading.Event(), threading.Event()

    def compute(_):
        inside.set()
        free.wait(PATIENCE)
        return "computed"

    with SemanticCache(cache_path, HashEmbedder()) as cache:
        future = start(cache.get_or_compute, "question", compute)
        inside.wait(PATIENCE)
    free.set()
    assert future.result(PATIENCE) == "computed"
