"""What guards refuse, on labelled questions: traps that would be served, and good hits that are lost. Prints Markdown.

Reads from the folder that `--data` or MNEME_BENCH_DATA names: `traps_dev.jsonl.gz` (pairs `a`, `b`, `same_answer`,
`category`), `qqp_dev.jsonl.gz` (pairs `a`, `b`, `same`), and `clinc150.jsonl.gz` (`text`, `intent`) with its vectors
`clinc150_minilm_f16.npy`. What is not there is left out. Every share has its exact 95 % interval (Clopper-Pearson).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from intervals import share

from mneme import InputTooLongError
from mneme.embedders import LocalEmbedder
from mneme.guards import DEFAULT_GUARDS

BLOCK = 512


class Pair(NamedTuple):
    """Two questions that are as similar as this, and whether the answer to one answers the other."""

    asked: str
    stored: str
    same: bool
    kind: str
    similarity: float


def main() -> int:
    """Print the tables of whatever is there."""
    options = _options()
    folder = Path(options.data)
    found = False
    for name, evaluate in (("traps_dev", _traps), ("qqp_dev", _qqp), ("clinc150", _clinc)):
        file = folder / f"{name}.jsonl.gz"
        if file.exists():
            found = True
            print("\n".join(evaluate(file, options)), flush=True)
    if not found:
        print(f"there is none of the files in {folder}; name their folder with --data", file=sys.stderr)
    return 0 if found else 2


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default=os.environ.get("MNEME_BENCH_DATA", "."), help="the folder of the data")
    parser.add_argument("--threshold", type=float, action="append", help="may be given again; 0.80, 0.85 and 0.90")
    parser.add_argument("--pairs", type=int, default=4000, help="how many pairs of Quora questions of each label")
    parser.add_argument("--seed", type=int, default=7, help="of the sample of Quora questions")
    parser.add_argument("--show", type=int, default=0, help="so many examples of what each guard refuses wrongly")
    options = parser.parse_args()
    options.threshold = sorted(options.threshold or [0.80, 0.85, 0.90])
    return options


# --- the tables ------------------------------------------------------------------------------------------------------


def _traps(file: Path, options: argparse.Namespace) -> Iterator[str]:
    rows = list(_rows(file))
    similarities = _similarities([(row["a"], row["b"]) for row in rows])
    pairs = [
        Pair(row["a"], row["b"], row["same_answer"], row["category"], similarity)
        for row, similarity in zip(rows, similarities, strict=True)
    ]
    yield f"\n### Traps and paraphrases: {len(pairs)} hand-made pairs\n"
    yield from _served(pairs, options.threshold, "traps served", "paraphrases served")
    yield from _by_kind(pairs, options.threshold[-1])
    yield from _by_guard(pairs, options.threshold[-1], options.show)


def _qqp(file: Path, options: argparse.Namespace) -> Iterator[str]:
    rows = list(_rows(file))
    random.Random(options.seed).shuffle(rows)
    sample = [
        row for label in (True, False) for row in [row for row in rows if bool(row["same"]) is label][: options.pairs]
    ]
    similarities = _similarities([(row["a"], row["b"]) for row in sample])
    pairs = [
        Pair(row["a"], row["b"], bool(row["same"]), "question", similarity)
        for row, similarity in zip(sample, similarities, strict=True)
    ]
    yield f"\n### Quora question pairs: {len(pairs)} of {len(rows)}, labels as they are\n"
    yield from _served(pairs, options.threshold, "labelled different, served", "labelled the same, served")
    yield from _by_guard(pairs, options.threshold[-1], options.show)


def _clinc(file: Path, options: argparse.Namespace) -> Iterator[str]:
    rows = list(_rows(file))
    vectors = np.load(file.with_name("clinc150_minilm_f16.npy")).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = []
    for start in range(0, len(rows), BLOCK):
        similarities = vectors[start : start + BLOCK] @ vectors.T
        block = np.arange(len(similarities))
        similarities[block, start + block] = -1.0
        nearest = similarities.argmax(axis=1)
        for offset, position in enumerate(nearest.tolist()):
            one, other = rows[start + offset], rows[position]
            same = one["intent"] == other["intent"] != "oos"
            pairs.append(Pair(one["text"], other["text"], same, one["intent"], float(similarities[offset, position])))
    yield f"\n### CLINC150: each of {len(pairs)} requests and its nearest neighbour among the others\n"
    yield from _served(pairs, options.threshold, "another intent, served", "the same intent, served")
    yield from _by_guard(pairs, options.threshold[-1], options.show)


def _served(pairs: Sequence[Pair], thresholds: Iterable[float], bad: str, good: str) -> Iterator[str]:
    yield f"| threshold | {bad}: cosine alone | with guards | {good}: cosine alone | with guards | good hits lost |"
    yield "|---|---|---|---|---|---|"
    for threshold in thresholds:
        cells = []
        lost = ""
        for same in (False, True):
            labelled = [pair for pair in pairs if pair.same is same]
            near = [pair for pair in labelled if pair.similarity >= threshold]
            kept = [pair for pair in near if refused_by(pair) is None]
            cells += [share(len(near), len(labelled)), share(len(kept), len(labelled))]
            lost = share(len(near) - len(kept), len(near))
        yield f"| {threshold:.2f} | {' | '.join(cells)} | {lost} |"


def _by_kind(pairs: Sequence[Pair], threshold: float) -> Iterator[str]:
    yield f"\n| kind | served at {threshold:.2f} by cosine alone | with guards |\n|---|---|---|"
    for kind in dict.fromkeys(pair.kind for pair in pairs):
        of_kind = [pair for pair in pairs if pair.kind == kind]
        near = [pair for pair in of_kind if pair.similarity >= threshold]
        kept = [pair for pair in near if refused_by(pair) is None]
        yield f"| {kind} | {share(len(near), len(of_kind))} | {share(len(kept), len(of_kind))} |"


def _by_guard(pairs: Sequence[Pair], threshold: float, show: int) -> Iterator[str]:
    near = [pair for pair in pairs if pair.similarity >= threshold]
    wrong, right = ([pair for pair in near if pair.same is same] for same in (False, True))
    yield f"\n| guard, alone, at {threshold:.2f} | wrong hits it refuses | good hits it refuses |\n|---|---|---|"
    examples = []
    for guard in DEFAULT_GUARDS:
        bad = [pair for pair in wrong if guard.check(pair.asked, pair.stored, similarity=1.0, response=None)]
        good = [pair for pair in right if guard.check(pair.asked, pair.stored, similarity=1.0, response=None)]
        yield f"| `{guard.name}` | {share(len(bad), len(wrong))} | {share(len(good), len(right))} |"
        examples += [f"- {pair.similarity:.3f} {guard.name}: {pair.asked} / {pair.stored}" for pair in good[:show]]
    yield from examples


# --- what they are made of -------------------------------------------------------------------------------------------


def refused_by(pair: Pair) -> str | None:
    """The first guard of the default ones that refuses the pair."""
    for guard in DEFAULT_GUARDS:
        if guard.check(pair.asked, pair.stored, similarity=pair.similarity, response=None):
            return guard.name
    return None


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _similarities(pairs: Sequence[tuple[str, str]]) -> list[float]:
    """The cosine of each pair with the local model; -1 where one of the two cannot be embedded."""
    embedder = LocalEmbedder()
    return [_similarity(embedder, one, other) for one, other in pairs]


def _similarity(embedder: LocalEmbedder, one: str, other: str) -> float:
    try:
        return float(embedder.embed(one) @ embedder.embed(other))
    except InputTooLongError:
        return -1.0


if __name__ == "__main__":
    sys.exit(main())
