"""Drawing what `find_threshold` found: the two distributions, and the curve. Needs the extra `plot`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mneme.calibration.pairs import CalibrationResult, ScoredPairs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BINS = 60
_SAME, _DIFFERENT = "#1b7837", "#b2182b"


def draw(result: CalibrationResult, scored: ScoredPairs, path: str | Path) -> None:
    """Write a picture in the format that the name of *path* ends in: `.png`, `.svg`, or another that matplotlib knows.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: matplotlib does not know the format.
        OSError: The file cannot be written.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 -- of an extra, loaded when used
    except ModuleNotFoundError as error:
        raise ImportError("a plot needs matplotlib; run: pip install 'mneme-cache[plot]'") from error
    figure = Figure(figsize=(10, 4), layout="constrained")  # without pyplot there is no state and no window
    left, right = figure.subplots(1, 2)
    _distributions(left, result, scored)
    _curve(right, result)
    _save(figure, path)


def _distributions(axes: Any, result: CalibrationResult, scored: ScoredPairs) -> None:
    both = np.concatenate([scored.paraphrases, scored.distractors])
    bins = np.linspace(both.min(), max(both.max(), both.min() + 1e-3), _BINS)
    for similarities, label, colour in (
        (scored.paraphrases, "paraphrases", _SAME),
        (scored.distractors, "distractors", _DIFFERENT),
    ):
        weights = np.full(len(similarities), 1 / len(similarities))
        axes.hist(similarities, bins, weights=weights, alpha=0.6, color=colour, label=f"{label} ({len(similarities)})")
    axes.axvline(result.threshold, color="black", linestyle="--", label=f"threshold {result.threshold:g}")
    axes.set(xlabel="cosine similarity", ylabel="share of the pairs", title="Similarity of labelled pairs")
    axes.legend()


def _curve(axes: Any, result: CalibrationResult) -> None:
    axes.plot([point.recall for point in result.pr_curve], [point.precision for point in result.pr_curve], color=_SAME)
    axes.plot([result.recall], [result.precision], "o", color="black", label=f"threshold {result.threshold:g}")
    axes.set(xlabel="recall", ylabel="precision", title="Precision and recall", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend()


def _save(figure: Figure, path: str | Path) -> None:
    figure.savefig(path)
