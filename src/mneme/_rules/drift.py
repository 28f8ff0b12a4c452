"""An alarm that may be looked at after every single audit: is more than a share of the answers served wrong?

Testing by betting (Waudby-Smith and Ramdas, arXiv 2010.09686; e-detectors: Shin, Ramdas and Rinaldo, arXiv 2203.03532).
A bet on the wrong rate q multiplies its stake by q/limit when an answer is wrong, and by (1-q)/(1-limit) when it is
right. While the true rate is at most the limit, whatever it was before, no stake is expected to grow, so by Ville's
inequality the chance that their mean *ever* reaches 1/alpha is at most alpha.

A stake that was lost over a long clean time is not won back soon, so a change that comes late would be found late. The
roads not taken: starting anew in every window raises an alarm in the end without a cause, and so does the detector of
Shiryaev and Roberts, which promises a mean time between false alarms instead. Here a share of the money is kept back,
and a little of it is put down at the beginning of each block of audits: half at once, half/(j(j+1)) at block j. All of
it together is one unit, so the promise holds for ever, and a change after j blocks costs 2 ln(j) in evidence.
"""

from __future__ import annotations

from collections.abc import Sequence

ALPHA = 0.05
"""The chance of a false alarm, ever."""
BLOCK = 100
"""Audits between two new stakes."""
_BETS = (1.5, 2.0, 3.0, 4.0, 6.0, 10.0)
"""Wrong rates that are bet on, in multiples of the limit."""
_MOST = 0.95
"""No bet is on more: a limit of 0.2 would have some above 1."""


def rates(limit: float) -> list[float]:
    """The wrong rates that are bet on."""
    return [min(max(_MOST, (1 + limit) / 2), limit * bet) for bet in _BETS]


def beginning() -> list[float]:
    """The stakes before the first audit."""
    return [0.0] * len(_BETS)


def put_down(audits: int) -> float:
    """What is put down on each bet after so many audits, before the next; of all that ever is, the sum is 1."""
    if audits == 0:
        return 0.5
    block, within = divmod(audits, BLOCK)
    return 0.0 if within else 0.5 / (block * (block + 1))


def after(stakes: Sequence[float], audits: int, *, wrong: bool, limit: float) -> list[float]:
    """The stakes after one more audit; *audits* is how many there were before."""
    new = put_down(audits)
    return [
        (stake + new) * (rate / limit if wrong else (1 - rate) / (1 - limit))
        for stake, rate in zip(stakes, rates(limit), strict=True)
    ]


def evidence(stakes: Sequence[float]) -> float:
    """The mean of the stakes; `1 / ALPHA` or more is an alarm."""
    return sum(stakes) / len(stakes)


def is_alarm(stakes: Sequence[float]) -> bool:
    return evidence(stakes) >= 1 / ALPHA


def safer(threshold: float, highest: float) -> float:
    """The threshold to go on with after an alarm: halfway to the highest there is; near that, exact answers alone."""
    halfway = round((threshold + highest) / 2, 4)
    return halfway if highest - halfway > _STEP else NOTHING_NEAR


_STEP = 0.015
NOTHING_NEAR = 9.0
"""A threshold that no similarity and no score reaches."""
