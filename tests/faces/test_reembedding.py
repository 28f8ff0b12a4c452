"""`cache.reembed`: another embedder in place, while both faces of the cache go on answering."""

import asyncio
import io
import threading

import pytest

from mneme import (
    AsyncSemanticCache,
    EmbedderMismatchError,
    InputTooLongError,
    MemoryStore,
    ReembeddingError,
    SemanticCache,
    SQLiteStore,
    StoreBackendError,
)
from mneme.testing import AsyncTwin, FailingEmbedder, HashEmbedder, SlowEmbedder
from mneme.tools.migrate import areembed, reembed


class Turned(HashEmbedder):
    """Another model of the same dimension: none of its vectors is like one of `HashEmbedder`."""

    def __init__(self, dim=64):
        super().__init__(dim)
        self.fingerprint = f"turned;dim={dim}"

    def _vector(self, text):
        return -super()._vector(text)[::-1].copy()


class Short(Turned):
    """Takes no more than forty characters."""

    def embed_many(self, texts):
        if max(map(len, texts)) > 40:
            raise InputTooLongError("one of them")
        return super().embed_many(texts)

    def embed(self, text):
        if len(text) > 40:
            raise InputTooLongError(text)
        return super().embed(text)


LONG = "a question that is so long that the new model cannot take it in"
NEW = [Turned(), HashEmbedder(48)]


@pytest.fixture(params=["file", "memory"])
def store(request, cache_path):
    return SQLiteStore(cache_path) if request.param == "file" else MemoryStore()


def fill(cache, count=30):
    cache.put_many([(f"question number {n}", f"answer {n}") for n in range(count)])


def finds(cache, n, query="question number {}?"):
    """What the semantic layer answers."""
    hit = cache.get(query.format(n), similarity_threshold=0.9)
    assert hit is None or hit.layer == "semantic"
    return hit and hit.response


# --- what it does ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("new", NEW, ids=["same dim", "other dim"])
@pytest.mark.parametrize("index", ["numpy", "hnsw"])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_cache_changes_over_to_another_embedder_in_place(store, new, index, dtype):
    with SemanticCache(store=store, embedder=HashEmbedder(), index_backend=index, vector_dtype=dtype) as cache:
        fill(cache)
        report = cache.reembed(new, batch_size=7)
        assert (report.entries, report.embedded, report.too_long) == (30, 30, 0)
        assert [finds(cache, n) for n in range(30)] == [f"answer {n}" for n in range(30)]
        cache.put("something new", "new")
        assert finds(cache, 0, "something new?") == "new"
        assert cache.stats().embedder_fingerprint == new.fingerprint
        assert cache.health().healthy
        assert cache.health().embedder_fingerprint_match
        assert cache.check() == []


def test_the_file_belongs_to_the_new_embedder(cache_path):
    with SemanticCache(cache_path, HashEmbedder()) as cache:
        fill(cache)
        cache.reembed(Turned())
    with pytest.raises(EmbedderMismatchError):
        SemanticCache(cache_path, HashEmbedder())
    with SemanticCache(cache_path, Turned()) as cache:
        assert finds(cache, 3) == "answer 3"
        assert cache.check() == []


async def test_the_async_face_does_the_same(cache_path):
    async with AsyncSemanticCache(cache_path, HashEmbedder()) as cache:
        await cache.put_many([(f"question number {n}", f"answer {n}") for n in range(30)])
        report = await cache.reembed(Turned(), batch_size=4, concurrency=3)
        assert report.embedded == 30
        hit = await cache.get("question number 7?", similarity_threshold=0.9)
        assert (hit.response, hit.layer) == ("answer 7", "semantic")
        assert await cache.check() == []


def test_batches_are_embedded_by_several_threads_when_asked_to(cache_path):
    gate, new = threading.Barrier(3), Turned()
    with SemanticCache(cache_path, HashEmbedder()) as cache:
        fill(cache, 12)
        cache.reembed(SlowEmbedder(new, lambda: gate.wait(30)), batch_size=2, concurrency=3)
    assert len(new.texts) == 12


