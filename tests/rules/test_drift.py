"""The alarm: no expected gain while all is well, few false alarms ever, few audits until a true one, early or late."""

import json

import numpy as np
import pytest
from hypothesis import given, strategies as st

from mneme._rules import drift
from mneme._rules.drift import ALPHA, BLOCK, NOTHING_NEAR, after, beginning, is_alarm, safer
from mneme._rules.watching import State, class_of, dumped, loaded

LIMITS = st.floats(0.001, 0.9)


def run(outcomes, limit):
    """How many audits it takes to the alarm; `None` if there is none."""
    stakes = beginning()
    for audits, wrong in enumerate(outcomes):
        stakes = after(stakes, audits, wrong=wrong, limit=limit)
        if is_alarm(stakes):
            return audits + 1
    return None


def delays(rates, limit, *, repetitions, seed):
    """The audits to the alarm of so many streams of outcomes."""
    draws = np.random.default_rng(seed).random((repetitions, len(rates)))
    return [run((row < rates).tolist(), limit) for row in draws]


@given(
    limit=LIMITS, share=st.floats(0, 1), stakes=st.lists(st.floats(0, 1e6), min_size=6, max_size=6), at=st.integers(0)
)
def test_no_stake_is_expected_to_grow_while_the_rate_is_within_the_limit(limit, share, stakes, at):
    rate = limit * share
    new = drift.put_down(at)
    right, wrong = (after(stakes, at, wrong=outcome, limit=limit) for outcome in (False, True))
    for before, low, high in zip(stakes, right, wrong, strict=True):
        assert rate * high + (1 - rate) * low <= (before + new) * (1 + 1e-9) + 1e-300  # the least numbers are coarse


def test_all_that_is_ever_put_down_is_one_unit():
    assert sum(drift.put_down(audits) for audits in range(BLOCK * 1000)) == pytest.approx(1.0, abs=1e-3)


@given(limit=LIMITS)
def test_every_bet_is_on_a_rate_above_the_limit_and_below_one(limit):
    assert all(limit < rate < 1 for rate in drift.rates(limit))


def test_false_alarms_are_rarer_than_promised_at_the_limit_itself():
    found = delays(np.full(2000, 0.05), 0.05, repetitions=100, seed=1)
    assert sum(delay is not None for delay in found) <= 100 * ALPHA


@pytest.mark.parametrize(("times", "most"), [(2, 700), (3, 200), (5, 80)])
def test_a_change_from_the_beginning_is_found(times, most):
    found = delays(np.full(3000, 0.02 * times), 0.02, repetitions=40, seed=2)
    assert None not in found
    assert np.median(found) <= most


def test_a_change_after_long_clean_history_is_found_about_as_soon():
    clean = 2000
    rates = np.r_[np.full(clean, 0.01), np.full(1000, 0.1)]
    found = delays(rates, 0.02, repetitions=40, seed=3)
    assert all(delay is not None and delay > clean for delay in found)
    assert np.median(found) - clean <= 200


@given(threshold=st.floats(0, 1), highest=st.sampled_from([1.0, 1.5, 2.0]))
def test_a_safer_threshold_is_higher_and_comes_to_exact_answers_in_the_end(threshold, highest):
    steps = [threshold]
    while steps[-1] != NOTHING_NEAR:
        steps.append(safer(steps[-1], highest))
    assert steps == sorted(set(steps))
    assert len(steps) <= 10
    assert all(step < highest for step in steps[1:-1])


@given(
    outcomes=st.lists(st.booleans(), max_size=30),
    limit=st.none() | LIMITS,
    labels=st.dictionaries(st.integers(0, 99), st.tuples(st.integers(0, 9), st.integers(0, 9))),
)
def test_a_state_comes_back_as_it_was_written(outcomes, limit, labels):
    state = State()
    for wrong in outcomes:
        state = state.audited(wrong=wrong, limit=limit, embedder="e")
    state = state.labelled(labels).labelled(labels)
    assert loaded(dumped(state)) == state
    assert (state.audits, state.wrong) == (len(outcomes), sum(outcomes))
    assert state.labels == {where: (2 * same, 2 * other) for where, (same, other) in labels.items()}


@pytest.mark.parametrize("text", [None, "", "null", "[]", "{}", '{"labels": 1, "stakes": []}', '{"labels": {"x": 1}}'])
def test_a_state_that_cannot_be_read_is_none(text):
    assert loaded(text) == State()


def test_a_state_of_another_version_is_read_as_far_as_it_goes():
    given_ = json.loads(dumped(State(audits=3, wrong=1))) | {"news": True, "stakes": [1.0]}
    assert loaded(json.dumps(given_)) == State(audits=3, wrong=1)


def test_another_limit_or_embedder_begins_anew():
    state = State().audited(wrong=True, limit=0.02, embedder="e").audited(wrong=True, limit=0.05, embedder="e")
    assert (state.audits, state.wrong, state.limit) == (1, 1, 0.05)
    state = state.audited(wrong=False, limit=0.05, embedder="e")
    assert (state.audits, state.wrong) == (2, 1)
    state = state.audited(wrong=False, limit=0.05, embedder="another")
    assert (state.audits, state.wrong, state.embedder) == (1, 0, "another")


@pytest.mark.parametrize(("similarity", "where"), [(-1.0, 0), (0.0, 0), (0.899, 89), (0.9, 90), (1.0, 99)])
def test_labels_are_kept_by_hundredths(similarity, where):
    assert class_of(similarity) == where
