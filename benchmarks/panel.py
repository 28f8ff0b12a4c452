"""Several contenders over the same arguments by turns: one floor serves many rows, and all meet the same machine."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from time import perf_counter_ns
from typing import Any

from harness import Budget, Function, Row, Times, clock_cost, quiet_collector

NO_BUDGET = Budget()
ENOUGH = 100
"""Calls, from which there is a 99th percentile."""


@dataclass(frozen=True)
class Contender:
    """Something that is called with an argument; *check* raises unless the result is right for the argument."""

    name: str
    call: Function
    check: Callable[[Any, Any], None]


class Panel:
    """The times of all contenders, round by round."""

    def __init__(self, contenders: Sequence[Contender]) -> None:
        self._contenders = {contender.name: contender for contender in contenders}
        assert len(self._contenders) == len(contenders), "two contenders have the same name"
        self._rounds: list[dict[str, Times]] = []

    def run(self, rounds: Iterable[Sequence[Any]], *, together: int = 1) -> Panel:
        """For every *together* arguments each contender once with each, in changing order.

        One at a time, each finds the processor's caches as another one left them: full of a matrix that it does not
        need. Many at a time, each finds them as it left them itself, as in a program that does little else. Results are
        checked and dropped between the calls.
        """
        clock, cost, random = perf_counter_ns, clock_cost(), Random(3)
        everyone = list(self._contenders.values())
        with quiet_collector():
            for arguments in rounds:
                values: dict[str, list[int]] = {contender.name: [] for contender in everyone}
                for first in range(0, len(arguments), together):
                    for contender in random.sample(everyone, len(everyone)):
                        for argument in arguments[first : first + together]:
                            start = clock()
                            result = contender.call(argument)
                            values[contender.name].append(clock() - start - cost)
                            contender.check(argument, result)
                            del result
                self._rounds.append({name: Times(taken, ()) for name, taken in values.items()})
        return self

    def median(self, name: str) -> float:
        """Of the rounds' medians, in nanoseconds."""
        return statistics.median(taken[name].quantile(0.5) for taken in self._rounds)

    def fastest(self, names: Iterable[str]) -> str:
        return min(names, key=self.median)

    def row(
        self, name: str, of: str, *, floor: str, label: str = "", budget: Budget = NO_BUDGET, note: str = ""
    ) -> Row:
        """One contender beside another, its *floor*, which the table calls *label*."""
        return Row(
            name=name,
            floor=label or floor,
            floor_p50=self.median(floor),
            operation_p50=self.median(of),
            ratio_p50=self._ratio(of, floor, 0.5),
            ratio_p99=self._tail(of, floor),
            budget=budget,
            note=note,
        )

    def _ratio(self, of: str, floor: str, share: float) -> float:
        return statistics.median(taken[of].quantile(share) / taken[floor].quantile(share) for taken in self._rounds)

    def _tail(self, of: str, floor: str) -> float | None:
        if min(len(taken[of].values) for taken in self._rounds) >= ENOUGH:
            return self._ratio(of, floor, 0.99)
        # Rounds of few long calls: over all of them together.
        tails = [Times([value for taken in self._rounds for value in taken[name].values], ()) for name in (of, floor)]
        return tails[0].quantile(0.99) / tails[1].quantile(0.99) if len(tails[0].values) >= ENOUGH else None
