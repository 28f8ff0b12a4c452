"""The approximate index over each library that it can stand on: the same rows, questions and options, by turns."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from random import Random
from statistics import median

import numpy as np
from contenders import EF, EF_CONSTRUCTION, THRESHOLD, M, Mneme, absent
from harness import Row, from_pairs, quiet_collector
from panel import Contender, Panel
from rows_index import on_threads
from rows_search import rounds_of
from truth import ANY, Question, full_scan
from workshop import Workshop, topic

from mneme.indexes import HnswIndex
from mneme.ports import VectorDType

DIM = 384
SIZES = (10_000, 100_000)
TEN = 10
"""Neighbours looked for where it is asked how many of them are found."""
BLOCK = 2_000
"""Rows that each index adds before the next one has its turn."""
EXACT = "mneme float32"
"""What a contender of that name is called: the exact index."""
KINDS: tuple[tuple[str, VectorDType], ...] = (
    ("hnswlib", "float32"),
    ("usearch", "float32"),
    ("usearch", "float16"),
    ("usearch", "int8"),
)
Nanoseconds = dict[str, list[float]]
"""By the name of the index: one number a round."""


class Approximate(Mneme):
    """`HnswIndex` over one library. What it finds is what the exact index finds, or less."""

    exact = False

    def __init__(self, backend: str, dtype: VectorDType) -> None:
        super().__init__(dtype, DIM, _index(backend))
        self.name = f"{backend} {dtype}"
        self.backend, self.dtype = backend, dtype

    def opened(self, path: Path) -> Approximate:
        """Another one that holds what was saved there."""
        other = Approximate(self.backend, self.dtype)
        other.index.load(str(path), DIM, self.dtype)
        other.matrix = self.matrix
        return other

    def check(self, question: Question, found: object) -> None:
        """What it misses is told by its recall; that similarities are right is another topic's business."""


def _index(backend: str) -> HnswIndex:
    return HnswIndex(m=M, ef_construction=EF_CONSTRUCTION, ef=EF[0], backend=backend)


@topic("graphs", on_request=True)
def graphs(shop: Workshop) -> Iterator[Row]:
    """Building, searching, saving and emptying. Left out of a whole run: building takes longer than the rest of it."""
    missing = {backend: why for backend, _ in KINDS if (why := absent(backend))}
    for backend, why in missing.items():
        yield Row.missing(f"graphs, {backend}", why)
    engines = [Approximate(backend, dtype) for backend, dtype in KINDS if backend not in missing]
    if not engines:
        return
    exact = Mneme("float32", DIM)
    built: Nanoseconds = {engine.name: [] for engine in engines}
    for size in sorted({min(size, shop.entries) for size in SIZES}):
        matrix = shop.rows_of(DIM, size)
        exact.grow(matrix)
        _build(engines, matrix, built)
        for engine in engines:
            rate = size / sum(built[engine.name]) * 1e9
            note = f"{rate:,.0f} rows/s from the first to the last, {engine.index.memory_bytes() / 2**20:,.0f} MiB"
            yield _row(f"build, {size:,} x {DIM}, {engine.name}", built, engine, engines, note)
        yield from _searches(shop, exact, engines, size)
        yield from _recalls(shop, exact, engines, size)
        yield from _threads(shop, engines, size)
        paths = {engine.name: shop.new_path() for engine in engines}
        yield from _files(engines, paths, size)
        yield from _memory(engines, paths, size)
        yield from _removal(shop, exact, engines, paths, size)


def _row(name: str, taken: Nanoseconds, engine: Approximate, engines: Sequence[Approximate], note: str = "") -> Row:
    """One of them beside the first."""
    first = engines[0]
    return from_pairs(
        name, f"the same, {first.name}", list(zip(taken[first.name], taken[engine.name], strict=True)), note=note
    )


def _by_turns(
    engines: Sequence[Approximate], rounds: int, run: Callable[[Approximate], object], taken: Nanoseconds | None = None
) -> Nanoseconds:
    """What *run* takes for each of them, in changing order."""
    taken = {engine.name: [] for engine in engines} if taken is None else taken
    random = Random(13)
    with quiet_collector():
        for _ in range(rounds):
            for engine in random.sample(list(engines), len(engines)):
                start = time.perf_counter_ns()
                run(engine)
                taken[engine.name].append(time.perf_counter_ns() - start)
    return taken


