"""`certify`: a labelled stream through a real cache, and what comes of it."""

import asyncio
import dataclasses
import json
import logging
from datetime import timedelta

import numpy as np
import pytest

from faces.adapter import Compass, direction
from mneme import Certificate, InputTooLongError, SemanticCache, Shortage, Tried, ValueContrast
from mneme.calibration.replay import Known, checked_stream, replay
from mneme.calibration.selection import certified
from mneme.testing import AsyncTwin, HashEmbedder
from mneme.tools.calibrate import CERTIFICATE_GRID, certify


def spelt(number):
    """A number as a word, which no guard takes for one."""
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


def around(places, each, *, seed=0, spread=2.0, answer=str):
    """A stream of queries in a plane: *each* near every one of these directions, whose answer is theirs."""
    rng = np.random.default_rng(seed)
    stream = [
        {
            "text": f"about {spelt(place)} in words like {spelt(number)}",
            "answer": answer(place),
            "embedding": direction(place + rng.normal(0, spread)),
        }
        for place in places
        for number in range(each)
    ]
    rng.shuffle(stream)
    return stream


APART = around((0, 120, 240), 130)


def test_a_stream_with_few_false_hits_is_certified_with_what_was_seen():
    certificate = certify(APART, Compass(), max_false_hit_rate=0.03, valid_for=timedelta(days=1), now=1000.0)
    assert isinstance(certificate, Certificate)
    assert certificate.threshold == 0.5  # the lowest of the grid: these are 120 degrees apart
    assert (certificate.requests, certificate.hits, certificate.false_hits, certificate.entries) == (390, 387, 0, 3)
    assert (certificate.min_entries, certificate.max_entries) == (1, 6)
    assert certificate.upper_bound <= 0.03
    assert (certificate.created_at, certificate.valid_until) == (1000.0, 87_400.0)
    assert (certificate.max_false_hit_rate, certificate.confidence, certificate.namespace) == (0.03, 0.95, None)
    assert certificate.decisions.embedder_fingerprint == "compass-1"


def test_near_answers_that_differ_keep_the_threshold_high():
    near = around((0, 25), 300)
    certificate = certify(near, Compass(), max_false_hit_rate=0.05, grid=[0.6, 0.7, 0.8, 0.85, 0.88, 0.9, 0.93, 0.96])
    assert 0.85 < certificate.threshold < 0.95
    assert certificate.false_hits <= 0.05 * certificate.hits


def test_it_is_the_lowest_threshold_that_the_tests_certify():
    near = around((0, 25), 300)
    asked, grid = checked_stream(near, Compass(), {}), CERTIFICATE_GRID[::4]
    tried = [
        replay(asked, threshold, Known(Compass()), namespace="default", warmup=0, options={})
        for threshold in sorted(grid, reverse=True)
    ]
    best = certified(tried, rate=0.05, confidence=0.95)
    found = certify(near, Compass(), max_false_hit_rate=0.05, grid=grid)
    assert Tried(found.threshold, found.hits, found.false_hits, found.entries) == best


def by_hand(stream, threshold):
    """The rule in a few lines: the nearest stored one answers, a miss is stored."""
    vectors, answers, hits, false = [], [], 0, 0
    for item in stream:
        similarities = [float(vector @ item["embedding"]) for vector in vectors]
        if similarities and max(similarities) >= threshold:
            hits += 1
            false += answers[int(np.argmax(similarities))] != item["answer"]
        else:
            vectors.append(item["embedding"])
            answers.append(item["answer"])
    return Tried(threshold, hits, false, len(vectors))


@pytest.mark.parametrize("threshold", [0.999, 0.99, 0.95, 0.9])
def test_a_replay_is_what_the_rule_says(threshold):
    stream = around((0, 20, 50), 60, seed=3, spread=6.0)
    asked = checked_stream(stream, Compass(), {})
    found = replay(asked, threshold, Known(Compass()), namespace="n", warmup=0, options={})
    assert found == by_hand(stream, threshold)
    assert found.hits


