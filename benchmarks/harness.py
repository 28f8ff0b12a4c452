"""How a row is measured: a floor and an operation by turns in the same run, so that a noisy machine disturbs both."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Budget:
    """What the ratios may be at the most. *later*: it is to be met by a later release, and only printed."""

    p50: float | None = None
    p99: float | None = None
    later: bool = False

    def __str__(self) -> str:
        parts = [f"p50 {self.p50:.3g}x" if self.p50 is not None else "", f"p99 {self.p99:g}x" if self.p99 else ""]
        return ", ".join(filter(None, parts)) or "-"


@dataclass(frozen=True)
class Row:
    """One line of the table. Times are nanoseconds, sizes bytes; a ratio is of the operation to the floor."""

    name: str
    floor: str
    """What the floor does."""
    floor_p50: float
    operation_p50: float
    ratio_p50: float
    ratio_p99: float | None
    budget: Budget = Budget()
    unit: str = "ns"
    note: str = ""

    @classmethod
    def missing(cls, name: str, why: str) -> Row:
        """A row of what cannot be measured here."""
        return cls(name, "", 0.0, 0.0, 0.0, None, unit="none", note=why)

    @classmethod
    def share(cls, name: str, of: str, share: float, note: str) -> Row:
        """A row of which only the ratio matters: what part of something was reached."""
        return cls(name, of, 0.0, 0.0, share, None, unit="share", note=note)

    @property
    def verdict(self) -> str:
        if self.unit == "none":
            return "absent"
        if self.budget.later:
            return "later"
        if self.budget.p50 is None:
            return "info"
        over = self.ratio_p50 > self.budget.p50
        if self.budget.p99 is not None and self.ratio_p99 is not None:
            over = over or self.ratio_p99 > self.budget.p99
        return "over" if over else "ok"


@dataclass(frozen=True)
class Times:
    """Single operations of one round, in nanoseconds, without what reading the clock takes."""

    values: Sequence[int]
    results: Sequence[Any]

    def quantile(self, share: float) -> float:
        ordered = sorted(self.values)
        return max(1.0, float(ordered[min(len(ordered) - 1, int(share * len(ordered)))]))


def clock_cost() -> int:
    """What reading the clock adds to every measured time."""
    gaps = []
    for _ in range(1001):
        start = perf_counter_ns()
        gaps.append(perf_counter_ns() - start)
    return int(statistics.median(gaps))


def timed(function: Function, arguments: Iterable[Any]) -> Times:
    """Call *function* once for every argument, and time each call."""
    clock = perf_counter_ns
    cost = clock_cost()
    values, results = [], []
    for argument in arguments:
        start = clock()
        result = function(argument)
        values.append(clock() - start - cost)
        results.append(result)  # kept for the checks, and so that freeing it is not measured
    return Times(values, results)


@contextmanager
def quiet_collector() -> Iterator[None]:
    """Leave what exists already out of garbage collection; what an operation makes itself is collected as ever."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


Check = Callable[[Sequence[Any]], None]


def measure(
    name: str,
    *,
    floor: tuple[str, Function],
    operation: Function,
    rounds: Iterable[Sequence[Any]] | Iterable[tuple[Sequence[Any], Sequence[Any]]],
    check: Check,
    floor_check: Check,
    budget: Budget = Budget(),
    by_turns: bool = False,
    note: str = "",
) -> Row:
    """One row: for every round the floor and the operation over the same arguments, in changing order.

    Args:
        name: Of the row.
        floor: What the floor is, in words, and the floor.
        operation: What is compared with it.
        rounds: The arguments of each round, one call for each; or a pair of them, for floor and operation.
        check: Called with the results of the operation, outside the timed part; raises unless it did what it says.
        floor_check: The same for the floor.
        budget: At the most.
        by_turns: Change between floor and operation after every call instead of once a round: for calls that take
            milliseconds.
        note: For the table.
    """
    pairs: list[tuple[Times, Times]] = []
    with quiet_collector():
        for number, given in enumerate(rounds):
            for_floor, for_operation = given if isinstance(given, tuple) else (given, given)
            if by_turns:
                pair = _by_turns(floor[1], for_floor, operation, for_operation)
            elif number % 2:
                second = timed(operation, for_operation)
                pair = timed(floor[1], for_floor), second
            else:
                pair = timed(floor[1], for_floor), timed(operation, for_operation)
            floor_check(pair[0].results)
            check(pair[1].results)
            pairs.append((Times(pair[0].values, ()), Times(pair[1].values, ())))
    many = min(len(times.values) for pair in pairs for times in pair) >= 100
    return Row(
        name=name,
        floor=floor[0],
        floor_p50=statistics.median(first.quantile(0.5) for first, _ in pairs),
        operation_p50=statistics.median(second.quantile(0.5) for _, second in pairs),
        ratio_p50=statistics.median(second.quantile(0.5) / first.quantile(0.5) for first, second in pairs),
        ratio_p99=statistics.median(second.quantile(0.99) / first.quantile(0.99) for first, second in pairs)
        if many
        else None,
        budget=budget,
        note=note,
    )


def _by_turns(
    floor: Function, for_floor: Sequence[Any], operation: Function, for_operation: Sequence[Any]
) -> tuple[Times, Times]:
    firsts, seconds = [], []
    for one, other in zip(for_floor, for_operation, strict=True):
        firsts.append(timed(floor, [one]))
        seconds.append(timed(operation, [other]))
    return _joined(firsts), _joined(seconds)


def _joined(parts: Sequence[Times]) -> Times:
    return Times([part.values[0] for part in parts], [part.results[0] for part in parts])


def from_pairs(
    name: str,
    floor: str,
    pairs: Sequence[tuple[float, float]],
    *,
    budget: Budget = Budget(),
    unit: str = "ns",
    note: str = "",
) -> Row:
    """One row of measurements that were taken by hand: one pair of floor and operation for each round."""
    return Row(
        name=name,
        floor=floor,
        floor_p50=statistics.median(first for first, _ in pairs),
        operation_p50=statistics.median(second for _, second in pairs),
        ratio_p50=statistics.median(second / first for first, second in pairs),
        ratio_p99=None,
        budget=budget,
        unit=unit,
        note=note,
    )
