"""How soon the alarm finds out that too many answers are wrong, and how often it is mistaken. Prints Markdown tables.

    python evaluation/alarm.py

Simulated audits, each wrong with a chance that the stream says. The alarm is that of `mneme._rules.drift`; beside it
stand one whose stakes are all put down at the beginning, and a detector of Shiryaev and Roberts, set to a mean of at
least 20,000 audits between false alarms. Delays are counted from the change; intervals are exact, of 95 %.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mneme._rules import drift
from mneme.calibration.statistics import interval

Floats: TypeAlias = npt.NDArray[np.float64]
Put: TypeAlias = Callable[[int], float]
"""What is put down before an audit, by how many there were."""

BETWEEN = 20_000
"""Audits between two false alarms of the detector of Shiryaev and Roberts, at the least and in the mean."""


def at_once(audits: int) -> float:
    """Everything before the first audit."""
    return float(audits == 0)


def always(_: int) -> float:
    """One unit before each audit: no e-process any more, but a detector."""
    return 1.0


ALARMS: dict[str, tuple[Put, float]] = {
    "in blocks (ours)": (drift.put_down, 1 / drift.ALPHA),
    "at once": (at_once, 1 / drift.ALPHA),
    "Shiryaev-Roberts": (always, BETWEEN),
}


def first_alarms(chances: Floats, limit: float, alarm: str, draws: np.random.Generator, n: int) -> Floats:
    """After how many audits each of *n* streams raises the alarm; infinity if it does not."""
    put, least = ALARMS[alarm]
    rates = np.array(drift.rates(limit))
    wrong, right = rates / limit, (1 - rates) / (1 - limit)
    stakes = np.zeros((n, len(rates)))
    first = np.full(n, np.inf)
    for audits, chance in enumerate(chances):
        outcomes = draws.random(n) < chance
        stakes = (stakes + put(audits)) * np.where(outcomes[:, None], wrong, right)
        first[(stakes.mean(axis=1) >= least) & np.isinf(first)] = audits + 1
        if np.isfinite(first).all():
            break
    return first


def whole(number: float) -> str:
    return "never" if math.isinf(number) else f"{number:.0f}"


def delays(change: int, limit: float, times: float, n: int, seed: int) -> list[str]:
    """Median audits from the change to the alarm; one that was raised before it counts as never."""
    chances = np.r_[np.full(change, limit / 2), np.full(math.ceil(120 / limit), limit * times)]
    cells = []
    for alarm in ALARMS:
        first = first_alarms(chances, limit, alarm, np.random.default_rng(seed), n)
        cells.append(whole(float(np.median(np.where(first <= change, np.inf, first - change)))))
    return cells


def ramp(length: int, limit: float, n: int, seed: int) -> list[str]:
    """Median audits from where the rate passes the limit, on its way from half of it to five times as much."""
    chances = np.r_[np.linspace(limit / 2, limit * 5, length), np.full(length, limit * 5)]
    passed = int(np.argmax(chances > limit))
    firsts = (first_alarms(chances, limit, alarm, np.random.default_rng(seed), n) for alarm in ALARMS)
    return [whole(float(np.median(first)) - passed) for first in firsts]


def mistaken(rate: float, limit: float, audits: int, n: int, seed: int) -> list[str]:
    """The share of clean streams with an alarm."""
    cells = []
    for alarm in ALARMS:
        first = first_alarms(np.full(audits, rate), limit, alarm, np.random.default_rng(seed), n)
        raised = int(np.isfinite(first).sum())
        low, high = interval(raised, n)
        cells.append(f"{raised / n:.1%} ({low:.1%} to {high:.1%})")
    return cells


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def head(*cells: str) -> None:
    row(*cells)
    row(*["---"] * len(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=400, help="simulated streams for each figure (default: 400)")
    parser.add_argument("--clean", type=int, default=20_000, help="audits of a clean stream (default: 20000)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    limits = (0.01, 0.02, 0.05)
    print(f"{given.streams} streams for each figure, seed {given.seed}.\n")
    print("Median audits to the alarm, after so many audits of which half as many as allowed were wrong:\n")
    head("limit", "clean audits before", "then wrong", *ALARMS)
    for limit in limits:
        for change in (0, 500, 5000):
            for times in (2, 3, 5):
                cells = delays(change, limit, times, given.streams, given.seed)
                row(f"{limit:.0%}", change, f"{limit * times:.0%}", *cells)
    print("\nMedian audits to the alarm while the rate grows slowly, counted from where it passes the limit:\n")
    head("limit", "from half of it to 5 times as much within", *ALARMS)
    for limit in limits:
        for length in (1000, 5000):
            row(f"{limit:.0%}", f"{length} audits", *ramp(length, limit, given.streams, given.seed))
    print(f"\nStreams of {given.clean} audits with a false alarm:\n")
    head("limit", "wrong", *ALARMS)
    for limit in limits:
        for share in (0.5, 1.0):
            cells = mistaken(limit * share, limit, given.clean, given.streams, given.seed)
            row(f"{limit:.0%}", f"{limit * share:.1%}", *cells)


if __name__ == "__main__":
    main()
