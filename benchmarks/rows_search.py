"""The search alone, beside other engines on the same rows and questions, from a thousand rows to a million."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from typing import Any

import made
import numpy as np
from contenders import (
    THRESHOLD,
    Engine,
    Faiss,
    Graph,
    Hnswlib,
    Mneme,
    UsearchExact,
    UsearchGraph,
    absent,
    fastest,
)
from data import questions
from harness import Budget, Row
from panel import ENOUGH, Contender, Panel
from truth import ANY, Question, full_scan, identical, same_first
from workshop import LARGE, Recall, Workshop, topic

from mneme.ports import Matrix

FLOOR = "matrix @ q, float32"
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, LARGE)
WIDE = 0.5
"""Of the fastest other exact engine's time: what a wide margin is."""


def floor_contender(matrix: Matrix) -> Contender:
    """One product with every row, which says nothing yet about which are the best."""

    def check(question: Question, result: Any) -> None:
        assert len(result) == len(matrix)
        if len(question.right.positions):
            at = question.right.positions[0]
            assert abs(result[at] - question.right.similarities[0]) < 1e-5

    return Contender(FLOOR, lambda question: matrix @ question.vector, check)


def rounds_of(shop: Workshop, asked: Sequence[Question], size: int, count: int = 3) -> Iterator[list[Question]]:
    """Rounds of so many questions, each in an order of its own."""
    for _ in range(shop.rounds(count)):
        yield list(islice(cycle(shop.random.sample(asked, len(asked))), size))


@topic("competitors")
def narrow(shop: Workshop) -> Iterator[Row]:
    dim, graphs_up_to = 384, min(shop.entries, 100_000)
    sizes = [size for size in SIZES if size <= (shop.entries if shop.quick else LARGE)]
    sizes = sorted({*sizes, shop.entries})
    engines, missing = _engines(dim, graphs_up_to)
    yield from missing
    for size in sizes:
        matrix = shop.rows_of(dim, size)
        if size > graphs_up_to:
            engines = [engine for engine in engines if engine.exact]
        for engine in engines:
            engine.grow(matrix)
        wanted = shop.questions(dim, size, THRESHOLD)
        for kind, asked in wanted.kinds.items():
            panel, ways = _race(shop, matrix, engines, asked, size)
            curve = shop.curves.setdefault(kind, {})
            for name in (FLOOR, *ways):
                curve.setdefault(name, {})[size] = panel.median(name)
            if size in {shop.entries, LARGE}:
                yield from _rows(panel, ways, f"search, {kind}, {size:,} x {dim}")
                if kind == "hit" and size == shop.entries:
                    yield from _recalls(shop, engines, matrix, wanted.hits)


@topic("competitors-768")
def wide(shop: Workshop) -> Iterator[Row]:
    dim = 768
    matrix = np.ascontiguousarray(shop.stored_vectors(dim))
    engines, missing = _engines(dim, 0)
    yield from missing
    for engine in engines:
        engine.grow(matrix)
    for kind, asked in shop.questions(dim, shop.entries, THRESHOLD).kinds.items():
        panel, ways = _race(shop, matrix, engines, asked, shop.entries)
        yield from _rows(panel, ways, f"search, {kind}, {shop.entries:,} x {dim}")


def _engines(dim: int, graphs_up_to: int) -> tuple[list[Engine], list[Row]]:
    """Everything that takes part, and a row for each that is not installed. Without graphs if they get no rows."""
    makers: list[tuple[str, Callable[[], Engine]]] = [("faiss", lambda: Faiss(dim)), ("usearch", UsearchExact)]
    if graphs_up_to:
        makers += [("hnswlib", lambda: Hnswlib(dim, graphs_up_to)), ("usearch", lambda: UsearchGraph(dim))]
    engines: list[Engine] = [Mneme("float32", dim), Mneme("int8", dim)]
    missing: list[Row] = []
    for package, make in makers:
        why = absent(package)
        if not why:
            engines.append(make())
        elif all(row.note != why for row in missing):
            missing.append(Row.missing(f"search, {package}, {dim} dimensions", why))
    return engines, missing


