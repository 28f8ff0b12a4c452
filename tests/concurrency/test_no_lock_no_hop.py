"""The embedder runs outside every lock, and an exact hit in memory waits for nothing at all."""

import asyncio
import threading

import pytest

from concurrency.crowd import PATIENCE, CountingStore, HeldEmbedder, start, until
from mneme import AsyncSemanticCache, MemoryStore, SemanticCache, SQLiteStore, StoreBackendError
from mneme.testing import AsyncTwin, HashEmbedder, SlowEmbedder

QUESTIONS = [f"question number {number}" for number in range(8)]


# --- eight at the same time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["get", "put", "lookup", "get_or_compute"])
def test_eight_threads_are_inside_the_embedder_at_the_same_time(cache_path, verb):
    """Were a lock held round the embedder, or were there fewer than eight ways in, the barrier would break."""
    together = threading.Barrier(8)
    embedder = SlowEmbedder(HashEmbedder(), lambda: together.wait(PATIENCE))
    with SemanticCache(cache_path, embedder) as cache:
        arguments = {"put": ("answer",), "get_or_compute": (str.upper,)}.get(verb, ())
        for future in [start(getattr(cache, verb), question, *arguments) for question in QUESTIONS]:
            future.result(PATIENCE)
        assert cache.stats().entries == (8 if arguments else 0)


@pytest.mark.parametrize("verb", ["get", "put", "lookup", "get_or_compute"])
async def test_eight_tasks_are_inside_a_blocking_embedder_at_the_same_time(cache_path, verb):
    together = threading.Barrier(8)
    embedder = SlowEmbedder(HashEmbedder(), lambda: together.wait(PATIENCE))
    async with AsyncSemanticCache(cache_path, embedder) as cache:
        arguments = {"put": ("answer",), "get_or_compute": (str.upper,)}.get(verb, ())
        await asyncio.gather(*(getattr(cache, verb)(question, *arguments) for question in QUESTIONS))
        assert (await cache.stats()).entries == (8 if arguments else 0)


async def test_eight_tasks_are_inside_an_awaited_embedder_at_the_same_time():
    async def wait_for_all():
        await until(lambda: embedder.arrived >= 8)

    embedder = AsyncTwin(HashEmbedder(), gate=wait_for_all)
    async with AsyncSemanticCache(":memory:", embedder) as cache:
        await asyncio.gather(*(cache.put(question, "answer") for question in QUESTIONS))
        assert (await cache.stats()).entries == 8


# --- nobody waits for an embedder but who asked it -------------------------------------------------------------------

HELD = {
    "get": ("held question",),
    "get_many": (["held question", "another"],),
    "lookup": ("held question",),
    "explain": ("held question",),
    "put": ("held question", "answer"),
    "put_many": ([("held question", "answer"), ("another", "answer")],),
    "get_or_compute": ("held question", str.upper),
}
MEANWHILE = [
    ("put", "free question", "answer"),
    ("put_many", [("free one", "1"), ("free two", "2")]),
    ("get", "free question"),
    ("get", "free question?"),
    ("get_many", ["free one", "nothing of the kind"]),
    ("lookup", "free question"),
    ("explain", "free question"),
    ("entries",),
    ("get_or_compute", "free three", str.upper),
    ("delete", "free one"),
    ("requantize", "int8"),
    ("vacuum",),
    ("compact",),
    ("stats",),
    ("health",),
    ("check",),
    ("list_namespaces",),
    ("clear_namespace", "default"),
    ("clear",),
]


@pytest.mark.parametrize("verb", HELD)
def test_threads_go_on_while_another_is_inside_the_embedder(cache_path, verb):
    embedder = HeldEmbedder()
    with SemanticCache(cache_path, embedder) as cache:
        held = start(getattr(cache, verb), *HELD[verb])
        embedder.gate.wait_for_calls(1)
        for name, *arguments in MEANWHILE:
            start(getattr(cache, name), *arguments).result(PATIENCE)
        assert not held.done()
        embedder.gate.open()
        held.result(PATIENCE)
        assert cache.check() == []


@pytest.mark.parametrize("verb", HELD)
async def test_tasks_go_on_while_another_is_inside_the_embedder(cache_path, verb):
    embedder = HeldEmbedder()
    async with AsyncSemanticCache(cache_path, embedder) as cache:
        held = asyncio.ensure_future(getattr(cache, verb)(*HELD[verb]))
        await until(lambda: embedder.gate.calls)
        for name, *arguments in MEANWHILE:
            await asyncio.wait_for(getattr(cache, name)(*arguments), PATIENCE)
        assert not held.done()
        embedder.gate.open()
        await asyncio.wait_for(held, PATIENCE)
        assert await cache.check() == []


