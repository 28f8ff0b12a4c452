"""Of the threads that want the same computation at the same time, one computes."""

import contextvars

import pytest

from concurrency.crowd import PATIENCE, Gate, HeldEmbedder, Waiters, outcomes, start
from mneme import SemanticCache
from mneme.testing import HashEmbedder, ScriptedEmbedder, SlowEmbedder

QUESTION = "What is the capital of France?"


@pytest.fixture
def cache(cache_path):
    with SemanticCache(cache_path, HashEmbedder()) as cache:
        yield cache
        assert cache._core.flights._flying == {}, "a flight that nobody landed"
        assert cache.check() == []


def ask(cache, compute, number, question=QUESTION, **options):
    """So many threads that ask, of which the first is computing and the others wait for it."""
    waiters = Waiters(cache)
    futures = [start(cache.get_or_compute, question, compute, **options)]
    compute.wait_for_calls(1)
    futures += [start(cache.get_or_compute, question, compute, **options) for _ in range(number - 1)]
    waiters.wait_for(followers=number - 1)
    return futures


@pytest.mark.parametrize("value", ["Paris", b"", 0, None, False, [], {"deep": ["list", None, 1.5]}])
def test_sixteen_threads_compute_once(cache, value):
    compute = Gate(value)
    futures = ask(cache, compute, 16)
    compute.open()
    assert outcomes(futures) == [value] * 16
    assert compute.calls == 1
    assert cache.get(QUESTION).response == value
    stats = cache.stats()
    assert (stats.misses, stats.hits_exact, stats.entries) == (1, 16, 1)


def test_what_the_waiters_get_may_be_changed(cache):
    computed = {"cities": ["Paris"]}
    compute = Gate(computed)
    futures = ask(cache, compute, 5)
    compute.open()
    values = [future.result(PATIENCE) for future in futures]
    assert values[0] is computed
    for value in values:
        assert value == {"cities": ["Paris"]}
        value["cities"].append("Lyon")
    assert cache.get_or_compute(QUESTION, compute) == {"cities": ["Paris"]}


def test_a_failure_reaches_every_waiter_and_is_forgotten(cache):
    error = LookupError("the model is down")
    compute = Gate(error)
    futures = ask(cache, compute, 16)
    compute.open()
    assert outcomes(futures) == [error] * 16
    assert compute.calls == 1
    assert cache.stats().entries == 0
    assert cache.get_or_compute(QUESTION, lambda _: "Paris") == "Paris"


def test_when_the_leader_is_killed_exactly_one_waiter_takes_over(cache):
    killed, taken_over = Gate(KeyboardInterrupt()), Gate("Paris")
    waiters = Waiters(cache)
    leader = start(cache.get_or_compute, QUESTION, killed)
    killed.wait_for_calls(1)
    others = [start(cache.get_or_compute, QUESTION, taken_over) for _ in range(8)]
    waiters.wait_for(followers=8)
    killed.open()
    assert isinstance(leader.exception(PATIENCE), KeyboardInterrupt)
    waiters.wait_for(followers=15)  # the eight, and the seven of them who wait again
    taken_over.open()
    assert outcomes(others) == ["Paris"] * 8
    assert (killed.calls, taken_over.calls) == (1, 1)


def test_a_refused_value_reaches_every_waiter_but_is_not_stored(cache):
    compute = Gate("[ERROR] no answer")
    futures = ask(cache, compute, 4)
    compute.open()
    assert outcomes(futures) == ["[ERROR] no answer"] * 4
    assert (compute.calls, cache.stats().entries) == (1, 0)


def test_a_value_that_cannot_be_encoded_reaches_every_waiter(cache):
    value = object()
    compute = Gate(value)
    futures = ask(cache, compute, 4)
    compute.open()
    assert outcomes(futures) == [value] * 4
    assert cache.stats().entries == 0


@pytest.mark.parametrize(
    "other",
    [
        {"query": "What is the capital of Spain?"},
        {"namespace": "elsewhere"},
        {"scope": "another model"},
        {"scope": {"model": 2}},
    ],
)
def test_different_questions_do_not_wait_for_each_other(cache, other):
    compute = Gate("Paris")
    held = start(cache.get_or_compute, QUESTION, compute)
    compute.wait_for_calls(1)
    free = start(cache.get_or_compute, other.pop("query", QUESTION), lambda _: "Madrid", **other)
    assert free.result(PATIENCE) == "Madrid"
    assert not held.done()
    compute.open()
    assert held.result(PATIENCE) == "Paris"


