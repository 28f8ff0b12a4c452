"""Certificates in a cache: kept with it, and what "certified" then serves and does not."""

import dataclasses
import logging

import pytest
from hypothesis import given, strategies as st

from faces.adapter import Compass
from mneme import Certificate, Decisions, EmbedderMismatchError, MemoryStore, SemanticCache, SQLiteStore, ValueContrast
from mneme.guards import DEFAULT_GUARDS
from mneme.testing import FakeClock

PLAIN = {"guards": ()}
"""Options that decide, so that they are these:"""
DECISIONS = Decisions("compass-1", "cosine", (), "default", "none")


def a_certificate(**changes):
    certificate = Certificate(
        threshold=0.95,
        max_false_hit_rate=0.02,
        confidence=0.95,
        requests=1000,
        hits=400,
        false_hits=1,
        upper_bound=0.018,
        entries=600,
        min_entries=1,
        max_entries=4,
        decisions=DECISIONS,
        namespace=None,
        created_at=0.0,
        valid_until=None,
    )
    return dataclasses.replace(certificate, **changes)


@pytest.fixture
def certified(open_cache, make_store):
    return open_cache(store=make_store(), similarity_threshold="certified", **PLAIN)


@pytest.fixture
def plain(open_cache, make_store):
    return open_cache(store=make_store(), **PLAIN)


def test_without_a_certificate_only_the_exact_layer_answers_and_the_embedder_is_not_asked(certified, compass, events):
    certified.put("rain @0", "water")
    compass.calls.clear()
    assert certified.get("RAIN  @0").layer == "exact"
    assert certified.get("drizzle @1") is None
    assert certified.get_many(["shower @1", "rain @0"])[1].response == "water"
    assert compass.calls == []
    assert [fields["reason"] for fields in events.of("miss")] == ["uncertified", "uncertified"]
    status = certified.certificate()
    assert (status.usable, status.reason, status.threshold, status.certificate) == (False, "none", None, None)
    assert (status.entries, status.decisions) == (1, DECISIONS)


def test_with_a_certificate_its_threshold_decides(certified, events):
    certified.put("rain @0", "water")
    status = certified.use_certificate(a_certificate())
    assert (status.usable, status.reason, status.threshold) == (True, "valid", 0.95)
    assert certified.get("drizzle @17").similarity == pytest.approx(0.9563, abs=1e-4)
    assert certified.get("drizzle @20") is None  # 0.94
    assert certified.similarity_threshold == "certified"
    assert certified.explain("drizzle @20").similarity_threshold == 0.95
    assert certified.drop_certificate() is True
    assert certified.drop_certificate() is False
    assert certified.get("drizzle @17") is None
    told = [(fields["usable"], fields["reason"], fields["threshold"]) for fields in events.of("certificate")]
    assert told == [(True, "valid", 0.95), (False, "none", None)]


def test_a_call_can_only_be_stricter_than_the_certificate(certified):
    certified.put("rain @0", "water")
    assert certified.get("drizzle @1", similarity_threshold=0.1) is None
    certified.use_certificate(a_certificate())
    assert certified.get("drizzle @20", similarity_threshold=0.5) is None
    assert certified.get("drizzle @17", similarity_threshold=0.5)
    assert certified.get("drizzle @17", similarity_threshold=0.97) is None


def test_a_namespace_has_its_own_or_the_one_for_all(certified):
    for namespace in ("default", "strict"):
        certified.put("rain @0", "water", namespace=namespace)
    certified.use_certificate(a_certificate())
    certified.use_certificate(a_certificate(namespace="strict", threshold=0.99))
    assert certified.certificate("strict").threshold == 0.99
    assert certified.certificate("default").threshold == 0.95
    assert certified.get("drizzle @17")
    assert certified.get("drizzle @17", namespace="strict") is None
    assert certified.drop_certificate("strict")
    assert certified.get("drizzle @17", namespace="strict")


