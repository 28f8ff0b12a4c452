"""Which threshold is certified: fixed-sequence testing with several starts, over exact binomial tests.

For each threshold the hypothesis is that *more* than the promised share of its hits is wrong. It is rejected if so few
wrong hits would be too unlikely under it: `P(Bin(hits, rate) <= false hits) <= level`. A sequence of tests that is
fixed in advance, from the strictest threshold to the laxest, and ends with the first that fails, keeps its level
however long it is (Learn then Test, arXiv 2110.01052). One sequence dies if its first test has bad luck. So there are
several, each with its share of the level, which begin at the first threshold with 1.2, 2, 3.5 and 6 times as many hits
as a test without any wrong hit needs. Where they begin depends on how many hits there are, never on how many were
wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from mneme import Tried
from mneme.calibration.statistics import binomial_tail

STARTS = (1.2, 2.0, 3.5, 6.0)


@dataclass(slots=True)
class _Sequence:
    begins_at: float
    begun: bool = False
    ended: bool = False


class Testing:
    """Takes thresholds one by one, from the highest to the lowest."""

    def __init__(self, rate: float, confidence: float, starts: tuple[float, ...] = STARTS) -> None:
        self.rate = rate
        self.level: float = (1 - confidence) / len(starts)
        """Of each test."""
        least = math.log(self.level) / math.log1p(-rate)
        self._sequences = [_Sequence(start * least) for start in starts]
        self.certified: Tried | None = None
        """The lowest threshold certified so far."""
        self._last = math.inf

    @property
    def over(self) -> bool:
        """Whether nothing that may come can change anything."""
        return all(sequence.ended for sequence in self._sequences)

    def take(self, tried: Tried) -> None:
        """Test the next threshold.

        Raises:
            ValueError: It is not below the one before.
        """
        if tried.threshold >= self._last:
            raise ValueError(f"thresholds are tested from high to low, and {tried.threshold} follows {self._last}")
        self._last = tried.threshold
        passes = binomial_tail(tried.false_hits, tried.hits, self.rate) <= self.level
        for sequence in self._sequences:
            sequence.begun = sequence.begun or tried.hits >= sequence.begins_at
            sequence.ended = sequence.ended or (sequence.begun and not passes)
            if sequence.begun and not sequence.ended:
                self.certified = tried


def certified(tried: Iterable[Tried], *, rate: float, confidence: float) -> Tried | None:
    """The lowest threshold at which the rate of false hits is at most *rate*, with that confidence; `None` for none.

    *tried* comes from the highest threshold to the lowest.
    """
    testing = Testing(rate, confidence)
    for one in tried:
        testing.take(one)
    return testing.certified