def test_a_query_too_long_for_the_new_embedder_stays_on_the_exact_layer(store):
    with SemanticCache(store=store, embedder=HashEmbedder()) as cache:
        fill(cache, 3)
        cache.put(LONG, "long")
        assert cache.reembed(Short()).too_long == 1
        assert cache.get(LONG).layer == "exact"
        assert cache.check() == []


def test_the_threshold_may_change_with_the_embedder(store):
    with SemanticCache(store=store, embedder=HashEmbedder()) as cache:
        fill(cache, 1)
        cache.reembed(Turned(), similarity_threshold=0.97)
        assert cache.similarity_threshold == 0.97


def test_a_cache_without_an_embedder_gets_one(store):
    with SemanticCache(store=store) as cache:
        fill(cache, 3)
        cache.reembed(Turned())
        assert finds(cache, 2) == "answer 2"


def test_the_same_embedder_is_nothing_to_do(store):
    embedder = HashEmbedder()
    with SemanticCache(store=store, embedder=embedder) as cache:
        fill(cache, 3)
        calls = embedder.calls
        assert cache.reembed(embedder).embedded == 0
        assert embedder.calls == calls


def test_an_index_of_the_callers_own_is_filled_again(cache_path):
    from mneme.indexes import ExactIndex

    with SemanticCache(cache_path, HashEmbedder(), index_backend=ExactIndex()) as cache:
        fill(cache)
        cache.reembed(HashEmbedder(48))
        assert finds(cache, 3) == "answer 3"
        assert cache.check() == []


def test_a_saved_index_of_the_old_vectors_is_not_opened(cache_path):
    with SemanticCache(cache_path, HashEmbedder(8)) as cache:
        fill(cache, 5000)
    assert cache_path.with_name("cache.db-index").exists()
    reembed(cache_path, cache_path, Turned(8), batch_size=1000)
    with SemanticCache(cache_path, Turned(8)) as cache:
        assert cache.get("question number 4711?", similarity_threshold=0.95).response == "answer 4711"
        assert cache.check() == []


# --- while it goes on ------------------------------------------------------------------------------------------------


def test_old_vectors_serve_until_the_change(store):
    with SemanticCache(store=store, embedder=HashEmbedder()) as cache:
        fill(cache)
        seen = []

        def progress(now):
            seen.append((finds(cache, 3), cache.stats().embedder_fingerprint))

        cache.reembed(Turned(), batch_size=5, progress=progress)
    assert len(seen) >= 6
    assert set(seen) == {("answer 3", HashEmbedder().fingerprint)}


def test_what_is_written_meanwhile_has_a_new_vector_after_the_change(store):
    with SemanticCache(store=store, embedder=HashEmbedder()) as cache:
        fill(cache)

        def meddle(now):
            cache.put(f"written at {now.done}", now.done)
            cache.put("question number 1", f"replaced at {now.done}")
            cache.delete(f"question number {now.done}")
            assert finds(cache, 0, f"written at {now.done}!") == now.done

        # Every step writes: the last steps find only what the step before wrote, and then nothing is lacking.
        report = cache.reembed(Turned(), batch_size=5, progress=lambda now: meddle(now) if now.done < 30 else None)
        assert finds(cache, 1).startswith("replaced at ")
        assert finds(cache, 10) is None
        assert finds(cache, 0, "written at 20!") == 20
        assert report.entries == cache.stats().entries
        assert cache.check() == []


def test_what_is_written_when_nothing_seemed_to_lack_a_vector_is_found_by_meaning():
    class Late(MemoryStore):
        def unstaged(self, *, limit=1000):
            lacking = super().unstaged(limit=limit)
            if not lacking and len(late) < 3:
                late.append(f"number {len(late)} of those that came late")
                cache.put(late[-1], len(late))
            return lacking

    late = []
    with SemanticCache(store=Late(), embedder=HashEmbedder()) as cache:
        fill(cache)
        cache.reembed(Turned())
        assert len(late) == 3
        assert cache.check() == []
        assert [finds(cache, 0, f"{query}!") for query in late] == [1, 2, 3]


