"""An archive is the state of the store at one sequence number, whatever is written while it is made."""

import io
import json
import threading

import numpy as np
import pytest
from hypothesis import given, strategies as st

from checkpoints.archives import blocks, body, load, records
from checkpoints.conftest import STORES
from mneme import AsyncSemanticCache, CheckpointError, MemoryStore, SemanticCache, SQLiteStore
from mneme.ports import Selection
from mneme.stores import _sqlite_write, memory

DIM = 8


class History:
    """What one writer did to a store, by sequence number."""

    def __init__(self, store):
        self.store = store
        self.steps = []

    def write(self, written):
        for record, done in zip(written, self.store.write(written), strict=True):
            self.steps.append((done.seq, record.key, record.payload))
        return done.id

    def delete(self, **selection):
        removed = self.store.delete(Selection(**selection))
        self.steps += [(one.seq, one.key, None) for one in removed]
        return removed

    def at(self, seq):
        state = {key: payload for when, key, payload in sorted(self.steps) if when <= seq}
        return {key: payload for key, payload in state.items() if payload is not None}


def assert_is_a_state(archive, history, since):
    said = json.loads(body(blocks(archive)[-1]))
    assert said["seq"] >= since
    found = {record.key: record.payload for record in load(archive)}
    assert found == history.at(said["seq"])


class Interrupted(MemoryStore):
    """Lets somebody else write before every call of an export."""

    plan = None

    def _interrupted(self):
        if self.plan is not None:
            plan, self.plan = self.plan, None
            for step in next(plan, ()):
                step()
            self.plan = plan

    def open(self, fingerprint, dim):
        self._interrupted()
        return super().open(fingerprint, dim)

    def scan(self, selection, **options):
        self._interrupted()
        return super().scan(selection, **options)

    def changes(self, since, **options):
        self._interrupted()
        return super().changes(since, **options)

    def read(self, refs, **options):
        self._interrupted()
        found = super().read(refs, **options)
        self._interrupted()
        return found

    def summary(self):
        self._interrupted()
        return super().summary()


STEP = st.tuples(st.sampled_from(["write", "delete", "replace all", "clear"]), st.integers(0, 4), st.integers(1, 3))


@given(st.lists(st.lists(STEP, max_size=3), max_size=25), st.integers(0, 5), st.sampled_from([1, 2, 50]))
def test_an_archive_is_one_state_of_the_store_however_calls_interleave(plan, before, at_once):
    store = Interrupted()
    with SemanticCache(store=store) as cache:
        store.open("hash", DIM)
        cache._core.info = store.open(None, None)
        history = History(store)
        rows = records(5)
        if before:
            history.write(rows[:before])
        since = store.open(None, None).seq
        fresh = iter(range(10**6))

        def step(what, number, count):
            if what == "write":
                chosen = [rows[(number + n) % 5] for n in range(count)]
                history.write([row._replace(payload=b"%d" % next(fresh)) for row in chosen])
            elif what == "delete":
                history.delete(refs=[rows[number].key])
            elif what == "replace all":
                history.delete(refs=[rows[number].key])
                history.write([rows[number]._replace(payload=b"%d" % next(fresh))])
            else:
                history.delete(namespace=rows[number].namespace)

        limits(at_once)
        store.plan = iter([[lambda one=one: step(*one) for one in steps] for steps in plan])
        stream = io.BytesIO()
        done = cache.dumps(stream)
        store.plan = None
        assert_is_a_state(stream.getvalue(), history, since)
        assert done.entries == len(load(stream.getvalue()))


def limits(at_once):
    """Let an export ask for so few entries at a time that much happens in between."""
    from mneme._engine import dump

    dump._FIRST, dump._MOST = at_once, at_once


@pytest.fixture(autouse=True)
def usual_limits():
    from mneme._engine import dump

    before = dump._FIRST, dump._MOST
    yield
    dump._FIRST, dump._MOST = before


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", STORES)
def test_an_archive_made_under_a_writer_is_one_state_of_any_store(kind, make_store):
    store = make_store(kind)
    store.open("hash", DIM)
    history = History(store)
    rows = records(40)
    history.write(rows)
    ending, fresh = threading.Event(), iter(range(10**6))
    limits(7)
    turns = threading.Semaphore(100)  # or a store in memory would be written to faster than batches of seven can follow
    for verb in ("scan", "changes", "read"):
        setattr(store, verb, followed_by_a_turn(getattr(store, verb), turns))

    def churn():
        while turns.acquire() and not ending.is_set():
            number = next(fresh)
            history.write([rows[number % 40]._replace(payload=b"%d" % number)])
            if number % 3 == 0:
                history.delete(refs=[rows[number * 7 % 40].key])

    writer = threading.Thread(target=churn)
    archives = []
    with SemanticCache(store=store) as cache:
        since = store.open(None, None).seq
        writer.start()
        try:
            for _ in range(3):
                stream = io.BytesIO()
                cache.dumps(stream)
                archives.append(stream.getvalue())
        finally:
            ending.set()
            turns.release()
            writer.join()
    for archive in archives:
        assert_is_a_state(archive, history, since)


