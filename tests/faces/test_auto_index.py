"""`index_backend="auto"` measures an exact search, and takes a graph where that is slow and the graph soon built."""

import logging
import sys

import pytest

from mneme import SQLiteStore, StoreBackendError
from mneme._engine import saved
from mneme.indexes import ExactIndex, HnswIndex
from mneme.indexes._hnsw_base import BACKENDS

COUNT = 60
NEVER = float("inf")


@pytest.fixture(autouse=True)
def small_is_worth_saving(monkeypatch):
    monkeypatch.setattr(saved, "_WORTH_SAVING", 10)


@pytest.fixture
def reopen(open_cache, cache_path):
    def reopen_(*, vector_dtype="float32", **options):
        cache = open_cache(store=SQLiteStore(cache_path), vector_dtype=vector_dtype, index_options=options or None)
        return cache, cache.health().index_backend

    return reopen_


@pytest.fixture
def filled(reopen):
    cache, chosen = reopen()
    assert chosen == "numpy"
    cache.put_many([(f"question @{number * 5}", f"answer {number}") for number in range(COUNT)])
    cache.close()


def assert_answers(cache):
    for number in range(COUNT):
        hit = cache.get(f"other @{number * 5 + 1}", similarity_threshold=0.999)
        assert hit is not None
        assert hit.response == f"answer {number}"


def test_a_small_cache_is_searched_exactly_and_nothing_is_measured(filled, reopen, monkeypatch):
    monkeypatch.setattr(ExactIndex, "search_seconds", None)
    assert reopen()[1] == "numpy"


def test_an_exact_search_that_is_not_slow_stays(filled, reopen, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("mneme._engine.choose._NUMBERS_A_SECOND", 0)  # measured, however few there are
    assert reopen(slow=1e6)[1] == "numpy"
    assert "the index stays exact" in caplog.text


def test_a_slow_one_gives_way_to_a_graph_that_is_saved_and_opened_again(filled, reopen, monkeypatch, caplog):
    cache, chosen = reopen(slow=0)
    assert chosen == "hnsw"
    assert "from now on the index is approximate" in caplog.text
    assert_answers(cache)
    cache.put("question @359", "answer 72")
    cache.close()
    monkeypatch.setattr(HnswIndex, "build_seconds", None)
    cache, chosen = reopen(slow=0)
    assert chosen == "hnsw"
    assert_answers(cache)
    assert cache.get("other @359", similarity_threshold=0.9).response == "answer 72"


def test_it_stays_exact_if_the_graph_would_take_too_long(filled, reopen, monkeypatch, caplog):
    monkeypatch.setattr(HnswIndex, "build_seconds", lambda *_: 61)
    cache, chosen = reopen(slow=0)
    assert chosen == "numpy"
    assert "61 s to build" in caplog.text
    assert_answers(cache)
    cache.close()
    assert reopen(slow=0, patience=61)[1] == "hnsw"


def test_it_stays_exact_if_there_is_no_graph_to_be_had(filled, reopen, monkeypatch, caplog):
    for library in BACKENDS:
        monkeypatch.setitem(sys.modules, f"mneme.indexes._hnsw_{library}", None)
    cache, chosen = reopen(slow=0)
    assert chosen == "numpy"
    assert "no graph to be had" in caplog.text
    assert_answers(cache)


def test_compacting_measures_again(reopen):
    cache, chosen = reopen(slow=0)
    assert chosen == "numpy"
    cache.put_many([(f"question @{number * 5}", f"answer {number}") for number in range(COUNT)])
    assert cache.health().index_backend == "numpy"
    cache.compact()
    assert cache.health().index_backend == "hnsw"
    assert_answers(cache)
    cache.requantize("int8")
    assert cache.health().index_backend == "hnsw"


@pytest.mark.parametrize("error", [MemoryError("no room"), RuntimeError("no room in the library")])
def test_a_graph_that_cannot_be_built_leaves_the_exact_index(filled, reopen, monkeypatch, caplog, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(HnswIndex, "add", fail)
    cache, chosen = reopen(slow=0, patience=NEVER)
    assert chosen == "numpy"
    assert "no room" in caplog.text
    assert_answers(cache)
    cache.compact()
    assert cache.health().index_backend == "numpy"


class Failing(SQLiteStore):
    """Reads no vectors in bulk while it is told not to."""

    down = False

    def vectors(self, **options):
        if self.down:
            raise StoreBackendError("locked, as the test says")
        return super().vectors(**options)


def test_a_store_that_fails_while_a_graph_is_built_leaves_the_exact_index(filled, open_cache, cache_path):
    store = Failing(cache_path)
    cache = open_cache(store=store)
    assert cache.health().index_backend == "numpy"
    cache._core.choice.slow = 0.0
    store.down = True
    with pytest.raises(StoreBackendError, match="locked"):
        cache.compact()
    store.down = False
    assert cache.health().index_backend == "numpy"
    assert_answers(cache)


def test_a_damaged_file_is_not_measured_but_made_anew(filled, reopen, cache_path, caplog):
    path = cache_path.with_name(cache_path.name + "-index")
    contents = bytearray(path.read_bytes())
    contents[64:300] = bytes(236)  # the first sections
    path.write_bytes(contents)
    cache, chosen = reopen(slow=0)
    assert chosen == "numpy"
    assert_answers(cache)
    assert "all vectors are read from the store" in caplog.text


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"slow": -1}, ValueError, "the index option 'slow' must be seconds, 0 or more, got -1"),
        ({"patience": "long"}, TypeError, "the index option 'patience' must be a number, not str"),
        ({"M": 16}, TypeError, "'auto' has no option 'M'; it has 'path', 'slow' and 'patience'"),
    ],
)
def test_options_that_do_not_hold_are_refused(reopen, options, error, message):
    with pytest.raises(error, match=message):
        reopen(**options)


def test_a_graph_of_another_state_of_the_store_is_not_built_again_unasked(filled, reopen, cache_path, caplog):
    cache, chosen = reopen(slow=0)
    assert chosen == "hnsw"
    cache.close()
    store = SQLiteStore(cache_path)
    store.open(None, None)
    store.mark("restored from somewhere")
    store.close()
    cache, chosen = reopen()
    assert chosen == "numpy"
    assert "of another state" in caplog.text
    assert_answers(cache)
