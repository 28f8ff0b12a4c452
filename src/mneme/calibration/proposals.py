"""Pairs of one's own questions that are worth labelling: near neighbours, from alike to barely related."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mneme import AsyncEmbedder, Embedder, InputTooLongError
from mneme.calibration.vectors import BATCH, Progress, blocking, embed_all
from mneme.ports import Matrix

_ROWS = 256
"""Texts that are compared with all before them at once."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Two texts, and how similar they are to the embedder: do they have the same answer?"""

    a: str
    b: str
    similarity: float


def pairs_to_label(
    texts: Iterable[str],
    embedder: Embedder | AsyncEmbedder,
    *,
    count: int = 60,
    least: float = 0.6,
    progress: Progress | None = None,
) -> list[Proposal]:
    """At most *count* pairs of *texts*, most similar first, for somebody to say which have the same answer.

    Each text is paired with the nearest of those before it, as a cache would compare them, and the pairs are chosen to
    lie evenly between the highest similarity and *least*: so the labels say something about every threshold between.
    Texts that are equal after folding case and white space count once; those that the embedder refuses are left out.

    Args:
        texts: Questions as they were asked, in any order; some hundreds or thousands.
        embedder: Of either kind; asked in batches.
        count: How many pairs at the most; there are fewer where few texts are near each other.
        least: Pairs of less similarity are left out.
        progress: Called now and then with the number of texts embedded, and of all.

    Raises:
        TypeError, ValueError: An argument is of the wrong type, or out of range.
        Exception: Whatever else the embedder raises.
    """
    if isinstance(texts, str):
        raise TypeError("texts must be several texts, not one")
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"count must be an int, not {type(count).__name__}")
    if count < 1:
        raise ValueError(f"count must be at least 1, not {count}")
    if not 0 <= least <= 1:
        raise ValueError(f"least must be from 0 to 1, not {least}")
    distinct = list({" ".join(text.split()).casefold(): text for text in texts if text.strip()}.values())
    with blocking(embedder) as ready:
        kept, vectors = _embedded(distinct, ready, progress)
    if len(kept) < 2:
        return []
    nearest, similarities = _nearest_before(vectors)
    order = [row for row in np.argsort(-similarities, kind="stable").tolist() if similarities[row] >= least]
    chosen = _spread(similarities[order], count, least)
    return [
        Proposal(kept[nearest[row]], kept[row], round(float(similarities[row]), 4))
        for row in (order[n] for n in chosen)
    ]


def _embedded(texts: Sequence[str], embedder: Embedder, progress: Progress | None) -> tuple[list[str], Matrix]:
    kept: list[str] = []
    blocks = [np.zeros((0, embedder.dim), np.float32)]
    for start in range(0, len(texts), BATCH):
        for block in _readable(texts[start : start + BATCH], embedder):
            kept.extend(block[0])
            blocks.append(block[1])
        if progress is not None:
            progress(min(start + BATCH, len(texts)), len(texts))
    return kept, np.concatenate(blocks)


def _readable(texts: Sequence[str], embedder: Embedder) -> Iterable[tuple[Sequence[str], Matrix]]:
    """The texts of a batch that the embedder can take, all at once unless it refuses one."""
    try:
        yield texts, embed_all(texts, embedder)
    except InputTooLongError:
        if len(texts) > 1:
            half = len(texts) // 2
            yield from _readable(texts[:half], embedder)
            yield from _readable(texts[half:], embedder)


def _nearest_before(vectors: Matrix) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Of every row but the first, which one before it is nearest, and how near; the first has -1."""
    nearest, similarities = np.zeros(len(vectors), np.int64), np.full(len(vectors), -1.0)
    for start in range(0, len(vectors), _ROWS):
        block = vectors[start : start + _ROWS] @ vectors[: start + _ROWS].T
        for row, scores in enumerate(block, start=start):
            if row:
                nearest[row] = int(np.argmax(scores[:row]))
                similarities[row] = min(float(scores[nearest[row]]), 1.0)
    return nearest, similarities


def _spread(falling: npt.NDArray[np.float64], count: int, least: float) -> list[int]:
    """Positions in *falling* that lie most evenly between its first value and *least*."""
    if len(falling) <= count:
        return list(range(len(falling)))
    free = np.ones(len(falling), bool)
    for wanted in np.linspace(falling[0], least, count):
        free[int(np.argmin(np.where(free, np.abs(falling - wanted), np.inf)))] = False
    return [int(position) for position in np.flatnonzero(~free)]