def test_what_is_forgotten_while_an_archive_is_made_is_not_in_it(tmp_path):
    with SemanticCache(tmp_path / "cache.db") as cache, SemanticCache(tmp_path / "cache.db") as other:
        cache.put_many([(f"secret {number}", "x") for number in range(20)], namespace="forgotten")
        cache.put("kept", "y")
        forgotten = []

        def forget(*_):
            if not forgotten:
                forgotten.append(other.forget(namespace="forgotten", timeout=0.2))

        cache.dumps(tmp_path / "archive", progress=forget)
    assert forgotten[0].entries == 20
    with SemanticCache.loads(tmp_path / "archive", ":memory:") as loaded:
        assert loaded.list_namespaces() == ["default"]


def followed_by_a_turn(verb, turns):
    def call(*arguments, **options):
        try:
            return verb(*arguments, **options)
        finally:
            turns.release()

    return call


async def test_puts_of_other_tasks_go_on_while_an_archive_is_made(tmp_path):
    import asyncio

    limits(5)
    async with AsyncSemanticCache(tmp_path / "cache.db") as cache:
        for number in range(50):
            await cache.put(f"before {number}", "x")
        ending = False

        async def churn():
            number = 0
            while not ending:
                number += 1
                await cache.put(f"during {number % 20}", str(number))
                await cache.delete(f"before {number % 25}")

        task = asyncio.create_task(churn())
        stream = io.BytesIO()
        done = await cache.dumps(stream)
        ending = True
        await task
    found = {record.query for record in load(stream.getvalue())}
    assert {f"before {number}" for number in range(25, 50)} <= found
    assert len(found) == done.entries


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_store_that_forgets_its_deletions_is_read_again(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "HISTORY", 5)
    monkeypatch.setattr(_sqlite_write, "HISTORY", 5)
    store = MemoryStore() if kind == "memory" else SQLiteStore(tmp_path / "cache.db")
    store.open("hash", DIM)
    rows = records(20)
    store.write(rows)
    times = 2
    scan = store.scan

    def forgetful(*args, **options):
        nonlocal times
        if times:
            times -= 1
            for row in rows[10:] * 2:
                store.write([row])
                store.delete(Selection(refs=[row.key]))
        return scan(*args, **options)

    monkeypatch.setattr(store, "scan", forgetful)
    stream = io.BytesIO()
    with SemanticCache(store=store) as cache:
        assert cache.dumps(stream).entries == 10
    assert {record.key for record in load(stream.getvalue())} == {row.key for row in rows[:10]}


@pytest.mark.parametrize("dim", [5, 8])
def test_vectors_of_two_embedders_never_come_into_one_archive(monkeypatch, dim):
    """As when every entry is given a vector of another embedder, in place, while an archive is made."""
    store = MemoryStore()
    store.open("old", 8)
    store.write(records(10))
    limits(3)
    scan, calls = store.scan, 0

    def switching(*args, **options):
        nonlocal calls
        calls += 1
        if calls == 2:
            store._fingerprint, store._dim = "new", dim
            for entry_id, record in store._entries.items():
                kept = None if record.vector is None else np.eye(dim, dtype=np.float32)[0]
                store._entries[entry_id] = record._replace(vector=kept)
        return scan(*args, **options)

    monkeypatch.setattr(store, "scan", switching)
    stream = io.BytesIO()
    with SemanticCache(store=store) as cache:
        assert cache.dumps(stream).entries == 10
    said = json.loads(body(blocks(stream.getvalue())[0]))
    assert (said["fingerprint"], said["dim"]) == ("new", dim)
    vectors = [record.vector.tolist() for record in load(stream.getvalue()) if record.vector is not None]
    assert vectors == [np.eye(dim)[0].tolist()] * 9


def test_an_export_that_cannot_keep_up_gives_up_and_leaves_nothing(tmp_path, monkeypatch):
    from mneme._engine import dump

    monkeypatch.setattr(dump, "_ROUNDS", 20)
    store = MemoryStore()
    store.open("hash", DIM)
    [row] = records(1)
    store.write([row])
    read = store.read

    def outrun(*args, **options):
        found = read(*args, **options)
        store.write([row])
        return read(*args, **options) if options.get("vectors") else found

    changes = store.changes

    def busy(*args, **options):
        found = changes(*args, **options)
        store.write([row])
        return found

    scan = store.scan

    def noticed(*args, **options):
        store.write([row])
        return scan(*args, **options)

    monkeypatch.setattr(store, "scan", noticed)
    monkeypatch.setattr(store, "changes", busy)
    monkeypatch.setattr(store, "read", outrun)
    with SemanticCache(store=store) as cache, pytest.raises(CheckpointError, match="changes so fast"):
        cache.dumps(tmp_path / "a.mneme")
    assert list(tmp_path.iterdir()) == []
