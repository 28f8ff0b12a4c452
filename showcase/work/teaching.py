"""Which pair teaches most: the one of which, by the labels so far, it is least certain what a person will say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from showcase.work.questions import Duo

__all__ = ["Guess", "most_teaching"]

_BEFORE = ((0.6, 0.0), (0.95, 1.0))
"""What is believed before the first label: pairs of 0.6 differ, and pairs of 0.95 mean the same."""
_APART = 0.02
"""A pair that is nearer than that to a labelled one, by its similarity, teaches less."""
_STEPS = 30


class Guess:
    """How likely two questions mean the same, by their similarity: a logistic curve through the labels."""

    def __init__(self, labels: Iterable[tuple[float, bool]]) -> None:
        known = [*_BEFORE, *((similarity, float(same)) for similarity, same in labels)]
        x = np.array([(1.0, (similarity - 0.8) * 10) for similarity, _ in known])
        y = np.array([same for _, same in known])
        weights = np.zeros(2)
        for _ in range(_STEPS):  # Newton's method; the ridge keeps it from running away where labels separate
            p = 1 / (1 + np.exp(-x @ weights))
            slope = x.T @ (y - p) - 0.1 * weights
            bend = (x.T * (p * (1 - p))) @ x + 0.1 * np.eye(2)
            weights += np.linalg.solve(bend, slope)
        self._weights = weights

    def __call__(self, similarity: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The chance that they mean the same, for one similarity or for many."""
        away = (np.asarray(similarity, dtype=np.float64) - 0.8) * 10
        chance: npt.NDArray[np.float64] = 1 / (1 + np.exp(-(self._weights[0] + self._weights[1] * away)))
        return chance


def most_teaching(pairs: Mapping[Duo, float], labels: Mapping[Duo, bool], skipped: set[Duo]) -> Duo | None:
    """The pair to label next; `None` if all are labelled or skipped."""
    left = [duo for duo in pairs if duo not in labels and duo not in skipped]
    if not left:
        return None
    similarities = np.array([pairs[duo] for duo in left])
    chance = Guess((pairs[duo], same) for duo, same in labels.items() if duo in pairs)(similarities)
    # The nearest labelled one, below or above; the ends stand for none.
    known = np.array([-9.0, *sorted(pairs[duo] for duo in labels if duo in pairs), 9.0])
    above = np.searchsorted(known, similarities)
    apart = np.minimum(similarities - known[above - 1], known[above] - similarities)
    return left[int(np.argmax(chance * (1 - chance) * np.minimum(1.0, 0.1 + apart / _APART)))]
