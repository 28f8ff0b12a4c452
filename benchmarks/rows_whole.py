"""What is not about one call: opening, importing, and threads that wait for each other."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import bare
import numpy as np
from contenders import THRESHOLD
from data import ROOT
from harness import Budget, Row, from_pairs, quiet_collector
from workshop import Workshop, answer, topic

from mneme import SemanticCache
from mneme.ports import Vector

THREADS = 8
WAIT = 0.1
"""Seconds that the slow embedder and the slow function take."""


@topic("open")
def opening(shop: Workshop) -> Iterator[Row]:
    """Opening, and opening until the first answer from the semantic layer is there, which shows what was put off."""
    dim = 768
    path = shop.filled(dim)
    wanted = shop.questions(dim, shop.entries, THRESHOLD)
    opened, answered = [], []
    for number in range(shop.rounds(5)):
        question = wanted.hits[number % len(wanted.hits)]
        with quiet_collector():
            start = time.perf_counter_ns()
            connection = bare.connect(path)
            read = sum(
                len(vector) for _, _, vector in connection.execute("SELECT id, partition_id, vector FROM vectors")
            )
            middle = time.perf_counter_ns()
            assert read == shop.entries * dim * 4
            connection.close()
            started = time.perf_counter_ns()
            cache = shop.open(path, dim, similarity_threshold=THRESHOLD)
            ready = time.perf_counter_ns()
            hit = cache.get(question.text, embedding=question.vector)
            done = time.perf_counter_ns()
        opened.append((float(middle - start), float(ready - started)))
        answered.append((float(middle - start), float(done - started)))
        assert hit is not None
        assert hit.query == shop.stored[question.right.positions[0]]
        assert hit.similarity == float(question.right.similarities[0])
        assert cache.stats().entries == shop.entries
        cache.close()
    shape, floor = f"{shop.entries:,} x {dim}, SQLite", "SELECT of all vectors"
    yield from_pairs(f"open, {shape}", floor, opened, budget=Budget(1 / 10))
    yield from_pairs(f"open and one semantic get, {shape}", floor, answered)


@topic("import")
def importing(shop: Workshop) -> Iterator[Row]:
    program = (
        "import time; a = time.perf_counter_ns(); import numpy; b = time.perf_counter_ns(); import mneme; "
        "print(b - a, time.perf_counter_ns() - b)"
    )
    # Compiled beforehand, as an installed package is.
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONPYCACHEPREFIX": str(shop.directory / "compiled"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run() -> tuple[float, float]:
        done = subprocess.run(  # noqa: S603 -- our own code
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        first, second = map(float, done.stdout.split())
        return first, second

    run()
    pairs = [run() for _ in range(shop.rounds(15))]
    name = "import mneme, after NumPy"
    yield from_pairs(name, "the budget: 50 ms", [(50e6, second) for _, second in pairs], budget=Budget(1.0))
    yield from_pairs(name, "import numpy", pairs)


class _SlowEmbedder:
    """Takes its time, like one behind a network, and counts."""

    dim = 16
    fingerprint = "slow;dim=16"

    def __init__(self) -> None:
        self.calls = 0
        self._lock = threading.Lock()

    def embed(self, text: str) -> Vector:  # noqa: ARG002 -- what an embedder takes
        with self._lock:
            self.calls += 1
            number = self.calls
        time.sleep(WAIT)
        vector: Vector = np.random.default_rng(number).standard_normal(self.dim).astype(np.float32)
        return vector


def _together(works: list[Callable[[], object]]) -> float:
    """Nanoseconds until all of these, started at once, have returned."""
    barrier = threading.Barrier(len(works) + 1)

    def run(work: Callable[[], object]) -> None:
        barrier.wait()
        work()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    barrier.wait()
    start = time.perf_counter_ns()
    for thread in threads:
        thread.join()
    return float(time.perf_counter_ns() - start)


@topic("threads")
def threads(shop: Workshop) -> Iterator[Row]:
    apart, together = [], []
    for number in range(shop.rounds(5)):
        embedder = _SlowEmbedder()
        with SemanticCache(shop.new_path(), embedder) as cache:
            queries = [f"{query} {number}" for query in shop.asked[:THREADS]]
            took = _together([lambda query=query: cache.get(query) for query in queries])  # type: ignore[misc]
            assert embedder.calls == THREADS == cache.stats().misses
            apart.append((WAIT * 1e9, took))
    yield from_pairs(f"get, {THREADS} threads, slow embedder", f"{WAIT * 1000:.0f} ms: one call", apart)
    for _ in range(shop.rounds(5)):
        computed: list[str] = []

        def compute(query: str) -> str:
            time.sleep(WAIT)
            computed.append(query)  # noqa: B023 -- used in this turn only
            return answer(query)

        with SemanticCache(shop.new_path()) as cache:
            took = _together([lambda: cache.get_or_compute("The same question?", compute)] * THREADS)
            assert len(computed) == 1 == cache.stats().entries
            together.append((WAIT * 1e9, took))
    yield from_pairs(
        f"get_or_compute, {THREADS} threads, one question", f"{WAIT * 1000:.0f} ms: computing once", together
    )
    yield from _overhead(shop)


def _overhead(shop: Workshop) -> Iterator[Row]:
    """What single-flight adds to a miss that is computed and stored."""
    pairs = []
    size = 300
    for number in range(shop.rounds(7)):
        with SemanticCache(shop.new_path()) as cache:
            with quiet_collector():
                start = time.perf_counter_ns()
                for query in shop.asked[:size]:
                    if cache.get(query) is None:
                        cache.put(query, answer(query))
                middle = time.perf_counter_ns()
                for query in shop.asked[size : 2 * size]:
                    cache.get_or_compute(query, answer)
                end = time.perf_counter_ns()
            assert cache.stats().entries == 2 * size, number
            assert cache.stats().misses == 2 * size
            pairs.append(((middle - start) / size, (end - middle) / size))
    yield from_pairs("get_or_compute of a new query", "get, then put", pairs)
