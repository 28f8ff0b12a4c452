"""`reembed` and `areembed` from one store to another."""

import asyncio
import dataclasses

import pytest
from hypothesis import given, settings, strategies as st

from mneme import (
    EmbedderMismatchError,
    InputTooLongError,
    MemoryStore,
    ReembeddingError,
    SemanticCache,
    SQLiteStore,
    StoreBackendError,
)
from mneme.ports import Counters, Selection, Usage
from mneme.testing import AsyncTwin, FailingEmbedder, FakeClock, Faults, FlakyStore, HashEmbedder
from mneme.tools.migrate import areembed, reembed

OLD, NEW = HashEmbedder(32), HashEmbedder(48)


class Picky(HashEmbedder):
    """Takes no more than twenty characters."""

    def embed(self, text):
        if len(text) > 20:
            raise InputTooLongError(text)
        return super().embed(text)

    def embed_many(self, texts):
        if max(map(len, texts)) > 20:
            raise InputTooLongError("one of them")
        return super().embed_many(texts)


class StopAfter:
    """A progress callback that ends the run after some steps."""

    def __init__(self, steps):
        self.steps = steps

    def __call__(self, _):
        self.steps -= 1
        if self.steps < 0:
            raise StoppedError


class StoppedError(Exception):
    pass


@pytest.fixture
def source(tmp_path, clock):
    """A file with entries of every kind, that were used."""
    path = tmp_path / "old.db"
    with SemanticCache(path, OLD, clock=clock) as cache:
        for n in range(40):
            cache.put(f"question number {n}", f"answer {n}", tags=[f"t{n % 3}"], metadata={"n": n})
            clock.advance(1)
        cache.put("an order", {"state": 1}, namespace="shop", scope={"size": "s"}, ttl="1h")
        cache.put("bytes", b"\x00\xff")
        cache.get_or_compute("computed", lambda _: clock.advance(2) or "slowly")
        cache.put("short-lived", "gone soon", ttl=5)
        cache.get("question number 3")
        cache.get("QUESTION number 4?", similarity_threshold=0.5)
        cache.get("nothing like it", namespace="empty")
        clock.advance(10)
    return path


def contents(place, *, dead=0.0):
    """All that a store holds but ids, sequence numbers and vectors; and the counters."""
    store = place if not isinstance(place, (str, type(None))) and hasattr(place, "scan") else SQLiteStore(place)
    store.open(None, None)
    try:
        records = [r for r in store.scan(Selection(), limit=10**6) if r.namespace != "mneme:reembedding"]
        rows = {r.key: r._replace(id=0, seq=0) for r in records if r.removable_at is None or r.removable_at > dead}
        counters = {part.namespace: part.counters for part in store.summary() if part.counters != Counters()}
        assert store.check() == []
        return rows, counters
    finally:
        if store is not place:
            store.close()


def vectors_of(place):
    store = SQLiteStore(place)
    store.open(None, None)
    found = {r.key: None if r.vector is None else r.vector.tobytes() for r in store.scan(Selection(), vectors=True)}
    store.close()
    return found


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_everything_but_the_vectors_is_kept_and_the_source_is_not_touched(source, tmp_path, clock):
    target = tmp_path / "new.db"
    before, vectors = contents(source), vectors_of(source)
    report = reembed(source, target, NEW, clock=clock)
    assert (contents(source), vectors_of(source)) == (before, vectors)
    assert contents(target) == contents(source, dead=clock.now())
    assert dataclasses.astuple(report)[:4] == (43, 43, 0, 1)
    with SemanticCache(target, NEW, clock=clock) as cache:
        assert cache.check() == []
        assert cache.get("bytes").response == b"\x00\xff"
        assert cache.get("Question number 17?", similarity_threshold=0.8).response == "answer 17"
        [entry] = cache.entries(namespace="shop")
        assert entry.scope == {"size": "s"}
        assert cache.invalidate(tags=["t1"]) == 13
        assert cache.stats("empty").misses == 1


def test_the_target_belongs_to_the_new_embedder(source, tmp_path):
    target = tmp_path / "new.db"
    reembed(source, target, NEW)
    with pytest.raises(EmbedderMismatchError):
        SemanticCache(target, OLD)


def test_a_text_too_long_for_the_embedder_stays_on_the_exact_layer(tmp_path):
    source, target = tmp_path / "old.db", tmp_path / "new.db"
    with SemanticCache(source, OLD) as cache:
        cache.put_many([("short", 1), ("a question of more than twenty characters", 2), ("brief", 3)])
    report = reembed(source, target, Picky(16))
    assert (report.entries, report.embedded, report.too_long) == (3, 2, 1)
    with SemanticCache(target, Picky(16)) as cache:
        assert cache.get("A question of more than twenty characters").layer == "exact"
        assert cache.get("short?", similarity_threshold=0.5).layer == "semantic"
        assert cache.check() == []