def test_a_caller_who_wants_it_more_exactly_does_not_get_the_leaders_vague_hit(cache_path):
    """The threshold of a waiter holds, whatever the leader was content with."""
    gates = []
    embedder = SlowEmbedder(ScriptedEmbedder({"stored": [1, 0], "asked": [0.7, 0.714]}), lambda: [g() for g in gates])
    with SemanticCache(cache_path, embedder) as cache:
        cache.put("stored", "a vague answer")
        waiters, gate = Waiters(cache), Gate()
        gates.append(gate)
        vague = start(cache.get_or_compute, "asked", lambda _: "computed", similarity_threshold=0.5)
        gate.wait_for_calls(1)
        strict = start(cache.get_or_compute, "asked", lambda _: "computed", similarity_threshold=0.95)
        also_vague = start(cache.get_or_compute, "asked", lambda _: "computed", similarity_threshold=0.6)
        waiters.wait_for(followers=2)
        gate.open()
        assert strict.result(PATIENCE) == "computed"
        assert vague.result(PATIENCE) == "a vague answer"
        assert also_vague.result(PATIENCE) in ("a vague answer", "computed")
        stats = cache.stats()
        assert stats.hits_exact + stats.hits_semantic == 2
        assert stats.misses == 1


def test_a_waiter_of_a_semantic_hit_is_counted_as_one(cache_path):
    embedder = HeldEmbedder()
    with SemanticCache(cache_path, embedder, similarity_threshold=0.5) as cache:
        cache.put("question about the weather in Rome", "warm")
        waiters = Waiters(cache)
        first = start(cache.get_or_compute, "held question about the weather in Rome", str.upper)
        embedder.gate.wait_for_calls(1)
        second = start(cache.get_or_compute, "held question about the weather in Rome", str.upper)
        waiters.wait_for(followers=1)
        embedder.gate.open()
        assert outcomes([first, second]) == ["warm", "warm"]
        assert (cache.stats().hits_semantic, cache.stats().hits_exact) == (2, 0)


# --- computations that ask the cache themselves ----------------------------------------------------------------------


def test_a_computation_may_ask_its_own_question(cache):
    """It gets an answer of its own computing instead of waiting for itself."""
    depth = []

    def compute(question):
        depth.append(question)
        return "bottom" if len(depth) == 3 else cache.get_or_compute(question, compute) + "!"

    assert start(cache.get_or_compute, QUESTION, compute).result(PATIENCE) == "bottom!!"
    assert cache.get(QUESTION).response == "bottom!!"


def test_a_computation_may_ask_other_questions(cache):
    def compute(question):
        first, _, rest = question.partition(" ")
        return first if not rest else f"{cache.get_or_compute(rest, compute)} {first}"

    assert start(cache.get_or_compute, "a b c d", compute).result(PATIENCE) == "d c b a"
    assert cache.stats().entries == 4


def test_a_thread_of_a_computation_that_carries_its_context_may_ask_its_question(cache):
    def compute(question):
        context = contextvars.copy_context()
        return start(context.run, cache.get_or_compute, question, lambda _: "inner").result(PATIENCE) + " and outer"

    assert start(cache.get_or_compute, QUESTION, compute).result(PATIENCE) == "inner and outer"


def test_two_computations_that_ask_for_each_others_question_both_end(cache):
    """Each would wait for the other for ever."""
    inside = [Gate(), Gate()]

    def compute(me):
        def first_time(_):
            inside[me]()
            return cache.get_or_compute(f"question {1 - me}", lambda _: f"inner {1 - me}") + f", outer {me}"

        return first_time

    futures = [start(cache.get_or_compute, f"question {me}", compute(me)) for me in (0, 1)]
    for gate in inside:
        gate.wait_for_calls(1)
    for gate in inside:
        gate.open()
    for me, value in enumerate(outcomes(futures)):
        assert value.endswith(f", outer {me}")


def test_bypassing_neither_waits_nor_is_waited_for(cache):
    compute = Gate("old")
    held = start(cache.get_or_compute, QUESTION, compute)
    compute.wait_for_calls(1)
    assert start(cache.get_or_compute, QUESTION, lambda _: "new", bypass=True).result(PATIENCE) == "new"
    assert cache.get(QUESTION).response == "new"
    compute.open()
    assert held.result(PATIENCE) == "old"
