"""Jitter, stale answers while a new one is computed, and stale answers when computing fails."""

import asyncio

import pytest

from concurrency.crowd import PATIENCE, AsyncGate, Gate, Waiters, outcomes, start, until
from mneme import AsyncSemanticCache, SemanticCache
from mneme.testing import HashEmbedder, ScriptedEmbedder

QUESTION = "What is the weather like?"
LASTS = {"ttl": 10, "stale_ttl": 30}
"""Fresh for ten seconds, then stale for thirty."""


@pytest.fixture
def events():
    return []


@pytest.fixture
def cache(cache_path, clock, events):
    def hook(event, fields):
        events.append((event, fields.get("reason")))

    with SemanticCache(cache_path, HashEmbedder(), clock=clock, metrics_hook=hook) as cache:
        yield cache
        assert cache.check() == []


def fill(cache, value="old", question=QUESTION, **options):
    assert cache.get_or_compute(question, lambda _: value, **{**LASTS, **options}) == value


def fails(_):
    raise LookupError("the model is down")


def never(_):
    raise AssertionError("this should not have been computed")


# --- jitter ----------------------------------------------------------------------------------------------------------


def test_jitter_spreads_expiry_and_never_lengthens_a_life(cache, clock):
    for number in range(50):
        fill(cache, question=f"question {number}", ttl=100, stale_ttl=None, jitter=0.25)
    lives = [entry.expires_at - clock.now() for entry in cache.entries()]
    assert all(75 <= life <= 100 for life in lives)
    assert len({round(life) for life in lives}) > 10
    assert max(lives) - min(lives) > 15


def test_without_jitter_entries_live_as_long_as_was_said(cache, clock):
    fill(cache, ttl=100)
    assert [entry.expires_at for entry in cache.entries()] == [clock.now() + 100]


def test_the_jitter_of_a_question_is_the_same_every_time(cache, clock):
    fill(cache, ttl=100, jitter=0.5)
    [first] = cache.entries()
    clock.advance(200)
    fill(cache, "new", ttl=100, jitter=0.5)
    [second] = cache.entries()
    assert second.expires_at - first.expires_at == pytest.approx(200)


@pytest.mark.parametrize(("jitter", "error"), [(1, ValueError), (-0.1, ValueError), ("some", TypeError)])
def test_jitter_is_a_share_below_one(cache, jitter, error):
    with pytest.raises(error, match="jitter"):
        cache.get_or_compute(QUESTION, never, jitter=jitter)


# --- stale while a new answer is computed ----------------------------------------------------------------------------


def test_others_get_the_old_answer_while_one_computes_the_new_one(cache, clock, events):
    fill(cache)
    clock.advance(15)
    compute = Gate("new")
    leader = start(cache.get_or_compute, QUESTION, compute, **LASTS)
    compute.wait_for_calls(1)
    others = [start(cache.get_or_compute, QUESTION, never, **LASTS) for _ in range(5)]
    assert outcomes(others) == ["old"] * 5
    assert not leader.done()
    assert events.count(("stale", None)) == 5
    assert ("miss", "expired") in events
    compute.open()
    assert leader.result(PATIENCE) == "new"
    assert cache.get_or_compute(QUESTION, never) == "new"
    assert compute.calls == 1


def test_whoever_does_not_accept_stale_answers_waits_for_the_new_one(cache, clock):
    fill(cache)
    clock.advance(15)
    waiters, compute = Waiters(cache), Gate("new")
    leader = start(cache.get_or_compute, QUESTION, compute, **LASTS)
    compute.wait_for_calls(1)
    patient = start(cache.get_or_compute, QUESTION, never, ttl=10)
    waiters.wait_for(followers=1)
    compute.open()
    assert outcomes([leader, patient]) == ["new", "new"]


def test_stale_answers_share_nothing(cache, clock):
    fill(cache, ["old"])
    clock.advance(15)
    compute = Gate("new")
    leader = start(cache.get_or_compute, QUESTION, compute, **LASTS)
    compute.wait_for_calls(1)
    for _ in range(2):
        stale = cache.get_or_compute(QUESTION, never, **LASTS)
        assert stale == ["old"]
        stale.append("changed")
    compute.open()
    leader.result(PATIENCE)


def test_an_answer_is_stale_from_the_moment_it_expires_until_its_time_is_over(cache, clock):
    fill(cache)
    for pause, expected in [(9.5, "old"), (0.5, "old"), (29.5, "old"), (0.5, "new")]:
        clock.advance(pause)
        compute = Gate(LookupError("the model is down"))
        leader = start(cache.get_or_compute, QUESTION, compute, **LASTS)
        if pause == 9.5:  # still fresh
            assert leader.result(PATIENCE) == expected
            continue
        compute.wait_for_calls(1)
        waiters = Waiters(cache)
        other = start(cache.get_or_compute, QUESTION, lambda _: "new", **LASTS)
        if expected == "old":
            assert other.result(PATIENCE) == "old"
            compute.open()
        else:
            waiters.wait_for(followers=1)
            compute.open()
            assert isinstance(other.exception(PATIENCE), LookupError)
        assert isinstance(leader.exception(PATIENCE), LookupError)


