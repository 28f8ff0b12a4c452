"""What another cache writes before this one has followed: the store is the truth, and nothing false is answered."""

import pytest

from faces.adapter import Compass, direction
from mneme.indexes import ExactIndex

ANSWERS = [f"answer {number}" for number in range(20)]
NEAR = 0.5  # degrees from one entry to the next


@pytest.fixture(params=["numpy-float32", "numpy-int8", "hnsw-float32", "hnsw-int8"])
def kind(request):
    backend, dtype = request.param.split("-")
    return {"index_backend": backend, "vector_dtype": dtype}


@pytest.fixture
def two(face, cache_path, kind):
    """A cache with entries side by side, and another one on its file; neither looks for news of the other for long."""
    with _opened(face, cache_path, **kind) as cache:
        cache.put_many([(f"q{number} @{number * NEAR}", answer) for number, answer in enumerate(ANSWERS)])
        with _opened(face, cache_path, **kind) as other:
            for one in (cache, other):
                assert one.get("somebody @0.2", similarity_threshold=0.99).response == ANSWERS[0]
            yield cache, other


def _opened(face, path, **options):
    return face.open(
        path, Compass(), multi_process_mode="stale-tolerant", stale_check_interval=3600.0, guards=(), **options
    )


def test_an_entry_that_was_replaced_counts_at_the_similarity_of_its_own_vector(two):
    cache, other = two
    other.put("q0 @0.0", "about something else", embedding=direction(90.0))
    hit = cache.get("somebody @0.0", similarity_threshold=0.99)
    assert hit.response == ANSWERS[1]
    assert cache.get("somebody @0.0", similarity_threshold=0.99999) is None
    [found] = [hit for hit in cache.lookup("somebody @0.0", k=20) if hit.response == "about something else"]
    assert found.similarity == pytest.approx(0, abs=1e-6)


def test_what_lies_between_is_found_where_one_of_the_nearest_has_moved_away(two):
    cache, other = two
    other.put("q0 @0.0", "further than some", embedding=direction(4.1))
    nearest = [hit.response for hit in cache.lookup("somebody @0.0", k=3)]
    assert nearest == ANSWERS[1:4]
    found = [hit.response for hit in cache.lookup("somebody @0.0", k=10)]
    assert found == [*ANSWERS[1:9], "further than some", ANSWERS[9]]


def test_every_way_to_ask_goes_on_past_what_was_deleted(two):
    cache, other = two
    for number in range(9):
        other.delete(f"q{number} @{number * NEAR}")
    question = {"similarity_threshold": 0.9}
    assert cache.get("somebody @0.0", **question).response == ANSWERS[9]
    assert cache.get_many(["somebody @0.0"], **question)[0].response == ANSWERS[9]
    for k in (1, 5, 8, 11):
        assert [hit.response for hit in cache.lookup("somebody @0.0", k=k)] == ANSWERS[9 : 9 + k]
    explained = cache.explain("somebody @0.0", k=5, **question)
    assert (explained.layer, len(explained.candidates)) == ("semantic", 5)


def test_a_rival_is_found_past_what_was_deleted(face, cache_path):
    with _opened(face, cache_path, value_contrast=True) as cache:
        cache.put_many([(f"q{number} @{number * NEAR}", answer) for number, answer in enumerate(ANSWERS)])
        with _opened(face, cache_path) as other:
            for number in range(9):
                other.delete(f"q{number} @{number * NEAR}")
        assert [hit.response for hit in cache.lookup("somebody @0.0", k=3)] == ANSWERS[9:12]


def test_what_another_cache_has_deleted_is_forgotten_here_as_well(two):
    cache, other = two
    assert other.delete("q3 @1.5")
    assert cache.forget(namespace="nobody's").entries == 0
    assert cache.stats().index_tombstone_count == 0


def test_an_index_of_the_callers_own_is_emptied_too(open_cache, cache_path):
    cache = open_cache(cache_path, index_backend=ExactIndex(), guards=())
    cache.put_many([(f"q{number} @{number * NEAR}", answer) for number, answer in enumerate(ANSWERS)])
    cache.put("q3 @1.5", "personal", tags=["a person"])
    assert cache.forget(tags=["a person"]).entries == 1
    assert cache.stats().index_tombstone_count == 0
    assert cache.get("somebody @5.0", similarity_threshold=0.9999).response == ANSWERS[10]
