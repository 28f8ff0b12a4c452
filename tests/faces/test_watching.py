"""Audits, labels and the alarm, on both faces: what is computed again in the background, and what comes of it."""

import asyncio
import inspect
import json
import threading
from collections import deque

import pytest

from faces.adapter import Compass, assert_sound, mneme_threads
from faces.test_certificates import a_certificate
from mneme import MemoryStore, SemanticCache, SQLiteStore, StoreBackendError
from mneme._engine import notes, watch
from mneme._runtime.certificates import Noted
from mneme._runtime.drive import complete
from mneme.testing import Faults, FlakyStore, HashEmbedder

PATIENCE = 30


@pytest.fixture
def settle(face):
    """Waits until nothing is left to be done in the background."""

    def settle_(cache):
        background = cache._core.background
        if face.name == "sync":
            thread = background._thread
            if thread is not None:
                thread.join(PATIENCE)
        else:

            async def wait():
                task = background._task
                if task is not None:
                    await asyncio.wait([task], timeout=PATIENCE)

            face.run(wait())
        assert not background._waiting

    return settle_


@pytest.fixture
def watched(open_cache, make_store):
    return open_cache(store=make_store(), audit_rate=1.0)


@pytest.fixture
def flush(face):
    """Writes the labels that are in memory only."""

    def flush_(cache):
        flow = watch.flush(cache._core)
        face.run(flow) if face.name == "async" else complete(flow)

    return flush_


def answering(value):
    return lambda _: value


def test_an_audited_hit_that_is_right_changes_nothing(watched, settle, events):
    watched.get_or_compute("rain @0", answering("water"))
    assert watched.get_or_compute("mist @1", answering("water")) == "water"
    settle(watched)
    assert [fields["outcome"] for fields in events.of("audit")] == ["right"]
    assert [entry.query for entry in watched.entries()] == ["rain @0"]
    watch = watched.watch()
    assert (watch.audits, watch.wrong, watch.failed) == (1, 0, 0)
    assert watched.get("mist @1").response == "water"


def test_an_audited_hit_that_is_wrong_is_rejected_and_the_new_answer_stored(watched, settle, events):
    watched.get_or_compute("rain @0", answering("water"))
    assert watched.get_or_compute("mist @1", answering("drops")) == "water"
    settle(watched)
    [audit] = events.of("audit")
    assert audit["outcome"] == "wrong"
    assert audit["similarity"] == pytest.approx(0.9998, abs=1e-3)
    assert (watched.watch().audits, watched.watch().wrong) == (1, 1)
    hit = watched.get("mist @1")
    assert (hit.response, hit.layer) == ("drops", "exact")
    watched.delete("mist @1")
    assert watched.get("mist @1") is None
    assert_sound(watched)


def test_value_eq_decides_whether_an_answer_is_wrong(open_cache, make_store, settle):
    cache = open_cache(store=make_store(), audit_rate=1.0, value_eq=lambda one, other: one.lower() == other.lower())
    cache.get_or_compute("rain @0", answering("Water"))
    cache.get_or_compute("mist @1", answering("WATER"))
    settle(cache)
    assert (cache.watch().audits, cache.watch().wrong) == (1, 0)


def test_exact_hits_and_hits_of_get_are_not_audited(watched, settle, events):
    watched.get_or_compute("rain @0", answering("water"))
    watched.get_or_compute("rain @0", answering("x"))
    watched.get("mist @1")
    settle(watched)
    assert events.of("audit") == []
    assert watched.watch().audits == 0


def test_only_the_share_that_was_asked_for_is_audited(open_cache, make_store, settle, events):
    cache = open_cache(store=make_store(), audit_rate=0.25)
    draws = iter([0.3, 0.24, 0.25, 0.0])
    cache._core.draw = lambda: next(draws)
    cache.get_or_compute("rain @0", answering("water"))
    for number in range(4):
        cache.get_or_compute(f"mist {number} @1", answering("water"))
        settle(cache)
    assert len(events.of("audit")) == 2


