"""A threshold from labelled pairs: how well similarity tells paraphrases from distractors.

Pairs cannot say how often a cache is wrong. A cache compares a query with the *nearest* of everything it holds, and the
nearest of ten thousand is a far harder distractor than any that a pair file has. For that see `certify`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from mneme import AsyncEmbedder, CalibrationError, Embedder
from mneme.calibration.vectors import Progress, embed_all, held_as
from mneme.ports import VectorDType

Pair: TypeAlias = "tuple[str, str]"
TargetMetric: TypeAlias = Literal["f1", "precision", "recall"]
Similarities: TypeAlias = "npt.NDArray[np.float64]"

RESOLUTION = 1e-6
"""A cache lets a similarity that is so little below the threshold pass: float32 tells no finer."""
GRID = tuple(step / 200 for step in range(201))
"""The thresholds that are tried if none are given: 0, 0.005, ... 1."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What a threshold makes of the pairs. Positive are pairs at or above it, true ones of those are paraphrases."""

    threshold: float
    precision: float
    """Paraphrases among the pairs at or above the threshold; 1.0 where there are none."""
    recall: float
    """Paraphrases at or above the threshold, among all paraphrases."""
    f1: float
    """The harmonic mean of the two; 0.0 where both are."""


@dataclass(frozen=True, slots=True)
class CalibrationResult:
    """The threshold that does best on the pairs, how well, and the whole curve."""

    threshold: float
    precision: float
    recall: float
    f1: float
    pr_curve: tuple[CurvePoint, ...]
    """A point for every threshold of the grid, in rising order."""
    target_metric: TargetMetric
    paraphrases: int
    """Pairs that mean the same."""
    distractors: int
    """Pairs that do not."""
    embedder_fingerprint: str

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return asdict(self) | {"pr_curve": [asdict(point) for point in self.pr_curve]}


@dataclass(frozen=True, slots=True)
class ScoredPairs:
    """The similarities of all pairs."""

    paraphrases: Similarities
    distractors: Similarities
    fingerprint: str


def find_threshold(
    paraphrase_pairs: Iterable[Pair],
    distractor_pairs: Iterable[Pair],
    embedder: Embedder | AsyncEmbedder,
    *,
    target_metric: TargetMetric = "f1",
    min_precision: float | None = None,
    min_recall: float | None = None,
    grid: Iterable[float] | None = None,
    vector_dtype: VectorDType = "float32",
    progress: Progress | None = None,
) -> CalibrationResult:
    """The threshold of *grid* at which similarity best tells paraphrases from distractors.

    Of equally good thresholds the one that is better by the other figures is taken, and of those the highest. A
    threshold that no pair reaches is never taken.

    This says how well an embedder separates pairs, and is a place to begin. It is no promise about a cache: for that
    use `certify`, on a stream of your own traffic.

    Args:
        paraphrase_pairs: Pairs of texts with the same answer.
        distractor_pairs: Pairs that look alike and have different answers.
        embedder: Of either kind; asked in batches, and once for each distinct text.
        target_metric: "f1", "precision" or "recall": what is to be as large as possible.
        min_precision: Only thresholds with at least this precision.
        min_recall: Only thresholds with at least this recall.
        grid: The thresholds to try, from 0 to 1; 0, 0.005, ... 1 if not given.
        vector_dtype: In what the vectors are held that are compared. A cache decides by float32 whatever its index
            holds; the others are for a server of yours that does not.
        progress: Called now and then with the number of texts embedded, and of all.

    Raises:
        CalibrationError: No threshold of the grid has the precision and the recall asked for. The message says how
            near they come.
        TypeError, ValueError: An argument is of the wrong type, empty or out of range.
        Exception: Whatever the embedder raises.
    """
    _check_target(target_metric, min_precision, min_recall)
    thresholds = checked_grid(grid)
    scored = score_pairs(paraphrase_pairs, distractor_pairs, embedder, vector_dtype, progress)
    return best_threshold(scored, thresholds, target_metric, min_precision, min_recall)


def precision_recall_curve(
    paraphrase_pairs: Iterable[Pair],
    distractor_pairs: Iterable[Pair],
    embedder: Embedder | AsyncEmbedder,
    *,
    grid: Iterable[float] | None = None,
    vector_dtype: VectorDType = "float32",
    progress: Progress | None = None,
) -> tuple[CurvePoint, ...]:
    """Precision, recall and F1 at every threshold of *grid*, in rising order. The arguments are `find_threshold`'s."""
    thresholds = checked_grid(grid)
    return curve(score_pairs(paraphrase_pairs, distractor_pairs, embedder, vector_dtype, progress), thresholds)


def score_pairs(
    paraphrase_pairs: Iterable[Pair],
    distractor_pairs: Iterable[Pair],
    embedder: Embedder | AsyncEmbedder,
    vector_dtype: VectorDType = "float32",
    progress: Progress | None = None,
) -> ScoredPairs:
    """The cosine similarity of every pair. Raises as `find_threshold`."""
    if vector_dtype not in get_args(VectorDType):
        raise ValueError(f"vector_dtype must be one of {', '.join(get_args(VectorDType))}, got {vector_dtype!r}")
    same = _checked_pairs(paraphrase_pairs, "paraphrase_pairs")
    different = _checked_pairs(distractor_pairs, "distractor_pairs")
    texts = [text for pair in (*same, *different) for text in pair]
    vectors = held_as(embed_all(texts, embedder, progress), vector_dtype).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarities = np.einsum("ij,ij->i", vectors[::2], vectors[1::2])
    return ScoredPairs(similarities[: len(same)], similarities[len(same) :], embedder.fingerprint)


