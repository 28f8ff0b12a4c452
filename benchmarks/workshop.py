"""What several rows share: filled cache files, made once in a temporary directory, and the means to open them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NoReturn

from data import HELD_OUT, Corpus
from harness import Row

from mneme import SemanticCache, SQLiteStore
from mneme.ports import Embedder, Matrix, Vector

BATCH = 10_000


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
        return SemanticCache(path, embedder, **options)

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


Question = tuple[str, Vector]
"""A query that is stored nowhere, and its vector."""

Measurement = Callable[[Workshop], Iterator[Row]]
TOPICS: dict[str, Measurement] = {}
"""Every measurement by its name, in the order of the table."""


def topic(name: str) -> Callable[[Measurement], Measurement]:
    """Enter a measurement in the table; `--only` chooses by this name."""

    def enter(measurement: Measurement) -> Measurement:
        TOPICS[name] = measurement
        return measurement

    return enter
