"""The stress run: its plan, its threads, its end and its figures."""

import threading

import pytest

from showcase.pages.stress import charts, shown
from showcase.state import STRESS
from showcase.stress import Plan, Sample, Snapshot, Stress, percentile
from showcase.traffic import TOPICS, Traffic

FRAGMENT = {"hx-request": "true"}
FORM = {"requests": "60", "threads": "4", "paraphrases": "50", "delay": "0", "answers": "stand-in"}


@pytest.fixture
def stress(state):
    made = Stress(state)
    yield made
    made.stop()


# --- the run ---------------------------------------------------------------------------------------------------------


def test_every_request_is_answered_once_and_none_wrongly(stress, state):
    assert stress.start(Plan(requests=200, threads=8, paraphrases=0.5, delay=0.0))
    stress.join()
    told = stress.snapshot()
    assert not told.running
    assert told.failure == ""
    assert len(told.samples) == 200
    assert told.wrong == 0
    stats = state.cache.stats(STRESS)
    assert told.count("exact") == stats.hits_exact
    assert told.count("semantic") == stats.hits_semantic > 0
    assert told.count("miss") == stats.misses >= stats.entries > 0


def test_a_run_begins_with_nothing_stored(stress, state):
    for _ in range(2):
        stress.start(Plan(requests=20, threads=2, paraphrases=0.0, delay=0.0))
        stress.join()
        assert stress.snapshot().count("miss") > 0
    state.cache.put("kept", "elsewhere")
    stress.start(Plan(requests=1, threads=1, paraphrases=0.0, delay=0.0))
    stress.join()
    assert state.cache.get("kept") is not None


def test_a_second_run_does_not_begin_before_the_first_has_ended(stress):
    plan = Plan(requests=1, threads=1, paraphrases=0.0, delay=3600.0)
    assert stress.start(plan)
    assert not stress.start(plan)
    stress.stop()
    assert stress.start(Plan(requests=1, threads=1, paraphrases=0.0, delay=0.0))


def test_stopping_ends_every_thread_though_the_stand_in_still_waits(stress):
    stress.start(Plan(requests=1000, threads=8, paraphrases=0.0, delay=3600.0))
    stress.stop()
    told = stress.snapshot()
    assert not told.running
    assert told.failure == ""
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("showcase-stress")]


def test_stopping_ends_a_run_that_is_just_beginning(stress, state, monkeypatch):
    real, stopping = state.cache.clear_namespace, threading.Thread(target=stress.stop)

    def stopped_meanwhile(namespace):
        stopping.start()
        stress._stop.wait(0.2)  # too early, if it is set now
        return real(namespace)

    monkeypatch.setattr(state.cache, "clear_namespace", stopped_meanwhile)
    assert stress.start(Plan(requests=1000, threads=2, paraphrases=0.0, delay=3600.0))
    stopping.join()
    assert not stress.snapshot().running


def test_a_model_that_fails_ends_the_run_and_is_named(stress, model):
    model.failure = "The model at nowhere does not answer."
    stress.start(Plan(requests=50, threads=4, paraphrases=0.0, delay=None))
    stress.join()
    told = stress.snapshot()
    assert told.failure == model.failure
    assert len(told.samples) == 0


def test_the_model_itself_can_be_asked(stress, model):
    stress.start(Plan(requests=10, threads=2, paraphrases=0.0, delay=None))
    stress.join()
    assert len(model.questions) == stress.snapshot().count("miss") > 0


def test_answers_that_were_cut_off_are_left_out(stress, model):
    model.whole = False
    stress.start(Plan(requests=5, threads=1, paraphrases=0.0, delay=None))
    stress.join()
    assert (len(stress.snapshot().samples), stress.snapshot().failure) == (0, "")


def test_a_wrong_answer_is_counted(stress, state):
    state.cache.set_similarity_threshold(0.0)
    stress.start(Plan(requests=40, threads=1, paraphrases=0.5, delay=0.0))
    stress.join()
    assert stress.snapshot().wrong > 0


# --- its traffic and its figures -------------------------------------------------------------------------------------


def test_the_same_seed_asks_the_same_and_paraphrases_are_as_many_as_was_said():
    def asked(share, seed=1):
        traffic = Traffic(share, seed)
        return [traffic.next() for _ in range(500)]

    assert asked(0.5) == asked(0.5)
    assert asked(0.5) != asked(0.5, seed=2)
    assert all(request.question == request.topic for request in asked(0.0))
    assert not any(request.question == request.topic for request in asked(1.0))
    topics = {request.topic for request in asked(0.0)}
    assert 50 < len(topics) <= TOPICS == 160


def test_percentiles_are_of_what_there_is():
    assert percentile([], 0.5) is None
    assert percentile([1.0], 0.99) == 1.0
    assert percentile([float(n) for n in range(100)], 0.5) == 50.0
    assert percentile([float(n) for n in range(100)], 0.99) == 99.0


def test_what_it_would_take_without_the_cache_counts_every_request_as_a_computed_one():
    samples = [Sample(0.1, 0.5, "miss", wrong=False), *(Sample(0.2, 0.001, "exact", wrong=False) for _ in range(9))]
    told = shown(Snapshot(Plan(10, 2, 0.0, 0.5), running=False, seconds=1.0, samples=samples))
    assert told["without"] == pytest.approx(10 * 0.5 / 2)
    assert (told["rate"], told["calls"], told["done"]) == (0.9, 1, 10)


@pytest.mark.parametrize("count", [1, 2, 39, 1000])
def test_charts_are_drawn_of_any_number_of_samples(count):
    samples = [Sample(n / 10, 0.001 * n, "exact" if n % 2 else "miss", wrong=False) for n in range(count)]
    rate, times = charts(samples)
    assert "<svg" in rate
    assert "p99" in times


# --- the page --------------------------------------------------------------------------------------------------------


def live(site):
    return site.get("/stress/live").text


def test_a_run_is_started_watched_and_stopped_from_the_page(site, model):
    started = site.post("/stress", data=FORM | {"requests": "5000", "delay": "5000"}, headers=FRAGMENT).text
    assert 'hx-trigger="every' in started
    assert "Stop" in started
    stopped = site.post("/stress/stop", headers=FRAGMENT).text
    assert "stopped" in stopped
    assert "hx-trigger" not in stopped  # nobody asks again and again once it is over
    assert model.questions == []


def test_without_a_script_the_page_is_shown_again(site):
    page = site.post("/stress", data=FORM)
    assert page.url.path == "/stress"
    assert "of 60 requests" in page.text
    assert "of 60 requests" in site.post("/stress/stop").text


@pytest.mark.parametrize(
    "nonsense",
    [
        {"requests": "0"},
        {"requests": "20001"},
        {"requests": "1.5"},
        {"requests": ""},
        {"threads": "17"},
        {"paraphrases": "101"},
        {"delay": "-1"},
        {"answers": "oracle"},
        {"answers": "model", "requests": "201"},
    ],
    ids=str,
)
def test_a_plan_that_does_not_hold_starts_nothing(site, nonsense):
    refused = site.post("/stress", data=FORM | nonsense)
    assert refused.status_code == 400
    assert "must be" in refused.text or "empty" in refused.text
    assert "requests in" not in live(site)


def test_a_run_that_is_under_way_ends_with_the_application(site):
    site.post(
        "/stress", data=FORM | {"delay": "5000"}
    )  # what the fixture leaves open would be found as a leaked thread