def test_without_audits_nothing_is_done_in_the_background(cache, events):
    cache.get_or_compute("rain @0", answering("water"))
    cache.get_or_compute("mist @1", answering("drops"))
    cache.get_or_compute("far @90", answering("sun"))
    assert not events.of("audit")
    assert not events.of("label")
    background = cache._core.background
    assert not background._waiting
    assert getattr(background, "_thread", None) is getattr(background, "_task", None) is None


def test_what_compute_raises_in_the_background_is_counted_and_goes_no_further(watched, settle, events):
    watched.get_or_compute("rain @0", answering("water"))

    def fail(_):
        raise RuntimeError("the model is down")

    assert watched.get_or_compute("mist @1", fail) == "water"
    settle(watched)
    assert [fields["outcome"] for fields in events.of("audit")] == ["failed"]
    assert (watched.watch().audits, watched.watch().failed) == (0, 1)
    assert watched.get("mist @1").response == "water"


def test_a_response_that_its_caller_changed_is_compared_as_it_was_stored(watched, settle):
    watched.get_or_compute("rain @0", answering({"a": 1}))
    value = watched.get_or_compute("mist @1", answering({"a": 1}))
    value["a"] = 2
    settle(watched)
    assert (watched.watch().audits, watched.watch().wrong) == (1, 0)


def test_every_computed_miss_labels_its_nearest_neighbour(watched, settle, events):
    watched.get_or_compute("rain @0", answering("water"), similarity_threshold=0.99)
    watched.get_or_compute("mist @20", answering("water"), similarity_threshold=0.99)
    settle(watched)
    watched.get_or_compute("sun @-40", answering("light"), similarity_threshold=0.99)
    settle(watched)
    assert [(round(fields["similarity"], 2), fields["same"]) for fields in events.of("label")] == [
        (0.94, True),
        (0.77, False),
    ]
    assert [(labels.similarity, labels.same, labels.different) for labels in watched.watch().labels] == [
        (0.93, 1, 0),
        (0.76, 0, 1),
    ]


def test_labels_outlive_the_cache(open_cache, cache_path, settle):
    cache = open_cache(cache_path, audit_rate=1.0)
    for degrees in (0, 60):
        cache.get_or_compute(f"rain @{degrees}", answering("water"))
        settle(cache)
    cache.close()
    again = open_cache(cache_path)
    assert [(labels.similarity, labels.same) for labels in again.watch().labels] == [(0.5, 1)]


def test_a_memoized_function_is_audited_and_does_not_count_it(watched, face, settle, events):
    calls = []

    def answer(question):
        calls.append(question)
        return "water"

    memoized = watched.memoize()(answer)
    assert face.run(memoized("rain @0")) == "water"
    settle(watched)
    assert face.run(memoized("mist @1")) == "water"
    settle(watched)
    assert calls == ["rain @0", "mist @1"]
    assert (memoized.cache_info().hits, memoized.cache_info().misses) == (1, 1)
    assert len(events.of("audit")) == 1


def test_feedback_is_counted_and_is_no_evidence(open_cache, make_store):
    cache = open_cache(store=make_store(), audit_rate=1.0, max_false_hit_rate=0.02)
    cache.put("rain @0", "water")
    for number in range(9):
        cache.reject((f"mist {number} @1", "rain @0"))
    cache.confirm(("fog @1", "rain @0"))
    watch = cache.watch()
    assert (watch.rejected, watch.confirmed, watch.audits, watch.evidence) == (9, 1, 0, 0.0)
    assert watch.alarms == 0


# --- the alarm -------------------------------------------------------------------------------------------------------


def deceived(cache, settle, count, start=0):
    """So many audited hits that are wrong."""
    for number in range(start, start + count):
        cache.get_or_compute(f"mist {number} @1", answering(f"drops {number}"), similarity_threshold=0.0)
        settle(cache)
        cache.delete(f"mist {number} @1")