def test_it_holds_for_a_number_of_entries(certified, caplog):
    certified.use_certificate(a_certificate(min_entries=2, max_entries=3))
    certified.put("rain @0", "water")
    with caplog.at_level(logging.WARNING, "mneme"):
        assert certified.get("drizzle @1") is None
        assert certified.get("drizzle @2") is None
    assert [record.message for record in caplog.records] == [
        "namespace 'default' is served from its exact layer alone: it is for 2 to 3 entries, and the namespace has 1"
    ]
    certified.put("sun @90", "light")
    assert certified.get("drizzle @1")
    certified.put_many([("a @150", "1"), ("b @180", "2")])
    assert certified.get("drizzle @1") is None
    assert certified.certificate().reason == "entries"
    certified.delete("a @150")
    assert certified.certificate().usable


def test_it_holds_for_a_time(certified, clock):
    certified.put("rain @0", "water")
    certified.use_certificate(a_certificate(created_at=clock.now(), valid_until=clock.now() + 10))
    assert certified.get("drizzle @1")
    clock.advance(10)
    assert certified.get("drizzle @1") is None
    assert certified.certificate().reason == "expired"


def test_it_is_there_when_the_cache_is_opened_again_and_holds_for_these_decisions_alone(open_cache, cache_path):
    with open_cache(cache_path, similarity_threshold="certified", **PLAIN) as cache:
        cache.put("rain @0", "water")
        cache.use_certificate(a_certificate())
    with open_cache(cache_path, similarity_threshold="certified", **PLAIN) as cache:
        assert cache.get("drizzle @1")
        assert cache.certificate().certificate == a_certificate()
    with open_cache(cache_path, similarity_threshold="certified", **PLAIN, normalize=False) as cache:
        assert cache.get("drizzle @1") is None
        status = cache.certificate()
        assert status.reason == "decisions"
        assert "normalize 'none', not 'default'" in status.detail
    with open_cache(cache_path, None, similarity_threshold="certified", **PLAIN) as cache:
        assert cache.certificate().decisions is None
        assert cache.certificate().reason == "decisions"


def test_another_process_that_follows_sees_it(open_cache, cache_path, clock):
    options = {"similarity_threshold": "certified", "multi_process_mode": "stale-tolerant"}
    one, other = (open_cache(cache_path, stale_check_interval=0.5, **options) for _ in range(2))
    one.put("rain @0", "water")
    clock.advance(1)
    assert other.get("drizzle @1") is None
    one.use_certificate(a_certificate())
    clock.advance(1)
    assert other.get("rain @0")
    assert other.get("drizzle @1")
    assert other.certificate().usable
    one.drop_certificate()
    clock.advance(1)
    assert other.get("rain @0")
    assert other.get("drizzle @1") is None


def test_one_that_is_not_about_this_cache_is_refused_and_not_kept(plain, open_cache):
    with pytest.raises(EmbedderMismatchError, match="for the embedder 'other'"):
        plain.use_certificate(a_certificate(decisions=dataclasses.replace(DECISIONS, embedder_fingerprint="other")))
    for change, says in (
        ({"guards": ("numbers",)}, r"guards \(\), not \('numbers',\)"),
        ({"score": "contrast"}, "score 'cosine', not 'contrast'"),
        ({"normalize": "none"}, "normalize 'default', not 'none'"),
        ({"confidence": "similarity >= 0.9"}, "confidence 'none', not 'similarity >= 0.9'"),
    ):
        with pytest.raises(ValueError, match=says):
            plain.use_certificate(a_certificate(decisions=dataclasses.replace(DECISIONS, **change)))
    with pytest.raises(TypeError, match="must be a Certificate"):
        plain.use_certificate(a_certificate().to_json())
    with pytest.raises(EmbedderMismatchError, match="no embedder"):
        open_cache(None, None, store=MemoryStore(), **PLAIN).use_certificate(a_certificate())
    assert plain.certificate().certificate is None


def test_the_threshold_can_be_changed_to_certified_and_back(plain):
    plain.put("rain @0", "water")
    plain.set_similarity_threshold("certified")
    assert plain.get("drizzle @1") is None
    plain.use_certificate(a_certificate())
    assert plain.get("drizzle @1")
    plain.set_similarity_threshold(0.99999)
    assert plain.similarity_threshold == 0.99999
    assert plain.get("drizzle @1") is None
    for wrong, error in (("certain", TypeError), (2, ValueError), (None, TypeError)):
        with pytest.raises(error):
            plain.set_similarity_threshold(wrong)
    assert plain.similarity_threshold == 0.99999


