"""What is special about the SQLite store in use: interrupts, connections, other processes, and what `check` finds."""

import contextlib
import gc
import linecache
import os
import re
import sqlite3
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mneme.errors import CacheClosedError, CorruptCacheError, StoreBackendError
from mneme.ports import Counters, Selection, Usage
from mneme.stores import SQLiteStore, _sqlite_pool as pool, sqlite as module
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record, ids_of


@pytest.fixture
def store(tmp_path):
    store = SQLiteStore(tmp_path / "cache.db")
    store.open(FINGERPRINT, DIM)
    yield store
    store.close()


# --- interrupts ------------------------------------------------------------------------------------------------------

SOURCES = str(Path(module.__file__).parent)


@contextlib.contextmanager
def interrupted_at(line):
    """Raise `KeyboardInterrupt` before the so-many-th line that runs in the store's own code."""
    count = [0]

    def trace(frame, event, _):
        if not frame.f_code.co_filename.startswith(SOURCES):
            return None
        # Tracing also stops between a `with` and its exit, and at a `try`, where nothing runs and nothing is protected.
        # A real interrupt comes after a call or a jump, never there.
        text = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and not text.lstrip().startswith(("with ", "try:")):
            count[0] += 1
            if count[0] == line:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.write([a_record(1, query="new"), a_record(7, tags=("x",), scope="new")]),
        lambda store: store.delete(Selection(tags=["t"], least_recent=2)),
        lambda store: store.record(Usage({1: 9.0, 2: 9.0}, {"main": Counters(misses=1), "other": Counters(misses=1)})),
        lambda store: store.scan(Selection(tags=["t"]), vectors=True),
        lambda store: store.read([a_record(1).key, 2]),
        lambda store: store.read([1]),
    ],
)
def test_an_interrupt_at_any_line_leaves_all_or_nothing_and_no_open_transaction(tmp_path, call):
    def state(store):
        return store.scan(Selection(), vectors=False), store.changes(0), store.summary()

    def fresh(name):
        store = SQLiteStore(tmp_path / name)
        store.open(FINGERPRINT, DIM)
        store.write([a_record(number, tags=("t",)) for number in range(4)])
        return store

    store = fresh("whole.db")
    before = state(store)
    call(store)
    after = state(store)
    store.close()
    store = fresh("cache.db")
    line, finished = 0, False
    while not finished:
        line += 1
        try:
            with interrupted_at(line):
                call(store)
            finished = True
        except KeyboardInterrupt:
            pass
        assert not store._writer.in_transaction
        assert not any(each.in_transaction for each in store._readers._idle)
        assert not store._lock.locked()
        now = state(store)
        assert now in (before, after)
        if now == after != before:
            break  # committed before the interrupt: what follows starts from another state
    assert line > 5
    gc.collect()  # an interrupt between taking a connection and using it leaves it to the collector
    assert store.check() == []
    assert len(store.write([a_record(50)])) == 1
    store.close()


# --- connections -----------------------------------------------------------------------------------------------------


def test_readers_see_one_state_while_a_writer_is_in_the_middle(store):
    store.write([a_record(1)])
    store._writer.execute("BEGIN IMMEDIATE")
    store._writer.execute("UPDATE entries SET query = 'half'")
    assert [each.query for each in store.scan(Selection())] == ["question 1"]
    assert store.read([1])[0].query == "question 1"
    store._writer.execute("ROLLBACK")


def test_there_are_never_more_readers_than_the_limit():
    made, running, together = [], threading.Semaphore(0), []

    def connect():
        made.append(sqlite3.connect(":memory:", check_same_thread=False, factory=pool.Connection))
        return made[-1]

    readers = pool.Readers(connect, 3)
    go = threading.Event()

    def use():
        connection = readers.take()
        together.append(connection)
        running.release()
        go.wait(timeout=30)
        assert connection.execute("SELECT 1").fetchone() == (1,)
        readers.give(connection)

    with ThreadPoolExecutor(12) as threads:
        users = [threads.submit(use) for _ in range(12)]
        for _ in range(3):
            assert running.acquire(timeout=30)
        assert len(together) == 3
        go.set()
        for user in users:
            user.result()
    assert len(made) == 3
    assert len(together) == 12
    last = readers.take()
    readers.give(last)
    assert readers.take() is last, "the one used last is the warmest"
    readers.give(last)
    readers.close(1.0)
    with pytest.raises(CacheClosedError):
        readers.take()


