"""Shares with their exact intervals, for tables."""

from __future__ import annotations

from mneme.calibration.statistics import interval


def share(successes: int, trials: int) -> str:
    """A share in per cent with its 95 % interval, for a table."""
    if not trials:
        return "-"
    low, high = interval(successes, trials)
    return f"{100 * successes / trials:.1f} % ({100 * low:.1f} to {100 * high:.1f}; {successes}/{trials})"