def test_another_text_for_a_threshold_is_refused(open_cache):
    with pytest.raises(TypeError, match="a number or 'certified', not the str 'certain'"):
        open_cache(store=MemoryStore(), similarity_threshold="certain")


def test_explain_says_that_nothing_is_certified(certified):
    certified.put("rain @0", "water")
    explained = certified.explain("drizzle @1")
    assert (explained.layer, explained.reason) == (None, "uncertified")
    assert [one.reason for one in explained.candidates] == ["uncertified"]
    assert certified.explain("rain @0").reason == "hit_exact"
    assert [hit.query for hit in certified.lookup("drizzle @1")] == ["rain @0"]


def test_get_or_compute_computes_and_stores_what_nothing_certifies(certified, compass):
    certified.put("rain @0", "water")
    assert certified.get_or_compute("drizzle @1", lambda _: "computed", single_flight="semantic") == "computed"
    assert certified.get("drizzle @1").layer == "exact"
    certified.use_certificate(a_certificate())
    assert certified.get_or_compute("mist @2", lambda _: "never") in {"water", "computed"}
    vector = Compass().embed("fog @3")
    certified.drop_certificate()
    compass.calls.clear()
    assert certified.get_or_compute("fog", lambda _: "own", embedding=vector) == "own"
    assert compass.calls == []


def test_equal_vectors_are_no_exact_hit_where_nothing_is_certified(certified):
    certified.put("rain @0", "water")
    vector = Compass().embed("rain @0")
    assert certified.get("other words", embedding=vector) is None
    assert certified.get("other words", embedding=vector, similarity_threshold=1.0) is None


def test_a_note_that_cannot_be_read_certifies_nothing(certified, face, caplog):
    from mneme._engine import notes

    certified.put("rain @0", "water")
    certified.use_certificate(a_certificate())
    core = certified._core
    for text in ("{}", "[]", '{"certificate": "{}", "voided": null}', "not json"):
        face.run(_complete(face, notes.write(core, "certificate", "*", text)))
        with caplog.at_level(logging.ERROR, "mneme"):
            assert certified.certificate().reason == "voided"
            assert certified.get("drizzle @1") is None


def test_a_voided_certificate_holds_no_more_until_another_is_used(certified, face):
    from mneme._engine import certificates, notes

    for namespace in ("default", "other"):
        certified.put("rain @0", "water", namespace=namespace)
    certified.use_certificate(a_certificate())
    void = notes.write_all(certified._core, [certificates.voided(certified._core, "default", "the alarm rang")])
    face.run(_complete(face, void))
    status = certified.certificate()
    assert (status.usable, status.reason, status.detail) == (False, "voided", "the alarm rang")
    assert status.certificate == a_certificate()
    assert certified.get("drizzle @1") is None
    assert certified.get("drizzle @1", namespace="other")
    certified.use_certificate(a_certificate())  # for all: the alarm was about this one
    assert certified.get("drizzle @1") is None
    assert certified.drop_certificate("default") is False  # which would bring it back
    assert certified.get("drizzle @1") is None
    certified.use_certificate(a_certificate(requests=2000))
    assert certified.get("drizzle @1")
    certified.use_certificate(a_certificate(namespace="default"))
    assert certified.get("drizzle @1")
    assert certified.drop_certificate("default") is True


@pytest.mark.parametrize(("before", "after"), [("certified", 0.99), (0.99, "certified")])
def test_a_lookup_is_served_by_what_counted_when_it_was_asked(open_cache, before, after):
    class Changing(MemoryStore):
        def read(self, refs, *, vectors=False):
            if changing:
                changing.pop().set_similarity_threshold(after)
            return super().read(refs, vectors=vectors)

    changing = []
    cache = open_cache(store=Changing(), similarity_threshold=before, **PLAIN)
    cache.put("rain @0", "water")
    changing.append(cache)
    assert cache.get("drizzle @40") is None
    assert changing == []


