"""What is measured on: real sentences with their embeddings where they are at hand, else a stand-in that says so."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mneme.ports import Matrix, Vector

ROOT = Path(__file__).resolve().parent.parent
HELD_OUT = 1500
"""Sentences that are never stored: what is asked."""


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
        return np.ascontiguousarray(np.hstack([self.narrow, self.other]) / np.float32(np.sqrt(2)))

    def vectors(self, dim: int) -> Matrix:
        return self.narrow if dim == 384 else self.wide


def load(entries: int) -> Corpus:
    """At least *entries* distinct sentences and those held out."""
    folder = _folder()
    wanted = entries + HELD_OUT
    if not (folder / "sentences_minilm_l6_i8.npy").exists():
        sentences = [
            f"synthetic question {number:06d} about subject {number * 7919 % 9973}" for number in range(wanted)
        ]
        return Corpus("synthetic stand-in (Gaussian, spectrum like MiniLM's)", sentences, _synthetic(wanted, 384), None)
    with gzip.open(folder / "sentences.txt.gz", "rt", encoding="utf-8") as file:
        lines = file.read().splitlines()
    first = {" ".join(line.split()).casefold(): number for number, line in reversed(list(enumerate(lines)))}
    kept = sorted(first.values())
    kept = kept[:entries] + kept[-HELD_OUT:]
    return Corpus(
        "real sentence embeddings (MiniLM L6; with L3 for 768 dimensions)",
        [lines[number] for number in kept],
        _unit(np.load(folder / "sentences_minilm_l6_i8.npy")[kept].astype(np.float32)),
        _unit(np.load(folder / "sentences_minilm_l3_i8.npy")[kept].astype(np.float32)),
    )


def _unit(rows: Matrix) -> Matrix:
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def _synthetic(count: int, dim: int) -> Matrix:
    """Rows with a spectrum that falls like MiniLM's; of those held out, every twentieth is near a stored one."""
    random = np.random.default_rng(dim)
    place = np.arange(dim)
    spread = np.sqrt((place + 1.0) ** -0.4 * (1 - place / dim) ** 2)
    rows = random.standard_normal((count, dim)).astype(np.float32) * spread.astype(np.float32)
    rows = _unit(rows)
    near = np.arange(count - HELD_OUT, count, 20)
    rows[near] = _unit(rows[near - (count - HELD_OUT)] + 0.4 * rows[near])
    return rows


def hits_and_misses(stored: Matrix, asked: Matrix, threshold: float) -> tuple[list[int], list[int]]:
    """Positions of queries whose best similarity is above the threshold, and below; those too near to call left out."""
    best = np.concatenate([(part @ stored.T).max(axis=1) for part in np.array_split(asked, 16)])
    clear = 1e-4
    return np.flatnonzero(best > threshold + clear).tolist(), np.flatnonzero(best < threshold - clear).tolist()


def near_copies(rows: Matrix) -> Iterator[Vector]:
    """For each row a vector with a similarity of about 0.95 to it."""
    random = np.random.default_rng(1)
    for row in rows:
        noise = random.standard_normal(len(row)).astype(np.float32)
        moved = row + np.float32(0.33) * noise / np.linalg.norm(noise)
        yield (moved / np.linalg.norm(moved)).astype(np.float32)