# --- exact hits in memory --------------------------------------------------------------------------------------------


def test_an_exact_hit_in_memory_touches_neither_store_nor_embedder(cache_path):
    store, embedder = CountingStore(SQLiteStore(cache_path)), HashEmbedder()
    with SemanticCache(store=store, embedder=embedder) as cache:
        cache.put("What is the capital of France?", "Paris")
        calls, asked = list(store.calls), embedder.calls
        for _ in range(2000):  # more than the number of accesses that are written at once
            assert cache.get(" what is the CAPITAL of France? ").response == "Paris"
            assert cache.get_or_compute("What is the capital of France?", str.upper) == "Paris"
        assert (store.calls, embedder.calls) == (calls, asked)
        assert cache.stats().hits_exact == 4000


def test_an_entry_that_was_read_once_is_in_memory(cache_path, clock):
    with SemanticCache(cache_path, HashEmbedder()) as cache:
        cache.put("What is the capital of France?", ["Paris"], metadata={"by": "hand"})
    store = CountingStore(SQLiteStore(cache_path))
    with SemanticCache(store=store, embedder=HashEmbedder(), clock=clock) as cache:
        store.calls.clear()
        cold = cache.get("What is the capital of France?")
        assert store.calls == ["read"]
        assert cache.get("What is the capital of France?") == cold
        assert store.calls == ["read"]


def test_an_exact_hit_on_the_awaited_face_does_not_suspend(cache_path):
    """The coroutine is driven by hand, without an event loop: there is nothing that it could wait for."""
    cache = AsyncSemanticCache(cache_path, HashEmbedder())

    async def fill():
        await cache.put("What is the capital of France?", "Paris")

    asyncio.run(fill())
    threads = threading.active_count()
    with pytest.raises(StopIteration) as ended:
        cache.get("what is the capital of france?").send(None)
    assert ended.value.value.response == "Paris"
    with pytest.raises(StopIteration) as ended:
        cache.get_or_compute("what is the capital of france?", str.upper).send(None)
    assert ended.value.value == "Paris"
    assert threading.active_count() == threads
    asyncio.run(cache.close())


def test_an_exact_hit_is_served_while_another_thread_holds_the_store():
    """Readers of the hot layer wait for no writer, however long it takes."""
    gate = _Held(MemoryStore())
    with SemanticCache(store=gate, embedder=HashEmbedder()) as cache:
        cache.put("known", "answer")
        gate.held = True
        writing = start(cache.put, "unknown", "answer")
        gate.arrived.wait(PATIENCE)
        assert start(cache.get, "known").result(PATIENCE).response == "answer"
        gate.free.set()
        assert writing.result(PATIENCE) is True


class _Held(CountingStore):
    """Holds a write back in the middle of the writer's lock."""

    def __init__(self, inner):
        super().__init__(inner)
        self.held = False
        self.arrived, self.free = threading.Event(), threading.Event()

    def write(self, records):
        if self.held:
            self.arrived.set()
            self.free.wait(PATIENCE)
        return self.inner.write(records)


# --- hooks -----------------------------------------------------------------------------------------------------------


def test_a_hook_may_call_the_cache_at_every_event():
    """A hook called under a lock would wait for itself."""
    seen = set()

    def hook(event, fields):
        if event not in seen:
            seen.add(event)
            cache.put("from the hook", event)
            cache.get("something unheard of")
            cache.stats()
            cache.check()

    def work():
        cache.put("one", "1")
        cache.put("one", "[ERROR] nothing")
        cache.get("one")
        cache.get("one ?")
        cache.get("unheard of")
        cache.put("two", "2", ttl=0.001)
        cache.vacuum()
        for number in range(4):
            cache.put(f"number {number}", "n")
        store.fails = True
        cache.put("three", "3")

    store = _FailsToEvict(MemoryStore())
    with SemanticCache(
        store=store, embedder=HashEmbedder(), metrics_hook=hook, max_entries=3, similarity_threshold=0.5
    ) as cache:
        start(work).result(PATIENCE)
        assert {"put", "put_rejected", "hit_exact", "hit_semantic", "miss", "evict", "store_failure"} <= seen
        store.fails = False


class _FailsToEvict(CountingStore):
    fails = False

    def delete(self, selection):
        if self.fails:
            raise StoreBackendError("no space to delete in")
        return self.inner.delete(selection)
