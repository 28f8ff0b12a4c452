"""Labels of one person, and what follows from them: a curve, a threshold, and a threshold that comes with a promise.

Two orders of asking serve two ends. Pairs that teach most find a good threshold with few labels; but pairs chosen for
being hard say nothing of how often a cache is wrong. For a promise, questions are labelled in the order in which they
arrive, each with the nearest before it, and `certify` replays them.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from mneme import CalibrationError, Certificate
from mneme.calibration.pairs import ScoredPairs, best_threshold
from mneme.calibration.selection import STARTS, Testing
from mneme.tools.calibrate import CurvePoint, certify, find_threshold
from showcase.work.inputs import BadInputError
from showcase.work.questions import GRID, Duo, Pool
from showcase.work.teaching import most_teaching

__all__ = ["CAREFUL", "CONFIDENCE", "RATES", "Asked", "Bench", "Curve", "Guarantee", "Label", "Order"]

Order: TypeAlias = Literal["teaching", "arrival"]
RATES = (0.05, 0.1, 0.2)
CONFIDENCE = 0.95
CAREFUL = 0.95
_GRID = tuple(step / 200 for step in range(100, 201))
"""0.5, 0.505, ... 1: below no threshold is of interest."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Two questions to be labelled."""

    duo: Duo
    first: str
    second: str
    order: Order
    left: int
    """How many more there are in this order, this one included."""


@dataclass(frozen=True, slots=True)
class Label:
    """What somebody said of two questions."""

    first: str
    second: str
    same: bool
    similarity: float


@dataclass(frozen=True, slots=True)
class Curve:
    """How well similarity tells the labelled pairs apart."""

    threshold: float
    """With the best balance of precision and recall, their F1."""
    precision: float
    recall: float
    careful: float | None
    """The lowest threshold with a precision of `CAREFUL`: a wrong answer is worse than one that is computed again."""
    points: tuple[CurvePoint, ...]
    same: int
    different: int


@dataclass(frozen=True, slots=True)
class Guarantee:
    """What can be promised of a cache that serves such questions."""

    rate: float
    threshold: float | None
    """At which at most *rate* of the semantic hits are wrong; `None` if that cannot be promised yet."""
    requests: int
    """Questions labelled without a gap, in their order of arrival."""
    hits: int
    """At that threshold; where there is none, at the one that comes nearest to a promise."""
    false_hits: int
    missing_hits: int | None
    """Labelled hits that are missing, if they go on as they did; `None` where more of the same would not do."""
    missing_requests: int | None
    reason: str
    """Why there is none; empty if there is one."""


