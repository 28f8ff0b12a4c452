"""What is measured on: real sentences with their embeddings where they are at hand, else a stand-in that says so."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import made
import numpy as np
from truth import Found, Question, full_scan

from mneme.embedders.local import LocalEmbedder
from mneme.ports import Matrix, Vector

ROOT = Path(__file__).resolve().parent.parent
HELD_OUT = 1500
"""Sentences that are never stored: what is asked."""
EMBEDDED = 6_000
"""Sentences that the local embedder is given where there are no vectors: half a minute or less."""


def _folder() -> Path:
    named = os.environ.get("MNEME_BENCH_DATA")
    return Path(named) if named else ROOT.parent / "shared" / "data"


@dataclass(frozen=True)
class Corpus:
    """Distinct sentences and their vectors, in order; the last ones are held out to ask with."""

    label: str
    """What the vectors are, for the table."""
    sentences: list[str]
    narrow: Matrix
    """384 numbers a row, unit length."""
    other: Matrix | None
    """Of a second model; together with the first, real vectors of 768 numbers."""

    @cached_property
    def wide(self) -> Matrix:
        if self.other is None:
            return _synthetic(len(self.sentences), 768)
        return made.unit(np.hstack([self.narrow, self.other]))

    def vectors(self, dim: int) -> Matrix:
        return self.narrow if dim == 384 else self.wide


def load(entries: int) -> Corpus:
    """At least *entries* distinct sentences and those held out."""
    folder = _folder()
    if not (folder / "sentences_minilm_l6_i8.npy").exists():
        return _embedded(entries)
    with gzip.open(folder / "sentences.txt.gz", "rt", encoding="utf-8") as file:
        lines = file.read().splitlines()
    first = {" ".join(line.split()).casefold(): number for number, line in reversed(list(enumerate(lines)))}
    kept = sorted(first.values())
    kept = kept[:entries] + kept[-HELD_OUT:]
    return Corpus(
        "real sentence embeddings (MiniLM L6; with L3 for 768 dimensions)",
        [lines[number] for number in kept],
        made.unit(np.load(folder / "sentences_minilm_l6_i8.npy")[kept].astype(np.float32)),
        made.unit(np.load(folder / "sentences_minilm_l3_i8.npy")[kept].astype(np.float32)),
    )


def _embedded(entries: int) -> Corpus:
    """Generated sentences with real embeddings, and more vectors of the same kind; without a model, a stand-in."""
    try:
        embedder = LocalEmbedder(threads=os.cpu_count() or 1)
    except ImportError:
        names = [f"synthetic question {n:06d} about subject {n * 7919 % 9973}" for n in range(entries + HELD_OUT)]
        label = "synthetic stand-in (Gaussian, spectrum like MiniLM's)"
        return Corpus(label, names, _synthetic(entries + HELD_OUT, 384), None)
    sentences = made.sentences(min(EMBEDDED, entries + HELD_OUT))
    vectors = made.unit(embedder.embed_many(sentences))
    real = len(sentences) - HELD_OUT
    stored = sentences[:real] + [f"{sentences[n % real]} ({n})" for n in range(real, entries)]
    return Corpus(
        f"{real:,} generated sentences embedded by the local model, further ones moved to a cosine of 0.7 to 0.9 "
        "within their covariance; Gaussian stand-in for 768 dimensions",
        stored + sentences[real:],
        np.vstack([made.enlarged(vectors[:real], entries), vectors[real:]]),
        None,
    )


def _synthetic(count: int, dim: int) -> Matrix:
    """Rows with a spectrum that falls like MiniLM's; of those held out, every twentieth is near a stored one."""
    rows = made.falling_spectrum(count, dim)
    near = np.arange(count - HELD_OUT, count, 20)
    rows[near] = made.unit(rows[near - (count - HELD_OUT)] + 0.4 * rows[near])
    return rows


@dataclass(frozen=True)
class Questions:
    """What is asked of so many stored rows, hits and misses apart."""

    hits: list[Question]
    misses: list[Question]
    real_hits: int
    """Hits that are held-out sentences; the others are stored vectors, moved."""

    @property
    def kinds(self) -> dict[str, list[Question]]:
        return {"hit": self.hits, "miss": self.misses}


def questions(stored: Matrix, texts: list[str], asked: Matrix, threshold: float, *, enough: int = 100) -> Questions:
    """Every held-out sentence with what a full scan finds for it; where few are hits, near copies fill them up."""
    real = [
        Question(text, vector, right)
        for text, vector, right in zip(texts, asked, full_scan(stored, asked, floor=threshold - 1e-5), strict=True)
        if _is_clear(right, threshold)
    ]
    hits = [question for question in real if len(question.right.positions)]
    misses = [question for question in real if not len(question.right.positions)]
    found = len(hits)
    if found < enough:
        random = np.random.default_rng(8)
        sources = stored[random.choice(len(stored), enough - found, replace=False)]
        moved = made.mover(stored)(sources, random.uniform(0.86, 0.98, len(sources)).astype(np.float32))
        names = [f"A stored question in other words, number {number}" for number in range(len(moved))]
        rights = full_scan(stored, moved, floor=threshold - 1e-5)
        hits += [
            Question(name, vector, right)
            for name, vector, right in zip(names, moved, rights, strict=True)
            if _is_clear(right, threshold)
        ]
    return Questions(hits, misses, found)


def _is_clear(right: Found, threshold: float) -> bool:
    """Whether no similarity is so near the threshold that rounding decides."""
    return not len(right.positions) or bool((np.abs(right.similarities - threshold) > 1e-5).all())


def near_copies(rows: Matrix) -> Iterator[Vector]:
    """For each row a vector with a similarity of about 0.95 to it."""
    noise = np.random.default_rng(1).standard_normal(rows.shape, np.float32)
    noise *= 0.33 / np.linalg.norm(noise, axis=1, keepdims=True)
    yield from made.unit(rows + noise)