texts = st.text("abc xyz", min_size=1, max_size=8).filter(str.strip)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(texts, st.integers(), st.sampled_from(["default", "n"]), st.sampled_from([None, "s"]), st.booleans())
    ),
    st.integers(1, 5),
)
def test_the_result_equals_a_cache_filled_anew_with_the_new_embedder(steps, batch_size):
    """Property: whatever was put, replaced and deleted."""

    def filled(embedder):
        store = MemoryStore()
        cache = SemanticCache(store=store, embedder=embedder, clock=FakeClock(5.0))
        for query, response, namespace, scope, deleted in steps:
            cache.put(query, response, namespace=namespace, scope=scope)
            if deleted:
                cache.delete(query, namespace=namespace, scope=scope)
        return cache, store

    old, source = filled(OLD)
    anew, expected = filled(NEW)
    target = MemoryStore()
    reembed(source, target, NEW, batch_size=batch_size, clock=FakeClock(9.0))

    def held(store):
        return {
            r.key: (r._replace(id=0, seq=0, vector=None), r.vector.tobytes())
            for r in store.scan(Selection(), vectors=True)
            if r.vector is not None
        }

    assert held(target) == held(expected)
    for cache in (old, anew):
        cache.close()
    target.close()


# --- resuming --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 1, 3, 6, 10, 11])
def test_a_run_that_ended_early_goes_on_where_it_was(source, tmp_path, clock, steps):
    target, embedder = tmp_path / "new.db", HashEmbedder(48)
    with pytest.raises(StoppedError):
        reembed(source, target, embedder, batch_size=4, progress=StopAfter(steps), clock=clock)
    reembed(source, target, embedder, batch_size=4, clock=clock)
    assert len(embedder.texts) == len(set(embedder.texts)) == 43
    assert contents(target) == contents(source, dead=clock.now())


def test_what_was_written_between_two_runs_is_brought_over(source, tmp_path, clock):
    target = tmp_path / "new.db"
    with pytest.raises(StoppedError):
        reembed(source, target, NEW, batch_size=4, progress=StopAfter(5), clock=clock)
    with SemanticCache(source, OLD, clock=clock) as cache:
        cache.put("question number 1", "another answer")  # copied already
        cache.put("question number 30", "a later answer")  # not copied yet
        cache.put("a new question", "new")
        cache.delete("question number 2")
        cache.get("question number 5")
    reembed(source, target, NEW, batch_size=4, clock=clock)
    assert contents(target) == contents(source, dead=clock.now())


def test_a_finished_target_is_brought_up_to_date_as_long_as_nobody_wrote_to_it(source, tmp_path, clock):
    target = tmp_path / "new.db"
    reembed(source, target, NEW, clock=clock)
    with SemanticCache(source, OLD, clock=clock) as cache:
        cache.put("written later", "w")
        cache.delete("question number 2")
    with SemanticCache(target, NEW, clock=clock) as cache:
        assert cache.get("question number 3").response == "answer 3"
        assert cache.list_namespaces() == ["default", "shop"]
    report = reembed(source, target, NEW, clock=clock)
    assert (report.entries, report.embedded) == (43, 1)
    assert contents(target)[0].keys() == contents(source, dead=clock.now())[0].keys()
    with SemanticCache(target, NEW, clock=clock) as cache:
        cache.put("its own", 1)
    with pytest.raises(ReembeddingError, match="written to since"):
        reembed(source, target, NEW, clock=clock)


def test_rejected_pairs_are_kept_and_get_no_vector(tmp_path):
    with SemanticCache(tmp_path / "old.db", OLD, similarity_threshold=0.5) as cache:
        cache.put("a question", 1)
        cache.reject(cache.get("a question!"))
    assert reembed(tmp_path / "old.db", tmp_path / "new.db", NEW).entries == 1
    with SemanticCache(tmp_path / "new.db", NEW, similarity_threshold=0.5) as cache:
        assert cache.get("a question!") is None
        assert cache.get("a question?").response == 1
        assert cache.check() == []


