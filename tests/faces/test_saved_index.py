"""A cache opens from the saved form of its index, follows what happened since, and trusts it no further than that."""

import logging
import shutil

import pytest

from mneme import SQLiteStore
from mneme._engine import saved

COUNT = 60


@pytest.fixture(autouse=True)
def small_is_worth_saving(monkeypatch):
    monkeypatch.setattr(saved, "_WORTH_SAVING", 10)


class Watched(SQLiteStore):
    """Counts how often vectors are read in bulk."""

    def __init__(self, path):
        super().__init__(path)
        self.reads = 0

    def vectors(self, **options):
        self.reads += 1
        return super().vectors(**options)


@pytest.fixture
def index_path(cache_path):
    return cache_path.with_name(cache_path.name + "-index")


@pytest.fixture
def reopen(open_cache, cache_path):
    """Opens the file, and says whether the vectors were read from the store for it."""

    def reopen_(**options):
        store = Watched(cache_path)
        cache = open_cache(store=store, **options)
        cache.stats()
        return cache, store.reads > 0

    return reopen_


def fill(cache, start=0, count=COUNT):
    cache.put_many([(f"question @{number * 5}", f"answer {number}") for number in range(start, start + count)])


def assert_answers(cache, *, gone=()):
    for number in range(COUNT):
        hit = cache.get(f"other @{number * 5 + 1}", similarity_threshold=0.999)
        assert (None if hit is None else hit.response) == (None if number in gone else f"answer {number}")


def test_a_cache_that_is_opened_again_reads_no_vectors(reopen, index_path):
    cache, _ = reopen()
    fill(cache)
    assert not index_path.exists()
    cache.close()
    assert index_path.exists()
    cache, read = reopen()
    assert not read
    assert_answers(cache)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_it_may_be_opened_in_another_dtype_and_changed_afterwards(reopen, dtype):
    cache, _ = reopen()
    fill(cache)
    cache.close()
    cache, read = reopen(vector_dtype=dtype)
    assert not read
    assert cache.stats().vector_dtype == dtype
    assert_answers(cache)
    cache.requantize("float32")
    assert cache.stats().vector_dtype == "float32"
    assert_answers(cache)


def test_what_was_written_removed_and_replaced_after_it_was_saved_is_followed(reopen, index_path, tmp_path):
    cache, _ = reopen()
    fill(cache)
    cache.close()
    old = tmp_path / "old"
    shutil.copy(index_path, old)
    mark_of_old = SQLiteStore(cache._core.store.path)
    mark_of_old.open(None, None)
    mark = mark_of_old.marked()
    cache, _ = reopen()
    cache.put("question @5", "new answer")
    cache.delete("question @10")
    cache.put("late @2.5", "late")
    cache.close()
    # As if the process had been killed before it could save: the file and the mark are those of before.
    shutil.copy(old, index_path)
    mark_of_old.mark(mark)
    mark_of_old.close()
    cache, read = reopen()
    assert not read
    assert cache.get("other @5", similarity_threshold=0.9999).response == "new answer"
    assert cache.get("other @10", similarity_threshold=0.9999) is None
    assert cache.get("other @2.5", similarity_threshold=0.9999).response == "late"


def test_a_file_of_another_state_of_the_store_is_not_believed(reopen, cache_path, index_path, tmp_path, caplog):
    cache, _ = reopen()
    fill(cache)
    cache.close()
    backup = tmp_path / "backup"
    shutil.copy(cache_path, backup)
    cache, _ = reopen()
    cache.put("question @0", "changed")
    fill(cache, COUNT, 10)
    cache.close()
    shutil.copy(backup, cache_path)  # restored, and the file of what came later lies beside it
    with caplog.at_level(logging.WARNING, "mneme"):
        cache, read = reopen()
    assert read
    assert "cannot be used" in caplog.text
    assert_answers(cache)


def test_without_the_file_the_vectors_are_read_and_it_is_written_again(reopen, index_path, caplog):
    cache, _ = reopen()
    fill(cache)
    cache.close()
    index_path.unlink()
    with caplog.at_level(logging.INFO, "mneme"):
        cache, read = reopen()
    assert read
    assert "there is no saved index" in caplog.text
    assert_answers(cache)
    cache.close()
    cache, read = reopen()
    assert not read


def test_damage_is_found_when_it_is_met_and_everything_is_answered_all_the_same(reopen, index_path, caplog):
    cache, _ = reopen()
    fill(cache)
    cache.close()
    good = index_path.read_bytes()
    for place in range(0, len(good), len(good) // 23):
        index_path.write_bytes(good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :])
        with caplog.at_level(logging.WARNING, "mneme"):
            cache, _ = reopen()
            assert_answers(cache)
            cache.put("question @0", "answer 0")
            assert cache.check() == []
        cache.close()
    assert "read from the store" in caplog.text


def test_what_was_removed_does_not_stay_in_the_file(reopen, index_path):
    cache, _ = reopen()
    fill(cache)
    cache.close()
    large = index_path.stat().st_size
    cache, _ = reopen()
    cache.clear()
    cache.close()
    assert index_path.stat().st_size < large / 10


def test_a_place_that_cannot_be_written_is_told_of_and_does_no_harm(reopen, tmp_path, caplog):
    cache, _ = reopen(index_options={"path": tmp_path / "nowhere" / "index"})
    fill(cache)
    with caplog.at_level(logging.WARNING, "mneme"):
        cache.close()
    assert "could not be saved" in caplog.text
    cache, read = reopen()
    assert read
    assert_answers(cache)


def test_it_is_kept_where_the_caller_says_or_nowhere(reopen, tmp_path, index_path):
    cache, _ = reopen(index_options={"path": None})
    fill(cache)
    cache.close()
    assert not index_path.exists()
    cache, read = reopen(index_options={"path": str(tmp_path / "elsewhere")})
    assert read
    cache.close()
    assert not index_path.exists()
    assert (tmp_path / "elsewhere").exists()
    cache, read = reopen(index_options={"path": str(tmp_path / "elsewhere")})
    assert not read
    assert_answers(cache)


def test_a_graph_is_saved_and_opened_too(reopen, index_path):
    cache, _ = reopen(index_backend="hnsw")
    fill(cache)
    cache.close()
    assert index_path.exists()
    cache, read = reopen(index_backend="hnsw")
    assert not read
    assert_answers(cache)
    cache.close()
    cache, read = reopen()  # an exact index cannot use it
    assert read
    assert_answers(cache)
