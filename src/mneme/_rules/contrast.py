"""Value contrast: how much nearer an entry is than the best entry with a different answer.

The *score* of an entry at similarity s is 2s - r, where r, the *rival*, is the best similarity of an entry whose answer
differs. Near entries that agree raise confidence in what they agree on; near entries that disagree lower it.
"""

from __future__ import annotations

from dataclasses import dataclass

from mneme._rules.arguments import check_unit
from mneme._rules.similarity import RESOLUTION


@dataclass(frozen=True, slots=True)
class ValueContrast:
    """Score a hit on the semantic layer by 2s - r instead of its similarity s.

    r is the best similarity of a fresh entry of the same namespace and scope whose answer differs, by `value_eq`, from
    the one scored; *floor* where there is none above it. So the score is at most 2 - floor, falls as a different answer
    comes nearer, and is at least s for the nearest entry above the floor. The threshold is compared with the score.

    Args:
        floor: The least value of r: what a different answer that nobody has stored yet is taken to have.
        least_similarity: Entries below are never served, whatever their score.
        exact_score: Let `get` find r itself, down to the floor, where only that it is low enough matters. Takes up to
            the time of a full scan more, and makes `Hit.score` what `explain` gives.
    """

    floor: float = 0.5
    least_similarity: float = 0.7
    exact_score: bool = False

    def __post_init__(self) -> None:
        check_unit(self.floor, "floor")
        check_unit(self.least_similarity, "least_similarity")
        if not isinstance(self.exact_score, bool):
            raise TypeError(f"exact_score must be True or False, not {type(self.exact_score).__name__}")

    @property
    def highest(self) -> float:
        """The highest score there is."""
        return 2.0 - self.floor

    def score(self, similarity: float, rival: float) -> float:
        """The score of an entry, given the best similarity of a different answer; minus infinity for none."""
        return 2.0 * similarity - max(rival, self.floor)

    def least(self, threshold: float) -> float:
        """Below this similarity nothing can reach *threshold*, whatever else is stored."""
        return max(self.least_similarity, (threshold + self.floor) / 2) - RESOLUTION

    def bound(self, similarity: float, threshold: float) -> float:
        """How far down different answers are looked for: with one below, the score reaches *threshold* all the same."""
        return self.floor if self.exact_score else max(self.floor, min(similarity, 2.0 * similarity - threshold))
