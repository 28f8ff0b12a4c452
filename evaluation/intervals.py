"""Exact binomial intervals (Clopper and Pearson 1934), in the standard library alone."""

from __future__ import annotations

import math


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Bounds of a share that hold it with at least this confidence, whatever it is."""
    if not trials:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else _solve(lambda share: 1 - _at_most(successes - 1, trials, share) - tail)
    high = 1.0 if successes == trials else _solve(lambda share: tail - _at_most(successes, trials, share))
    return low, high


def share(successes: int, trials: int) -> str:
    """A share in per cent with its 95 % interval, for a table."""
    if not trials:
        return "-"
    low, high = clopper_pearson(successes, trials)
    return f"{100 * successes / trials:.1f} % ({100 * low:.1f} to {100 * high:.1f}; {successes}/{trials})"


def _at_most(successes: int, trials: int, share: float) -> float:
    """The probability of no more *successes* than that."""
    if share <= 0:
        return 1.0
    if share >= 1:
        return float(successes >= trials)
    logs = math.log(share), math.log1p(-share)
    all_ways = math.lgamma(trials + 1)
    return math.fsum(
        math.exp(all_ways - math.lgamma(n + 1) - math.lgamma(trials - n + 1) + n * logs[0] + (trials - n) * logs[1])
        for n in range(successes + 1)
    )


def _solve(rising) -> float:  # type: ignore[no-untyped-def]  # noqa: ANN001 -- a function of one share
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2