def _race(
    shop: Workshop, matrix: Matrix, engines: Sequence[Engine], asked: Sequence[Question], size: int
) -> tuple[Panel, dict[str, Engine]]:
    """All of them by turns; and the engine behind every name. An exact engine takes part in its fastest way."""
    contenders = [floor_contender(matrix)]
    ways: dict[str, Engine] = {}
    for engine in engines:
        if isinstance(engine, Mneme):
            _ranks(engine, matrix, asked[:10])
        searches = engine.searches()
        chosen = [fastest(searches, asked[:7])] if engine.exact else list(searches)
        for way in chosen:
            name = engine.name if engine.exact else f"{engine.name}, {way}"
            engine.note = way if engine.exact else ""
            ways[name] = engine
            contenders.append(
                Contender(name, lambda question, search=searches[way]: search(question.vector), engine.check)  # type: ignore[misc]
            )
    # Sizes that get rows need enough calls for a 99th percentile, over all rounds together where one takes long.
    calls = {shop.entries: ENOUGH, LARGE: ENOUGH // 3 + 1}.get(size, 20)
    return Panel(contenders).run(rounds_of(shop, asked, calls)), ways


def _ranks(engine: Mneme, matrix: Matrix, asked: Sequence[Question]) -> None:
    """Raise unless it puts more than the one or two rows above the threshold in the right order."""
    vectors = np.stack([question.vector for question in asked])
    for vector, right in zip(vectors, full_scan(matrix, vectors, floor=0.3), strict=True):
        identical(engine.search(vector, floor=0.3), right)


def _rows(panel: Panel, ways: dict[str, Engine], title: str) -> Iterator[Row]:
    for name, engine in ways.items():
        notes = [engine.note, f"{engine.memory() / 2**20:,.0f} MiB", f"made in {engine.seconds:.1f} s"]
        yield panel.row(f"{title}, {name}", name, floor=FLOOR, note=", ".join(filter(None, notes)))
    others = [name for name, engine in ways.items() if engine.exact and not isinstance(engine, Mneme)]
    if not others:
        return
    best = panel.fastest(others)
    for name, engine in ways.items():
        if isinstance(engine, Mneme):
            yield panel.row(
                f"{title}, {name}", name, floor=best, label=f"the fastest other exact: {best}", budget=Budget(WIDE)
            )


def _recalls(shop: Workshop, engines: Sequence[Engine], matrix: Matrix, hits: Sequence[Question]) -> Iterator[Row]:
    """How often a graph finds the nearest row. A hit that it loses is an answer that is paid for again."""
    vectors = shop.asked_vectors(matrix.shape[1])
    nearest = [
        Question(*each) for each in zip(shop.asked, vectors, full_scan(matrix, vectors, floor=ANY, k=1), strict=True)
    ]
    for engine in engines:
        if not isinstance(engine, Graph):
            continue
        for way, search in engine.searches().items():
            name = f"{engine.name}, {way}"
            shares = []
            for floor, asked in ((THRESHOLD, hits), (ANY, nearest)):
                engine.floor = floor
                shares.append(sum(same_first(search(each.vector), each.right) for each in asked) / len(asked))
            engine.floor = THRESHOLD
            shop.recalls[name] = Recall(*shares)
            note = f"{len(hits)} hits; of the nearest rows of {len(nearest):,} held-out questions {shares[1]:.1%}"
            yield Row.share(f"recall@1 of hits, {len(matrix):,} rows, {name}", "a full scan", shares[0], note)


@topic("worst")
def worst(shop: Workshop) -> Iterator[Row]:
    """Data that no few dimensions describe, and data of which everything is near."""
    dim, count = 384, shop.entries
    shapes: dict[str, tuple[Callable[[int, int], Matrix], Budget]] = {
        "isotropic": (made.isotropic, Budget(1.3)),
        "two tight clusters": (made.two_clusters, Budget(1.3)),
        "all rows equal": (made.all_equal, Budget(1.3)),
    }
    for shape, (make, budget) in shapes.items():
        matrix = make(count, dim)
        noise = made.isotropic(50, dim)[1:]  # the first one is the row of which others are copies
        asked = np.vstack([noise, made.unit(matrix[:25] + np.float32(0.4) * noise[:25])])
        wanted = questions(matrix, [f"{shape} {number}" for number in range(len(asked))], asked, THRESHOLD, enough=0)
        engines = [Mneme("float32", dim), Mneme("int8", dim)]
        for engine in engines:
            engine.grow(matrix)
        for kind, those in wanted.kinds.items():
            if not those:
                continue  # in a cluster everything is near
            contenders = [floor_contender(matrix)] + [
                Contender(engine.name, lambda question, engine=engine: engine.search(question.vector), engine.check)  # type: ignore[misc]
                for engine in engines
            ]
            panel = Panel(contenders).run(rounds_of(shop, those, 20 if shape == "isotropic" else 5))
            for engine in engines:
                yield panel.row(
                    f"worst case: {shape}, {kind}, {count:,} x {dim}, {engine.index.dtype}",
                    engine.name,
                    floor=FLOOR,
                    budget=budget if engine.index.dtype == "float32" else Budget(),
                )
