"""Which threshold is certified: the rule, and by simulation that the promise is kept."""

import math
from bisect import bisect_left

import numpy as np
import pytest
from hypothesis import given, strategies as st

from mneme import Tried
from mneme.calibration.selection import STARTS, Testing, certified
from mneme.calibration.statistics import binomial_tail, upper_bound

Testing.__test__ = False  # it is no class of tests


def tried(*counts):
    """Thresholds from 0.99 downwards, with so many hits and false hits."""
    return [Tried(0.99 - step / 100, hits, false, 1000) for step, (hits, false) in enumerate(counts)]


def test_the_lowest_threshold_before_the_first_failure_is_certified():
    one = tried((10, 0), (300, 0), (400, 1), (500, 2), (500, 30), (9000, 0))
    best = certified(one, rate=0.02, confidence=0.95)
    assert best is one[-1]  # a later start begins there
    assert certified(one[:5], rate=0.02, confidence=0.95) is one[3]


def test_too_few_hits_certify_nothing_however_right_they_are():
    least = math.log(0.05 / len(STARTS)) / math.log(0.98)
    assert certified(tried((math.floor(STARTS[0] * least), 0)), rate=0.02, confidence=0.95) is None
    assert certified(tried((math.ceil(STARTS[0] * least), 0)), rate=0.02, confidence=0.95) is not None
    assert certified([], rate=0.02, confidence=0.95) is None


def test_one_start_with_bad_luck_leaves_the_others():
    one = tried((270, 3), (450, 1), (500, 2))
    testing = Testing(0.02, 0.95)
    for each in one:
        testing.take(each)
    assert testing.certified is one[2]
    assert not testing.over


def test_it_is_over_when_every_start_has_failed():
    testing = Testing(0.02, 0.95)
    testing.take(Tried(0.9, 5000, 0, 1))
    assert not testing.over
    testing.take(Tried(0.8, 5000, 500, 1))
    assert testing.over
    assert testing.certified.threshold == 0.9


def test_thresholds_come_from_high_to_low():
    testing = Testing(0.02, 0.95)
    testing.take(Tried(0.9, 1, 0, 1))
    with pytest.raises(ValueError, match=r"0\.9 follows 0\.9"):
        testing.take(Tried(0.9, 1, 0, 1))


counts = st.lists(
    st.integers(0, 4000).flatmap(lambda hits: st.tuples(st.just(hits), st.integers(0, min(hits, 40)))), max_size=12
)


@given(counts, st.sampled_from([0.01, 0.02, 0.05]), st.sampled_from([0.9, 0.95, 0.99]))
def test_what_is_certified_has_passed_its_test_and_keeps_its_bound(counts, rate, confidence):
    best = certified(tried(*counts), rate=rate, confidence=confidence)
    if best is not None:
        level = (1 - confidence) / len(STARTS)
        assert binomial_tail(best.false_hits, best.hits, rate) <= level
        assert upper_bound(best.false_hits, best.hits, 1 - level) <= rate + 1e-12


@given(counts, st.data())
def test_a_false_hit_less_never_raises_the_threshold(counts, data):
    before = certified(tried(*counts), rate=0.02, confidence=0.95)
    better = [(hits, false - data.draw(st.integers(0, false))) for hits, false in counts]
    after = certified(tried(*better), rate=0.02, confidence=0.95)
    if before is not None:
        assert after is not None
        assert after.threshold <= before.threshold


@given(counts)
def test_where_tests_begin_does_not_depend_on_what_was_wrong(counts):
    def begun(counts):
        testing = Testing(0.02, 0.95)
        steps = []
        for one in tried(*counts):
            testing.take(one)
            steps.append([sequence.begun for sequence in testing._sequences])
        return steps

    assert begun(counts) == begun([(hits, 0) for hits, _ in counts])


# What a similarity means: at s, an answer is wrong with the probability `WRONG[s]`, whatever is stored.
SCORES = [step / 100 for step in range(50, 100)]
RISES = {
    "steep": lambda s: min(1.0, 0.4 * math.exp(-14 * (s - 0.5))),
    "not monotone": lambda s: 0.021 + 0.01 * math.sin(60 * s),
}


def true_rate(wrong, threshold):
    above = [wrong(s) for s in SCORES if s >= threshold - 1e-9]
    return sum(above) / len(above)


def one_sample(wrong, size, rng):
    """The hits and false hits at every threshold, of so many queries whose similarities are spread evenly."""
    hits = rng.multinomial(size, [1 / len(SCORES)] * len(SCORES))[::-1]
    false = rng.binomial(hits, [wrong(s) for s in reversed(SCORES)])
    counts = zip(reversed(SCORES), np.cumsum(hits).tolist(), np.cumsum(false).tolist(), strict=True)
    return [Tried(s, n, k, 1) for s, n, k in counts]


@pytest.mark.parametrize("shape", RISES)
@pytest.mark.parametrize("size", [800, 3000])
def test_the_promise_is_broken_in_at_most_five_of_a_hundred_simulations(shape, size):
    rng, wrong, rounds = np.random.default_rng([size, len(shape)]), RISES[shape], 300
    broken = [
        best is not None and true_rate(wrong, best.threshold) > 0.02
        for best in (certified(one_sample(wrong, size, rng), rate=0.02, confidence=0.95) for _ in range(rounds))
    ]
    assert sum(broken) <= 0.05 * rounds


def test_the_lowest_threshold_that_looks_right_breaks_the_promise_in_many():
    """What the tests are for: without them, on the same simulations."""
    rng, wrong, rounds = np.random.default_rng(1), RISES["steep"], 300
    broken = 0
    for _ in range(rounds):
        good = [one for one in one_sample(wrong, 800, rng) if one.hits and one.false_hits / one.hits <= 0.02]
        broken += bool(good) and true_rate(wrong, min(one.threshold for one in good)) > 0.02
    assert broken > 0.2 * rounds


def test_more_labels_certify_a_lower_threshold_and_never_below_the_true_one():
    rng, wrong = np.random.default_rng(2), RISES["steep"]
    rates = [true_rate(wrong, s) for s in SCORES]
    lowest = SCORES[bisect_left([-rate for rate in rates], -0.02)]

    def mean(size):
        found = [certified(one_sample(wrong, size, rng), rate=0.02, confidence=0.95) for _ in range(40)]
        return sum(1.0 if one is None else one.threshold for one in found) / len(found)

    few, more, many = mean(600), mean(2500), mean(20_000)
    assert few > more > many >= lowest
    assert many < lowest + 0.03
