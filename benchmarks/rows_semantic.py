"""Hits and misses on the semantic layer, through the whole cache, with the embedding given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any

import numpy as np
from contenders import THRESHOLD
from data import near_copies
from harness import Budget, Row, from_pairs, measure, timed
from panel import ENOUGH, Contender, Panel
from rows_search import FLOOR, floor_contender, rounds_of
from truth import ANY, BEST, Found, Question, full_scan
from workshop import Workshop, answer, batches, items, topic

from mneme import Hit, SemanticCache
from mneme.ports import Matrix, VectorDType

DTYPES: tuple[VectorDType, ...] = ("float32", "float16", "int8")
SMALL = 10_000
TOGETHER = 64
IN_A_ROW = 20
"""Calls before it is another's turn. A scan of the matrix between any two would empty the processor's caches."""
NEAREST = 5
NAMESPACES, IN_EACH = 1_000, 100


def _caches(shop: Workshop, stack: ExitStack, dim: int, count: int) -> dict[VectorDType, SemanticCache]:
    """The same file opened once for each dtype."""
    caches = {}
    for dtype in DTYPES:
        path = shop.copy_of(shop.filled(dim, count))
        stack.callback(shop.discard, path)
        options: dict[str, Any] = {"similarity_threshold": THRESHOLD, "vector_dtype": dtype}
        caches[dtype] = stack.enter_context(shop.open(path, dim, **options))
        assert caches[dtype].stats().vector_dtype == dtype
    return caches


def _shapes(shop: Workshop, smallest: int = SMALL) -> Iterator[tuple[int, int]]:
    """Dimensions and numbers of rows; the wide ones from *smallest* on."""
    for dim in (384, 768):
        for count in sorted({SMALL, shop.entries}):
            if dim == 384 or count >= smallest:
                yield dim, count


def _compare(hit: Hit | None, question: Question, stored: Sequence[str]) -> None:
    """Raise unless this is what a full scan finds first, with the response that was stored with it."""
    positions, similarities = question.right
    if not len(positions):
        assert hit is None, f"{hit} is nearer than a full scan found anything"
        return
    assert hit is not None, f"nothing is near enough, but {question.right} is"
    assert hit.layer == "semantic"
    assert hit.query == stored[positions[0]]
    assert hit.similarity == float(similarities[0])
    assert hit.response == answer(hit.query)


def _found(hits: Sequence[Hit], stored: Sequence[str], right: Found) -> None:
    """Raise unless these are the entries of *right*, in its order, with its similarities."""
    assert [hit.query for hit in hits] == [stored[position] for position in right.positions]
    assert [hit.similarity for hit in hits] == right.similarities.tolist()


@topic("semantic")
def single(shop: Workshop) -> Iterator[Row]:
    for dim, count in _shapes(shop):
        matrix = np.ascontiguousarray(shop.rows_of(dim, count))
        target = {384: Budget(1 / 6), 768: Budget(1 / 8)}[dim] if count == shop.entries else Budget()
        with ExitStack() as stack:
            caches = _caches(shop, stack, dim, count)
            for kind, asked in shop.questions(dim, count, THRESHOLD).kinds.items():
                before = {dtype: cache.stats() for dtype, cache in caches.items()}
                contenders = [_getting(dtype, cache, shop.stored) for dtype, cache in caches.items()]
                calls = list(rounds_of(shop, asked, ENOUGH))
                panel = Panel([floor_contender(matrix), *contenders]).run(calls, together=IN_A_ROW)
                scanned = Panel([floor_contender(matrix), contenders[0]]).run(calls)
                for dtype, cache in caches.items():
                    after, total = cache.stats(), sum(map(len, calls)) * (2 if dtype == DTYPES[0] else 1)
                    assert after.hits_semantic - before[dtype].hits_semantic == (total if kind == "hit" else 0)
                    assert after.misses - before[dtype].misses == (total if kind == "miss" else 0)
                    name = f"semantic {kind}, {count:,} x {dim}, {dtype}"
                    yield panel.row(name, dtype, floor=FLOOR, budget=target if dtype == "float32" else Budget())
                    if dtype == DTYPES[0]:
                        yield scanned.row(f"{name}, each after a scan", dtype, floor=FLOOR)
                    orders(cache, asked[:20], matrix, shop.stored)
                    if dtype != "float32":
                        label = "the same in float32"
                        yield panel.row(name, dtype, floor="float32", label=label, budget=Budget(1.5))


def _getting(dtype: VectorDType, cache: SemanticCache, stored: Sequence[str]) -> Contender:
    return Contender(
        dtype,
        lambda question: cache.get(question.text, embedding=question.vector),
        lambda question, hit: _compare(hit, question, stored),
    )


@topic("batch")
def batch(shop: Workshop) -> Iterator[Row]:
    """Many at once: one product in the floor too."""
    label = f"matrix @ the {TOGETHER} queries, float32"
    for dim, count in _shapes(shop, shop.entries):
        matrix = np.ascontiguousarray(shop.rows_of(dim, count))
        with ExitStack() as stack:
            caches = _caches(shop, stack, dim, count)
            del caches["float16"]
            for kind, asked in shop.questions(dim, count, THRESHOLD).kinds.items():
                contenders = [_together(dtype, cache, shop.stored) for dtype, cache in caches.items()]
                contenders.append(_one_by_one(caches["float32"], shop.stored))
                contenders.append(
                    Contender(
                        label,
                        lambda questions: matrix @ np.stack([question.vector for question in questions]).T,  # noqa: B023 -- used in this turn only
                        lambda questions, products: _shape(products, (len(matrix), len(questions))),  # noqa: B023 -- the same
                    )
                )
                groups = [[shop.random.sample(asked, TOGETHER) for _ in range(3)] for _ in range(shop.rounds(3))]
                panel = Panel(contenders).run(groups)
                for dtype in caches:
                    name = f"get_many of {TOGETHER}, {kind}, {count:,} x {dim}, {dtype}"
                    yield panel.row(name, dtype, floor=label)
                yield panel.row(
                    f"get_many of {TOGETHER}, {kind}, {count:,} x {dim}, float32",
                    "float32",
                    floor="singly",
                    label=f"{TOGETHER} times get",
                )


def _together(dtype: VectorDType, cache: SemanticCache, stored: Sequence[str]) -> Contender:
    def check(asked: Sequence[Question], hits: Sequence[Hit | None]) -> None:
        for question, hit in zip(asked, hits, strict=True):
            _compare(hit, question, stored)

    return Contender(
        dtype,
        lambda asked: cache.get_many(
            [question.text for question in asked], embeddings=[question.vector for question in asked]
        ),
        check,
    )


def _one_by_one(cache: SemanticCache, stored: Sequence[str]) -> Contender:
    together = _together("float32", cache, stored)
    return Contender(
        "singly",
        lambda asked: [cache.get(question.text, embedding=question.vector) for question in asked],
        together.check,
    )


def _shape(products: Matrix, expected: tuple[int, int]) -> None:
    assert products.shape == expected


@topic("nearest")
def nearest(shop: Workshop) -> Iterator[Row]:
    """The nearest five, however far they are: there is no threshold that rules rows out."""
    for dim, count in _shapes(shop, shop.entries):
        matrix = np.ascontiguousarray(shop.rows_of(dim, count))
        vectors = shop.asked_vectors(dim)[:200]
        rights = full_scan(matrix, vectors, floor=ANY, k=NEAREST)
        asked = [Question(*each) for each in zip(shop.asked, vectors, rights, strict=False)]
        with ExitStack() as stack:
            caches = _caches(shop, stack, dim, count)
            del caches["float16"]
            contenders = [_looking_up(dtype, cache, shop.stored) for dtype, cache in caches.items()]
            panel = Panel([floor_contender(matrix), *contenders]).run(rounds_of(shop, asked, ENOUGH // 3 + 1))
            for dtype in caches:
                yield panel.row(f"lookup(k={NEAREST}), {count:,} x {dim}, {dtype}", dtype, floor=FLOOR)


def _looking_up(dtype: VectorDType, cache: SemanticCache, stored: Sequence[str]) -> Contender:
    return Contender(
        dtype,
        lambda question: cache.lookup(question.text, k=NEAREST, embedding=question.vector),
        lambda question, hits: _found(hits, stored, question.right),
    )


@topic("namespaces")
def many_namespaces(shop: Workshop) -> Iterator[Row]:
    dim = 384
    count = min(NAMESPACES, shop.entries // IN_EACH)
    names = [f"tenant-{number:04d}" for number in range(count)]
    stored, vectors = shop.stored[: count * IN_EACH], shop.corpus.vectors(dim)[: count * IN_EACH]
    whole = [{**item, "namespace": names[number // IN_EACH]} for number, item in enumerate(items(stored, vectors))]
    asked = {"hit": list(near_copies(vectors)), "miss": list(shop.asked_vectors(dim))}
    many_path, one_path = shop.new_path(), shop.new_path()
    with shop.open(many_path, dim) as many, shop.open(one_path, dim) as one:
        for group in batches(whole):
            many.put_many(group)
        one.put_many(whole[:IN_EACH])
        assert len(many.list_namespaces()) == count
        assert one.list_namespaces() == names[:1]
    dtypes: tuple[VectorDType, ...] = ("float32", "int8")
    for dtype in dtypes:
        with (
            shop.open(many_path, dim, vector_dtype=dtype) as many,
            shop.open(one_path, dim, vector_dtype=dtype) as one,
        ):
            yield _first_searches(many, one, asked["hit"], names, dtype)
            for kind, queries in asked.items():
                chosen = _in_namespaces(shop, vectors, queries, count, kind)
                yield measure(
                    f"semantic {kind}, {count:,} namespaces of {IN_EACH} rows, {dtype}",
                    floor=(f"one namespace of {IN_EACH} rows", _asking(one, queries, names)),
                    operation=_asking(many, queries, names),
                    rounds=[
                        # Short ones: the speed of a shared machine changes within a second.
                        (
                            shop.random.choices([pair for pair in chosen if pair[0] == 0], k=120),
                            shop.random.choices(chosen, k=120),
                        )
                        for _ in range(shop.rounds(50))
                    ],
                    check=_right_answers(vectors, queries, stored),
                    floor_check=_right_answers(vectors, queries, stored),
                    budget=Budget(1.2),
                )
    shop.discard(many_path)
    shop.discard(one_path)


def _first_searches(
    many: SemanticCache, one: SemanticCache, queries: Sequence[Any], names: Sequence[str], dtype: str
) -> Row:
    """The first search in each namespace after opening, which reads and checks what the saved index holds of it."""
    ask_one, ask = _asking(one, queries, names), _asking(many, queries, names)
    ask_one((0, 0))
    pairs = []
    for number in range(len(names)):
        [hot] = timed(ask_one, [(0, number % IN_EACH)]).values
        [first] = timed(ask, [(number, number * IN_EACH)]).values
        pairs.append((hot, first))
    name = f"semantic hit, the first in each of {len(names):,} namespaces of {IN_EACH} rows, {dtype}"
    return from_pairs(name, f"one namespace of {IN_EACH} rows", pairs)


Where = tuple[int, int]
"""The number of a namespace, and that of a query."""


def _in_namespaces(shop: Workshop, vectors: Matrix, queries: Sequence[Any], count: int, kind: str) -> list[Where]:
    """Which query is asked in which namespace: of misses those alone that nothing there is near."""
    if kind == "hit":
        return [(number // IN_EACH, number) for number in range(len(queries))]
    pairs = [(n, m) for n in range(count) for m in shop.random.sample(range(len(queries)), 60 if n == 0 else 2)]
    return [
        (n, m)
        for n, m in pairs
        if float((vectors[n * IN_EACH : (n + 1) * IN_EACH] @ queries[m]).max()) < THRESHOLD - 1e-4
    ]


def _asking(
    cache: SemanticCache, queries: Sequence[Any], names: Sequence[str]
) -> Callable[[Where], tuple[Where, Hit | None]]:
    def ask(where: Where) -> tuple[Where, Hit | None]:
        return where, cache.get("nobody stored this", embedding=queries[where[1]], namespace=names[where[0]])

    return ask


def _right_answers(
    vectors: Matrix, queries: Sequence[Any], stored: Sequence[str]
) -> Callable[[Sequence[tuple[Where, Hit | None]]], None]:
    """A check of some of the answers against a scan of their namespace."""

    def check(results: Sequence[tuple[Where, Hit | None]]) -> None:
        for (namespace, number), hit in islice(results, 100):
            start = namespace * IN_EACH
            [right] = full_scan(vectors[start : start + IN_EACH], queries[number][None], floor=THRESHOLD)
            here = Question("", queries[number], Found(right.positions + start, right.similarities))
            _compare(hit, here, stored)

    return check


def orders(cache: SemanticCache, asked: Sequence[Question], matrix: Matrix, stored: Sequence[str]) -> None:
    """Raise unless the cache ranks the best eight as a full scan does."""
    rights = full_scan(matrix, np.stack([question.vector for question in asked]), floor=ANY)
    for question, right in zip(asked, rights, strict=True):
        _found(cache.lookup(question.text, k=BEST, embedding=question.vector), stored, right)
