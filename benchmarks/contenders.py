"""What searches the same rows for the same questions: ours, other exact engines, and graphs that give up exactness."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from truth import BEST, Found, Question, best_of, equivalent, identical

from mneme.indexes import ExactIndex, HnswIndex
from mneme.ports import Matrix, Vector, VectorDType

THRESHOLD = 0.85
M, EF_CONSTRUCTION, EF = 16, 200, (64, 128)
PACKAGES = {"faiss": "faiss-cpu", "usearch": "usearch", "hnswlib": "hnswlib"}
_BLOCK = 4096
_PARTITION = b"p" * 16


class Engine(ABC):
    """Holds the first rows of a matrix, more of them with every `grow`, and finds the best above the threshold."""

    exact = True
    package = ""
    """What has to be importable."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seconds = 0.0
        """What building it has taken so far."""
        self.note = ""

    def grow(self, matrix: Matrix) -> None:
        """Hold all of these rows, of which it holds the first ones already."""
        start = time.perf_counter()
        self._grow(matrix)
        self.seconds += time.perf_counter() - start

    @abstractmethod
    def _grow(self, matrix: Matrix) -> None: ...

    @abstractmethod
    def searches(self) -> dict[str, Callable[[Vector], Found]]:
        """Ways to ask it, by name. Of exact engines the fastest takes part, of graphs each."""

    @abstractmethod
    def memory(self) -> int:
        """Bytes that it holds besides the matrix that it was given."""

    def check(self, question: Question, found: Found) -> None:
        """Raise unless this is right."""
        equivalent(found, question.right, floor=THRESHOLD)


class Mneme(Engine):
    """An index of this project, without the cache around it."""

    def __init__(self, dtype: VectorDType, dim: int, index: ExactIndex | HnswIndex | None = None) -> None:
        """Around the exact index, if no other is given."""
        super().__init__(f"mneme {dtype}")
        self.index = ExactIndex() if index is None else index
        self.index.open(dim, dtype)
        self.matrix = np.empty((0, dim), np.float32)

    def _grow(self, matrix: Matrix) -> None:
        self.matrix = matrix
        for start in range(self.index.size(), len(matrix), _BLOCK):
            ids = range(start, min(start + _BLOCK, len(matrix)))
            self.index.add(ids, [_PARTITION] * len(ids), matrix[start : start + _BLOCK])
        if isinstance(self.index, ExactIndex) and self.index._contents is not None:  # noqa: SLF001 -- as saving it does
            # Searches would make the sketches that are missing, a millisecond of them each: part of building it.
            self.index._contents.to_save()  # noqa: SLF001 -- the same

    def searches(self) -> dict[str, Callable[[Vector], Found]]:
        return {"": self.search}

    def search(self, vector: Vector, *, floor: float = THRESHOLD, k: int = BEST) -> Found:
        [matches] = self.index.search(_PARTITION, vector[None], floor=floor, k=k)
        if matches.errors is None:
            return Found(matches.ids, matches.similarities)
        # As the cache does it: what is known roughly is scored again from float32 vectors.
        return best_of(matches.ids, self.matrix[matches.ids], vector, floor=floor, k=k)

    def memory(self) -> int:
        return self.index.memory_bytes()

    def check(self, question: Question, found: Found) -> None:
        identical(found, question.right)


class Faiss(Engine):
    """`IndexFlatIP`, asked for eight neighbours or for a range, on one thread or on all."""

    package = "faiss"

    def __init__(self, dim: int) -> None:
        super().__init__("faiss IndexFlatIP")
        self._faiss: Any = importlib.import_module("faiss")
        self._index = self._faiss.IndexFlatIP(dim)
        self._threads = self._faiss.omp_get_max_threads()

    def _grow(self, matrix: Matrix) -> None:
        self._index.add(matrix[self._index.ntotal :])

    def searches(self) -> dict[str, Callable[[Vector], Found]]:
        ways: dict[str, Callable[[Vector], Found]] = {}
        for threads in {1, self._threads}:
            ways[f"search, {threads} thread(s)"] = lambda vector, threads=threads: self._nearest(vector, threads)  # type: ignore[misc]
            ways[f"range_search, {threads} thread(s)"] = lambda vector, threads=threads: self._range(vector, threads)  # type: ignore[misc]
        return ways

    def _nearest(self, vector: Vector, threads: int) -> Found:
        self._faiss.omp_set_num_threads(threads)
        similarities, positions = self._index.search(vector[None], BEST)
        return above(positions[0], similarities[0])

    def _range(self, vector: Vector, threads: int) -> Found:
        self._faiss.omp_set_num_threads(threads)
        _, similarities, positions = self._index.range_search(vector[None], THRESHOLD)
        order = np.argsort(-similarities)[:BEST]
        return Found(positions[order], similarities[order])

    def memory(self) -> int:
        return int(self._index.ntotal * self._index.d * 4)