def test_repeats_of_a_query_count_once_as_the_cache_normalises(caplog):
    stream = [*APART, *({**item, "text": f"  {item['text'].upper()} "} for item in APART)]
    asked = checked_stream(stream, Compass(), {})
    assert (len(asked), asked.repeats) == (390, 390)
    assert len(checked_stream(stream, Compass(), {"normalize": False})) == 780
    grid = [0.9, 0.7]
    assert certify(stream, Compass(), now=0, grid=grid) == certify(APART, Compass(), now=0, grid=grid)


def test_a_warm_up_fills_the_cache_and_is_not_counted():
    certificate = certify(APART, Compass(), max_false_hit_rate=0.05, warmup=150, grid=[0.9, 0.8])
    assert (certificate.requests, certificate.hits, certificate.entries) == (240, 240, 3)


def test_options_of_the_cache_decide_as_they_do_in_it():
    def kind(one, other):
        return one["kind"] == other["kind"]

    stream = around((0, 25), 150, answer=lambda place: {"kind": "weather", "place": place})
    options = {"max_false_hit_rate": 0.05, "grid": [0.95, 0.9, 0.7, 0.5]}
    by_place = certify(stream, Compass(), **options)
    assert by_place.threshold == 0.9
    certificate = certify(stream, Compass(), value_eq=kind, **options)
    assert (certificate.threshold, certificate.false_hits) == (0.5, 0)
    strict = certify(stream, Compass(), value_eq=kind, min_confidence=0.97, normalize=False, **options)
    assert strict.hits < certificate.hits
    assert strict.decisions.normalize == "none"
    assert strict.decisions.confidence == "similarity >= 0.97"


def test_with_value_contrast_the_score_is_what_is_certified():
    apart = around((0, 60), 70)
    options = {"max_false_hit_rate": 0.1, "guards": ()}
    plain = certify(apart, Compass(), **options, grid=[0.95, 0.9])
    contrast = certify(apart, Compass(), **options, value_contrast=True, grid=[1.45, 1.3, 1.2])
    assert contrast.decisions.score == "contrast;floor=0.5;least_similarity=0.7"
    assert (plain.decisions.score, plain.decisions.guards) == ("cosine", ())
    assert (contrast.threshold, contrast.false_hits) == (1.2, 0)
    with pytest.raises(ValueError, match=r"from 0 to 1\.2, got 1\.3"):
        certify(apart, Compass(), **options, value_contrast=ValueContrast(floor=0.8), grid=[1.3])


def test_answers_that_value_contrast_never_gets_to_know_apart_are_found_out():
    """The first of two near answers is served for both while nothing different is stored; only the labels say so."""
    near = around((0, 25), 70)
    shortage = certify(near, Compass(), guards=(), value_contrast=True, grid=[1.2, 1.0])
    assert shortage.tried[0].false_hits > 0.4 * shortage.tried[0].hits
    assert "too many hits are wrong" in shortage.reason


def test_guards_refuse_in_a_replay_as_in_a_cache():
    stream = [
        {"text": f"the {place} in {2000 + number}", "answer": str(number), "embedding": direction(place)}
        for place in (0, 120)
        for number in range(20)
    ]
    guarded = certify(stream, Compass(), grid=[0.9])
    assert guarded.tried[0].hits == 0
    assert certify(stream, Compass(), grid=[0.9], guards=()).tried[0].hits == 38


def test_a_value_eq_that_raises_makes_a_false_hit(caplog):
    def raising(one, other):
        raise RuntimeError("no")

    with caplog.at_level(logging.ERROR, "mneme"):
        shortage = certify(APART[:40], Compass(), value_eq=raising, grid=[0.9])
    assert shortage.tried[0].hits == shortage.tried[0].false_hits > 0


