"""Hits and misses on the semantic layer, with the embedding given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np
from data import hits_and_misses, near_copies
from harness import Budget, Row, measure
from workshop import Question, Workshop, batches, items, topic

from mneme import Hit, SemanticCache
from mneme.ports import Matrix, VectorDType

THRESHOLD = 0.85
NAMESPACES, IN_EACH = 1_000, 100


def _get(cache: SemanticCache, **options: Any) -> Callable[[Question], Hit | None]:
    return lambda question: cache.get(question[0], embedding=question[1], **options)


def _right(questions: Sequence[Question], stored: Sequence[str], matrix: Matrix) -> dict[str, float | None]:
    """For every question the best similarity by a plain scan in float64; `None` for a miss."""
    answers: dict[str, float | None] = {}
    for query, vector in questions:
        rough = matrix @ vector
        best = np.argsort(rough)[-8:]
        similarity = float((matrix[best].astype(np.float64) @ vector.astype(np.float64)).max())
        answers[query] = similarity if similarity >= THRESHOLD else None
    assert len(stored) == len(matrix)
    return answers


@topic("semantic")
def large(shop: Workshop) -> Iterator[Row]:
    for dim in (384, 768):
        matrix = np.ascontiguousarray(shop.stored_vectors(dim))
        asked = list(zip(shop.asked, shop.asked_vectors(dim), strict=True))
        hits, misses = hits_and_misses(matrix, shop.asked_vectors(dim), THRESHOLD)
        kinds = {"hit": [asked[n] for n in hits], "miss": [asked[n] for n in misses]}
        shape = f"{shop.entries:,} x {dim}"
        target = Budget(1 / 6 if dim == 384 else 1 / 8, later=True)
        with shop.open(shop.filled(dim), dim, similarity_threshold=THRESHOLD) as cache:
            for kind, questions in kinds.items():
                yield measure(
                    f"semantic {kind}, {shape}, float32",
                    floor=("matrix @ q, float32", lambda question: matrix @ question[1]),  # noqa: B023 -- used in turn
                    operation=_get(cache),
                    rounds=_rounds(shop, questions),
                    check=_check(cache, questions, shop.stored, matrix),
                    floor_check=lambda results: _lengths(results, shop.entries),
                    budget=target,
                    by_turns=True,
                )
            yield from _quantised(shop, dim, kinds, cache, matrix)


def _quantised(
    shop: Workshop, dim: int, kinds: dict[str, list[Question]], reference: SemanticCache, matrix: Matrix
) -> Iterator[Row]:
    dtypes: tuple[VectorDType, ...] = ("float16", "int8")
    for dtype in dtypes:
        path = shop.copy_of(shop.filled(dim))
        with shop.open(path, dim, similarity_threshold=THRESHOLD, vector_dtype=dtype) as cache:
            assert cache.stats().vector_dtype == dtype
            for kind, questions in kinds.items():
                yield measure(
                    f"semantic {kind}, {shop.entries:,} x {dim}, {dtype}",
                    floor=("the same in float32", _get(reference)),
                    operation=_get(cache),
                    rounds=_rounds(shop, questions),
                    check=_check(cache, questions, shop.stored, matrix),
                    floor_check=_check(reference, questions, shop.stored, matrix),
                    budget=Budget(1.5, later=True),
                    by_turns=True,
                )
        shop.discard(path)


def _rounds(shop: Workshop, questions: list[Question]) -> Iterator[list[Question]]:
    for _ in range(shop.rounds(5)):
        yield list(islice(cycle(shop.random.sample(questions, len(questions))), 20))


def _lengths(results: Sequence[Any], expected: int) -> None:
    assert all(len(result) == expected for result in results)


def _check(
    cache: SemanticCache, questions: Sequence[Question], stored: Sequence[str], matrix: Matrix
) -> Callable[[Sequence[Any]], None]:
    """A check that every answer is what a plain scan finds, and came from the semantic layer."""
    right = _right(questions[:500], stored, matrix)
    is_hit = questions[0][0] in right and right[questions[0][0]] is not None
    before = cache.stats()

    def check(results: Sequence[Hit | None]) -> None:
        nonlocal before
        now = cache.stats()
        assert now.hits_semantic - before.hits_semantic == (len(results) if is_hit else 0)
        assert now.misses - before.misses == (0 if is_hit else len(results))
        before = now
        # Which question a hit belongs to is told by its similarity: that of the best stored entry.
        expected = np.array([similarity for similarity in right.values() if similarity is not None])
        for hit in results:
            assert (hit is not None) == is_hit
            if hit is not None and len(questions) <= 500:
                assert hit.layer == "semantic"
                assert np.abs(expected - hit.similarity).min() < 1e-6

    return check


@topic("namespaces")
def many_namespaces(shop: Workshop) -> Iterator[Row]:
    dim = 384
    count = min(NAMESPACES, shop.entries // IN_EACH)
    names = [f"tenant-{number:04d}" for number in range(count)]
    stored, vectors = shop.stored[: count * IN_EACH], shop.corpus.vectors(dim)[: count * IN_EACH]
    whole = [{**item, "namespace": names[number // IN_EACH]} for number, item in enumerate(items(stored, vectors))]
    near = list(near_copies(vectors))
    many_path, one_path = shop.new_path(), shop.new_path()
    with shop.open(many_path, dim) as many, shop.open(one_path, dim) as one:
        for batch in batches(whole):
            many.put_many(batch)
        one.put_many(whole[:IN_EACH])
        assert len(many.list_namespaces()) == count
        assert one.list_namespaces() == names[:1]

        def get(cache: SemanticCache) -> Callable[[int], Hit | None]:
            return lambda n: cache.get("nobody stored this", embedding=near[n], namespace=names[n // IN_EACH])

        def right(results: Sequence[Hit | None]) -> None:
            assert all(hit is not None and hit.layer == "semantic" and hit.similarity > 0.9 for hit in results)

        yield measure(
            f"semantic hit, {count:,} namespaces of {IN_EACH} rows",
            floor=(f"one namespace of {IN_EACH} rows", get(one)),
            operation=get(many),
            rounds=[
                (
                    [shop.random.randrange(IN_EACH) for _ in range(1_000)],
                    [shop.random.randrange(len(whole)) for _ in range(1_000)],
                )
                for _ in range(shop.rounds(9))
            ],
            check=right,
            floor_check=right,
            budget=Budget(1.2),
        )