def test_a_reader_that_is_given_back_late_is_closed_then():
    readers = pool.Readers(lambda: sqlite3.connect(":memory:", check_same_thread=False, factory=pool.Connection), 3)
    connection = readers.take()
    readers.close(0.0)
    assert connection.execute("SELECT 1").fetchone() == (1,)
    readers.give(connection)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_waiting_readers_are_woken_by_close():
    readers = pool.Readers(lambda: sqlite3.connect(":memory:", check_same_thread=False, factory=pool.Connection), 1)
    connection = readers.take()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(readers.take)
        readers.close(0.0)
        with pytest.raises(CacheClosedError):
            waiting.result(timeout=30)
    readers.give(connection)


def test_no_file_descriptor_is_left_after_close(tmp_path):
    def held():
        links = []
        for descriptor in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                links.append(str(descriptor.readlink()))
        return [link for link in links if str(tmp_path) in link]

    for _ in range(3):
        store = SQLiteStore(tmp_path / "cache.db")
        store.open(FINGERPRINT, DIM)
        store.write([a_record(number) for number in range(200)])
        with ThreadPoolExecutor(8) as threads:
            for found in threads.map(store.scan, [Selection()] * 64):
                assert len(found) == 200
        assert held()
        store.close()
        assert held() == []
    for path in (tmp_path / "missing" / "x", tmp_path):
        store = SQLiteStore(path)
        with pytest.raises((StoreBackendError, CorruptCacheError)):
            store.open(FINGERPRINT, DIM)
    assert held() == []


def test_every_statement_is_prepared_once(store, monkeypatch):
    """Statement texts come from a fixed set: no value is ever part of one."""
    seen = set()
    for connection in (store._writer, store._readers.take()):
        connection.set_trace_callback(
            lambda text: seen.add(re.sub(r"x?'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b|\bNULL(?=[,)])", "?", text))
        )
        if connection is not store._writer:
            store._readers.give(connection)
    for number in range(5):
        store.write([a_record(number + n, tags=(f"t{n}",), namespace=f"n{number}") for n in range(number + 1)])
        store.read([a_record(number).key])
        store.read([number, a_record(number).key, *range(number)])
        store.scan(Selection(tags=[f"t{n}" for n in range(number)], namespace=f"n{number}"))
        store.delete(Selection(refs=list(range(number)), least_recent=number))
        if number == 2:
            texts = set(seen)
    assert seen == texts


# --- other stores on the same file -----------------------------------------------------------------------------------


def test_many_may_open_a_new_file_at_once(tmp_path):
    ready = threading.Barrier(8)

    def use(worker):
        store = SQLiteStore(tmp_path / "cache.db", busy_timeout=60)
        ready.wait(timeout=30)
        store.open(FINGERPRINT, DIM)
        written = store.write([a_record(100 * worker + n, scope=f"s{worker}") for n in range(5)])
        store.close()
        return written

    with ThreadPoolExecutor(8) as threads:
        numbers = [each.seq for written in threads.map(use, range(8)) for each in written]
    assert sorted(numbers) == list(range(1, 41))
    store = SQLiteStore(tmp_path / "cache.db")
    assert store.open(FINGERPRINT, DIM).seq == 40
    assert store.check() == []
    store.close()


