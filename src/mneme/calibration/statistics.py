"""Exact binomial tests and intervals, on the standard library alone.

The tail is summed, not approximated: counts of wrong hits are small, and there the normal approximation is worthless.
"""

from __future__ import annotations

import math
from collections.abc import Callable

_STEPS = 200
_MOST = 1_000_000
"""Trials above which no number is of use to anybody."""
"""Halvings of an interval that ends far below the resolution of a float."""


def binomial_tail(failures: int, trials: int, rate: float) -> float:
    """P(Bin(*trials*, *rate*) <= *failures*): how likely so few failures are if each trial fails with that rate."""
    if failures >= trials or rate <= 0:
        return 1.0
    if failures < 0 or rate >= 1:
        return 0.0
    log_rate, log_rest, whole = math.log(rate), math.log1p(-rate), math.lgamma(trials + 1)
    terms = (
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * log_rate + (trials - k) * log_rest)
        for k in range(failures + 1)
    )
    return min(1.0, math.fsum(terms))


def upper_bound(failures: int, trials: int, confidence: float) -> float:
    """The one-sided Clopper-Pearson bound: the rate is below it in at least *confidence* of all samples.

    1.0 without trials. C. J. Clopper and E. S. Pearson, Biometrika 26 (1934).
    """
    if failures >= trials:
        return 1.0
    return _where(lambda rate: binomial_tail(failures, trials, rate) <= 1 - confidence)


def lower_bound(failures: int, trials: int, confidence: float) -> float:
    """The one-sided Clopper-Pearson bound from below; 0.0 without failures."""
    if failures <= 0:
        return 0.0
    return 1 - upper_bound(trials - failures, trials, confidence)


def interval(failures: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The two-sided Clopper-Pearson interval of a rate."""
    side = (1 + confidence) / 2
    return lower_bound(failures, trials, side), upper_bound(failures, trials, side)


def trials_needed(failures: int, rate: float, confidence: float) -> int:
    """The fewest trials with which so many failures show, at *confidence*, that the rate is at most *rate*."""
    return _least(lambda trials: binomial_tail(failures, trials, rate) <= 1 - confidence, failures + 1)


def trials_needed_at(observed: float, rate: float, confidence: float) -> int | None:
    """The same if failures go on to come at the *observed* rate; `None` if a million trials are not enough."""
    if observed >= rate or binomial_tail(math.ceil(observed * _MOST), _MOST, rate) > 1 - confidence:
        return None
    return _least(lambda trials: binomial_tail(math.ceil(observed * trials), trials, rate) <= 1 - confidence, 1)


def _least(holds: Callable[[int], bool], first: int) -> int:
    """The least number from *first* for which something holds that holds for all above it too."""
    high = max(first, 1)
    while not holds(high):
        high *= 2
    low = max(first, high // 2)
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return high


def _where(holds: Callable[[float], bool]) -> float:
    """The least number from 0 to 1 for which something holds that holds for all above it too."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if holds(middle):
            high = middle
        else:
            low = middle
    return high