def _build(engines: Sequence[Approximate], matrix: np.ndarray, taken: Nanoseconds) -> None:
    for end in range(engines[0].index.size() + BLOCK, len(matrix) + BLOCK, BLOCK):
        _by_turns(engines, 1, lambda engine, end=end: engine.grow(matrix[:end]), taken)  # type: ignore[misc]


def _searches(shop: Workshop, exact: Mneme, engines: Sequence[Approximate], size: int) -> Iterator[Row]:
    for kind, asked in shop.questions(DIM, size, THRESHOLD).kinds.items():
        contenders = [
            Contender(engine.name, lambda question, engine=engine: engine.search(question.vector), engine.check)  # type: ignore[misc]
            for engine in (exact, *engines)
        ]
        panel = Panel(contenders).run(rounds_of(shop, asked, 100), together=20)
        for engine in engines:
            yield panel.row(
                f"search, {kind}, {size:,} x {DIM}, {engine.name}", engine.name, floor=EXACT, label="the exact index"
            )


def _recalls(shop: Workshop, exact: Mneme, engines: Sequence[Approximate], size: int) -> Iterator[Row]:
    hits = shop.questions(DIM, size, THRESHOLD).hits
    vectors = shop.asked_vectors(DIM)
    right = [set(exact.search(vector, floor=ANY, k=TEN).positions.tolist()) for vector in vectors]
    for engine in engines:
        first = _share(
            engine.search(each.vector).positions[:1].tolist() == each.right.positions[:1].tolist() for each in hits
        )
        ten = [engine.search(vector, floor=ANY, k=TEN).positions.tolist() for vector in vectors]
        share = _share(len(right_ones.intersection(found)) / TEN for right_ones, found in zip(right, ten, strict=True))
        title = f"{size:,} x {DIM}, {engine.name}"
        yield Row.share(f"recall@1 at {THRESHOLD}, {title}", "the exact index", first, f"{len(hits)} hits")
        yield Row.share(f"recall@10, {title}", "the exact index", share, f"{len(vectors):,} held-out questions")


def _share(values: Iterator[float]) -> float:
    return float(np.mean(list(values)))


def _threads(shop: Workshop, engines: Sequence[Approximate], size: int) -> Iterator[Row]:
    """What a search takes where two threads search, by what it takes where one does: 0.5 is twice the throughput."""
    asked = shop.questions(DIM, size, THRESHOLD).misses
    pairs: dict[str, list[tuple[float, float]]] = {engine.name: [] for engine in engines}
    with quiet_collector():
        for _ in range(shop.rounds(7)):
            for engine in engines:
                ask = lambda question, engine=engine: engine.search(question.vector)  # type: ignore[misc]  # noqa: E731 -- bound to this engine
                pairs[engine.name].append((on_threads(ask, asked, 1, 200), on_threads(ask, asked, 2, 200)))
    for engine in engines:
        title = f"search, two threads, {size:,} x {DIM}, {engine.name}"
        yield from_pairs(title, "one thread", pairs[engine.name], note="time for each of all searches together")


def _files(engines: Sequence[Approximate], paths: dict[str, Path], size: int) -> Iterator[Row]:
    saved = _by_turns(engines, 5, lambda engine: engine.index.save(str(paths[engine.name]), "a stamp"))
    opened = _by_turns(engines, 5, lambda engine: engine.opened(paths[engine.name]).index.close())
    for engine in engines:
        title, file = f"{size:,} x {DIM}, {engine.name}", f"{paths[engine.name].stat().st_size / 2**20:,.0f} MiB"
        yield _row(f"save, {title}", saved, engine, engines, file)
        yield _row(f"open, {title}", opened, engine, engines)


