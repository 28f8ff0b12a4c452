"""What a row must reach in a search: the floor, or what k rows are known to reach."""

from __future__ import annotations

import numpy as np

from mneme.ports import Vector

__all__ = ["Bar", "high_value"]


class Bar:
    """The lowest similarity that still counts. Only ever raised."""

    __slots__ = ("_count", "_k", "_told", "value")

    def __init__(self, floor: float, k: int) -> None:
        self.value = floor
        self._k = k
        self._told: list[Vector] = []
        self._count = 0

    def raise_to(self, lowest: Vector) -> None:
        """*lowest*: what some rows score at least, each row told of once."""
        self._told.append(lowest)
        self._count += len(lowest)
        if self._count < self._k:
            return
        told = np.concatenate(self._told) if len(self._told) > 1 else lowest
        best = told[told >= self.value]
        if len(best) > self._k:
            best = np.partition(best, len(best) - self._k)[-self._k :]
        self._told, self._count = [best], len(best)
        # Not to -1: a product below scores as much as one that is there, for lengths are 1 only nearly.
        if len(best) == self._k and best.min() > -1:
            self.value = max(self.value, float(best.min()))


def high_value(values: Vector, wanted: int) -> np.float32:
    """A value that about *wanted* of the values reach. From a sample: an exact one would cost more than it spares."""
    some = values[:: max(1, len(values) // 4096)]
    rank = min(len(some), max(1, wanted * len(some) // len(values)))
    value: np.float32 = np.partition(some, len(some) - rank)[len(some) - rank]
    return value