@pytest.fixture
def alarmed(open_cache, make_store, settle):
    """A cache in which three wrong answers were enough."""
    cache = open_cache(store=make_store(), audit_rate=1.0, max_false_hit_rate=0.02, similarity_threshold=0.9)
    cache.get_or_compute("rain @0", answering("water"))
    deceived(cache, settle, 3)
    return cache


def test_the_alarm_raises_the_threshold_of_its_namespace_and_tells_of_it_once(alarmed, events, caplog, clock):
    [alarm] = events.of("alarm")
    assert (alarm["audits"], alarm["wrong"], alarm["threshold"], alarm["raised_to"]) == (3, 3, 0.9, 0.95)
    assert alarm["evidence"] >= 20
    told = [record.getMessage() for record in caplog.get_records("setup")]
    assert sum("3 of 3 audited answers were wrong" in message for message in told) == 1
    watch = alarmed.watch()
    assert (watch.alarms, watch.raised_to, watch.audits, watch.evidence) == (1, 0.95, 0, 0.0)
    assert watch.alarmed_at == clock.now()
    assert alarmed.get("fog @20") is None
    assert alarmed.get("fog @20", similarity_threshold=0.5) is None
    assert alarmed.get("fog @10").response == "water"
    assert alarmed.explain("fog @20").similarity_threshold == 0.95
    alarmed.put("rain @0", "water", namespace="other")
    assert alarmed.get("fog @20", namespace="other").response == "water"


def test_a_second_alarm_raises_it_further_and_then_leaves_exact_answers_alone(alarmed, settle, events):
    deceived(alarmed, settle, 3, start=3)
    deceived(alarmed, settle, 3, start=6)
    assert [alarm["raised_to"] for alarm in events.of("alarm")] == [0.95, 0.975, 9.0]
    assert alarmed.get("fog @0.1") is None
    assert alarmed.get("rain @0").response == "water"


def test_resetting_an_alarm_lifts_the_threshold(alarmed):
    assert alarmed.reset_alarm() is True
    assert alarmed.get("fog @20").response == "water"
    watch = alarmed.watch()
    assert (watch.alarms, watch.alarmed_at, watch.raised_to) == (1, None, None)
    assert alarmed.reset_alarm() is False
    assert alarmed.reset_alarm("other") is False


def test_with_report_the_threshold_stays(open_cache, make_store, settle, events):
    cache = open_cache(store=make_store(), audit_rate=1.0, max_false_hit_rate=0.02, on_alarm="report")
    cache.get_or_compute("rain @0", answering("water"))
    deceived(cache, settle, 3)
    assert len(events.of("alarm")) == 1
    assert cache.watch().raised_to is None
    assert cache.watch().alarmed_at is not None
    assert cache.get("fog @20").response == "water"
    assert cache.reset_alarm() is True


@pytest.mark.parametrize("name", ["=default", "*"])
def test_the_alarm_voids_the_certificate_of_its_namespace(open_cache, face, settle, events, name):
    cache = open_cache(audit_rate=1.0, max_false_hit_rate=0.02)
    given = a_certificate(namespace="default" if name == "=default" else None)
    flow = notes.write(cache._core, "certificate", name, Noted(given, None).text())
    face.run(flow) if face.name == "async" else complete(flow)
    cache.get_or_compute("rain @0", answering("water"))
    deceived(cache, settle, 3)
    assert events.of("alarm")[0]["certificate_voided"] is True
    voided = Noted(given, "3 of 3 audited answers were wrong").text()
    assert cache._core.notes.get("certificate", "=default") == voided
    assert name == "=default" or json.loads(cache._core.notes.get("certificate", "*"))["voided"] is None


