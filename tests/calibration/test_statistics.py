"""The binomial tail, Clopper-Pearson bounds and numbers of trials: against exact fractions and published tables."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from mneme.calibration.statistics import (
    binomial_tail,
    interval,
    lower_bound,
    trials_needed,
    trials_needed_at,
    upper_bound,
)


def exact_tail(failures, trials, rate):
    rate = Fraction(rate)
    terms = (math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(failures + 1))
    return float(sum(terms))


@given(st.integers(0, 300), st.data())
def test_the_tail_is_the_exact_sum(trials, data):
    failures = data.draw(st.integers(0, trials))
    rate = data.draw(st.floats(0, 1))
    assert binomial_tail(failures, trials, rate) == pytest.approx(
        exact_tail(failures, trials, rate), rel=1e-9, abs=1e-300
    )


def test_the_tail_of_many_trials_is_the_exact_sum():
    for failures, trials, rate in ((3, 20_000, 0.0005), (180, 20_000, 0.01), (0, 100_000, 1e-4)):
        exact = exact_tail(failures, trials, Fraction(str(rate)))
        assert binomial_tail(failures, trials, rate) == pytest.approx(exact, rel=1e-8)


# Two-sided 95 % intervals, as printed in tables of the Clopper-Pearson interval.
TABLE = [
    (0, 10, 0.0000, 0.3085),
    (1, 10, 0.0025, 0.4450),
    (2, 10, 0.0252, 0.5561),
    (5, 10, 0.1871, 0.8129),
    (10, 10, 0.6915, 1.0000),
    (0, 100, 0.0000, 0.0362),
    (1, 100, 0.0003, 0.0545),
    (5, 100, 0.0164, 0.1128),
    (10, 100, 0.0490, 0.1762),
]


@pytest.mark.parametrize(("failures", "trials", "low", "high"), TABLE)
def test_intervals_are_those_of_the_tables(failures, trials, low, high):
    assert interval(failures, trials) == pytest.approx((low, high), abs=5e-5)


def test_without_failures_the_bound_has_a_closed_form_and_without_trials_it_says_nothing():
    for trials in (1, 7, 149, 5000):
        assert upper_bound(0, trials, 0.95) == pytest.approx(1 - 0.05 ** (1 / trials), rel=1e-12)
    assert interval(0, 0) == (0.0, 1.0)
    assert upper_bound(3, 3, 0.9) == 1.0


@given(st.integers(1, 400), st.data(), st.floats(0.5, 0.999))
def test_a_bound_is_where_the_tail_has_what_is_left_of_the_confidence(trials, data, confidence):
    failures = data.draw(st.integers(0, trials - 1))
    assert binomial_tail(failures, trials, upper_bound(failures, trials, confidence)) == pytest.approx(
        1 - confidence, rel=1e-6
    )
    low, high = lower_bound(failures, trials, confidence), upper_bound(failures, trials, confidence)
    assert low <= failures / trials <= high


# Labels among hits that show, with a confidence of 95 %, a rate of at most so much, by number of wrong ones.
NEEDED = {
    0.005: (598, 947, 1258, 1549, 2100, 3389),
    0.01: (299, 473, 628, 773, 1049, 1693),
    0.02: (149, 236, 313, 386, 523, 845),
    0.03: (99, 157, 208, 257, 348, 562),
    0.05: (59, 93, 124, 153, 208, 336),
}


@pytest.mark.parametrize("rate", NEEDED)
def test_so_many_labels_are_needed(rate):
    assert tuple(trials_needed(failures, rate, 0.95) for failures in (0, 1, 2, 3, 5, 10)) == NEEDED[rate]


@given(st.integers(0, 30), st.floats(0.005, 0.5), st.floats(0.5, 0.99))
def test_one_label_fewer_would_not_do(failures, rate, confidence):
    needed = trials_needed(failures, rate, confidence)
    assert binomial_tail(failures, needed, rate) <= 1 - confidence
    assert needed == failures + 1 or binomial_tail(failures, needed - 1, rate) > 1 - confidence


def test_at_an_observed_rate_enough_trials_do_and_at_the_promised_one_none():
    assert trials_needed_at(0.0, 0.02, 0.95) == 149
    needed = trials_needed_at(0.01, 0.02, 0.95)
    assert needed is not None
    assert 500 < needed < 800
    assert binomial_tail(math.ceil(0.01 * needed), needed, 0.02) <= 0.05
    assert trials_needed_at(0.02, 0.02, 0.95) is None
    assert trials_needed_at(0.5, 0.02, 0.95) is None
    assert trials_needed_at(10 / 501, 0.02, 0.9875) is None  # sixty million
    assert trials_needed_at(0.02, 1 - 0.98, 0.9875) is None
