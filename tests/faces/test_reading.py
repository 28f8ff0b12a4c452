"""Finding answers: which entry answers whom, on which layer, and why."""

import math

import numpy as np
import pytest

from faces.adapter import DIM, direction
from mneme import EmbedderDimensionError, half_life


def test_an_equal_query_is_answered_from_the_exact_layer(cache, clock):
    assert cache.put("What is rain?", "water", metadata={"source": "book"}) is True
    clock.advance(2.5)
    hit = cache.get("What is rain?")
    assert (hit.response, hit.layer, hit.similarity, hit.confidence) == ("water", "exact", 1.0, 1.0)
    assert (hit.age_seconds, hit.namespace, hit.query) == (2.5, "default", "What is rain?")
    assert hit.metadata == {"source": "book"}
    assert hit.entry_id == cache.entries()[0].entry_id


def test_a_similar_query_is_answered_from_the_semantic_layer(cache, clock):
    cache.put("rain @0", "water", metadata={"a": 1})
    clock.advance(7)
    hit = cache.get("drizzle @20")
    assert (hit.response, hit.layer, hit.query, hit.age_seconds) == ("water", "semantic", "rain @0", 7.0)
    assert hit.similarity == pytest.approx(math.cos(math.radians(20)), abs=1e-6)
    assert hit.confidence == hit.similarity
    assert hit.metadata == {"a": 1}


def test_a_query_that_is_not_similar_enough_is_a_miss(cache):
    cache.put("rain @0", "water")
    assert cache.get("sun @40") is None
    assert cache.get("nothing like it") is None


def test_the_nearest_entry_answers(cache):
    for degrees in (0, 10, 20, 30):
        cache.put(f"q @{degrees}", str(degrees))
    assert cache.get("p @12").response == "10"
    assert cache.get("p @18").response == "20"


def test_the_threshold_can_be_given_for_one_call_and_for_all(cache):
    cache.put("rain @0", "water")
    assert cache.get("p @40") is None
    assert cache.get("p @40", similarity_threshold=0.7).response == "water"
    assert cache.get("p @10", similarity_threshold=0.99) is None
    assert cache.similarity_threshold == 0.85
    cache.set_similarity_threshold(0.7)
    assert cache.similarity_threshold == 0.7
    assert cache.get("p @40").response == "water"


def test_thresholds_of_zero_and_one_are_legal(cache):
    cache.put("rain @0", "water")
    assert cache.get("p @89.9", similarity_threshold=0).response == "water"
    assert cache.get("p @91", similarity_threshold=0) is None
    assert cache.get("p @0", similarity_threshold=1).layer == "semantic"
    assert cache.get("p @1", similarity_threshold=1) is None
    assert cache.get("rain @0", similarity_threshold=1).layer == "exact"


@pytest.mark.parametrize("spelling", ["what is rain?", "  WHAT is\n\train? ", "What\u00a0is rain?"])
def test_spellings_of_one_query_share_an_entry(cache, compass, spelling):
    cache.put("What is rain?", "water")
    calls = len(compass.calls)
    assert cache.get(spelling).layer == "exact"
    assert cache.get(spelling).query == "What is rain?"
    assert len(compass.calls) == calls
    assert cache.put(spelling, "more water")
    assert len(cache.entries()) == 1


def test_without_normalising_spellings_differ(open_cache):
    cache = open_cache(normalize=False)
    cache.put("Rain", "water")
    assert cache.get("rain", similarity_threshold=1).layer == "semantic"
    assert cache.get("Rain").layer == "exact"
    cache.put("rain", "drops")
    assert len(cache.entries()) == 2


def test_a_normaliser_of_the_callers_decides_what_is_equal(open_cache):
    cache = open_cache(normalize=lambda query: query.rstrip("?!"))
    cache.put("rain @0?", "water")
    assert cache.get("rain @0!").layer == "exact"
    assert cache.get("Rain @0!", similarity_threshold=1).layer == "semantic"
    assert cache.explain("rain @0!").normalized == "rain @0"


@pytest.mark.parametrize("result", [None, 3, b"rain", ["rain"], {"rain"}])
def test_a_normaliser_that_does_not_return_text_is_a_type_error(open_cache, result):
    cache = open_cache(normalize=lambda query: result)
    for verb in (lambda: cache.put("rain", "water"), lambda: cache.get("rain"), lambda: cache.get_many(["rain"])):
        with pytest.raises(TypeError, match=f"normalize must return a str, not {type(result).__name__}"):
            verb()
    assert cache.entries() == []