def test_the_embedder_is_asked_once_for_each_text_whichever_kind_it_is():
    pairs = [(f"how do I {verb} it, says {spelt(n)}", verb) for n in range(20) for verb in ("start", "stop", "mend")]
    embedder = HashEmbedder()
    first = certify(pairs, embedder, grid=[0.9, 0.8, 0.7], now=0)
    assert (embedder.calls, len(embedder.texts)) == (1, 60)
    assert certify(pairs, AsyncTwin(HashEmbedder()), grid=[0.9, 0.8, 0.7], now=0) == dataclasses.replace(first)


def test_a_query_too_long_for_the_embedder_is_left_out():
    class Short(HashEmbedder):
        def embed_many(self, texts):
            return np.stack([self.embed(text) for text in texts])

        def embed(self, text):
            if len(text) > 40:
                raise InputTooLongError("too long")
            return super().embed(text)

    pairs = [(f"question {spelt(n)}", "a") for n in range(10)]
    stream = checked_stream([*pairs, ("long " * 10, "b")], Short(), {})
    assert (len(stream), stream.too_long) == (10, 1)

    loops = set()

    class Connected(AsyncTwin):
        async def embed_many(self, texts):
            loops.add(asyncio.get_running_loop())
            return await super().embed_many(texts)

    stream = checked_stream([*pairs, ("long " * 10, "b")], Connected(Short()), {})
    assert (len(stream), stream.too_long, len(loops)) == (10, 1, 1)


def test_progress_is_told_for_texts_and_thresholds():
    told = []
    certify(
        [(f"q {spelt(n)}", "a") for n in range(3)],
        HashEmbedder(),
        grid=[0.9, 0.8],
        progress=lambda *at: told.append(at),
    )
    assert told == [(3, 3), (1, 2), (2, 2)]


# --- when nothing can be certified -----------------------------------------------------------------------------------


def test_too_few_hits_say_how_many_more_are_missing():
    shortage = certify(APART[:100], Compass(), grid=[0.99, 0.9, 0.8])
    assert isinstance(shortage, Shortage)
    assert shortage.requests == 100
    best = max(one.hits for one in shortage.tried)
    # 1.2 times as many as a test without a false hit needs, at a level of 0.05 / 4
    assert best + shortage.missing_hits == 261
    assert 160 <= shortage.missing_requests <= 180
    assert f"about {shortage.missing_hits} more hits" in shortage.reason
    more = certify(around((0, 120, 240), 95), Compass(), grid=[0.9, 0.8])
    assert isinstance(more, Certificate)


def test_too_many_false_hits_say_that_more_labels_will_not_do():
    stream = [{**item, "answer": str(n % 2)} for n, item in enumerate(APART)]
    shortage = certify(stream, Compass(), grid=[0.99, 0.9])
    assert (shortage.missing_hits, shortage.missing_requests) == (None, None)
    assert "too many hits are wrong" in shortage.reason


def test_no_hits_at_all_say_so():
    shortage = certify([(spelt(n), "a") for n in range(5)], Compass(), grid=[0.99])
    assert shortage.reason == "no hit at any threshold from 0.99 to 0.99"
    assert shortage.tried == (Tried(0.99, 0, 0, 5),)


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "options", "error", "says"),
    [
        ([], {}, ValueError, "stream is empty"),
        (["text"], {}, TypeError, "item 0 of the stream must be"),
        ([("a", 1), {"text": "b"}], {}, ValueError, "item 1 of the stream lacks 'answer'"),
        ([(1, 1)], {}, TypeError, "text of item 0 must be a str, not int"),
        ([(" ", 1)], {}, ValueError, "text of item 0 is empty"),
        (APART, {"max_false_hit_rate": 0}, ValueError, "max_false_hit_rate must be above 0 and below 1, got 0"),
        (APART, {"max_false_hit_rate": "2%"}, TypeError, "max_false_hit_rate must be a number"),
        (APART, {"confidence": 1.0}, ValueError, "confidence must be above 0 and below 1"),
        (APART, {"warmup": 390}, ValueError, "warmup=390 leaves nothing of 390"),
        (APART, {"warmup": -1}, ValueError, "warmup must be 0 or more"),
        (APART, {"warmup": 1.0}, TypeError, "warmup must be a number of queries"),
        (APART, {"entries": (5, 2)}, ValueError, "entries must be the fewest and the most"),
        (APART, {"grid": [2]}, ValueError, "grid must be from 0 to 1"),
        (APART, {"valid_for": 0}, ValueError, "valid_for must be more than 0"),
        (APART, {"valid_for": "1d"}, TypeError, "valid_for must be seconds or a timedelta"),
        (APART, {"similarity_threshold": 0.9}, TypeError, "similarity_threshold is no option of a replay"),
        (APART, {"store": None}, TypeError, "store is no option of a replay"),
        (APART, {"similarity": 0.9}, TypeError, "similarity"),
        (APART, {"namespace": " "}, ValueError, "namespace"),
    ],
)
def test_what_does_not_hold_is_refused_before_anything_is_embedded(stream, options, error, says):
    compass = Compass()
    with pytest.raises(error, match=says):
        certify(stream, compass, **options)
    assert compass.calls == []


