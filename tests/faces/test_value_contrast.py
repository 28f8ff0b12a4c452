"""Value contrast: a hit is scored by how much nearer it is than the best entry with a different answer."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from faces.adapter import DIM, Compass
from mneme import HnswIndex, MemoryStore, SemanticCache, ValueContrast
from mneme._rules.similarity import RESOLUTION, score as cosines
from mneme._rules.vectors import unit_vector
from mneme.guards import Rule
from mneme.testing import FakeClock
from stores.searching import SearchingMemoryStore

THRESHOLD = 1.0


def cos(degrees):
    return math.cos(math.radians(degrees))


@pytest.fixture
def contrasting(open_cache, make_store):
    return open_cache(store=make_store(), value_contrast=True, similarity_threshold=THRESHOLD)


def test_an_entry_with_no_different_answer_near_it_is_served_below_the_threshold(contrasting):
    contrasting.put("rain @0", "water")
    contrasting.put("sun @80", "heat")
    hit = contrasting.get("drizzle @30")
    assert (hit.response, hit.layer) == ("water", "semantic")
    assert hit.similarity == pytest.approx(cos(30), abs=1e-6)
    assert hit.similarity < THRESHOLD
    assert hit.confidence == hit.similarity


def test_a_different_answer_that_is_as_near_makes_a_miss(contrasting):
    contrasting.put("rain @0", "water")
    contrasting.put("hail @45", "ice")
    assert contrasting.get("sleet @22") is None
    assert contrasting.get("drizzle @10").response == "water"


def test_an_equal_answer_that_is_as_near_does_not(contrasting):
    contrasting.put("rain @0", "water")
    contrasting.put("showers @45", "water")
    assert contrasting.get("drizzle @22").response == "water"


def test_the_score_is_twice_the_similarity_less_that_of_the_best_different_answer(contrasting):
    for degrees, answer in ((0, "water"), (5, "water"), (40, "ice"), (-50, "heat")):
        contrasting.put(f"q @{degrees}", answer)
    hits = contrasting.lookup("p @10", k=4)
    assert [hit.query for hit in hits] == ["q @5", "q @0", "q @40", "q @-50"]
    expected = [2 * cos(5) - cos(30), 2 * cos(10) - cos(30), 2 * cos(30) - cos(5), 2 * cos(60) - cos(5)]
    assert [hit.score for hit in hits] == pytest.approx(expected, abs=1e-6)
    first, *_ = contrasting.explain("p @10", k=1).candidates
    assert (first.score, first.rival) == pytest.approx((expected[0], cos(30)), abs=1e-6)


def test_without_a_different_answer_the_rival_is_the_floor(open_cache):
    cache = open_cache(value_contrast=ValueContrast(floor=0.25), similarity_threshold=1.5)
    cache.put("rain @0", "water")
    cache.put("sun @80", "heat")
    [candidate] = cache.explain("p @10", k=1).candidates
    assert (candidate.rival, candidate.score) == (
        pytest.approx(cos(70), abs=1e-6),
        pytest.approx(2 * cos(10) - cos(70)),
    )
    cache.delete("sun @80")
    [candidate] = cache.explain("p @10", k=1).candidates
    assert (candidate.rival, candidate.score) == (0.25, pytest.approx(2 * cos(10) - 0.25))


def test_without_contrast_the_score_is_the_similarity(cache):
    cache.put("rain @0", "water")
    hit, [candidate] = cache.get("drizzle @20"), cache.explain("drizzle @20").candidates
    assert hit.score == hit.similarity == candidate.score == candidate.similarity
    assert candidate.rival is None
    assert cache.get("rain @0").score == 1.0


def test_get_looks_no_further_than_the_threshold_needs_and_its_score_says_no_more(open_cache):
    cache = open_cache(value_contrast=True)
    exact = open_cache(value_contrast=ValueContrast(exact_score=True))
    for one in (cache, exact):
        one.put("rain @0", "water")
        one.put("sun @50", "heat")
    full = 2 * cos(15) - cos(35)
    assert exact.get("p @15", similarity_threshold=0.98).score == pytest.approx(full)
    assert cache.get("p @15", similarity_threshold=0.98).score == pytest.approx(0.98)  # there is nothing in between
    assert cache.get("p @15", similarity_threshold=0.8).score == pytest.approx(cos(15))
    assert cache.get("p @15", similarity_threshold=1.1).score == pytest.approx(1.1)
    assert full > 1.1
    assert cache.get("p @15", similarity_threshold=full + 0.001) is None


def test_an_exact_hit_needs_no_score(contrasting):
    contrasting.put("rain @0", "water")
    contrasting.put("sleet @1", "ice")
    hit = contrasting.get("rain @0", similarity_threshold=1.5)
    assert (hit.layer, hit.score, hit.response) == ("exact", 1.0, "water")
    assert contrasting.explain("rain @0", similarity_threshold=1.5).reason == "hit_exact"


def test_an_exact_hit_from_the_store_needs_no_score_either(open_cache):
    store = MemoryStore()
    cache = open_cache(store=store, value_contrast=True, hot_bytes=0, validator=bool)
    cache.put("rain @0", "water")
    assert cache.get("rain @0", similarity_threshold=1.5).layer == "exact"
    assert cache.get_many(["rain @0"], similarity_threshold=1.5)[0].layer == "exact"


def test_an_entry_below_the_least_similarity_is_not_served(open_cache):
    cache = open_cache(value_contrast=ValueContrast(floor=0.0, least_similarity=0.8), similarity_threshold=0.5)
    cache.put("rain @0", "water")
    assert cache.get("p @36").response == "water"
    assert cache.get("p @37") is None
    [candidate] = cache.explain("p @37").candidates
    assert (candidate.reason, candidate.score > 1.5) == ("below_threshold", True)


# --- what is a rival -------------------------------------------------------------------------------------------------


def test_other_namespaces_and_scopes_are_no_rivals(contrasting):
    contrasting.put("rain @0", "water")
    contrasting.put("hail @20", "ice", namespace="n")
    contrasting.put("hail @20", "ice", scope="s")
    assert contrasting.get("p @15").response == "water"
    assert contrasting.get("p @15", namespace="n").response == "ice"


def test_an_expired_entry_is_nobodys_rival_whether_it_was_removed_or_not(open_cache, clock):
    cache = open_cache(value_contrast=True, similarity_threshold=THRESHOLD)
    cache.get_or_compute("snow @31", lambda query: "snow", ttl=5, stale_ttl=50)
    cache.put("hail @30", "ice", ttl=5)
    cache.put("rain @0", "water")
    assert cache.get("p @14") is None
    clock.advance(5)
    assert cache.explain("p @14", k=1).candidates[0].rival == 0.5
    assert cache.get("p @14").response == "water"
    assert len(cache.entries()) == 3
    cache.vacuum()
    assert cache.get("p @14").response == "water"


def test_an_entry_that_may_not_answer_for_another_reason_is_still_a_rival(open_cache):
    refused = set()
    cache = open_cache(value_contrast=True, similarity_threshold=0.98, validator=lambda answer: answer not in refused)
    cache.put("rain @0", "water")
    cache.put("hail @22", "ice")
    refused.add("ice")
    assert cache.get("p @10.5").response == "water"  # it was nearer, and is still there
    assert cache.get("p @12") is None  # now it was looked at, and removed
    assert [entry.response for entry in cache.entries()] == ["water"]
    assert cache.get("p @12").response == "water"


def test_an_entry_that_a_guard_refuses_is_a_rival_too(open_cache, events):
    guard = Rule("mine", lambda asked, stored: "it hails" if "hail" in stored else None)
    cache = open_cache(value_contrast=True, similarity_threshold=THRESHOLD, guards=[guard])
    cache.put("rain @0", "water")
    cache.put("hail @30", "ice")
    assert cache.get("p @5").response == "water"
    assert cache.get("p @20") is None
    assert len(events.of("guard_refusal")) == 1
    assert cache.explain("p @20").reason == "guarded"


def test_an_entry_that_was_rejected_for_the_query_is_a_rival_too(open_cache):
    cache = open_cache(value_contrast=True, similarity_threshold=THRESHOLD)
    cache.put("rain @0", "water")
    cache.put("hail @30", "ice")
    cache.reject(("p @20", "hail @30"))
    assert cache.get("p @20") is None
    assert cache.get("p @5").response == "water"
    cache.delete("hail @30")
    assert cache.get("p @20").response == "water"


def test_a_refused_entry_lets_one_with_the_same_rival_answer(open_cache, clock):
    cache = open_cache(value_contrast=True, confidence_fn=lambda similarity, age: 0 if age > 5 else 1, min_confidence=1)
    cache.put("old @0", "water")
    clock.advance(10)
    cache.put("new @10", "water")
    cache.put("hail @60", "ice")
    assert cache.get("p @4", similarity_threshold=1.0).query == "new @10"
    assert cache.explain("p @4", similarity_threshold=1.0).reason == "hit_semantic"


def test_an_entry_behind_many_that_may_not_answer_is_reached_and_each_is_judged_once(open_cache, clock):
    ages = []

    def confidence(similarity, age):
        ages.append(age)
        return 0 if age > 5 else 1

    cache = open_cache(value_contrast=True, confidence_fn=confidence, min_confidence=1)
    cache.put_many([(f"old @{number / 100}", "water") for number in range(20)])
    clock.advance(10)
    cache.put("new @5", "water")
    assert cache.get("p @-1").query == "new @5"
    assert sorted(ages) == [0.0] + [10.0] * 20


def test_one_comparison_is_enough_to_see_that_the_nearest_disagree(open_cache):
    asked = []

    def value_eq(one, other):
        asked.append((one, other))
        return one == other

    cache = open_cache(value_contrast=True, similarity_threshold=THRESHOLD, value_eq=value_eq)
    for degrees in range(0, 40, 2):
        cache.put(f"q @{degrees}", str(degrees))
    assert cache.get("p @21") is None
    assert len(asked) == 1


def test_the_same_answer_is_what_value_eq_says(open_cache):
    def by_city(one, other):
        return one["city"] == other["city"]

    options = {"value_contrast": True, "similarity_threshold": THRESHOLD}
    plain, by_rule = open_cache(**options), open_cache(**options, value_eq=by_city)
    for cache in (plain, by_rule):
        cache.put("capital of France @0", {"city": "Paris", "source": 1})
        cache.put("French capital @40", {"city": "Paris", "source": 2})
        cache.put("capital of Spain @90", {"city": "Madrid"})
    assert plain.get("p @20") is None
    assert by_rule.get("p @20").response["city"] == "Paris"


def test_a_value_eq_that_raises_makes_different_answers_and_a_warning(open_cache, caplog):
    cache = open_cache(value_contrast=True, similarity_threshold=THRESHOLD, value_eq=lambda one, other: one["missing"])
    cache.put("rain @0", {"a": 1})
    cache.put("showers @40", {"a": 2})
    assert cache.get("p @20") is None
    assert "value_eq raised" in caplog.text


def test_equal_bytes_are_compared_without_value_eq(open_cache):
    asked = []

    def value_eq(one, other):
        asked.append((one, other))
        return one == other

    cache = open_cache(value_contrast=True, similarity_threshold=THRESHOLD, value_eq=value_eq)
    for degrees in range(0, 40, 2):
        cache.put(f"q @{degrees}", "water")
    assert cache.get("p @21").response == "water"
    assert asked == []


def test_a_different_answer_behind_many_that_agree_is_found(open_cache):
    cache = open_cache(value_contrast=True, similarity_threshold=1.1)
    cache.put_many([(f"q{number} @{number / 100}", "water") for number in range(700)])
    assert cache.get("p @-10").response == "water"
    cache.put("hail @12", "ice")
    explained = cache.explain("p @-10", k=3)
    assert [candidate.rival for candidate in explained.candidates] == pytest.approx([cos(22)] * 3, abs=1e-6)
    assert cache.get("p @-10") is None
    assert cache.get("p @-10", similarity_threshold=1.0).response == "water"


def test_of_too_many_that_agree_the_rest_counts_as_different(open_cache, monkeypatch):
    monkeypatch.setattr("mneme._engine.contrast.DEEPEST", 64)
    cache = open_cache(value_contrast=True, similarity_threshold=1.2)
    cache.put_many([(f"q{number} @{number / 10}", "water") for number in range(100)])
    assert cache.get("p @-10") is None
    cache.put_many([(f"q{number} @{90 + number / 10}", "water") for number in range(40, 100)])
    cache.delete("q0 @0.0")
    assert cache.get("p @90", similarity_threshold=0.99).response == "water"


# --- the rest of the cache -------------------------------------------------------------------------------------------


def test_stale_answers_are_scored_too(open_cache, clock):
    cache = open_cache(value_contrast=True, similarity_threshold=THRESHOLD)

    def fail(query):
        raise OSError(query)

    cache.get_or_compute("rain @0", lambda query: "water", ttl=5, stale_ttl=100)
    clock.advance(6)
    stale = {"ttl": 5, "stale_ttl": 100, "stale_on_error": True}
    assert cache.get_or_compute("p @19", fail, **stale) == "water"
    cache.put_many([("hail @40", "ice"), ("snow @41", "snow")])
    with pytest.raises(OSError, match="p @19"):
        cache.get_or_compute("p @19", fail, **stale)


def test_get_many_decides_as_get_does(open_cache):
    cache = open_cache(value_contrast=True, similarity_threshold=1.05)
    cache.put_many([(f"q @{degrees}", str(degrees // 45)) for degrees in range(0, 360, 15)])
    queries = [f"p @{degrees + 0.5}" for degrees in range(0, 360, 4)]
    hits = cache.get_many(queries)
    assert hits == [cache.get(query) for query in queries]
    assert 10 < sum(hit is None for hit in hits) < 80


def test_a_store_that_searches_decides_as_an_index_does(open_cache):
    options = {"value_contrast": True, "similarity_threshold": 1.05, "embedder": Compass()}
    caches = [
        open_cache(store=SearchingMemoryStore(), index_backend="store", **options),
        open_cache(store=MemoryStore(), **options),
    ]
    for cache in caches:
        cache.put_many([(f"q @{degrees}", str(degrees // 45)) for degrees in range(0, 360, 3)])
    queries = [f"p @{degrees + 0.5}" for degrees in range(0, 360, 4)]
    by_store, by_index = (
        [(hit and (hit.query, hit.similarity, hit.score)) for hit in cache.get_many(queries)] for cache in caches
    )
    assert by_store == by_index
    assert 10 < by_index.count(None) < 80


def test_a_value_is_computed_where_the_score_is_too_low(open_cache):
    cache = open_cache(value_contrast=True, similarity_threshold=THRESHOLD)
    cache.put("rain @0", "water")
    assert cache.get_or_compute("p @20", str.upper) == "water"
    cache.put("hail @40", "ice")
    assert cache.get_or_compute("p @20", str.upper) == "P @20"
    assert cache.get_or_compute("p @20", str.lower) == "P @20"


def test_the_threshold_may_be_as_high_as_the_highest_score(open_cache):
    cache = open_cache(value_contrast=ValueContrast(floor=0.25), similarity_threshold=1.75)
    cache.set_similarity_threshold(1.5)
    assert cache.similarity_threshold == 1.5
    for verb in (
        lambda: cache.set_similarity_threshold(1.8),
        lambda: cache.get("p", similarity_threshold=1.8),
        lambda: cache.explain("p", similarity_threshold=1.8),
        lambda: cache.get_or_compute("p", str, similarity_threshold=1.8),
        lambda: open_cache(value_contrast=True, similarity_threshold=1.6),
    ):
        with pytest.raises(ValueError, match=r"threshold must be from 0 to 1\.\d+ \(2s - r, higher is stricter\)"):
            verb()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"floor": -0.1}, ValueError, "floor must be from 0 to 1"),
        ({"floor": "0.5"}, TypeError, "floor must be a number"),
        ({"least_similarity": 1.1}, ValueError, "least_similarity must be from 0 to 1"),
        ({"exact_score": 1}, TypeError, "exact_score must be True or False, not int"),
    ],
)
def test_wrong_options_are_refused(options, error, says):
    with pytest.raises(error, match=says):
        ValueContrast(**options)


def test_value_contrast_is_an_option_object_or_a_truth_value(open_cache):
    with pytest.raises(TypeError, match="value_contrast must be True, False or a ValueContrast, not float"):
        open_cache(value_contrast=0.5)


# --- against a naive scan --------------------------------------------------------------------------------------------

ANSWERS = st.sampled_from(["a", "b", "c", b"a", {"x": 1}, {"x": 1.0}, {"x": 2}])
PLACES = st.integers(0, 24)
"""Few directions: ties and duplicates are common."""


def place(number):
    """A direction of a coarse sphere, so that similarities repeat; not all in one plane."""
    vector = np.zeros(DIM, np.float32)
    angle, turn = 12.0 * (number % 5), 1.3 * (number // 5)
    vector[0] = math.cos(math.radians(angle))
    vector[1] = math.sin(math.radians(angle)) * math.cos(turn)
    vector[2] = math.sin(math.radians(angle)) * math.sin(turn)
    return unit_vector(vector, DIM)


def naive(stored, query, threshold, contrast):
    """Which entry answers, by a scan of all: position and score, or `None`."""
    similarities = cosines(np.stack([place(where) for where, _ in stored]), query).tolist()
    best = max(range(len(stored)), key=lambda n: (similarities[n], -n))
    similarity, answer = similarities[best], stored[best][1]
    rivals = [similarities[n] for n, (_, other) in enumerate(stored) if other != answer]
    score = 2 * similarity - max([*rivals, contrast.floor])
    if similarity < contrast.least_similarity - RESOLUTION or score < threshold - RESOLUTION:
        return None
    return best, similarity, score


@settings(max_examples=60)
@given(
    stored=st.lists(st.tuples(PLACES, ANSWERS), min_size=1, max_size=60),
    asked=st.lists(PLACES, min_size=1, max_size=5, unique=True),
    threshold=st.sampled_from([0.0, 0.7, 0.85, 0.95, 1.0, 1.05, 1.2, 1.5]),
    contrast=st.builds(
        ValueContrast,
        floor=st.sampled_from([0.0, 0.5, 0.9]),
        least_similarity=st.sampled_from([0.0, 0.8]),
        exact_score=st.booleans(),
    ),
    dtype=st.sampled_from(["float32", "float16", "int8"]),
)
def test_decisions_equal_those_of_a_scan_of_all_entries(stored, asked, threshold, contrast, dtype):
    threshold = min(threshold, contrast.highest)
    with SemanticCache(
        ":memory:",
        Compass(),
        value_contrast=contrast,
        similarity_threshold=threshold,
        vector_dtype=dtype,
        clock=FakeClock(0.0),
        guards=(),
    ) as cache:
        for number, (where, answer) in enumerate(stored):
            cache.put(f"q{number}", answer, embedding=place(where))
        queries = [f"p{where}" for where in asked]
        vectors = [place(where) for where in asked]
        hits = cache.get_many(queries, embeddings=vectors)
        for query, vector, hit in zip(queries, vectors, hits, strict=True):
            expected = naive(stored, vector, threshold, contrast)
            assert hit == cache.get(query, embedding=vector)
            if expected is None:
                assert hit is None
                assert cache.explain(query, embedding=vector).layer is None
                continue
            best, similarity, score = expected
            assert (hit.query, hit.similarity, hit.layer) == (f"q{best}", similarity, "semantic")
            [explained] = cache.explain(query, embedding=vector, k=1).candidates
            assert explained.accepted
            assert explained.score == pytest.approx(score, abs=1e-9)
            at_most = score if contrast.exact_score else min(score, max(threshold, similarity))
            assert hit.score == pytest.approx(at_most, abs=2e-6)


@pytest.mark.parametrize("threshold", [0.9, 1.0, 1.1])
def test_a_graph_decides_as_a_scan_does_where_it_misses_nothing(threshold):
    random = np.random.default_rng(7)
    stored = [(int(random.integers(0, 25)), str(random.integers(0, 3))) for _ in range(300)]
    contrast = ValueContrast()
    with SemanticCache(
        ":memory:",
        Compass(),
        value_contrast=contrast,
        similarity_threshold=threshold,
        index_backend=HnswIndex(),
        guards=(),
    ) as cache:
        cache.put_many([{"query": f"q{n}", "response": a, "embedding": place(w)} for n, (w, a) in enumerate(stored)])
        for where in range(25):
            hit, expected = cache.get("p", embedding=place(where)), naive(stored, place(where), threshold, contrast)
            assert (hit and hit.query) == (expected and f"q{expected[0]}")