def test_what_a_normaliser_raises_reaches_the_caller(open_cache):
    def normalize(query):
        raise LookupError(query)

    cache = open_cache(normalize=normalize)
    for verb in (lambda: cache.put("rain", "water"), lambda: cache.get("rain")):
        with pytest.raises(LookupError, match="rain"):
            verb()


# --- namespace and scope ---------------------------------------------------------------------------------------------

PLACES = [
    {},
    {"namespace": "a"},
    {"namespace": "b"},
    {"scope": "s"},
    {"namespace": "a", "scope": "s"},
    {"scope": ""},
    {"scope": {}},
    {"scope": {"s": 1}},
    {"scope": {"s": 1.0}},
    {"scope": {"s": True}},
    {"scope": {"s": "1"}},
    {"scope": {"s": None}},
    {"scope": {"s": [1, 2]}},
    {"namespace": "default|s"},
    {"namespace": "Default"},
]


def test_an_entry_answers_only_in_its_namespace_and_scope(cache):
    for number, place in enumerate(PLACES):
        cache.put("rain @0", f"water {number}", **place)
    assert len(cache.entries()) == len(PLACES)
    for number, place in enumerate(PLACES):
        assert cache.get("rain @0", **place).response == f"water {number}"
        assert cache.get("drizzle @5", **place).response == f"water {number}"
        assert [hit.response for hit in cache.lookup("drizzle @5", k=50, **place)] == [f"water {number}"]
        assert cache.get_or_compute("mist @-5", str, **place) == f"water {number}"
    assert cache.get("rain @0", namespace="c") is None
    assert cache.get("drizzle @5", scope="other") is None


def test_spellings_of_one_scope_are_one_scope(cache):
    cache.put("rain @0", "water", scope={"model": "m", "tools": {"a": 1, "b": [2]}})
    assert cache.get("rain @0", scope={"tools": {"b": [2], "a": 1}, "model": "m"}).layer == "exact"
    assert cache.get("mist @1", scope={"tools": {"b": [2], "a": 1}, "model": "m"}).layer == "semantic"


def test_hits_and_entries_say_where_they_belong(cache):
    cache.put("rain @0", "water", namespace="acme", scope={"model": "m"})
    assert cache.get("rain @0", namespace="acme", scope={"model": "m"}).namespace == "acme"
    [entry] = cache.entries()
    assert (entry.namespace, entry.scope, entry.query) == ("acme", {"model": "m"}, "rain @0")


# --- vectors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [np.asarray, list, lambda v: v.astype(np.float16), lambda v: v * 1e30], ids=range(4))
def test_a_vector_of_the_callers_is_used_instead_of_the_embedder(cache, compass, form):
    cache.put("one", "water", embedding=form(direction(50)))
    assert cache.get("other", embedding=form(direction(51))).response == "water"
    assert cache.get("other", embedding=form(direction(90))) is None
    assert cache.lookup("other", embedding=form(direction(50)))[0].similarity == pytest.approx(1, abs=1e-5)
    assert cache.explain("other", embedding=form(direction(50))).layer == "semantic"
    hits = cache.get_many(["x", "y"], embeddings=[form(direction(50)), form(direction(140))])
    assert [hit and hit.response for hit in hits] == ["water", None]
    assert compass.calls == []


def test_a_vector_of_another_shape_is_a_dimension_error_on_every_verb(cache):
    wrong = np.ones(DIM + 1)
    for verb in (
        lambda: cache.get("q", embedding=wrong),
        lambda: cache.get_many(["q"], embeddings=[wrong]),
        lambda: cache.lookup("q", embedding=wrong),
        lambda: cache.explain("q", embedding=wrong),
        lambda: cache.put("q", "a", embedding=wrong),
        lambda: cache.put_many([{"query": "q", "response": "a", "embedding": wrong}]),
        lambda: cache.get_or_compute("q", str, embedding=wrong),
    ):
        with pytest.raises(EmbedderDimensionError, match=rf"\({DIM + 1},\).*\({DIM},\)"):
            verb()
    assert cache.entries() == []


@pytest.mark.parametrize("word", ["nan", "zero", "flat", "fail"])
def test_an_embedder_that_fails_makes_a_miss_a_warning_and_an_event(cache, events, caplog, word):
    cache.put("rain @0", "water")
    events.clear()
    assert cache.get(f"sun @{word}") is None
    assert events.names() == ["embedder_failure", "miss"]
    assert events.of("miss")[0]["reason"] == "embedder_failure"
    assert events.of("embedder_failure")[0]["error"]
    assert "the embedder failed" in caplog.text
    assert cache.get_many(["rain @0", f"sun @{word}"])[0].layer == "exact"
    assert cache.lookup(f"sun @{word}") == []