# --- the certificate as a text ---------------------------------------------------------------------------------------

CERTIFICATE = certify(APART, Compass(), max_false_hit_rate=0.03, namespace="süß", valid_for=60, grid=[0.9])


def test_a_certificate_comes_back_from_json_as_it_was():
    assert Certificate.from_json(CERTIFICATE.to_json()) == CERTIFICATE
    assert hash(Certificate.from_json(CERTIFICATE.to_json())) == hash(CERTIFICATE)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mneme_certificate": 2}, "this version"),
        ({"threshold": 2.5}, "threshold must be from 0 to 2"),
        ({"threshold": "0.9"}, "threshold must be a number"),
        ({"confidence": True}, "confidence must be a number"),
        ({"hits": -1}, "hits must be 0 or more"),
        ({"hits": 1.5}, "hits must be a whole number"),
        ({"false_hits": 5000}, "is none"),
        ({"created_at": None}, "created_at must be seconds"),
        ({"valid_until": 1e999}, "valid_until must be a moment"),
        ({"namespace": ""}, "namespace of a certificate"),
        ({"more": 1}, "nothing else"),
        ({"decisions": None}, "Decisions has"),
        ({"decisions": {"score": "cosine"}}, "Decisions has"),
    ],
)
def test_a_text_that_is_no_certificate_is_refused(change, says):
    with pytest.raises((TypeError, ValueError), match=says):
        Certificate.from_json(json.dumps(json.loads(CERTIFICATE.to_json()) | change))


def test_decisions_of_other_types_are_refused():
    decisions = json.loads(CERTIFICATE.to_json())["decisions"]
    for change in ({"guards": "numbers"}, {"guards": [1]}, {"score": 5}):
        text = json.dumps(json.loads(CERTIFICATE.to_json()) | {"decisions": decisions | change})
        with pytest.raises(TypeError, match="must be text"):
            Certificate.from_json(text)
    for text in ("", "[]", "{}", "not json"):
        with pytest.raises(ValueError, match="no certificate"):
            Certificate.from_json(text)


def test_what_was_certified_is_what_a_cache_then_does():
    """On the second half of a stream, a cache with the certificate keeps to the threshold and to the promise."""
    stream = around((0, 25), 600, seed=7)
    grid = [0.97, 0.95, 0.93, 0.9, 0.8]
    certificate = certify(stream[:600], Compass(), max_false_hit_rate=0.05, entries=(0, 10_000), grid=grid)
    hits = false = 0
    with SemanticCache(":memory:", Compass(), similarity_threshold="certified") as cache:
        cache.use_certificate(certificate)
        for item in stream[600:]:
            hit = cache.get(item["text"], embedding=item["embedding"])
            if hit is None:
                cache.put(item["text"], item["answer"], embedding=item["embedding"])
            else:
                assert hit.similarity >= certificate.threshold - 1e-6
                hits += 1
                false += hit.response != item["answer"]
    assert hits > 500
    assert false <= 0.05 * hits
