"""`index_backend="auto"` measures an exact search, and takes a graph where that is slow and the graph soon built."""

import logging
import sys

import pytest

from mneme import SQLiteStore
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


def test_a_graph_that_fails_half_way_leaves_the_exact_index(filled, reopen, monkeypatch):
    cache, _ = reopen()

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(HnswIndex, "add", fail)
    cache._core.choice = cache._core.choice.__class__(cache._core.choice.make_graph, 0.0, NEVER)
    with pytest.raises(MemoryError):
        cache.compact()
    assert cache.health().index_backend == "numpy"
    assert_answers(cache)


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