def test_a_lookup_that_was_under_way_is_embedded_anew(store):
    started, gate = threading.Event(), threading.Event()

    class Slow(HashEmbedder):
        def embed(self, text):
            if text.endswith("slowly"):
                started.set()
                assert gate.wait(30)
            return super().embed(text)

    found = []
    with SemanticCache(store=store, embedder=Slow()) as cache:
        fill(cache)
        cache.put("said slowly!", "s")

        def ask():
            found.append(cache.get("said slowly", similarity_threshold=0.7))
            found.append(cache.explain("said slowly").reason)

        asking = threading.Thread(target=ask)
        asking.start()
        assert started.wait(30)
        new = HashEmbedder(48)
        cache.reembed(new)
        gate.set()
        asking.join()
    assert found[0].response == "s"
    assert found[1] == "hit_semantic"
    assert "said slowly" in new.texts


def test_a_put_that_was_under_way_is_embedded_anew(store):
    started, gate = threading.Event(), threading.Event()

    class Slow(HashEmbedder):
        def embed(self, text):
            if text == "slow":
                started.set()
                assert gate.wait(30)
            return super().embed(text)

    with SemanticCache(store=store, embedder=Slow()) as cache:
        fill(cache)
        putting = threading.Thread(target=cache.put, args=("slow", "s"))
        putting.start()
        assert started.wait(30)
        cache.reembed(Turned())
        gate.set()
        putting.join()
        assert finds(cache, 0, "slow!") == "s" or cache.get("slow!", similarity_threshold=0.5).response == "s"
        assert cache.check() == []


def test_a_value_that_was_being_computed_is_stored_with_a_new_vector(store):
    with SemanticCache(store=store, embedder=HashEmbedder()) as cache:
        fill(cache)
        cache.get_or_compute("what takes long to compute", lambda _: cache.reembed(Turned()) and "computed")
        assert finds(cache, 0, "what takes long to compute?") == "computed"
        assert cache.check() == []


@pytest.mark.parametrize("new", NEW, ids=["same dim", "other dim"])
def test_readers_and_writers_never_see_a_mixture(store, new):
    """Threads ask and write all the time, while the cache changes over and back."""
    wrong, stop = [], threading.Event()
    with SemanticCache(store=store, embedder=HashEmbedder(), vector_dtype="int8", hot_bytes=0) as cache:
        fill(cache)

        def ask(start):
            n = start
            while not stop.is_set():
                n = (n + 7) % 30
                try:
                    if (got := finds(cache, n)) != f"answer {n}":
                        wrong.append((n, got))
                    if n % 5 == 0:
                        cache.put(f"thread {start} wrote {n}", n)
                except Exception as error:  # noqa: BLE001 -- whatever it is, the test shall hear of it
                    wrong.append(error)
                    return

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            cache.reembed(new, batch_size=10)
            cache.reembed(HashEmbedder(), batch_size=10)
        stop.set()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert cache.check() == []


def test_an_archive_that_was_being_written_holds_vectors_of_one_embedder(cache_path):
    stream, done = io.BytesIO(), []
    with SemanticCache(cache_path, HashEmbedder()) as cache:
        fill(cache, 1000)

        def progress(*_):
            if not done:
                done.append(cache.reembed(Turned(), batch_size=500))

        cache.dumps(stream, progress=progress)
    store = MemoryStore()
    with SemanticCache.loads(io.BytesIO(stream.getvalue()), store=store, embedder=Turned()) as loaded:
        assert [finds(loaded, n) for n in (0, 500, 999)] == ["answer 0", "answer 500", "answer 999"]


# --- others on the same file -----------------------------------------------------------------------------------------


def test_other_caches_on_the_file_raise_when_they_next_ask_it(cache_path, clock):
    with (
        SemanticCache(cache_path, HashEmbedder(), clock=clock) as cache,
        SemanticCache(cache_path, HashEmbedder(), clock=clock) as other,
    ):
        fill(cache)
        clock.advance(1)
        assert finds(other, 3) == "answer 3"
        cache.reembed(Turned())
        assert finds(other, 4) == "answer 4"  # by old vectors, of an old query
        with pytest.raises(EmbedderMismatchError, match="open it again"):
            other.put("written by the other", 1)
        clock.advance(1)
        for _ in range(2):
            with pytest.raises(EmbedderMismatchError, match="open it again"):
                other.get("question number 5?")
            with pytest.raises(EmbedderMismatchError, match="open it again"):
                other.get("question number 5")
        health = other.health()
        assert (health.healthy, health.embedder_fingerprint_match) == (False, False)
        assert finds(cache, 5) == "answer 5"
        assert cache.check() == []