def test_a_cache_that_serves_by_certificates_is_left_with_exact_answers_until_the_next(open_cache, settle, events):
    cache = open_cache(similarity_threshold="certified", audit_rate=1.0, max_false_hit_rate=0.02, guards=())
    cache.use_certificate(a_certificate(max_entries=100))
    cache.get_or_compute("rain @0", answering("water"))
    deceived(cache, settle, 3)
    [alarm] = events.of("alarm")
    assert (alarm["threshold"], alarm["raised_to"], alarm["certificate_voided"]) == (0.95, 9.0, True)
    status = cache.certificate()
    assert (status.usable, status.reason) == (False, "voided")
    assert cache.get("fog @1") is None
    cache.use_certificate(a_certificate(max_entries=100, namespace="default"))
    assert cache.get("fog @1").response == "water"
    assert cache.watch().raised_to is None


def test_an_alarm_outlives_the_cache_and_reaches_those_who_follow(open_cache, cache_path, clock, settle):
    shared = {"multi_process_mode": "stale-tolerant", "similarity_threshold": 0.9}
    first = open_cache(cache_path, audit_rate=1.0, max_false_hit_rate=0.02, **shared)
    second = open_cache(cache_path, **shared)
    first.get_or_compute("rain @0", answering("water"))
    clock.advance(1)
    assert second.get("fog @20").response == "water"
    deceived(first, settle, 3)
    clock.advance(1)
    assert second.get("fog @20") is None
    assert second.watch().alarms == 1
    second.close()
    assert open_cache(cache_path, **shared).get("fog @20") is None


def test_two_caches_on_one_store_gather_evidence_together(open_cache, cache_path, settle, events):
    shared = {"multi_process_mode": "stale-tolerant", "audit_rate": 1.0, "max_false_hit_rate": 0.02}
    first, second = open_cache(cache_path, **shared), open_cache(cache_path, **shared)
    first.get_or_compute("rain @0", answering("water"))
    deceived(first, settle, 1)
    assert not events.of("alarm")
    second._core.next_check = -1.0
    deceived(second, settle, 2, start=1)
    assert events.of("alarm")[0]["audits"] == 3


# --- trouble ---------------------------------------------------------------------------------------------------------


def test_a_store_that_fails_under_an_audit_is_told_of(open_cache, make_store, settle, events):
    faults = Faults()
    cache = open_cache(store=FlakyStore(make_store(), faults), audit_rate=1.0)
    cache.get_or_compute("rain @0", answering("water"))
    faults.arm(lambda _, name: name == "store.write")
    assert cache.get_or_compute("mist @1", answering("drops")) == "water"
    settle(cache)
    faults.lift()
    assert [fields["doing"] for fields in events.of("store_failure")] == ["auditing"]
    assert cache.watch().audits == 0
    faults.arm(lambda _, name: name == "store.read")
    with pytest.raises(StoreBackendError):
        cache.watch()
    faults.lift()


class Opening(deque):
    """Opens a gate when what waits was let go of."""

    def __init__(self, gate, waiting):
        super().__init__(waiting)
        self.gate = gate

    def clear(self):
        super().clear()
        self.gate.set()


def test_closing_ends_the_audit_that_runs_and_lets_go_of_those_that_wait(face, compass, clock, events, cache_path):
    begun, gate = threading.Event(), threading.Event()

    def slow(_):
        begun.set()
        assert gate.wait(PATIENCE)
        return "water"

    cache = face.open(store=SQLiteStore(cache_path), embedder=compass, clock=clock, audit_rate=1.0, metrics_hook=events)
    cache.get_or_compute("rain @0", answering("water"))
    for number in range(20):
        cache.get_or_compute(f"mist {number} @1", slow)
    if face.name == "sync":
        assert begun.wait(PATIENCE)
        background = cache._core.background
        background._waiting = Opening(gate, background._waiting)
        cache.close()
    else:
        face.run(asyncio.sleep(0))  # so that the task begins
        cache.close()
        gate.set()
    assert [fields["outcome"] for fields in events.of("audit")].count("dropped") >= 3
    assert not [name for name in mneme_threads() if "background" in name]
    with face.open(store=SQLiteStore(cache_path), embedder=compass, clock=clock) as again:
        assert again.watch().audits <= 1
        assert_sound(again)


