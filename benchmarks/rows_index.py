"""The index as it fills and empties: pauses, memory, and searches from several threads at once."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice

import numpy as np
from contenders import THRESHOLD, Mneme
from harness import Budget, Row, from_pairs, quiet_collector, timed
from rows_search import FLOOR
from truth import Question, full_scan, identical
from workshop import LARGE, Workshop, answer, topic

from mneme import SemanticCache
from mneme.indexes import ExactIndex
from mneme.ports import Matrix, VectorDType

DIM = 384
PAUSE = 5e6
"""Nanoseconds: a few milliseconds, the longest that one `put` may wait for the index."""
EACH_SEARCH = 500
"""Changes between two searches: what a change puts off, a search has to do."""
BOTH: tuple[VectorDType, ...] = ("float32", "int8")
Times = list[float]


@topic("growing")
def growing(shop: Workshop) -> Iterator[Row]:
    """From nothing to the full size in single steps, then half of it away again, with a search now and then."""
    matrix = shop.stored_vectors(DIM)
    for dtype in BOTH:
        runs = [_life(shop, dtype, matrix) for _ in range(3)]
        shape = f"{len(matrix):,} x {DIM} one by one, {dtype}"
        for name, number in (("add", 0), ("remove", 1), ("search between them", 2)):
            # What happens in every run at the same step is a pause of the index; what does not, one of the machine.
            steps = np.min([run[number] for run in runs], axis=0)
            worst = max(max(run[number]) for run in runs)
            note = f"the least of {len(runs)} runs for every step; the longest of any run {worst / 1e6:.1f} ms"
            budget = Budget() if number == 2 else Budget(1.0)
            yield from_pairs(
                f"longest {name}, {shape}", "5 ms", [(PAUSE, float(steps.max()))], budget=budget, note=note
            )
        adds = [np.quantile(run[0], (0.5, 0.99)) for run in runs]
        floor = _copying(matrix)
        row = from_pairs(f"add, {shape}", "copy a row into a matrix", [(floor[0], float(p50)) for p50, _ in adds])
        yield row
        yield from_pairs(
            f"add, p99, {shape}", "copy a row into a matrix, p99", [(floor[1], float(p99)) for _, p99 in adds]
        )


def _life(shop: Workshop, dtype: VectorDType, matrix: Matrix) -> tuple[Times, Times, Times]:
    engine = Mneme(dtype, DIM)
    engine.matrix = matrix
    add, remove, partition = engine.index.add, engine.index.remove, [b"p" * 16]
    questions = shop.asked_vectors(DIM)
    adds: Times = []
    removes: Times = []
    searches: Times = []
    clock = time.perf_counter_ns
    with quiet_collector():
        for number in range(len(matrix)):
            row = matrix[number : number + 1]
            start = clock()
            add((number,), partition, row)
            adds.append(clock() - start)
            if number % EACH_SEARCH == EACH_SEARCH - 1:
                _search(engine, questions[number // EACH_SEARCH % len(questions)], number + 1, searches)
        order = np.random.default_rng(10).permutation(len(matrix))[: len(matrix) // 2].tolist()
        for step, number in enumerate(order):
            start = clock()
            remove((number,))
            removes.append(clock() - start)
            if step % EACH_SEARCH == EACH_SEARCH - 1:
                start = clock()
                engine.search(questions[step // EACH_SEARCH % len(questions)])
                searches.append(clock() - start)
    _still_right(engine, matrix, order, questions[:20])
    return adds, removes, searches


def _search(engine: Mneme, vector: np.ndarray[tuple[int], np.dtype[np.float32]], held: int, searches: Times) -> None:
    start = time.perf_counter_ns()
    engine.search(vector)
    searches.append(time.perf_counter_ns() - start)
    assert engine.index.size() == held


def _still_right(engine: Mneme, matrix: Matrix, removed: Sequence[int], queries: Matrix) -> None:
    """Raise unless the index finds in what is left what a full scan finds."""
    left = np.delete(np.arange(len(matrix)), removed)
    assert engine.index.size() == len(left)
    rights = full_scan(matrix[left], queries, floor=0.5)
    for query, right in zip(queries, rights, strict=True):
        identical(engine.search(query, floor=0.5), right._replace(positions=left[right.positions]))


def _copying(matrix: Matrix) -> tuple[float, float]:
    """Median and 99th percentile of copying one row to its place."""
    target = np.zeros_like(matrix)

    def copy(number: int) -> None:
        target[number] = matrix[number]

    times = timed(copy, range(len(matrix)))
    return times.quantile(0.5), times.quantile(0.99)


@topic("memory")
def memory(shop: Workshop) -> Iterator[Row]:
    budgets: dict[VectorDType, Budget] = {"float32": Budget(1.25), "float16": Budget(), "int8": Budget(0.45)}
    sizes = [shop.entries] if shop.quick else [shop.entries, LARGE]
    for size in sizes:
        matrix = shop.rows_of(DIM, size)
        for dtype, budget in budgets.items():
            shape = f"{size:,} x {DIM}, {dtype}"
            yield _held(f"memory of the index, {shape}", matrix, [b"p" * 16] * size, dtype, budget)
    groups = [b"%016d" % (number // 100) for number in range(shop.entries)]
    for dtype in BOTH:
        name = f"memory, {shop.entries // 100:,} namespaces of 100 x {DIM}, {dtype}"
        yield _held(name, shop.rows_of(DIM, shop.entries), groups, dtype, Budget())


def _held(name: str, matrix: Matrix, partitions: Sequence[bytes], dtype: VectorDType, budget: Budget) -> Row:
    block = 4096
    tracemalloc.start()
    index = ExactIndex()
    index.open(matrix.shape[1], dtype)
    for start in range(0, len(matrix), block):
        part = matrix[start : start + block]
        index.add(range(start, start + len(part)), partitions[start : start + len(part)], part)
    index.search(partitions[0], matrix[:1], floor=THRESHOLD, k=1)  # what is made for searching is held as well
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert index.size() == len(matrix)
    said = index.memory_bytes()
    index.close()
    most = f"{peak / matrix.nbytes:.2f}x at most while filled in blocks of {block:,}"
    note = f"traced; {most}; stats() says {said / held - 1:+.1%}"
    return from_pairs(
        name, "float32 matrix", [(float(matrix.nbytes), float(held))], budget=budget, unit="bytes", note=note
    )


@topic("throughput")
def throughput(shop: Workshop) -> Iterator[Row]:
    """The same number of lookups on one thread and on two; and on one beside a thread that writes."""
    matrix = np.ascontiguousarray(shop.stored_vectors(DIM))
    asked = shop.questions(DIM, shop.entries, THRESHOLD).misses
    each = 40
    path = shop.copy_of(shop.filled(DIM))
    with shop.open(path, DIM, similarity_threshold=THRESHOLD) as cache:

        def get(question: Question) -> None:
            assert cache.get(question.text, embedding=question.vector) is None

        def product(question: Question) -> None:
            assert len(matrix @ question.vector) == len(matrix)

        works: list[tuple[str, Callable[[Question], None]]] = [("semantic miss", get), (FLOOR, product)]
        for name, work in works:
            with quiet_collector():
                pairs = [
                    (on_threads(work, asked, 1, each), on_threads(work, asked, 2, each)) for _ in range(shop.rounds(5))
                ]
            title = f"{name}, two threads, {shop.entries:,} x {DIM}"
            yield from_pairs(title, "one thread", pairs, note="time for each of all lookups together")
        with quiet_collector():
            pairs = [_beside_a_writer(cache, get, asked, each) for _ in range(shop.rounds(5))]
        yield from_pairs(f"semantic miss while another thread puts, {shop.entries:,} x {DIM}", "nobody puts", pairs)
    shop.discard(path)


def on_threads(work: Callable[[Question], None], asked: Sequence[Question], threads: int, each: int) -> float:
    """Nanoseconds for each call, *each* of them on every thread."""
    failed: list[BaseException] = []
    barrier = threading.Barrier(threads + 1)

    def run(first: int) -> None:
        barrier.wait()
        try:
            for question in islice(asked, first, first + each):
                work(question)
        except BaseException as error:  # noqa: BLE001 -- raised below, in the thread that reports
            failed.append(error)

    workers = [threading.Thread(target=run, args=(number * each,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    barrier.wait()
    start = time.perf_counter_ns()
    for worker in workers:
        worker.join()
    took = time.perf_counter_ns() - start
    if failed:
        raise failed[0]
    return took / (threads * each)


_numbers = count()


def _beside_a_writer(
    cache: SemanticCache, get: Callable[[Question], None], asked: Sequence[Question], each: int
) -> tuple[float, float]:
    """The median time of a lookup alone, and while another thread stores one entry after another."""
    alone = timed(get, asked[:each]).quantile(0.5)
    stop, vectors = threading.Event(), np.random.default_rng(11).standard_normal((64, DIM)).astype(np.float32)
    stored = cache.stats().entries

    def write() -> None:
        while not stop.is_set():
            number = next(_numbers)
            cache.put(f"written meanwhile, number {number}", answer("it"), embedding=vectors[number % 64])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        beside = timed(get, asked[:each]).quantile(0.5)
    finally:
        stop.set()
        writer.join()
    assert cache.stats().entries > stored, "nothing was written meanwhile"
    return alone, beside
