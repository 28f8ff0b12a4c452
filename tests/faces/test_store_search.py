"""`index_backend="store"`: the store searches by itself, and the process holds no vectors."""

import pytest

from mneme import MemoryStore
from mneme.ports import Selection
from stores.searching import SearchingMemoryStore


@pytest.fixture
def store():
    return SearchingMemoryStore()


@pytest.fixture
def cache(open_cache, store):
    return open_cache(store=store, index_backend="store")


def test_it_answers_what_an_index_would(cache, open_cache):
    other = open_cache(store=MemoryStore())
    for each in (cache, other):
        each.put_many(
            [
                (
                    f"question @{number}",
                    f"answer {number}",
                )
                for number in range(0, 360, 7)
            ]
        )
        each.put("question @14", "another namespace", namespace="b")
        each.delete("question @21")
    for angle in range(0, 360, 3):
        for threshold in (0.9, 0.999):
            hits = [each.get(f"other @{angle}", similarity_threshold=threshold) for each in (cache, other)]
            mine, right = (hit and (hit.response, hit.similarity, hit.layer, hit.query) for hit in hits)
            assert mine == right
    mine, right = ([(h.query, h.similarity) for h in each.lookup("x @100", k=5)] for each in (cache, other))
    assert mine == right
    mine, right = (each.get_many(["a @15", "b @180", "question @14"]) for each in (cache, other))
    assert [hit.response for hit in mine] == [hit.response for hit in right]


def test_the_process_holds_nothing(cache, store):
    cache.put("question @10", "answer")
    assert cache.stats().index_memory_bytes == 0
    assert cache.health().index_backend == "store"
    assert cache.check() == []
    assert store.prepared == 1
    cache.compact()
    assert cache.get("other @11").response == "answer"


def test_it_cannot_be_requantized(cache):
    with pytest.raises(ValueError, match="the store holds the vectors"):
        cache.requantize("int8")
    cache.requantize("float32")
    assert cache.stats().vector_dtype == "float32"


def test_what_others_do_to_the_store_is_seen_at_once(cache, store):
    cache.put("question @10", "answer")
    store.delete(Selection())
    assert cache.get("other @11") is None
    cache.close()  # whose counts nobody told


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"store": MemoryStore()}, TypeError, "needs a store that searches by itself.*MemoryStore does not"),
        ({"vector_dtype": "int8"}, ValueError, "vector_dtype='int8' is for an index in the process"),
        ({"index_options": {"M": 3}}, TypeError, "no option 'M' here; pass it to the store"),
    ],
)
def test_what_does_not_fit_is_refused(open_cache, store, options, error, message):
    with pytest.raises(error, match=message):
        open_cache(**{"store": store, "index_backend": "store", **options})