def test_two_stores_on_one_file_follow_each_other(tmp_path, store):
    other = SQLiteStore(tmp_path / "cache.db")
    other.open(FINGERPRINT, DIM)
    (first,) = store.write([a_record(1, namespace="from one", scope="s")])
    (second,) = other.write([a_record(2, namespace="from two", scope="s")])
    (third,) = store.write([a_record(2, namespace="from two", scope="s")])
    assert [each.seq for each in (first, second, third)] == [1, 2, 3]
    assert third.id == second.id
    assert [each.namespace for each in other.scan(Selection())] == ["from one", "from two"]
    assert other.vectors().partitions == store.vectors().partitions
    store.delete(Selection(refs=[first.id]))
    assert [(each.id, each.deleted) for each in other.changes(second.seq)] == [(second.id, False), (first.id, True)]
    other.close()
    assert store.check() == []


def test_a_partition_that_was_rolled_back_leaves_no_trace(store):
    store.write([a_record(1, scope="one")])
    with pytest.raises(StoreBackendError, match="nothing was altered"):
        store.write([a_record(2, scope="two"), a_record(3)._replace(query=object())])
    store.write([a_record(4, scope="three")])
    assert [each.scope for each in store.scan(Selection())] == ["one", "three"]
    assert store.check() == []


def test_a_forked_child_is_refused_and_the_parent_is_not_disturbed(store):
    store.write([a_record(1)])
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = b"nothing"
        try:
            for call in (lambda: store.read([1]), lambda: store.write([a_record(2)]), lambda: store.scan(Selection())):
                try:
                    call()
                    said = b"worked"
                    break
                except StoreBackendError:
                    said = b"refused"
            os.write(writing, said)
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"refused"
    os.close(reading)
    assert ids_of(store.write([a_record(2)])) == [2]
    assert store.check() == []


# --- what check finds ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE entries SET key = x'00' WHERE id = 1",
        "UPDATE entries SET seq = 0 WHERE id = 2",
        "UPDATE entries SET seq = 7 WHERE id = 2",
        "INSERT INTO tombstones VALUES (99, 2, x'00')",
        "INSERT INTO tombstones VALUES (98, 99, x'00')",
        "DELETE FROM facts WHERE id = 1",
        "DELETE FROM entries WHERE id = 1",
        "UPDATE facts SET partition_id = 2 WHERE id = 1",
        "UPDATE facts SET namespace_id = 2 WHERE id = 1",
        "UPDATE entries SET partition_id = 99",
        "DELETE FROM partitions",
        "DELETE FROM namespaces",
        "INSERT INTO vectors VALUES (99, 1, (SELECT vector FROM vectors LIMIT 1))",
        "UPDATE vectors SET partition_id = 2 WHERE id = 1",
        "UPDATE vectors SET vector = x'00000000' WHERE id = 1",
        "UPDATE vectors SET vector = zeroblob(32) WHERE id = 1",
        "UPDATE vectors SET vector = (SELECT nan FROM damage) WHERE id = 1",
        "UPDATE meta SET dim = 9",
        "UPDATE entries SET tags = 'nonsense' WHERE id = 1",
        "UPDATE entries SET tags = '' WHERE id = 1",
        "DELETE FROM tags WHERE entry_id = 1",
        "INSERT INTO tags VALUES ('t', 2)",
        "INSERT INTO tags VALUES ('t', 99)",
    ],
)
def test_check_finds_every_broken_invariant(store, damage):
    store.write([a_record(0, tags=("t",)), a_record(1), a_record(2, namespace="other"), a_record(3)])
    store.write([a_record(0, tags=("t", "u")), a_record(2, namespace="other")])
    store.delete(Selection(refs=[4]))
    assert store.check() == []
    other = sqlite3.connect(store.path)
    other.execute("CREATE TEMP TABLE damage (nan)")
    other.execute("INSERT INTO damage VALUES (?)", (np.full(DIM, np.nan, np.float32).tobytes(),))
    assert other.execute(damage).rowcount >= 1
    other.commit()
    other.close()
    found = store.check()
    assert found
    assert all(sentence.endswith(".") or "damaged" in sentence for sentence in found)