def test_another_cache_writes_with_the_old_embedder_until_the_change(cache_path, clock):
    with (
        SemanticCache(cache_path, HashEmbedder(), clock=clock) as cache,
        SemanticCache(cache_path, HashEmbedder(), clock=clock) as other,
    ):
        fill(cache)
        written = []

        def meddle(now):
            if len(written) < 3:
                written.append(now.done)
                other.put(f"by the other {now.done}", now.done)

        cache.reembed(Turned(), batch_size=10, progress=meddle)
        assert (written, cache.stats().entries) == ([0, 10, 20], 33)
        assert finds(cache, 10, "by the other {}!") == 10
        assert cache.check() == []


def test_a_cache_without_an_embedder_goes_on_with_equal_queries(cache_path, clock):
    with SemanticCache(cache_path, HashEmbedder(), clock=clock) as cache:
        fill(cache)
        with SemanticCache(cache_path, clock=clock) as plain:
            cache.reembed(Turned())
            clock.advance(1)
            assert plain.get("question number 5").response == "answer 5"


def test_an_index_saved_by_a_cache_of_the_old_embedder_is_not_taken_for_the_new_one(cache_path):
    other = SemanticCache(cache_path, HashEmbedder(8))
    other.put_many([(f"question number {n}", f"answer {n}") for n in range(5000)])
    with SemanticCache(cache_path, HashEmbedder(8)) as cache:
        cache.reembed(Turned(8), batch_size=1000)
    other.close()  # and would save its index
    with SemanticCache(cache_path, Turned(8)) as cache:
        assert cache.get("question number 4711?", similarity_threshold=0.95).response == "answer 4711"
        assert cache.check() == []


# --- ended early -----------------------------------------------------------------------------------------------------


def test_an_embedder_that_fails_leaves_the_old_vectors_and_can_be_gone_on_with(cache_path):
    new = Turned()
    with SemanticCache(cache_path, HashEmbedder()) as cache:
        fill(cache)
        with pytest.raises(ReembeddingError, match="10 of 30 entries are done"):
            cache.reembed(FailingEmbedder(new, lambda n: n > 2), batch_size=5, retries=1, retry_seconds=0)
        assert finds(cache, 3) == "answer 3"
        assert cache.check() == []
    with SemanticCache(cache_path, HashEmbedder()) as cache:
        cache.put("question number 2", "replaced")
        assert cache.reembed(new).embedded == 21
        assert finds(cache, 2) == "replaced"
        assert cache.check() == []


def test_a_store_that_fails_right_after_the_change_is_put_right_by_the_same_call(cache_path):
    class Failing(SQLiteStore):
        fails = True

        def open(self, fingerprint, dim):
            if self.fails and fingerprint == NEW[1].fingerprint:
                self.fails = False
                raise StoreBackendError("the file is locked")
            return super().open(fingerprint, dim)

    with SemanticCache(store=Failing(cache_path), embedder=HashEmbedder()) as cache:
        fill(cache)
        with pytest.raises(StoreBackendError):
            cache.reembed(NEW[1])
        cache.reembed(NEW[1])
        cache.put("one more", "x")
        assert finds(cache, 7)
        assert cache.check() == []


def test_another_embedder_than_the_one_begun_with_begins_anew(cache_path):
    with SemanticCache(cache_path, HashEmbedder()) as cache:
        fill(cache)
        with pytest.raises(ReembeddingError):
            cache.reembed(FailingEmbedder(Turned(), {3}), batch_size=5, retries=0)
        assert cache.reembed(HashEmbedder(48)).embedded == 30
        assert finds(cache, 2) == "answer 2"


