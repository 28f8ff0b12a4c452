"""Deletions are remembered for so many sequence numbers, and then forgotten, so that no store grows for ever."""

import pytest

from mneme import SemanticCache
from mneme.ports import Selection
from mneme.stores import MemoryStore, SQLiteStore, _sqlite_write, memory
from mneme.testing import HashEmbedder
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record

HISTORY = 20


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "HISTORY", HISTORY)
    monkeypatch.setattr(_sqlite_write, "HISTORY", HISTORY)
    store = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "cache.db")
    yield store
    store.close()


def churn(store, rounds):
    for number in range(rounds):
        [written] = store.write([a_record(number)])
        store.delete(Selection(refs=[written.id]))
    return written.seq + 1


def test_changes_within_the_history_are_all_there(store):
    store.open(FINGERPRINT, DIM)
    latest = churn(store, 50)
    changes = store.changes(latest - HISTORY)
    assert [change.seq for change in changes] == [
        seq for seq in range(latest - HISTORY + 1, latest + 1) if seq % 2 == 0
    ]
    assert all(change.deleted for change in changes)
    assert store.check() == []


def test_a_reader_from_before_the_history_is_told_to_read_everything_anew(store):
    store.open(FINGERPRINT, DIM)
    latest = churn(store, 50)
    assert store.changes(0) is None
    assert store.changes(latest - HISTORY - 1) is None
    assert store.changes(latest) == []


def test_what_was_never_forgotten_is_told_from_the_start(store):
    store.open(FINGERPRINT, DIM)
    churn(store, HISTORY // 2)
    assert len(store.changes(0)) == HISTORY // 2


def test_a_file_remembers_how_much_it_has_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr(_sqlite_write, "HISTORY", HISTORY)
    store = SQLiteStore(tmp_path / "cache.db")
    store.open(FINGERPRINT, DIM)
    latest = churn(store, 50)
    store.close()
    again = SQLiteStore(tmp_path / "cache.db")
    assert again.open(FINGERPRINT, DIM).seq == latest
    assert again.changes(0) is None
    assert again.changes(latest) == []
    again.close()


def test_a_cache_that_fell_behind_the_history_reads_everything_anew(store):
    with SemanticCache(store=store, embedder=HashEmbedder()) as cache:
        cache.put("stays in place", "1")
        cache.put("goes away", "2")
        seen = cache._core.applied_seq
        cache.put("comes later", "3")
        store.delete(Selection(refs=[2]))
        churn_with_vectors(cache, 30)
        cache._core.applied_seq = seen
        cache._core.mark_dirty()
        assert cache.get("Stays in place").response == "1"
        assert cache.get("goes away") is None
        assert cache.get("and this comes later", similarity_threshold=0.3).response == "3"
        assert cache.check() == []
        assert cache.stats().entries == 2


def churn_with_vectors(cache, rounds):
    for number in range(rounds):
        cache.put(f"passing {number}", "4")
        cache.delete(f"passing {number}")