def test_deletions_that_the_source_has_forgotten_are_found_by_comparing(source, tmp_path, clock, monkeypatch):
    target, embedder = tmp_path / "new.db", HashEmbedder(48)
    with pytest.raises(StoppedError):
        reembed(source, target, embedder, batch_size=4, progress=StopAfter(5), clock=clock)
    with SemanticCache(source, OLD, clock=clock) as cache:
        cache.delete("question number 2")
        cache.put("question number 1", "another answer")
    changes, forgotten = SQLiteStore.changes, [None]
    monkeypatch.setattr(SQLiteStore, "changes", lambda *a, **k: forgotten.pop() if forgotten else changes(*a, **k))
    reembed(source, target, embedder, batch_size=4, clock=clock)
    assert contents(target) == contents(source, dead=clock.now())
    assert len(embedder.texts) == len(set(embedder.texts))  # the vector of an equal query is used again


@pytest.mark.parametrize("make", [MemoryStore, SQLiteStore])
def test_what_the_source_was_told_to_forget_leaves_the_target_as_well(tmp_path, make):
    source = make() if make is MemoryStore else make(tmp_path / "source.db")
    target = make() if make is MemoryStore else make(tmp_path / "target.db")
    with SemanticCache(store=source, embedder=OLD) as cache:
        cache.put("a secret", "one", namespace="forgotten")
        cache.put("a question", "two", namespace="kept")
        reembed(source, target, NEW)
        assert len(target.scan(Selection(namespace="forgotten"))) == 1
        cache.forget(namespace="forgotten")
        cache.put("another question", "three", namespace="kept")
        reembed(source, target, NEW)
    target.open(NEW.fingerprint, NEW.dim)
    assert target.scan(Selection(namespace="forgotten")) == []
    assert len(target.scan(Selection(namespace="kept"))) == 2
    target.close()


def test_counters_are_carried_once_however_often_a_run_begins(source, tmp_path, clock):
    target = tmp_path / "new.db"
    store = SQLiteStore(target)
    faults = Faults(lambda _, name: name == "store.write" and faults.calls.count(name) == 4)
    with pytest.raises(StoreBackendError):
        reembed(source, FlakyStore(store, faults), NEW, clock=clock)  # everything is done but to say so
    assert len(store.scan(Selection())) == 44  # one of them says how far it is
    reembed(source, store, NEW, clock=clock)
    reembed(source, store, NEW, clock=clock)
    store.close()
    assert contents(target) == contents(source, dead=clock.now())


# --- while the source is written to ----------------------------------------------------------------------------------


def test_what_happens_to_the_source_meanwhile_is_followed(source, tmp_path, clock):
    target = tmp_path / "new.db"
    with SemanticCache(source, OLD, clock=clock) as cache:

        def meddle(progress):
            if progress.done > 20 and not cache.get("written meanwhile"):
                cache.put("written meanwhile", "w")
                cache.put("question number 0", "replaced meanwhile")
                cache.delete("question number 1")
                cache.invalidate(tags=["t2"])

        reembed(source, target, NEW, batch_size=4, progress=meddle, clock=clock)
    with SemanticCache(target, NEW, clock=clock) as cache:
        assert cache.get("question number 0").response == "replaced meanwhile"
        assert cache.get("question number 1") is None
        assert cache.get("written meanwhile?", similarity_threshold=0.8).layer == "semantic"
    rows, _ = contents(source, dead=clock.now())
    assert contents(target)[0].keys() == rows.keys()


# --- trouble ---------------------------------------------------------------------------------------------------------


def test_an_embedder_that_fails_now_and_then_is_asked_again(source, tmp_path, clock):
    flaky = FailingEmbedder(NEW, lambda number: number % 3 != 0)
    report = reembed(source, tmp_path / "new.db", flaky, batch_size=8, retries=2, retry_seconds=0, clock=clock)
    assert report.embedded == 43


def test_an_embedder_that_fails_for_good_ends_the_run_with_a_way_to_go_on(source, tmp_path, clock):
    target = tmp_path / "new.db"
    broken = FailingEmbedder(NEW, lambda number: number > 3)
    with pytest.raises(ReembeddingError, match=r"failed 3 times .* 24 of 44 entries are done .* again") as caught:
        reembed(source, target, broken, batch_size=8, retries=2, retry_seconds=0, clock=clock)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert reembed(source, target, NEW, clock=clock).embedded == 43 - 24


def test_a_target_that_holds_something_else_is_refused_and_left_alone(source, tmp_path):
    target = tmp_path / "other.db"
    with SemanticCache(target, NEW) as cache:
        cache.put("q", "r")
    before = contents(target)
    with pytest.raises(ReembeddingError, match="not the target of an earlier run"):
        reembed(source, target, NEW)
    assert contents(target) == before


def test_a_target_that_was_begun_for_another_source_is_refused(source, tmp_path):
    target, other = tmp_path / "new.db", tmp_path / "other.db"
    with pytest.raises(StoppedError):
        reembed(source, target, NEW, batch_size=4, progress=StopAfter(5))
    with SemanticCache(other, OLD) as cache:
        cache.put("q", "r")
    with pytest.raises(ReembeddingError, match="of another source"):
        reembed(other, target, NEW)
    with pytest.raises(EmbedderMismatchError):
        reembed(source, target, HashEmbedder(16))


