"""Cosine similarity and value contrast on a labelled stream: what is served, and how much of it is wrong.

The stream is shuffled, the cache is empty at the start, what is missed is stored; the second half of the requests is
counted. The labels are the answers; a request without a label that repeats (out of scope) has an answer of its own.
Prints Markdown tables. Needs a folder with a JSONL of {"text", "intent"} and its vectors as a NumPy file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from contrast_stream import Rule, simulate

from mneme.calibration.statistics import interval

COSINE = (0.7, 0.75, 0.8, 0.85, 0.88, 0.9, 0.92, 0.95)
CONTRAST = (0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
RATES = (0.01, 0.02, 0.03)
ENOUGH = 200
"""Hits, from which a rate of false ones says something."""
CURVES = {
    "cosine": [Rule(round(0.66 + 0.02 * n, 2)) for n in range(16)],
    "contrast": [Rule(round(0.74 + 0.04 * n, 2), contrast=True, least=0.6) for n in range(16)],
    "contrast, no two answers the same": [
        Rule(round(0.66 + 0.04 * n, 2), contrast=True, least=0.5, unique=True) for n in range(16)
    ],
}
SETTINGS = [(floor, 0.0) for floor in (0.0, 0.4, 0.5, 0.6, 0.7, 0.8)] + [
    (0.5, least) for least in (0.6, 0.7, 0.75, 0.8)
]
ALIASES = [
    Rule(1.0 if contrast else 0.85, contrast=contrast, alias=alias, everything=everything)
    for everything, aliases in ((False, (None, 0.9, 0.8, 0.7)), (True, (None, 0.95, 0.9, 0.85)))
    for contrast in (False, True)
    for alias in aliases
]

Stream = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


@dataclass
class Tally:
    """What one rule came to, over all shuffles."""

    requests: int = 0
    hits: int = 0
    false: int = 0
    vectors: int = 0
    aliases: int = 0
    shuffles: int = 0

    def add(self, similarities: npt.NDArray[np.float32], answers: npt.NDArray[np.int64], rule: Rule) -> None:
        run = simulate(similarities, answers, rule)
        later = run.later()
        self.requests += len(later.hit)
        self.hits += int(later.hit.sum())
        self.false += int(later.wrong.sum())
        self.vectors += run.vectors
        self.aliases += run.aliases
        self.shuffles += 1

    @property
    def cells(self) -> str:
        """Hits, errors per request, false hits per hit with its interval, and vectors."""
        low, high = interval(self.false, self.hits)
        return (
            f"{self.hits / self.requests:.1%} | {self.false / self.requests:.2%} | "
            f"{self.false / max(self.hits, 1):.2%} ({low:.2%} to {high:.2%}) | {self.vectors / self.shuffles:,.0f}"
        )


Tallies = dict[Rule, Tally]


def main() -> int:
    options = _options()
    text, vectors = options.data / options.text, options.data / options.vectors
    if not text.exists() or not vectors.exists():
        print(f"{text} and {vectors} are needed; say where with --data or MNEME_BENCH_DATA", file=sys.stderr)
        return 2
    rows, answers = load(text, vectors, options.label, options.out_of_scope)
    requests = min(options.requests, len(rows))
    print(f"{text.name}: {options.seeds} shuffles of {requests:,} requests, the second half counted;")
    print("95 % Clopper-Pearson intervals over the requests of all shuffles.\n")
    tallies: Tallies = {rule: Tally() for rule in _rules()}
    for seed in range(options.seeds):
        chosen = np.random.default_rng(seed).permutation(len(rows))[:requests]
        similarities = rows[chosen] @ rows[chosen].T
        for rule, tally in tallies.items():
            tally.add(similarities, answers[chosen], rule)
        print(f"{seed + 1} of {options.seeds}", file=sys.stderr, flush=True)
    static(tallies)
    curve(tallies)
    settings(tallies)
    aliases(tallies)
    return 0


def _rules() -> Iterator[Rule]:
    yield from map(Rule, COSINE)
    yield from (Rule(threshold, contrast=True) for threshold in CONTRAST)
    for rules in CURVES.values():
        yield from rules
    for floor, least in SETTINGS:
        yield from _setting(floor, least)
    yield from ALIASES


def _setting(floor: float, least: float) -> list[Rule]:
    return [Rule(threshold, contrast=True, floor=floor, least=least) for threshold in CONTRAST]


def load(text: Path, vectors: Path, label: str, out_of_scope: str) -> Stream:
    """Unit vectors, and answers as numbers."""
    with gzip.open(text, "rt", encoding="utf-8") as file:
        labels = [json.loads(line)[label] for line in file]
    rows = np.load(vectors).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    names = {name: number for number, name in enumerate(sorted(set(labels)))}
    answers = np.array([names[name] for name in labels])
    alone = np.array([name == out_of_scope for name in labels])
    answers[alone] = len(names) + np.arange(alone.sum())
    return rows, answers


def static(tallies: Tallies) -> None:
    print("| rule | threshold | hits | errors per request | false hits per hit | vectors at the end |")
    print("|---|---|---|---|---|---|")
    for threshold in COSINE:
        print(f"| cosine | {threshold:.2f} | {tallies[Rule(threshold)].cells} |")
    for threshold in CONTRAST:
        print(f"| contrast | {threshold:.2f} | {tallies[Rule(threshold, contrast=True)].cells} |")
    print()


def curve(tallies: Tallies) -> None:
    """Precision against the share of requests that are served (P-CHR), between thresholds by straight lines."""
    print("| requests served | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |")
    print("|---|" + "---|" * len(SHARES))
    for name, rules in CURVES.items():
        hits, false = _points(tallies, rules)
        cells = [
            f"{1 - np.interp(share, hits, false):.2%}" if hits[0] <= share <= hits[-1] else "-" for share in SHARES
        ]
        print(f"| precision, {name} | " + " | ".join(cells) + " |")
    print()


def _points(tallies: Tallies, rules: Sequence[Rule]) -> tuple[list[float], list[float]]:
    """Shares of requests served, rising, and of false hits among them; where there are enough to tell."""
    chosen = [tallies[rule] for rule in rules if tallies[rule].hits >= ENOUGH]
    points = sorted((one.hits / one.requests, one.false / max(one.hits, 1)) for one in chosen)
    return [point[0] for point in points], [point[1] for point in points]


def settings(tallies: Tallies) -> None:
    """How many requests are served at a given rate of false hits, with other floors and least similarities."""
    print("| floor | least similarity | " + " | ".join(f"served at {rate:.0%} false hits" for rate in RATES) + " |")
    print("|---|---|" + "---|" * len(RATES))
    for floor, least in SETTINGS:
        hits, false = _points(tallies, _setting(floor, least))
        rising = np.maximum.accumulate(false)
        cells = [f"{np.interp(rate, rising, hits):.1%}" for rate in RATES]
        print(f"| {floor:.1f} | {least:.2f} | " + " | ".join(cells) + " |")
    print()


def aliases(tallies: Tallies) -> None:
    print("| stored | rule | alias threshold | hits | errors per request | false hits per hit | vectors | aliases |")
    print("|---|---|---|---|---|---|---|---|")
    for rule in ALIASES:
        tally = tallies[rule]
        print(
            f"| {'everything' if rule.everything else 'misses'} | "
            f"{'contrast' if rule.contrast else 'cosine'} {rule.threshold:.2f} | "
            f"{'-' if rule.alias is None else f'{rule.alias:.2f}'} | {tally.cells} | "
            f"{tally.aliases / tally.shuffles:,.0f} |"
        )
    print()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("MNEME_BENCH_DATA")
    parser.add_argument("--data", type=Path, default=Path(default) if default else Path("data"), help="the folder")
    parser.add_argument("--text", default="clinc150.jsonl.gz", help="its JSONL file, compressed")
    parser.add_argument("--vectors", default="clinc150_minilm_f16.npy", help="the vectors of its lines")
    parser.add_argument("--label", default="intent", help="the field that holds the answer")
    parser.add_argument("--out-of-scope", default="oos", help="the label that is no answer")
    parser.add_argument("--requests", type=int, default=8000, help="in each shuffle")
    parser.add_argument("--seeds", type=int, default=10, help="shuffles")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