@pytest.mark.parametrize(
    ("word", "error"),
    [("nan", ValueError), ("zero", ValueError), ("flat", EmbedderDimensionError), ("fail", RuntimeError)],
)
def test_on_put_what_the_embedder_does_wrong_is_raised_and_nothing_written(cache, events, word, error):
    for verb in (
        lambda: cache.put(f"sun @{word}", "hot"),
        lambda: cache.put_many([("rain @0", "water"), (f"sun @{word}", "hot")]),
    ):
        events.clear()
        with pytest.raises(error):
            verb()
        assert events.names() == ["embedder_failure"]
        assert cache.entries() == []
    assert cache.get("rain @0") is None


def test_a_computed_value_is_returned_when_the_embedder_fails_and_not_stored(cache, events):
    assert cache.get_or_compute("sun @fail", lambda query: "hot") == "hot"
    assert cache.entries() == []
    assert "embedder_failure" in events.names()


def test_one_query_that_is_too_long_does_not_cost_a_request_for_each_of_the_others(cache, compass):
    queries = [f"query {number} @{number}" for number in range(64)]
    queries[37] = "one @long"
    assert cache.put_many([(query, "answer") for query in queries]) == 64
    assert len(compass.calls) == 13  # the whole, and two halves of everything that holds it
    assert [hit.layer for hit in cache.get_many(queries)] == ["exact"] * 64
    assert cache.get("another @36").query == queries[36]


def test_a_query_too_long_for_the_embedder_lives_on_the_exact_layer_alone(cache, events):
    assert cache.put("long one @long", "answer")
    assert cache.get("LONG one @long").layer == "exact"
    assert cache.get("another @long") is None
    assert events.of("miss")[-1]["reason"] == "too_long"
    assert cache.lookup("long one @long", k=3)[0].layer == "exact"
    assert cache.put_many([("short @0", "b"), ("second @long", "c")]) == 2
    assert [hit.layer for hit in cache.get_many(["x @1", "second @long"])] == ["semantic", "exact"]
    assert cache.get_or_compute("third @long", lambda query: "computed") == "computed"
    assert cache.get("third @long").response == "computed"


def test_a_replacement_without_a_vector_takes_the_old_one_out_of_the_index(open_cache, compass):
    cache = open_cache(normalize=lambda query: query.partition(" @")[0])
    cache.put("rain @0", "old")
    assert cache.get("mist @1").response == "old"
    cache.put("rain @long", "new")
    assert cache.get("mist @1") is None
    assert cache.get("rain @1").response == "new"
    cache.put("rain @90", "newest")
    assert cache.get("mist @91").response == "newest"


# --- many, and all -----------------------------------------------------------------------------------------------


def test_get_many_gives_what_get_gives(cache, compass):
    cache.put_many([("hot @0", "1"), ("cold @50", "2"), ("long @long", "3")])
    assert cache.get("hot @0").response == "1"
    compass.calls.clear()
    hits = cache.get_many(["hot @0", "p @49", "p @100", "cold @50", "HOT @0", "long @long", "p @100"])
    assert [hit and (hit.response, hit.layer) for hit in hits] == [
        ("1", "exact"),
        ("2", "semantic"),
        None,
        ("2", "exact"),
        ("1", "exact"),
        ("3", "exact"),
        None,
    ]
    assert compass.calls == [("p @49", "p @100", "p @100")]
    stats = cache.stats()
    assert (stats.hits_exact, stats.hits_semantic, stats.misses) == (1 + 4, 1, 2)


def test_get_many_of_nothing_is_nothing(cache):
    assert cache.get_many([]) == []
    assert cache.get_many((), embeddings=[]) == []


def test_get_many_takes_any_sequence_and_a_mixture_of_vectors(cache):
    cache.put("hot @0", "1")
    hits = cache.get_many(("x", "p @3"), embeddings=[direction(1), None])
    assert [hit.response for hit in hits] == ["1", "1"]


def test_bypass_is_a_miss_that_is_counted(cache, compass, events):
    cache.put("rain @0", "water")
    compass.calls.clear()
    events.clear()
    assert cache.get("rain @0", bypass=True) is None
    assert cache.get_many(["rain @0", "x"], bypass=True) == [None, None]
    assert [fields["reason"] for fields in events.of("miss")] == ["bypass"] * 3
    assert cache.stats().misses == 3
    assert compass.calls == []
    assert cache.get_or_compute("rain @0", lambda query: "fresh", bypass=True) == "fresh"
    assert cache.get("rain @0").response == "fresh"