def test_two_at_once_are_refused_in_one_cache_and_work_together_on_one_file(cache_path):
    with SemanticCache(cache_path, HashEmbedder()) as cache:
        fill(cache)
        refused = []

        def again(now):
            if now.done == 10:
                with pytest.raises(ReembeddingError, match="already") as caught:
                    cache.reembed(Turned())
                refused.append(caught.value)
                reembed(cache_path, cache_path, Turned(), batch_size=3)

        with pytest.raises(ReembeddingError, match="somebody else has finished it"):
            cache.reembed(Turned(), batch_size=5, progress=again)
        assert refused
    with SemanticCache(cache_path, Turned()) as cache:
        assert finds(cache, 2) == "answer 2"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"embedder": None}, TypeError),
        ({"embedder": "model"}, TypeError),
        ({"batch_size": 0}, ValueError),
        ({"concurrency": 0}, ValueError),
        ({"similarity_threshold": 2}, ValueError),
        ({"progress": 1}, TypeError),
    ],
)
def test_a_wrong_argument_is_refused(store, arguments, error):
    with SemanticCache(store=store, embedder=HashEmbedder()) as cache:
        fill(cache, 1)
        with pytest.raises(error):
            cache.reembed(**({"embedder": Turned()} | arguments))
        assert finds(cache, 0) == "answer 0"


def test_a_store_that_cannot_is_refused_with_the_other_way():
    class Plain(MemoryStore):
        begin_reembedding = property()

    with (
        SemanticCache(store=Plain(), embedder=HashEmbedder()) as cache,
        pytest.raises(TypeError, match=r"mneme\.tools\.migrate\.reembed"),
    ):
        cache.reembed(Turned())


async def test_a_cancelled_run_leaves_the_old_vectors_and_is_gone_on_with(cache_path):
    arrived, gate = asyncio.Event(), asyncio.Event()

    async def hold():
        if awaited.arrived > 4:
            arrived.set()
            await gate.wait()

    awaited = AsyncTwin(Turned(), gate=hold)
    async with AsyncSemanticCache(cache_path, HashEmbedder(), similarity_threshold=0.9) as cache:
        await cache.put_many([(f"question number {n}", f"answer {n}") for n in range(30)])
        running = asyncio.ensure_future(cache.reembed(awaited, batch_size=4, concurrency=2))
        await arrived.wait()
        assert (await cache.get("question number 3?")).response == "answer 3"
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert (await cache.get("question number 4?")).response == "answer 4"
        gate.set()
        assert (await cache.reembed(awaited, batch_size=4, concurrency=2)).embedded == 30 - 16
        hits = await asyncio.gather(*[cache.get(f"question number {n}?") for n in range(30)])
        assert [hit.response for hit in hits] == [f"answer {n}" for n in range(30)]
        assert await cache.check() == []


async def test_tasks_that_ask_and_write_all_the_time_never_see_a_mixture(cache_path):
    wrong, over = [], asyncio.Event()

    async def ask(start):
        n = start
        while not over.is_set():
            n = (n + 7) % 30
            hit = await cache.get(f"question number {n}?")
            if hit is None or hit.response != f"answer {n}":
                wrong.append((n, hit))
            if n % 5 == 0:
                await cache.put(f"task {start} wrote {n}", n)

    async with AsyncSemanticCache(
        cache_path, HashEmbedder(), similarity_threshold=0.9, vector_dtype="int8", hot_bytes=0
    ) as cache:
        await cache.put_many([(f"question number {n}", f"answer {n}") for n in range(30)])
        asking = [asyncio.ensure_future(ask(n)) for n in range(4)]
        for embedder in (Turned(), HashEmbedder(48), HashEmbedder()):
            await cache.reembed(embedder, batch_size=10, concurrency=2)
        over.set()
        await asyncio.gather(*asking)
        assert wrong == []
        assert await cache.check() == []


# --- without a cache -------------------------------------------------------------------------------------------------


async def test_a_file_that_no_cache_has_open_changes_over_in_place(cache_path):
    with SemanticCache(cache_path, HashEmbedder()) as cache:
        fill(cache)
    assert (await areembed(cache_path, str(cache_path), Turned(), batch_size=4, concurrency=2)).embedded == 30
    assert reembed(cache_path, cache_path, Turned()).embedded == 0
    with SemanticCache(cache_path, Turned()) as cache:
        assert finds(cache, 3) == "answer 3"
        assert cache.check() == []