def best_threshold(
    scored: ScoredPairs,
    grid: Sequence[float],
    target_metric: TargetMetric,
    min_precision: float | None,
    min_recall: float | None,
) -> CalibrationResult:
    """The decision of `find_threshold`, over similarities."""
    points = curve(scored, grid)
    top = max(scored.paraphrases.max(), scored.distractors.max())
    reached = [point for point in points if top >= point.threshold - RESOLUTION]
    allowed = [
        point
        for point in reached
        if (min_precision is None or point.precision >= min_precision)
        and (min_recall is None or point.recall >= min_recall)
    ]
    if not allowed:
        raise CalibrationError(_unreachable(reached, min_precision, min_recall))
    order = {"f1": ("f1", "precision"), "precision": ("precision", "recall"), "recall": ("recall", "precision")}
    best = max(allowed, key=lambda point: (*(getattr(point, name) for name in order[target_metric]), point.threshold))
    return CalibrationResult(
        threshold=best.threshold,
        precision=best.precision,
        recall=best.recall,
        f1=best.f1,
        pr_curve=points,
        target_metric=target_metric,
        paraphrases=len(scored.paraphrases),
        distractors=len(scored.distractors),
        embedder_fingerprint=scored.fingerprint,
    )


def curve(scored: ScoredPairs, grid: Sequence[float]) -> tuple[CurvePoint, ...]:
    """A point for every threshold."""
    return tuple(_point(scored, threshold) for threshold in grid)


def _point(scored: ScoredPairs, threshold: float) -> CurvePoint:
    bar = threshold - RESOLUTION
    true = int((scored.paraphrases >= bar).sum())
    false = int((scored.distractors >= bar).sum())
    precision = true / (true + false) if true + false else 1.0
    recall = true / len(scored.paraphrases)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return CurvePoint(threshold, precision, recall, f1)


def _unreachable(points: Sequence[CurvePoint], min_precision: float | None, min_recall: float | None) -> str:
    if not points:
        return "no pair reaches any threshold of the grid; add lower ones"
    if min_precision is None or min_recall is None:
        name, least = ("precision", min_precision) if min_recall is None else ("recall", min_recall)
        most = max(points, key=lambda point: float(getattr(point, name)))
        return (
            f"no threshold of the grid has a {name} of {least}; the most is {getattr(most, name):.4f}, "
            f"at {most.threshold:g}"
        )
    precise = [point for point in points if point.precision >= min_precision]
    if not precise:
        return _unreachable(points, min_precision, None)
    most = max(precise, key=lambda point: (point.recall, point.threshold))
    return (
        f"no threshold of the grid has both a precision of {min_precision} and a recall of {min_recall}; with that "
        f"precision the recall is {most.recall:.4f} at the most, at {most.threshold:g}"
    )


def checked_grid(grid: Iterable[float] | None, most: float = 1) -> tuple[float, ...]:
    """Distinct thresholds in rising order; `GRID` for none.

    Raises:
        TypeError, ValueError: One is no number from 0 to *most*, or there are none.
    """
    if grid is None:
        return GRID
    thresholds = sorted({_checked_unit(threshold, "a threshold of the grid", most) for threshold in grid})
    if not thresholds:
        raise ValueError(f"the grid is empty; give thresholds from 0 to {most:g}, or leave it out")
    return tuple(thresholds)


def _checked_unit(value: Any, what: str, most: float = 1) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating)):
        raise TypeError(f"{what} must be a number from 0 to {most:g}, not {type(value).__name__}")
    if not 0 <= value <= most:
        raise ValueError(f"{what} must be from 0 to {most:g}, got {value!r}")
    return float(value)


def _check_target(target_metric: str, min_precision: float | None, min_recall: float | None) -> None:
    if target_metric not in get_args(TargetMetric):
        raise ValueError(f"target_metric must be one of {', '.join(get_args(TargetMetric))}, got {target_metric!r}")
    if min_precision is not None:
        _checked_unit(min_precision, "min_precision")
    if min_recall is not None:
        _checked_unit(min_recall, "min_recall")


def _checked_pairs(pairs: Iterable[Any], what: str) -> list[Pair]:
    checked: list[Pair] = []
    for position, pair in enumerate(pairs):
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise TypeError(f"{what}[{position}] must be a pair of texts, not {pair!r}")
        for text in pair:
            if not isinstance(text, str):
                raise TypeError(f"{what}[{position}] holds {text!r}, which is no text")
            if not text.strip():
                raise ValueError(f"{what}[{position}] has an empty text")
        checked.append((pair[0], pair[1]))
    if not checked:
        raise ValueError(f"{what} is empty; a threshold needs pairs of both kinds")
    return checked