def test_a_new_answer_starts_its_life_anew(cache, clock):
    fill(cache)
    clock.advance(15)
    fill(cache, "new")
    clock.advance(9)
    assert cache.get(QUESTION).response == "new"
    clock.advance(1)
    assert cache.get(QUESTION) is None


def test_a_stale_answer_to_a_similar_question_is_as_good(cache_path, clock):
    embedder = ScriptedEmbedder({"twin": [1, 0], "paraphrase": [0.96, 0.28], "cousin": [0.8, 0.6]})
    with SemanticCache(cache_path, embedder, clock=clock) as cache:
        fill(cache, question="twin")
        clock.advance(15)
        assert cache.get_or_compute("paraphrase", fails, stale_on_error=True, **LASTS) == "old"
        with pytest.raises(LookupError):  # not near enough to answer, stale or not
            cache.get_or_compute("cousin", fails, stale_on_error=True, **LASTS)
        compute = Gate("new")
        leader = start(cache.get_or_compute, "paraphrase", compute, **LASTS)
        compute.wait_for_calls(1)
        assert start(cache.get_or_compute, "paraphrase", never, **LASTS).result(PATIENCE) == "old"
        waiters = Waiters(cache)
        strict = start(cache.get_or_compute, "paraphrase", never, similarity_threshold=0.99, **LASTS)
        waiters.wait_for(followers=1)
        compute.open()
        assert outcomes([leader, strict]) == ["new", "new"]


# --- stale when computing fails --------------------------------------------------------------------------------------


def test_within_its_time_a_stale_answer_stands_in_for_a_failure(cache, clock, events):
    fill(cache)
    clock.advance(39.9)
    assert cache.get_or_compute(QUESTION, fails, stale_on_error=True, **LASTS) == "old"
    assert ("stale", None) in events
    assert cache.get(QUESTION) is None


def test_beyond_its_time_the_failure_is_raised_and_the_entry_is_gone(cache, clock):
    fill(cache)
    clock.advance(40)
    with pytest.raises(LookupError, match="down"):
        cache.get_or_compute(QUESTION, fails, stale_on_error=True, **LASTS)
    assert cache.stats().entries == 0
    assert cache.stats().expirations == 1


def test_a_caller_may_accept_less_staleness_than_the_entry_was_stored_with(cache, clock):
    fill(cache)
    clock.advance(14.9)  # expired 4.9 ago
    assert cache.get_or_compute(QUESTION, fails, ttl=10, stale_ttl=5, stale_on_error=True) == "old"
    clock.advance(0.1)
    with pytest.raises(LookupError, match="down"):
        cache.get_or_compute(QUESTION, fails, ttl=10, stale_ttl=5, stale_on_error=True)
    assert cache.get_or_compute(QUESTION, fails, stale_on_error=True, **LASTS) == "old"


def test_a_failure_is_raised_unless_a_stale_answer_was_asked_for(cache, clock):
    fill(cache)
    clock.advance(15)
    with pytest.raises(LookupError, match="down"):
        cache.get_or_compute(QUESTION, fails, **LASTS)
    assert cache.get_or_compute(QUESTION, fails, stale_on_error=True, **LASTS) == "old"


def test_a_failure_without_anything_stale_is_raised(cache):
    with pytest.raises(LookupError, match="down"):
        cache.get_or_compute(QUESTION, fails, stale_on_error=True, **LASTS)


def test_nothing_but_exceptions_is_covered_up(cache, clock):
    def interrupted(_):
        raise KeyboardInterrupt

    fill(cache)
    clock.advance(15)
    with pytest.raises(KeyboardInterrupt):
        cache.get_or_compute(QUESTION, interrupted, stale_on_error=True, **LASTS)


def test_each_waiter_has_its_own_say_about_a_failure(cache, clock):
    fill(cache)
    clock.advance(15)
    waiters, compute = Waiters(cache), Gate(LookupError("the model is down"))
    leader = start(cache.get_or_compute, QUESTION, compute, stale_on_error=True, **LASTS)
    compute.wait_for_calls(1)
    plain = start(cache.get_or_compute, QUESTION, never)
    waiters.wait_for(followers=1)
    compute.open()
    assert leader.result(PATIENCE) == "old"
    assert isinstance(plain.exception(PATIENCE), LookupError)


def test_stale_on_error_needs_to_know_for_how_long(cache):
    with pytest.raises(ValueError, match="stale_ttl"):
        cache.get_or_compute(QUESTION, never, stale_on_error=True)


@pytest.mark.parametrize(
    ("stale_ttl", "error"), [(0, ValueError), (-1, ValueError), ("soon", ValueError), ([], TypeError)]
)
def test_stale_ttl_is_a_duration(cache, stale_ttl, error):
    with pytest.raises(error, match="stale_ttl"):
        cache.get_or_compute(QUESTION, never, stale_ttl=stale_ttl)