_OPENING = """
import sys
from mneme.indexes import HnswIndex
import numpy, os
def resident(): return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
path, backend, dtype, m, ef, dim = sys.argv[1:]
index = HnswIndex(backend=backend, m=int(m), ef_construction=int(ef))
index.open(int(dim), dtype)
before = resident()
index.load(path, int(dim), dtype)
print(resident() - before)
"""


def _memory(engines: Sequence[Approximate], paths: dict[str, Path], size: int) -> Iterator[Row]:
    """What a process grows by that opens the index; where there is no telling, what the index says."""
    matrix = float(size * DIM * 4)
    for engine in engines:
        said, note = float(engine.index.memory_bytes()), "as the index says"
        held = said
        if Path("/proc/self/statm").exists():
            arguments = [paths[engine.name], engine.backend, engine.dtype, M, EF_CONSTRUCTION, DIM]
            ran = subprocess.run(  # noqa: S603 -- our own code
                [sys.executable, "-c", _OPENING, *map(str, arguments)], check=True, capture_output=True, text=True
            )
            held, note = float(ran.stdout), f"resident after opening; the index says {said / 2**20:,.0f} MiB"
        title = f"memory, {size:,} x {DIM}, {engine.name}"
        yield from_pairs(title, "float32 matrix", [(matrix, held)], unit="bytes", note=note)


def _removal(
    shop: Workshop, exact: Mneme, engines: Sequence[Approximate], paths: dict[str, Path], size: int
) -> Iterator[Row]:
    """One by one: a third, after which the graph is full of dead weight, and some more, while a new one is built."""
    order = np.random.default_rng(14).permutation(size).tolist()
    copies = [engine.opened(paths[engine.name]) for engine in engines]
    gone = size // 3 - 50
    removed = {copy.name: iter(order) for copy in copies}
    steps = count()

    def remove(copy: Approximate, times: int) -> None:
        next(steps)
        for _ in range(times):
            assert copy.index.remove((next(removed[copy.name]),)) == 1

    before = _by_turns(copies, 10, lambda copy: remove(copy, gone // 10))
    asked = shop.questions(DIM, size, THRESHOLD).misses
    left = np.setdiff1d(np.arange(size), order[: gone // 10 * 10])
    vectors = shop.asked_vectors(DIM)[:300]
    right = list(full_scan(exact.matrix[left], vectors, floor=ANY, k=TEN))
    pairs = _beside(shop, engines, copies, asked)
    for copy in copies:
        found = [copy.search(vector, floor=ANY, k=TEN).positions.tolist() for vector in vectors]
        share = _share(
            len({*left[ten.positions].tolist()}.intersection(those)) / TEN
            for ten, those in zip(right, found, strict=True)
        )
        note = f"recall@10 {share:.1%} of {len(vectors)} held-out questions"
        yield from_pairs(
            f"search, a third removed, {size:,} x {DIM}, {copy.name}", "before that", pairs[copy.name], note=note
        )
    for copy in copies:
        while copy.index.tombstones() <= copy.index.size() // 2:
            remove(copy, 1)
    during = _by_turns(copies, 10, lambda copy: remove(copy, 20))
    for taken, when, times in ((before, "before a new graph is built", gone // 10), (during, "while one is built", 20)):
        each = {name: [value / times for value in values] for name, values in taken.items()}
        for copy in copies:
            yield _row(f"remove, {when}, {size:,} x {DIM}, {copy.name}", each, copy, copies)


def _beside(
    shop: Workshop, engines: Sequence[Approximate], copies: Sequence[Approximate], asked: Sequence[Question]
) -> dict[str, list[tuple[float, float]]]:
    """The median time of a search in each index as it was, and in its copy."""
    pairs: dict[str, list[tuple[float, float]]] = {engine.name: [] for engine in engines}
    with quiet_collector():
        for questions in rounds_of(shop, asked, 50, 5):
            for engine, copy in zip(engines, copies, strict=True):
                times = []
                for one in (engine, copy):
                    taken = []
                    for question in questions:
                        start = time.perf_counter_ns()
                        one.search(question.vector)
                        taken.append(time.perf_counter_ns() - start)
                    times.append(float(median(taken)))
                pairs[engine.name].append((times[0], times[1]))
    return pairs
