"""This project's own pages as a small library: paragraphs, their vectors, and a copy on which one person may write."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mneme import Embedder, InputTooLongError
from mneme.ports import Matrix, Vector

__all__ = ["DOCS", "PAGES", "Found", "Library", "Passage", "Shelf"]

DOCS = Path(__file__).parents[2] / "docs"
PAGES = (
    "certificates",
    "checkpoints",
    "concepts",
    "embedders",
    "encryption",
    "eviction",
    "freshness",
    "guards",
    "postgres",
    "reembedding",
    "security-and-privacy",
    "stores",
)
_FEWEST, _MOST = 10, 110
"""Words of a paragraph: shorter ones say nothing alone, longer ones do not fit into the embedder's window."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph under its heading."""

    number: int
    document: str
    heading: str
    text: str

    @property
    def words(self) -> str:
        """What is embedded: a paragraph often does not say again what its heading says."""
        return f"{self.heading}: {self.text}"


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that was found, and how near it is."""

    passage: Passage
    similarity: float


class Shelf:
    """Documents as they were read, with a vector for each paragraph. It never changes, so everybody shares it."""

    def __init__(self, documents: Mapping[str, str], embedder: Embedder) -> None:
        parts = [(name, *part) for name, page in documents.items() for part in paragraphs(page)]
        passages: list[Passage] = []
        rows: list[Vector] = []
        for part in parts:
            passage = Passage(len(passages), *part)
            try:
                rows.append(embedder.embed(passage.words))
            except InputTooLongError:
                continue  # it has words that the embedder cannot read, so that nothing would find it
            passages.append(passage)
        if not passages:
            raise ValueError("the documents have no paragraph that is neither too short nor too long")
        self.passages = tuple(passages)
        self.embedder = embedder
        self.vectors: Matrix = np.ascontiguousarray(rows, dtype=np.float32)
        self.vectors.setflags(write=False)

    @classmethod
    def of_this_project(cls, embedder: Embedder, pages: Sequence[str] = PAGES) -> Shelf:
        """The project's own documentation."""
        return cls({page: (DOCS / f"{page}.md").read_text(encoding="utf-8") for page in pages}, embedder)


class Library:
    """A shelf on which one person has rewritten some passages; nobody else sees that.

    Thread safety: all methods may be called from any thread. A search sees an edit whole or not at all.
    """

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self._written: dict[int, tuple[Passage, Vector]] = {}
        self._versions = dict.fromkeys((passage.document for passage in shelf.passages), 1)
        self._lock = threading.Lock()

    @property
    def versions(self) -> dict[str, int]:
        """How often each document was changed, counted from 1."""
        with self._lock:
            return dict(self._versions)

    @property
    def edited(self) -> tuple[int, ...]:
        """The numbers of the passages that were rewritten."""
        with self._lock:
            return tuple(sorted(self._written))

    def passage(self, number: int) -> Passage:
        """The passage of that number as it is now. Raises `KeyError` if there is none."""
        if not 0 <= number < len(self.shelf.passages):
            raise KeyError(f"there is no passage {number}")
        with self._lock:
            return self._written[number][0] if number in self._written else self.shelf.passages[number]

    def nearest(self, question: Vector, k: int = 3) -> list[Found]:
        """The *k* passages nearest to the question, best first."""
        with self._lock:
            written = dict(self._written)
        scores = self.shelf.vectors @ question
        for number, (_, vector) in written.items():
            scores[number] = vector @ question
        best = np.argsort(-scores, kind="stable")[:k]
        return [
            Found(written[number][0] if number in written else self.shelf.passages[number], float(scores[number]))
            for number in map(int, best)
        ]

    def rewrite(self, number: int, text: str) -> Passage:
        """Put *text* in the place of a passage; its document has a new version from now on.

        Raises:
            KeyError: There is no such passage.
            Exception: Whatever the embedder raises; nothing was changed.
        """
        passage = replace(self.passage(number), text=" ".join(text.split()))
        vector: Vector = np.asarray(self.shelf.embedder.embed(passage.words), dtype=np.float32)
        with self._lock:
            self._written[number] = (passage, vector)
            self._versions[passage.document] += 1
        return passage


def paragraphs(page: str) -> Iterator[tuple[str, str]]:
    """Heading and text of every paragraph of a Markdown page: no code, no tables, no introductions of those."""
    heading = ""
    for part in re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL).split("\n\n"):
        text = plain(" ".join(part.split()))
        if text.startswith("#"):
            heading = text.lstrip("# ")
        elif text[0:1].isalpha() and not text.endswith(":") and _FEWEST <= len(text.split()) <= _MOST:
            yield heading, text


def plain(text: str) -> str:
    """Markdown without its marks: links keep their words."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"(\*\*|`)", "", text)
