"""`multi_process_mode="mmap-shared"`: what one cache writes, the next call of another sees; the index is one file."""

import logging
from pathlib import Path

import pytest

from mneme import MemoryStore, SQLiteStore, StoreBackendError
from mneme._engine import saved
from mneme._runtime import host_lock

COUNT = 60


@pytest.fixture(autouse=True)
def small_is_worth_saving(monkeypatch):
    monkeypatch.setattr(saved, "_WORTH_SAVING", 10)


@pytest.fixture
def share(open_cache, cache_path):
    def share_(**options):
        return open_cache(store=SQLiteStore(cache_path), multi_process_mode="mmap-shared", **options)

    return share_


@pytest.fixture
def index_path(cache_path):
    return cache_path.with_name(cache_path.name + "-index")


def fill(cache, start=0, count=COUNT, word="answer"):
    cache.put_many([(f"question @{number * 5}", f"{word} {number}") for number in range(start, start + count)])


def assert_answers(cache, *, gone=(), word="answer"):
    for number in range(COUNT):
        hit = cache.get(f"other @{number * 5 + 1}", similarity_threshold=0.999)
        assert (None if hit is None else hit.response) == (None if number in gone else f"{word} {number}")


def test_what_one_writes_the_next_call_of_another_sees(share):
    one, other = share(), share()
    one.put("question @10", "first")
    assert other.get("question @10").response == "first"  # and is hot from now on
    assert other.get("near @11").layer == "semantic"
    one.put("question @10", "second")
    assert other.get("question @10").response == "second"
    assert other.get("near @11").response == "second"
    one.delete("question @10")
    assert other.get("question @10") is None
    assert other.get("near @11") is None
    other.put("question @10", "third")
    assert one.get("near @11").response == "third"
    assert one.stats().entries == other.stats().entries == 1


def test_many_writes_make_an_index_that_both_map(share, index_path):
    one, other = share(), share()
    fill(one)
    assert index_path.exists()
    assert_answers(other)
    assert other._core.saved_seq == one._core.saved_seq
    assert rows_in(one) == rows_in(other) == (COUNT, 0)
    other.put("question @1", "later")
    assert one.get("near @1", similarity_threshold=0.9999).response == "later"
    assert rows_in(one) == rows_in(other) == (COUNT, 1)


def rows_in(cache):
    """How many rows of the index are the file's, and how many the process has for itself."""
    cache._core.index._port.memory_bytes()  # which adds what waits
    pieces = [piece.now for piece in cache._core.index._port._contents._pieces.values()]
    mapped = sum(len(piece.ids) for piece in pieces if piece.unchecked is not None)
    return mapped, sum(len(piece.ids) for piece in pieces) - mapped


def test_what_others_saved_is_taken_over_and_not_saved_again(share, index_path):
    one, other = share(), share()
    fill(one)
    before = index_path.stat().st_ino
    assert_answers(other)
    assert index_path.stat().st_ino == before
    fill(other, word="new")
    assert index_path.stat().st_ino != before
    assert_answers(one, word="new")
    assert one.clear() == COUNT
    assert other.lookup("x @0", k=COUNT) == []


def test_what_is_deleted_after_it_was_saved_is_gone_for_all(share):
    one, other = share(), share()
    fill(one)
    assert_answers(other)
    for number in (3, 7):
        one.delete(f"question @{number * 5}")
    assert_answers(other, gone=(3, 7))
    assert_answers(one, gone=(3, 7))
    assert_answers(share(), gone=(3, 7))


def test_while_somebody_saves_nobody_waits(share, index_path):
    one = share()
    lock = host_lock.HostLock(f"{index_path}-lock")
    assert lock.acquire()
    try:
        fill(one)
        assert not index_path.exists()
        assert_answers(one)
    finally:
        lock.release()
    one.put("question @1", "later")
    assert index_path.exists()


def test_an_index_that_is_damaged_is_made_anew(share, index_path, caplog):
    one = share()
    fill(one)
    index_path.write_bytes(b"rubbish" * 100)
    other = share()
    assert_answers(other)
    assert_answers(one)
    assert "cannot be used" in caplog.text
    fill(one, word="new")
    assert_answers(other, word="new")


def test_an_index_that_cannot_be_saved_is_told_of(share, index_path, caplog):
    caplog.set_level(logging.WARNING)
    Path(f"{index_path}-lock").mkdir()
    one = share()
    fill(one)
    assert_answers(one)
    assert "memory goes on with its own" in caplog.text


class Failing(SQLiteStore):
    """Fails to say what happened while it is told to."""

    down = False

    def changes(self, since, *, limit=1000):
        if self.down:
            raise StoreBackendError("locked, as the test says")
        return super().changes(since, limit=limit)


def test_while_the_store_fails_memory_answers(open_cache, share, cache_path, events):
    store = Failing(cache_path)
    cache, other = open_cache(store=store, multi_process_mode="mmap-shared"), share()
    cache.put("question @10", "answer")
    store.down = True
    other.delete("question @10")
    assert cache.get("question @10").response == "answer"
    assert events.of("store_failure")
    store.down = False
    assert cache.get("question @10") is None


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_dtypes(share, dtype):
    one, other = share(vector_dtype=dtype), share(vector_dtype="float32")
    fill(one)
    assert_answers(other)
    assert_answers(one)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"store": MemoryStore()}, "processes of one host that share a file: pass a path"),
        ({"index_backend": "hnsw"}, "needs index_backend='auto' or 'numpy', got 'hnsw'"),
        ({"index_options": {"path": None}}, "needs a saved index"),
    ],
)
def test_what_cannot_be_shared_is_refused(open_cache, cache_path, options, message):
    with pytest.raises(ValueError, match=message):
        open_cache(**{"store": SQLiteStore(cache_path), "multi_process_mode": "mmap-shared", **options})


def test_a_system_without_such_locks_refuses(share, monkeypatch):
    monkeypatch.setattr(host_lock, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="which this system lacks"):
        share()


def test_it_says_its_mode(share):
    assert share().health().multi_process_mode == "mmap-shared"
