"""A cache that meets a stream of labelled requests at many thresholds, simulated from lists of neighbours.

The nearest neighbours of every request are found once; a replay then only asks which of those before it are stored. A
test compares it with a real cache. Every request is another text, so none hits the exact layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESOLUTION = 1e-6
FLOOR = 0.5
LEAST = 0.7
"""Of value contrast: its defaults."""

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Guarded = Callable[[int, int], bool]
"""Whether guards refuse to answer one request with what is stored for another; both by row."""


@dataclass(frozen=True)
class Neighbours:
    """For every row of the data the rows most similar to it, best first."""

    rows: Ints
    similarities: Floats


@dataclass(frozen=True)
class Stream:
    """Requests in order: for each those before it that are near, best first, its answer and its row in the data."""

    near: Sequence[Sequence[tuple[int, float]]]
    answers: Sequence[int]
    rows: Sequence[int]


@dataclass(frozen=True)
class Rule:
    """When an entry answers, at any threshold."""

    name: str
    contrast: bool = False
    guarded: Guarded | None = None


def neighbours(vectors: Floats, count: int, block: int = 500) -> Neighbours:
    """The nearest *count* of every row, without itself."""
    count = min(count, len(vectors) - 1)
    rows = np.empty((len(vectors), count), np.int64)
    similarities = np.empty((len(vectors), count), np.float32)
    for start in range(0, len(vectors), block):
        found = vectors[start : start + block] @ vectors.T
        own = np.arange(len(found))
        found[own, own + start] = -2
        best = np.argpartition(found, -count, axis=1)[:, -count:]
        order = np.argsort(-np.take_along_axis(found, best, 1), axis=1, kind="stable")
        rows[start : start + block] = np.take_along_axis(best, order, 1)
        similarities[start : start + block] = np.take_along_axis(found, rows[start : start + block], 1)
    return Neighbours(rows, similarities)


def stream_of(chosen: Ints, answers: Ints, all_near: Neighbours) -> Stream:
    """The stream that asks for these rows of the data in this order."""
    place = np.full(len(answers), -1)
    place[chosen] = np.arange(len(chosen))
    near = []
    for now, row in enumerate(chosen.tolist()):
        places, similarities = place[all_near.rows[row]], all_near.similarities[row]
        kept = (places >= 0) & (places < now) & (similarities > FLOOR)
        pairs = list(zip(places[kept].tolist(), similarities[kept].tolist(), strict=True))
        pairs.sort(key=lambda pair: (-pair[1], pair[0]))
        near.append(pairs)
    return Stream(near, answers[chosen].tolist(), chosen.tolist())


def replay(stream: Stream, threshold: float, rule: Rule) -> npt.NDArray[np.int8]:
    """What became of every request: 0 missed and stored, 1 served rightly, 2 served wrongly."""
    stored = [False] * len(stream.near)
    outcome = np.zeros(len(stream.near), np.int8)
    for now in range(len(stream.near)):
        answer = _answering(stream, now, stored, threshold, rule)
        if answer is None:
            stored[now] = True
        else:
            outcome[now] = 1 if stream.answers[answer] == stream.answers[now] else 2
    return outcome


def _answering(stream: Stream, now: int, stored: Sequence[bool], threshold: float, rule: Rule) -> int | None:
    least = (max(LEAST, (threshold + FLOOR) / 2) if rule.contrast else threshold) - RESOLUTION
    for one, similarity in stream.near[now]:
        if similarity < least:
            return None
        if not stored[one]:
            continue
        if rule.contrast:
            rival = next(_rivals(stream, now, stored, stream.answers[one]), FLOOR)
            if 2 * similarity - rival < threshold - RESOLUTION:
                return None
        if rule.guarded is None or not rule.guarded(stream.rows[now], stream.rows[one]):
            return one
    return None


def _rivals(stream: Stream, now: int, stored: Sequence[bool], answer: int) -> Iterator[float]:
    """The similarities of stored entries with a different answer, best first."""
    return (similarity for other, similarity in stream.near[now] if stored[other] and stream.answers[other] != answer)
