"""What value contrast costs: a get that has to know the best different answer, beside one that needs not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from harness import Row
from panel import ENOUGH, Contender, Panel
from rows_search import FLOOR, rounds_of
from truth import Found, Question
from workshop import NoEmbedder, Workshop, batches, topic

from mneme import Hit, SemanticCache, ValueContrast
from mneme.ports import Matrix

LABELS = 150
"""Different answers: a row has that of the nearest of so many rows."""
THRESHOLD = 1.0
LEAST = 0.75
"""Similarity below which nothing can reach that score, whose floor is 0.5: the threshold of the plain get."""
_CLEAR = 1e-4


@dataclass(frozen=True)
class _Labelled:
    """A question, and what a full scan says of it."""

    question: Question
    best: int
    similarity: float
    score: float

    @property
    def clear(self) -> bool:
        """Whether rounding decides nothing."""
        return abs(self.similarity - LEAST) > _CLEAR and abs(self.score - THRESHOLD) > _CLEAR


@topic("contrast")
def contrast(shop: Workshop) -> Iterator[Row]:
    dim, count = 384, shop.entries
    matrix = np.ascontiguousarray(shop.rows_of(dim, count))
    labels = _labels(matrix)
    path = shop.made("contrast", lambda path: _fill(shop, path, matrix, labels))
    asked = [one for one in _labelled(shop, matrix, labels) if one.clear]
    kinds = {
        f"an entry at {LEAST} or above": [one for one in asked if one.similarity >= LEAST],
        "none": [one for one in asked if one.similarity < LEAST],
    }
    options: dict[str, dict[str, Any]] = {
        "plain": {"similarity_threshold": LEAST},
        "contrast": {"similarity_threshold": THRESHOLD, "value_contrast": True},
        "exact score": {"similarity_threshold": THRESHOLD, "value_contrast": ValueContrast(exact_score=True)},
    }
    with ExitStack() as stack:
        caches = {}
        for name, chosen in options.items():
            copy = shop.copy_of(path)
            stack.callback(shop.discard, copy)
            caches[name] = stack.enter_context(shop.open(copy, dim, guards=(), **chosen))
        for kind, group in kinds.items():
            known = {one.question.text: one for one in group}
            contenders = [_getting(name, cache, known, shop.stored) for name, cache in caches.items()]
            questions = [one.question for one in group]
            panel = Panel([_scan(matrix), *contenders]).run(rounds_of(shop, questions, ENOUGH), together=10)
            name = f"get with value contrast, {kind}, {count:,} x {dim}"
            note = f"{LABELS} different answers, threshold {THRESHOLD}"
            yield panel.row(name, "contrast", floor="plain", label=f"plain get, threshold {LEAST}", note=note)
            yield panel.row(name, "contrast", floor=FLOOR, note=note)
            yield panel.row(f"{name}, exact score", "exact score", floor=FLOOR, note=note)


def _labels(matrix: Matrix) -> npt.NDArray[np.int64]:
    centres = matrix[np.random.default_rng(9).choice(len(matrix), LABELS, replace=False)]
    return np.concatenate([(part @ centres.T).argmax(axis=1) for part in np.array_split(matrix, 50)])


def _fill(shop: Workshop, path: Path, matrix: Matrix, labels: npt.NDArray[np.int64]) -> None:
    rows = zip(shop.stored, labels.tolist(), matrix, strict=True)
    whole = [{"query": query, "response": f"label {label}", "embedding": row} for query, label, row in rows]
    with SemanticCache(path, NoEmbedder(matrix.shape[1])) as cache:
        for batch in batches(whole):
            assert cache.put_many(batch) == len(batch)


def _labelled(shop: Workshop, matrix: Matrix, labels: npt.NDArray[np.int64]) -> Iterator[_Labelled]:
    """Held-out sentences, and near copies of stored ones where few of those have anything near."""
    wanted = shop.questions(matrix.shape[1], len(matrix), 0.85)
    asked = [*wanted.hits, *wanted.misses]
    for part in np.array_split(np.arange(len(asked)), 20):
        similarities = np.stack([asked[number].vector for number in part.tolist()]) @ matrix.T
        for number, row in zip(part.tolist(), similarities, strict=True):
            best = int(row.argmax())
            rival = float(row.max(where=labels != labels[best], initial=-1))
            similarity = float(row[best])
            question = Question(asked[number].text, asked[number].vector, Found(np.empty(0, np.int64), row[:0]))
            yield _Labelled(question, best, similarity, 2 * similarity - max(rival, 0.5))


def _getting(name: str, cache: SemanticCache, known: dict[str, _Labelled], stored: list[str]) -> Contender:
    def check(question: Question, hit: Hit | None) -> None:
        right = known[question.text]
        served = right.similarity >= LEAST if name == "plain" else right.score >= THRESHOLD
        assert (hit is not None) == served, f"{name}: {hit} for {right}"
        if hit is not None:
            assert hit.query == stored[right.best] or abs(hit.similarity - right.similarity) < _CLEAR
            assert name != "exact score" or abs(hit.score - right.score) < _CLEAR

    return Contender(name, lambda question: cache.get(question.text, embedding=question.vector), check)


def _scan(matrix: Matrix) -> Contender:
    def check(_: Question, result: Any) -> None:
        assert len(result) == len(matrix)

    return Contender(FLOOR, lambda question: matrix @ question.vector, check)