def test_compute_may_close_the_cache_from_an_audit(face, compass, clock):
    cache = face.open(store=MemoryStore(), embedder=compass, clock=clock, audit_rate=1.0)
    cache.get_or_compute("rain @0", answering("water"))
    closed = threading.Event()

    def close(_):
        if face.name == "sync":
            cache.close()
        closed.set()
        return "water"

    cache.get_or_compute("mist @1", close)
    if face.name == "sync":
        assert closed.wait(PATIENCE)
    cache.close()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"audit_rate": 1.5}, ValueError, "audit_rate must be a share from 0 to 1, got 1.5"),
        ({"audit_rate": "much"}, TypeError, "audit_rate must be a number"),
        ({"max_false_hit_rate": 0.02}, ValueError, "nothing to go by without audits; set audit_rate="),
        ({"max_false_hit_rate": 0.0, "audit_rate": 0.1}, ValueError, "above 0 and below 1"),
        ({"max_false_hit_rate": 1, "audit_rate": 0.1}, ValueError, "above 0 and below 1"),
        ({"on_alarm": "shout"}, ValueError, "on_alarm must be one of"),
    ],
)
def test_options_that_do_not_hold_are_refused(face, options, error, message):
    with pytest.raises(error, match=message):
        face.open(store=MemoryStore(), **options)


def test_watching_a_namespace_that_is_not_there_says_so_little(cache):
    watch = cache.watch("nobody")
    assert (watch.namespace, watch.audits, watch.labels, watch.raised_to) == ("nobody", 0, (), None)
    assert not inspect.isawaitable(watch)


def test_labels_are_written_when_enough_have_gathered(watched, settle, monkeypatch):
    monkeypatch.setattr("mneme._engine.watch._LABELS", 3)
    for number in range(4):
        watched.get_or_compute(f"rain @{40 * number}", answering("water"))
        settle(watched)
    assert watched._core.labels == {}
    assert json.loads(watched._core.notes.get("watch", "default"))["labels"] == {"76": [3, 0]}
    assert [(labels.similarity, labels.same) for labels in watched.watch().labels] == [(0.76, 3)]


def test_what_computes_may_have_an_audit_of_its_own(watched, settle, events):
    class Model:
        def __call__(self, query):
            return "water"

        def audit(self, query):
            return "an audit report"

    watched.get_or_compute("rain @0", Model())
    assert watched.get_or_compute("mist @1", Model()) == "water"
    settle(watched)
    assert [fields["outcome"] for fields in events.of("audit")] == ["right"]


def test_a_cache_whose_store_went_over_to_another_embedder_can_be_closed(open_cache, cache_path, settle):
    cache = open_cache(cache_path, audit_rate=1.0)
    cache.get_or_compute("rain @0", answering("water"))
    cache.get_or_compute("snow @80", answering("ice"))
    settle(cache)
    assert cache._core.labels
    with SemanticCache(cache_path, Compass()) as other:
        other.reembed(HashEmbedder())
    cache.close()
    assert cache._core.released


def test_labels_that_could_not_be_written_are_written_later(open_cache, settle, flush):
    faults = Faults()
    cache = open_cache(store=FlakyStore(MemoryStore(), faults), audit_rate=1.0)
    cache.get_or_compute("rain @0", answering("water"))
    cache.get_or_compute("snow @80", answering("ice"))
    settle(cache)
    [before] = cache._core.labels.values()
    faults.arm(lambda _, verb: verb == "store.write")
    flush(cache)
    assert list(cache._core.labels.values()) == [before]
    faults.arm(())
    flush(cache)
    assert cache._core.labels == {}
    assert sum(each.same + each.different for each in cache.watch().labels) == 1