def test_the_alarm_of_a_watched_cache_takes_a_namespace_back_to_its_exact_layer(open_cache, events, face):
    from mneme._engine import watch

    options = {"similarity_threshold": "certified", "audit_rate": 1.0, "max_false_hit_rate": 0.02, **PLAIN}
    cache = open_cache(store=MemoryStore(), **options)
    cache.put("rain @0", "water")
    cache.use_certificate(a_certificate())
    assert cache.get("fog @2")
    for _ in range(3):
        face.run(_complete(face, watch.audited(cache._core, "default", wrong=True, threshold=0.95)))
    [alarm] = events.of("alarm")
    assert alarm["certificate_voided"] is True
    status = cache.certificate()
    assert (status.reason, status.detail) == ("voided", "3 of 3 audited answers were wrong")
    assert status.certificate == a_certificate()
    assert cache.get("fog @2") is None
    assert events.of("miss")[-1]["reason"] == "uncertified"
    cache.use_certificate(a_certificate(namespace="default"))
    assert cache.get("fog @2")


def test_with_value_contrast_the_certified_score_decides(open_cache):
    decisions = dataclasses.replace(DECISIONS, score="contrast;floor=0.5;least_similarity=0.7")
    cache = open_cache(store=MemoryStore(), similarity_threshold="certified", value_contrast=True, **PLAIN)
    cache.put_many([("rain @0", "water"), ("sun @40", "light")])
    cache.use_certificate(a_certificate(threshold=1.2, decisions=decisions))
    assert cache.get("drizzle @1").score >= 1.2  # 2 * 0.9998 - 0.777
    assert cache.get("mist @10") is None  # 2 * 0.985 - 0.866
    for other in (False, ValueContrast(floor=0.4)):
        cache = open_cache(store=MemoryStore(), value_contrast=other, **PLAIN)
        with pytest.raises(ValueError, match=r"score .*, not 'contrast;floor=0\.5"):
            cache.use_certificate(a_certificate(decisions=decisions))


def test_default_guards_are_part_of_what_is_certified(open_cache):
    cache = open_cache(store=MemoryStore(), guards=DEFAULT_GUARDS)
    names = cache.certificate().decisions.guards
    assert "numbers" in names
    assert list(names) == sorted(names)
    with pytest.raises(ValueError, match="guards"):
        cache.use_certificate(a_certificate())


def _complete(face, flow):
    """The result of a flow of the engine: run here on the blocking face, awaitable on the other."""
    from mneme._runtime.drive import complete

    return complete(flow) if face.name == "sync" else flow


@given(
    st.floats(0, 1),
    st.one_of(st.none(), st.floats(0, 1)),
    st.lists(st.sampled_from(["use", "drop", "own", "age", "fill", "empty"]), max_size=8),
    st.integers(0, 60),
)
def test_what_is_served_is_never_below_a_certificate_that_holds(threshold, asked, steps, angle):
    clock = FakeClock()
    with SemanticCache(":memory:", Compass(), similarity_threshold="certified", clock=clock, **PLAIN) as cache:
        cache.put("rain @0", "water")
        for step in steps:
            if step == "use":
                cache.use_certificate(a_certificate(threshold=threshold, valid_until=clock.now() + 5))
            elif step == "own":
                cache.use_certificate(a_certificate(threshold=max(threshold, 0.9), namespace="default"))
            elif step == "drop":
                cache.drop_certificate("default")
            elif step == "age":
                clock.advance(5)
            elif step == "fill":
                cache.put_many([(f"f {n}", "x") for n in range(4)])
            else:
                cache.delete("f 0")
            status = cache.certificate()
            hit = cache.get(f"drizzle @{angle}", similarity_threshold=asked)
            if hit is not None:
                assert status.usable
                assert hit.similarity >= status.certificate.threshold - 1e-6
                assert asked is None or hit.similarity >= asked - 1e-6
            elif status.usable:
                explained = cache.explain(f"drizzle @{angle}", similarity_threshold=asked)
                assert explained.similarity_threshold == max(status.threshold, asked or 0.0)


def test_certificates_are_no_entries(certified, make_store):
    certified.use_certificate(a_certificate())
    certified.use_certificate(a_certificate(namespace="n"))
    assert certified.stats().entries == 0
    assert certified.entries() == []
    assert certified.list_namespaces() == []
    certified.clear()
    assert certified.certificate().certificate == a_certificate()
    assert isinstance(make_store(), (MemoryStore, SQLiteStore))
