"""What several rows share: filled cache files, made once in a temporary directory, and the means to open them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, NoReturn

import made
from data import HELD_OUT, Corpus, Questions, questions
from harness import Row

from mneme import SemanticCache, SQLiteStore
from mneme.ports import Embedder, Matrix

BATCH = 10_000
LARGE = 1_000_000

Curve = dict[str, dict[int, float]]
"""For each contender the median time by the number of rows, in nanoseconds."""


class Recall(NamedTuple):
    """In how many cases of all the nearest row was found."""

    hits: float
    """Of questions to which a row at or above the threshold is stored."""
    any: float
    """Of all held-out questions, however far their nearest row is."""


Recalls = dict[str, Recall]


class NoEmbedder:
    """Stands where an embedder must stand. Every embedding is given, so that no embedder's time is measured."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.fingerprint = f"given;dim={dim}"

    def embed(self, text: str) -> NoReturn:
        raise AssertionError(f"a benchmark asked for the embedding of {text!r}, and would have measured the embedder")


@dataclass
class Workshop:
    """One run of the benchmarks."""

    corpus: Corpus
    directory: Path
    entries: int
    """In the large caches."""
    quick: bool
    random: Random = field(default_factory=lambda: Random(2))
    curves: dict[str, Curve] = field(default_factory=dict)
    """How the time of each contender grows with the rows, by what was asked: for a table of its own and the plot."""
    recalls: Recalls = field(default_factory=dict)
    """Of contenders that are not exact."""
    _questions: dict[tuple[int, int], Questions] = field(default_factory=dict)
    _files: dict[str, Path] = field(default_factory=dict)
    _fresh: int = 0

    @property
    def stored(self) -> list[str]:
        return self.corpus.sentences[: self.entries]

    @property
    def asked(self) -> list[str]:
        return self.corpus.sentences[-HELD_OUT:]

    def stored_vectors(self, dim: int) -> Matrix:
        return self.corpus.vectors(dim)[: self.entries]

    def asked_vectors(self, dim: int) -> Matrix:
        return self.corpus.vectors(dim)[-HELD_OUT:]

    @cached_property
    def large(self) -> Matrix:
        """A million rows of 384 numbers: the stored ones, and more of the same kind."""
        return made.enlarged(self.stored_vectors(384), LARGE)

    def rows_of(self, dim: int, count: int) -> Matrix:
        """So many rows, and not a copy of them."""
        return self.stored_vectors(dim)[:count] if count <= self.entries else self.large[:count]

    def questions(self, dim: int, count: int, threshold: float) -> Questions:
        """What to ask of so many rows, and what is right."""
        if (dim, count) not in self._questions:
            some = HELD_OUT if count <= self.entries else HELD_OUT // 10
            self._questions[dim, count] = questions(
                self.rows_of(dim, count), self.asked[:some], self.asked_vectors(dim)[:some], threshold
            )
        return self._questions[dim, count]

    def rounds(self, count: int) -> int:
        return max(3, count // 3) if self.quick else count

    def new_path(self) -> Path:
        self._fresh += 1
        return self.directory / f"{self._fresh}.db"

    def copy_of(self, path: Path) -> Path:
        """A copy of a file that nobody has open."""
        copy = self.new_path()
        shutil.copyfile(path, copy)
        return copy

    def discard(self, path: Path) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)

    def filled(self, dim: int, entries: int | None = None) -> Path:
        """A file with so many entries, closed; made by the first row that needs it. Not to be written to: copy it."""
        count = self.entries if entries is None else entries
        return self.made(f"{dim}x{count}", lambda path: self._fill(path, dim, count))

    def made(self, name: str, make: Callable[[Path], None]) -> Path:
        """The file of this name, made by the first row that needs it."""
        if name not in self._files:
            path = self.new_path()
            make(path)
            self._files[name] = path
        return self._files[name]

    def _fill(self, path: Path, dim: int, count: int) -> None:
        with SemanticCache(path, NoEmbedder(dim)) as cache:
            for batch in batches(items(self.stored[:count], self.corpus.vectors(dim)[:count])):
                assert cache.put_many(batch) == len(batch)

    def open(self, path: Path, dim: int | None, **options: Any) -> SemanticCache:
        """A cache on this file; without a dimension it has an exact layer alone, and opens at once."""
        embedder: Embedder | None = None if dim is None else NoEmbedder(dim)
        # The sentences of two vectors that are made to be similar are not.
        return SemanticCache(path, embedder, **{"guards": (), **options})

    def empty(self, dim: int) -> Path:
        """An empty file with the tables and indexes of a cache, for a floor to write to."""
        path = self.new_path()
        store = SQLiteStore(path)
        store.open(NoEmbedder(dim).fingerprint, dim)
        store.close()
        return path


def answer(query: str) -> str:
    """A response of some hundred characters."""
    return (
        f"This is what a model said when somebody asked it about the following: {query} " + "It said so at length. " * 8
    )


def items(queries: Sequence[str], vectors: Matrix) -> list[dict[str, Any]]:
    """Items for `put_many`."""
    return [
        {"query": query, "response": answer(query), "embedding": vector}
        for query, vector in zip(queries, vectors, strict=True)
    ]


def batches(whole: Sequence[Any], size: int = BATCH) -> Iterator[Sequence[Any]]:
    for start in range(0, len(whole), size):
        yield whole[start : start + size]


Measurement = Callable[[Workshop], Iterator[Row]]
TOPICS: dict[str, Measurement] = {}
"""Every measurement by its name, in the order of the table."""
ON_REQUEST: set[str] = set()
"""Those that only `--only` runs: they take long."""


def topic(name: str, *, on_request: bool = False) -> Callable[[Measurement], Measurement]:
    """Enter a measurement in the table; `--only` chooses by this name."""

    def enter(measurement: Measurement) -> Measurement:
        TOPICS[name] = measurement
        if on_request:
            ON_REQUEST.add(name)
        return measurement

    return enter
