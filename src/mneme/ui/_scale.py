"""From values to places in a picture, and round values to write beside an axis."""

from __future__ import annotations

import math

__all__ = ["Scale", "ticks"]


class Scale:
    """Maps values from *low* to *high* to places from *start* to *end*; values that are all the same have room too."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low = low
        self.high = high if high > low else low + 1.0
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        return self._start + (value - self.low) / (self.high - self.low) * (self._end - self._start)


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round values from *low* to *high*: so many, or somewhat more or fewer."""
    raw = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(step * unit for step in (1, 2, 5, 10) if step * unit >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]