class Bench:
    """Where one person labels. Thread safety: all methods may be called from any thread."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._labels: dict[Duo, bool] = {}
        self._skipped: set[Duo] = set()
        self._lock = threading.Lock()
        self._moves: list[float | None] = []
        """The threshold after each label, as far as it is known."""
        self._guarantees: dict[float, tuple[list[tuple[str, str]], Guarantee]] = {}
        """For each rate the latest, and of which traffic it was: a replay takes a second."""

    def next(self, order: Order) -> Asked | None:
        """The pair to label next; `None` when there are no more in this order."""
        with self._lock:
            labels, skipped = dict(self._labels), set(self._skipped)
        if order == "teaching":
            duo = most_teaching(self.pool.pairs, labels, skipped)
            left = len(self.pool.pairs.keys() - labels.keys() - skipped)
        else:
            missing = [duo for duo in self.pool.nearest if duo is not None and duo not in labels]
            duo, left = (missing[0] if missing else None), len(missing)
        return None if duo is None else Asked(duo, *self.pool.texts(duo), order, left)

    def label(self, first: int, second: int, same: bool) -> Label:  # noqa: FBT001 -- it is what the call is about
        """Say whether two questions want the same answer. Raises `BadInputError` if they are no pair to label."""
        duo = self._checked(first, second)
        with self._lock:
            if self._labels.pop(duo, None) is not None:  # the latest stands last
                self._moves.clear()
            self._labels[duo] = same
            self._skipped.discard(duo)
            self._guarantees.clear()
        return self._as_label(duo, same=same)

    def skip(self, first: int, second: int) -> None:
        """Leave a pair out of those that teach. Raises `BadInputError` if they are no pair to label."""
        duo = self._checked(first, second)
        with self._lock:
            if duo not in self._labels:
                self._skipped.add(duo)

    def undo(self) -> Label | None:
        """Take the latest label back; what it was."""
        with self._lock:
            if not self._labels:
                return None
            duo, same = self._labels.popitem()
            del self._moves[len(self._labels) :]
            self._guarantees.clear()
        return self._as_label(duo, same=same)

    def fill(self, order: Order, most: int) -> int:
        """Label up to *most* pairs as the questions' author saw them; how many."""
        for done in range(most):
            asked = self.next(order)
            if asked is None:
                return done
            self.label(asked.duo.first, asked.duo.second, self.pool.author_says(asked.duo))
        return most

    def clear(self) -> None:
        """Take every label back."""
        with self._lock:
            self._labels.clear()
            self._skipped.clear()
            self._moves.clear()
            self._guarantees.clear()

    def labels(self) -> tuple[Label, ...]:
        """All of them, the oldest first."""
        with self._lock:
            labels = dict(self._labels)
        return tuple(self._as_label(duo, same=same) for duo, same in labels.items())

    def moves(self) -> tuple[float | None, ...]:
        """The threshold of the best balance after each label; `None` where there was none yet."""
        with self._lock:
            said, known = list(self._labels.items()), list(self._moves)
        labels = [self._as_label(duo, same=same) for duo, same in said]
        fingerprint = self.pool.embedder.fingerprint
        known.extend(_balanced(labels[:count], fingerprint) for count in range(len(known) + 1, len(labels) + 1))
        with self._lock:
            if said == list(self._labels.items()):  # nobody labelled meanwhile
                self._moves = known
        return tuple(known)

    def curve(self) -> Curve | None:
        """The curve, and the thresholds that follow from it; `None` before there is a pair of both kinds."""
        labels = self.labels()
        same = [(one.first, one.second) for one in labels if one.same]
        different = [(one.first, one.second) for one in labels if not one.same]
        if not same or not different:
            return None
        found = find_threshold(same, different, self.pool.embedder, grid=_GRID)
        return Curve(
            threshold=found.threshold,
            precision=found.precision,
            recall=found.recall,
            careful=self._careful(same, different),
            points=found.pr_curve,
            same=found.paraphrases,
            different=found.distractors,
        )

    def _careful(self, same: list[tuple[str, str]], different: list[tuple[str, str]]) -> float | None:
        try:
            return find_threshold(
                same, different, self.pool.embedder, target_metric="recall", min_precision=CAREFUL, grid=_GRID
            ).threshold
        except CalibrationError:  # no threshold is so precise
            return None

    def traffic(self) -> list[tuple[str, str]]:
        """Questions with their answers, in order of arrival, as far as they are labelled without a gap."""
        with self._lock:
            labels = dict(self._labels)
        answers: list[int] = []
        for row, nearest in enumerate(self.pool.nearest):
            if nearest is not None and nearest not in labels:
                break
            # With nothing near it the question is new, whatever anybody would say.
            answers.append(answers[nearest.first] if nearest is not None and labels[nearest] else row)
        return [(self.pool.questions[row].text, f"answer {answer}") for row, answer in enumerate(answers)]

    def guarantee(self, rate: float) -> Guarantee:
        """What the labelled traffic allows to be promised. Raises `BadInputError` for a rate that is not in `RATES`."""
        if rate not in RATES:
            raise BadInputError(f"the promise is {rate:g}; it must be one of {', '.join(f'{one:g}' for one in RATES)}")
        traffic = self.traffic()
        with self._lock:
            known = self._guarantees.get(rate)
        if known is not None and known[0] == traffic:
            return known[1]
        made = self._certified(traffic, rate)
        with self._lock:
            self._guarantees[rate] = (traffic, made)
        return made

    def export_pairs(self) -> str:
        """The labels for `mneme calibrate`: a JSON object a line."""
        rows = [{"a": one.first, "b": one.second, "same": one.same} for one in self.labels()]
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    def export_traffic(self) -> str:
        """The labelled traffic for `mneme certify`: a JSON object a line."""
        rows = [{"text": text, "answer": answer} for text, answer in self.traffic()]
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    def _certified(self, traffic: list[tuple[str, str]], rate: float) -> Guarantee:
        outcome = certify(
            traffic, self.pool.embedder, max_false_hit_rate=rate, confidence=CONFIDENCE, grid=GRID, entries=(0, 10_000)
        )
        if isinstance(outcome, Certificate):
            return Guarantee(rate, outcome.threshold, len(traffic), outcome.hits, outcome.false_hits, 0, 0, "")
        with_hits = [one for one in outcome.tried if one.hits]
        best = min(with_hits, key=lambda one: (one.false_hits / one.hits, -one.hits), default=None)
        missing = outcome.missing_hits
        if best is None:
            missing = least_hits(rate)
        return Guarantee(
            rate=rate,
            threshold=None,
            requests=len(traffic),
            hits=best.hits if best else 0,
            false_hits=best.false_hits if best else 0,
            missing_hits=missing,
            missing_requests=outcome.missing_requests,
            reason=outcome.reason,
        )

    def _checked(self, first: int, second: int) -> Duo:
        duo = Duo(first, second)
        if duo not in self.pool.pairs and duo not in self.pool.nearest:
            raise BadInputError(f"{first} and {second} are no pair to label: take the one that is shown")
        return duo

    def _as_label(self, duo: Duo, *, same: bool) -> Label:
        return Label(*self.pool.texts(duo), same, self.pool.similarity(duo))


def least_hits(rate: float) -> int:
    """How many labelled hits a promise takes at the least, if none of them is wrong."""
    return math.ceil(STARTS[0] * math.log(Testing(rate, CONFIDENCE).level) / math.log1p(-rate))


def _balanced(labels: Sequence[Label], fingerprint: str) -> float | None:
    """What `find_threshold` would say, from similarities that are known already: it is asked for after every label."""
    same, different = (np.array([one.similarity for one in labels if one.same == kind]) for kind in (True, False))
    if not len(same) or not len(different):
        return None
    return best_threshold(ScoredPairs(same, different, fingerprint), _GRID, "f1", None, None).threshold