class UsearchExact(Engine):
    """usearch's search of a matrix, on one thread or on all."""

    package = "usearch"

    def __init__(self) -> None:
        super().__init__("usearch, exact")
        self._module: Any = importlib.import_module("usearch.index")

    def _grow(self, matrix: Matrix) -> None:
        self._matrix = matrix

    def searches(self) -> dict[str, Callable[[Vector], Found]]:
        return {
            f"{threads or 'all'} thread(s)": lambda vector, threads=threads: self._search(vector, threads)  # type: ignore[misc]
            for threads in (0, 1)
        }

    def _search(self, vector: Vector, threads: int) -> Found:
        metric = self._module.MetricKind.IP
        matches = self._module.search(self._matrix, vector, BEST, metric, exact=True, threads=threads)
        return above(matches.keys.astype(np.int64), 1 - matches.distances)

    def memory(self) -> int:
        return 0


class Graph(Engine):
    """A graph in memory, made on all cores: `M` and `ef_construction` as given above."""

    exact = False

    def __init__(self, name: str, dim: int) -> None:
        super().__init__(name)
        self.floor = THRESHOLD
        self._matrix = np.empty((0, dim), np.float32)

    def grow(self, matrix: Matrix) -> None:
        super().grow(matrix)
        self._matrix = matrix

    def check(self, question: Question, found: Found) -> None:
        """What it finds must be near; what it misses is told by its recall."""
        true = self._matrix[found.positions] @ question.vector
        assert np.allclose(true, found.similarities, rtol=0, atol=1e-5), f"{found} is not {true}"
        assert (true >= THRESHOLD - 1e-5).all(), f"{found} is below the threshold"


class Hnswlib(Graph):
    package = "hnswlib"

    def __init__(self, dim: int, most: int) -> None:
        super().__init__("hnswlib", dim)
        self._index: Any = importlib.import_module("hnswlib").Index("ip", dim)
        self._index.init_index(most, M=M, ef_construction=EF_CONSTRUCTION, random_seed=9)

    def _grow(self, matrix: Matrix) -> None:
        held = self._index.get_current_count()
        self._index.add_items(matrix[held:], np.arange(held, len(matrix)), num_threads=os.cpu_count() or 1)

    def searches(self) -> dict[str, Callable[[Vector], Found]]:
        return {f"ef {ef}": lambda vector, ef=ef: self._search(vector, ef) for ef in EF}  # type: ignore[misc]

    def _search(self, vector: Vector, ef: int) -> Found:
        self._index.set_ef(ef)
        labels, distances = self._index.knn_query(vector, BEST, num_threads=1)
        return above(labels[0].astype(np.int64), 1 - distances[0], self.floor)

    def memory(self) -> int:
        return int(self._index.index_file_size())


class UsearchGraph(Graph):
    package = "usearch"

    def __init__(self, dim: int) -> None:
        super().__init__("usearch HNSW", dim)
        make: Any = importlib.import_module("usearch.index").Index
        self._index = make(ndim=dim, metric="ip", dtype="f32", connectivity=M, expansion_add=EF_CONSTRUCTION)

    def _grow(self, matrix: Matrix) -> None:
        held = len(self._index)
        self._index.add(np.arange(held, len(matrix)), matrix[held:], threads=os.cpu_count() or 1)

    def searches(self) -> dict[str, Callable[[Vector], Found]]:
        return {f"ef {ef}": lambda vector, ef=ef: self._search(vector, ef) for ef in EF}  # type: ignore[misc]

    def _search(self, vector: Vector, ef: int) -> Found:
        self._index.expansion_search = ef
        matches = self._index.search(vector, BEST, threads=1)
        return above(matches.keys.astype(np.int64), 1 - matches.distances, self.floor)

    def memory(self) -> int:
        return int(self._index.memory_usage)


def above(positions: Any, similarities: Any, floor: float = THRESHOLD) -> Found:
    """What of the neighbours found is at or above the floor; they come best first."""
    count = int(np.count_nonzero(similarities >= floor))
    return Found(positions[:count], similarities[:count])


def fastest(ways: dict[str, Callable[[Vector], Found]], questions: Sequence[Question]) -> str:
    """The name of the way that answers these in the least time."""

    def took(name: str) -> float:
        times = []
        for question in questions:
            start = time.perf_counter()
            ways[name](question.vector)
            times.append(time.perf_counter() - start)
        return float(np.median(times))

    return min(ways, key=took)


def absent(package: str) -> str:
    """Why a package cannot be imported, in a sentence; empty if it can."""
    try:
        importlib.import_module("usearch.index" if package == "usearch" else package)
    except ImportError as error:
        return f"{PACKAGES[package]} is not installed ({error})"
    return ""


def versions() -> str:
    """Of the packages that are compared with, for the head of the table."""
    return ", ".join(
        f"{name} {importlib.metadata.version(name)}" if not absent(package) else f"{name} not installed"
        for package, name in PACKAGES.items()
    )