def test_stores_that_say_nothing_of_themselves_are_told_apart_by_what_they_hold():
    first, second, target = MemoryStore(), MemoryStore(), MemoryStore()
    caches = [SemanticCache(store=store, embedder=OLD) for store in (first, second)]
    caches[0].put_many([(f"one {n}", n) for n in range(9)])
    caches[1].put("two", 2)
    with pytest.raises(StoppedError):
        reembed(first, target, NEW, batch_size=4, progress=StopAfter(2))
    with pytest.raises(ReembeddingError, match="it is another one, or was emptied since; choose an empty target"):
        reembed(second, target, NEW)
    assert reembed(first, target, NEW).entries == 9
    for cache in caches:
        cache.close()


def test_a_source_without_an_embedder_gets_vectors(tmp_path):
    with SemanticCache(tmp_path / "old.db") as cache:
        cache.put("a question", 1)
    reembed(tmp_path / "old.db", tmp_path / "new.db", NEW)
    with SemanticCache(tmp_path / "new.db", NEW) as cache:
        assert cache.get("a question?", similarity_threshold=0.5).layer == "semantic"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"source": "missing.db"}, ValueError, "no cache file"),
        ({"source": 1}, TypeError, "source must be a path or a store"),
        ({"target": SQLiteStore}, TypeError, "target must be a path or a store"),
        ({"embedder": None}, TypeError, "embedder"),
        ({"embedder": "model"}, TypeError, "embedder must have"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"retries": -1}, ValueError, "retries"),
        ({"retry_seconds": -1}, ValueError, "retry_seconds"),
        ({"progress": True}, TypeError, "progress"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_made(source, monkeypatch, arguments, error, message):
    monkeypatch.chdir(source.parent)
    before = sorted(path.name for path in source.parent.iterdir())
    with pytest.raises(error, match=message):
        reembed(**({"source": "old.db", "target": "new.db", "embedder": NEW} | arguments))
    assert sorted(path.name for path in source.parent.iterdir()) == before


# --- progress, and the other face ------------------------------------------------------------------------------------


def test_progress_says_how_far_it_is_and_how_long_the_rest_takes(source, tmp_path, clock):
    seen = []

    class Slow(HashEmbedder):
        def embed_many(self, given):
            clock.advance(2)
            return super().embed_many(given)

    reembed(source, tmp_path / "new.db", Slow(16), batch_size=11, progress=seen.append, clock=clock)
    assert [(one.done, one.total) for one in seen if one.done] == [(11, 44), (22, 44), (33, 44), (44, 44)]
    assert [one.seconds_left for one in seen if one.done] == [6, 4, 2, 0]


async def test_batches_are_embedded_at_the_same_time_within_bounds(source, tmp_path, clock):
    together, most = 0, 0

    async def gate():
        nonlocal together, most
        together += 1
        most = max(most, together)
        for _ in range(3):
            await asyncio.sleep(0)
        together -= 1

    embedder = AsyncTwin(HashEmbedder(48), gate=gate)
    target = tmp_path / "new.db"
    report = await areembed(source, target, embedder, batch_size=4, concurrency=3, clock=clock)
    assert (report.embedded, most) == (43, 3)
    assert contents(target) == contents(source, dead=clock.now())


async def test_the_first_batch_that_fails_ends_the_others(source, tmp_path, clock):
    embedder = AsyncTwin(FailingEmbedder(HashEmbedder(48), {2, 5}))
    target = tmp_path / "new.db"
    with pytest.raises(ReembeddingError):
        await areembed(source, target, embedder, batch_size=4, retries=0, clock=clock)
    report = await areembed(source, target, HashEmbedder(48), clock=clock)
    assert (report.entries, report.embedded) == (43, 43)


def test_usage_of_the_source_that_is_recorded_meanwhile_is_kept(tmp_path, clock):
    first, target = MemoryStore(), MemoryStore()
    cache = SemanticCache(store=first, embedder=OLD, clock=clock)
    cache.put_many([(f"q {n}", n) for n in range(9)])

    def use(progress):
        if progress.done == 8:
            [record] = first.scan(Selection(), limit=1)
            first.record(Usage({record.id: clock.now() + 7}, {"n": Counters(misses=1, seconds_saved=0.5)}))

    reembed(first, target, NEW, batch_size=4, progress=use, clock=clock)
    assert contents(target) == contents(first)
    cache.close()
