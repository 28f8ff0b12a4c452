"""What happened to each question, and the running totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Outcome: TypeAlias = Literal["exact", "semantic", "miss"]
OUTCOMES: tuple[Outcome, ...] = ("exact", "semantic", "miss")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, and what the cache made of it."""

    number: int
    query: str
    outcome: Outcome
    seconds: float
    """As the caller felt it; for a miss it includes the model's time."""
    similarity: float | None = None
    matched: str | None = None
    """The stored query that answered."""
    right: bool = True
    """Whether that query means the same."""
    saved: float = 0.0
    """What the model once took for this answer."""


@dataclass(slots=True)
class Tally:
    """Totals of one pass over the questions."""

    expected: int
    asked: list[Asked] = field(default_factory=list)

    def seconds_of(self, outcome: Outcome) -> list[float]:
        return [one.seconds for one in self.asked if one.outcome == outcome]

    def count(self, outcome: Outcome) -> int:
        return sum(one.outcome == outcome for one in self.asked)

    @property
    def wrong(self) -> list[Asked]:
        return [one for one in self.asked if not one.right]

    @property
    def saved(self) -> float:
        return sum(one.saved for one in self.asked)

    @property
    def seconds(self) -> float:
        return sum(one.seconds for one in self.asked)

    def document(self) -> dict[str, Any]:
        return {
            "questions": len(self.asked),
            "seconds": self.seconds,
            "seconds_saved": self.saved,
            "wrong": len(self.wrong),
            "layers": {
                outcome: {
                    "count": self.count(outcome),
                    "p50_seconds": percentile(self.seconds_of(outcome), 50),
                    "p95_seconds": percentile(self.seconds_of(outcome), 95),
                }
                for outcome in OUTCOMES
            },
        }


def percentile(values: Sequence[float], per_cent: int) -> float | None:
    """The smallest value that so many per cent do not exceed; `None` of nothing."""
    if not values:
        return None
    return sorted(values)[max(0, -(-len(values) * per_cent // 100) - 1)]