def test_lookup_gives_the_nearest_below_the_threshold_too_and_counts_nothing(cache):
    for degrees in (0, 30, 60, 90, 120):
        cache.put(f"q @{degrees}", str(degrees))
    hits = cache.lookup("p @1", k=3)
    assert [hit.response for hit in hits] == ["0", "30", "60"]
    assert [round(hit.similarity, 4) for hit in hits] == [round(math.cos(math.radians(d)), 4) for d in (1, 29, 59)]
    assert len(cache.lookup("p @1")) == 5
    assert cache.lookup("q @60", k=2)[0].response == "60"
    assert cache.lookup("q @60", k=1)[0].layer == "exact"
    assert [hit.similarity for hit in cache.lookup("p @1", k=99)] == sorted(
        (hit.similarity for hit in cache.lookup("p @1", k=99)), reverse=True
    )
    stats = cache.stats()
    assert (stats.hits_exact, stats.hits_semantic, stats.misses) == (0, 0, 0)


def test_lookup_passes_over_what_may_not_be_served_and_still_finds_enough(open_cache, clock):
    refused = set()
    cache = open_cache(validator=lambda response: response not in refused)
    for degrees in range(40):
        cache.put(f"q @{degrees}", str(degrees), ttl=5 if degrees % 2 else None)
    refused |= {"0", "2"}
    clock.advance(5)
    assert [hit.response for hit in cache.lookup("p @-1", k=3)] == ["4", "6", "8"]
    assert len(cache.entries(limit=1000)) == 40


# --- explain ---------------------------------------------------------------------------------------------------------


def test_explain_says_what_get_would_do_and_does_nothing(open_cache, clock, events):
    refused = set()
    cache = open_cache(
        validator=lambda response: response not in refused, confidence_fn=half_life(1), min_confidence=0.6
    )
    cache.put("old @2", "old")
    clock.advance(3600)
    cache.put("best @8", "best")
    cache.put("next @9", "next")
    cache.put("far @60", "far")
    cache.put("dead @4", "dead", ttl=5)
    cache.put("bad @6", "bad")
    refused.add("bad")
    clock.advance(5)
    events.clear()
    before = cache.stats(), cache.entries()
    explanation = cache.explain("Ask @5", scope=None)
    assert (explanation.query, explanation.normalized) == ("Ask @5", "ask @5")
    assert (explanation.namespace, explanation.scope, explanation.similarity_threshold) == ("default", None, 0.85)
    assert (explanation.layer, explanation.reason) == ("semantic", "hit_semantic")
    verdicts = {candidate.query: candidate.reason for candidate in explanation.candidates}
    assert verdicts == {
        "dead @4": "expired",
        "bad @6": "rejected",
        "old @2": "low_confidence",
        "best @8": "accepted",
        "next @9": "not_reached",
        "far @60": "below_threshold",
    }
    assert [candidate.accepted for candidate in explanation.candidates] == [
        candidate.reason == "accepted" for candidate in explanation.candidates
    ]
    ages = {candidate.query: candidate.age_seconds for candidate in explanation.candidates}
    assert (ages["old @2"], ages["best @8"]) == (3605, 5)
    assert (cache.stats(), cache.entries()) == before
    assert events == []
    assert cache.get("ask @5").response == "best"


@pytest.mark.parametrize(
    ("query", "options", "reason"),
    [
        ("rain @0", {}, "hit_exact"),
        ("mist @1", {}, "hit_semantic"),
        ("sun @90", {}, "no_match"),
        ("mist @1", {"similarity_threshold": 1.0}, "no_match"),
        ("rain @0", {"scope": "other"}, "no_match"),
        ("short lived @180", {}, "expired"),
        ("other @180", {}, "expired"),
        ("sun @long", {}, "too_long"),
        ("sun @fail", {}, "embedder_failure"),
    ],
)
def test_explain_gives_the_reason_that_the_event_of_a_miss_gives(  # noqa: PLR0917 -- fixtures and parameters
    cache, events, clock, query, options, reason
):
    cache.put("rain @0", "water")
    cache.put("short lived @180", "gone", ttl=1)
    clock.advance(1)
    explanation = cache.explain(query, **options)
    assert explanation.reason == reason
    events.clear()
    hit = cache.get(query, **options)
    assert explanation.layer == (hit and hit.layer)
    name, fields = next(event for event in events if event[0] in {"miss", "hit_exact", "hit_semantic"})
    assert (name if hit else fields["reason"]) == reason


def test_explain_without_an_embedder_says_so(open_cache):
    cache = open_cache(embedder=None)
    cache.put("rain", "water")
    assert cache.explain("rain").reason == "hit_exact"
    assert cache.explain("sun").reason == "no_embedder"
