"""How much a match is trusted, given how similar and how old it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

ConfidenceFn: TypeAlias = Callable[[float, float], float]
"""Called with similarity and age in seconds; returns the confidence."""


def half_life(hours: float) -> ConfidenceFn:
    """A `confidence_fn` that halves the similarity for every *hours* of age.

    With `min_confidence` it becomes a gate: `half_life(24)` and 0.45 serve an exact match for about 28 hours, a match
    of similarity 0.9 for a day.

    Raises:
        TypeError, ValueError: *hours* is not a positive number.
    """
    if isinstance(hours, bool) or not isinstance(hours, (int, float)):
        raise TypeError(f"hours must be a number, not {type(hours).__name__}")
    if not hours > 0:
        raise ValueError(f"hours must be positive, got {hours!r}")
    scale = hours * 3600.0

    def decayed(similarity: float, age_seconds: float) -> float:
        # A plain `**` would leave the return type to the checker's imagination: float ** float may be complex.
        return similarity * float(pow(0.5, age_seconds / scale))

    return decayed