# --- what others see of stale entries --------------------------------------------------------------------------------


def test_plain_reads_never_see_a_stale_entry_and_leave_it_alone(cache, clock):
    fill(cache)
    clock.advance(10)
    assert cache.get(QUESTION) is None
    assert cache.get_many([QUESTION]) == [None]
    assert cache.lookup(QUESTION) == []
    told = cache.explain(QUESTION)
    assert (told.layer, told.reason, [one.reason for one in told.candidates]) == (None, "expired", ["expired"])
    assert cache.stats().entries == 1
    assert cache.get_or_compute(QUESTION, fails, stale_on_error=True, **LASTS) == "old"


def test_vacuum_removes_a_stale_entry_when_its_time_is_over(cache, clock):
    fill(cache)
    clock.advance(39)
    assert cache.vacuum() == 0
    clock.advance(1)
    assert cache.vacuum() == 1
    assert cache.stats().expirations == 1


def test_stale_time_survives_a_restart(cache_path, clock):
    with SemanticCache(cache_path, HashEmbedder(), clock=clock) as cache:
        fill(cache)
    clock.advance(15)
    with SemanticCache(cache_path, HashEmbedder(), clock=clock) as cache:
        assert cache.get(QUESTION) is None
        assert cache.get_or_compute(QUESTION, fails, stale_on_error=True, **LASTS) == "old"


def test_stale_time_is_added_to_the_default_ttl_and_for_ever_needs_none(cache_path, clock):
    with SemanticCache(cache_path, HashEmbedder(), clock=clock, default_ttl=10) as cache:
        fill(cache, ttl=None)
        fill(cache, "eternal", question="eternal", ttl=float("inf"))
        clock.advance(15)
        assert cache.get_or_compute(QUESTION, fails, stale_on_error=True, **LASTS) == "old"
        clock.advance(1e9)
        assert cache.vacuum() == 1
        assert cache.get("eternal").response == "eternal"


def test_a_stale_answer_may_be_kept_for_ever(cache, clock):
    fill(cache, stale_ttl=float("inf"))
    clock.advance(1e9)
    assert cache.vacuum() == 0
    assert cache.get(QUESTION) is None
    assert cache.get_or_compute(QUESTION, fails, stale_ttl=float("inf"), stale_on_error=True) == "old"


def test_what_the_validator_refuses_is_no_stale_answer(cache_path, clock):
    refused = []
    with SemanticCache(
        cache_path, HashEmbedder(), clock=clock, validator=lambda response: response not in refused
    ) as cache:
        fill(cache)
        clock.advance(15)
        refused.append("old")
        with pytest.raises(LookupError):
            cache.get_or_compute(QUESTION, fails, stale_on_error=True, **LASTS)


# --- the awaited face ------------------------------------------------------------------------------------------------


async def test_tasks_get_the_old_answer_while_one_computes_the_new_one(cache_path, clock):
    async with AsyncSemanticCache(cache_path, HashEmbedder(), clock=clock) as cache:
        await cache.get_or_compute(QUESTION, lambda _: "old", **LASTS)
        clock.advance(15)
        assert await cache.get(QUESTION) is None
        waiters, compute = Waiters(cache), AsyncGate("new")
        leader = asyncio.ensure_future(cache.get_or_compute(QUESTION, compute, **LASTS))
        await until(lambda: compute.calls)
        patient = asyncio.ensure_future(cache.get_or_compute(QUESTION, never))
        await until(lambda: waiters.followers)
        for _ in range(3):
            assert await asyncio.wait_for(cache.get_or_compute(QUESTION, never, **LASTS), PATIENCE) == "old"
        assert not leader.done()
        compute.open()
        assert await asyncio.gather(leader, patient) == ["new", "new"]
        assert (await cache.get(QUESTION)).response == "new"


async def test_a_stale_answer_stands_in_for_a_failure_of_a_task(cache_path, clock):
    async def goes_wrong(_):
        raise LookupError("the model is down")

    async with AsyncSemanticCache(cache_path, HashEmbedder(), clock=clock) as cache:
        await cache.get_or_compute(QUESTION, lambda _: "old", **LASTS)
        clock.advance(39)
        assert await cache.get_or_compute(QUESTION, goes_wrong, stale_on_error=True, **LASTS) == "old"
        assert await cache.vacuum() == 0
        clock.advance(1)
        with pytest.raises(LookupError, match="down"):
            await cache.get_or_compute(QUESTION, goes_wrong, stale_on_error=True, **LASTS)
        assert await cache.vacuum() == 0
        assert (await cache.stats()).expirations == 1


async def test_a_cancelled_task_is_not_given_a_stale_answer(cache_path, clock):
    async with AsyncSemanticCache(cache_path, HashEmbedder(), clock=clock) as cache:
        await cache.get_or_compute(QUESTION, lambda _: "old", **LASTS)
        clock.advance(15)
        compute = AsyncGate("new")
        task = asyncio.ensure_future(cache.get_or_compute(QUESTION, compute, stale_on_error=True, **LASTS))
        await until(lambda: compute.calls)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
