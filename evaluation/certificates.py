"""Promises about false hits, and whether they are kept: fixed thresholds, thresholds tuned on labels, and certificates.

Each split shuffles the data, calibrates on the first requests and counts the next ones, with the cache going on. With
`--in-order` there is one more split in the order of the file. Prints Markdown tables. Needs a folder with a JSONL of
{"text", "intent"} and its vectors as a NumPy file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from certificate_stream import Ints, Neighbours, Rule, neighbours, replay, stream_of

from mneme import Tried
from mneme.calibration.selection import certified
from mneme.calibration.statistics import interval
from mneme.guards import DEFAULT_GUARDS

COSINE = (0.97, 0.95, 0.93, 0.9, 0.88, 0.85, 0.83, 0.8, 0.78, 0.75, 0.73, 0.7)
CONTRAST = (1.3, 1.2, 1.15, 1.1, 1.05, 1.0, 0.95, 0.9, 0.85, 0.8, 0.75)
FIXED = (0.8, 0.85, 0.9, 0.95)
FIXED_CONTRAST = (0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1)
NEAREST = 400
WAYS = ("lowest that looks right", "certificate")


@dataclass
class Sum:
    """What one way to choose a threshold came to, over all splits."""

    splits: int = 0
    chosen: int = 0
    """Splits with a threshold at all."""
    broken: int = 0
    """Splits in which more of the later hits were wrong than was promised."""
    requests: int = 0
    hits: int = 0
    false: int = 0
    thresholds: list[float] = field(default_factory=list)

    def add(self, later: Ints | None, threshold: float, requests: int, rate: float) -> None:
        """Add a split: what became of the requests counted; `None` without a threshold, when nothing is served."""
        self.splits += 1
        self.requests += requests
        if later is None:
            return
        hits, false = int((later > 0).sum()), int((later == 2).sum())
        self.chosen += 1
        self.thresholds.append(threshold)
        self.broken += hits > 0 and false / hits > rate
        self.hits += hits
        self.false += false

    def cells(self) -> str:
        """Hits, errors per request, and false hits per hit with its interval."""
        low, high = interval(self.false, self.hits)
        return (
            f"{self.hits / self.requests:.1%} | {self.false / self.requests:.2%} | "
            f"{self.false / max(1, self.hits):.2%} ({low:.2%} to {high:.2%})"
        )

    def promise(self) -> str:
        """In how many splits the promise was broken."""
        low, high = interval(self.broken, self.splits)
        return f"{self.broken} of {self.splits} ({low:.0%} to {high:.0%})"


@dataclass(frozen=True)
class Data:
    """Requests, their answers as numbers, and who is near whom."""

    texts: Sequence[str]
    answers: Ints
    intents: Ints
    near: Neighbours

    def rules(self) -> list[Rule]:
        """Cosine and contrast, with and without guards."""

        @cache
        def guarded(asked: int, stored: int) -> bool:
            one, other = self.texts[asked], self.texts[stored]
            return any(guard.check(one, other, similarity=0.9, response=None) for guard in DEFAULT_GUARDS)

        return [
            Rule("cosine"),
            Rule("cosine + guards", guarded=guarded),
            Rule("contrast", contrast=True),
            Rule("contrast + guards", contrast=True, guarded=guarded),
        ]


def main() -> int:
    options = _options()
    text, vectors = options.data / options.text, options.data / options.vectors
    if not text.exists() or not vectors.exists():
        print(f"{text} and {vectors} are needed; say where with --data or MNEME_BENCH_DATA", file=sys.stderr)
        return 2
    data = load(text, vectors, options)
    rates = [float(rate) for rate in options.rates.split(",")]
    print(f"{text.name}: calibrated on {options.labels:,} requests, after {options.warmup:,} into an empty cache,")
    print(
        f"counted on the next {options.later:,}; {options.confidence:.0%} confidence; 95 % Clopper-Pearson intervals.\n"
    )
    for name, orders in streams(data, options):
        evaluate(name, data, orders, Tables(options, rates))
    return 0


def load(text: Path, vectors: Path, options: argparse.Namespace) -> Data:
    """The data; a label that is no answer becomes an answer of its own for every request."""
    with gzip.open(text, "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    rows = np.load(vectors).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    names = {name: number for number, name in enumerate(sorted({line[options.label] for line in lines}))}
    intents = np.array([names[line[options.label]] for line in lines])
    answers = intents.copy()
    alone = np.array([line[options.label] == options.out_of_scope for line in lines])
    answers[alone] = len(names) + np.arange(alone.sum())
    return Data([line["text"] for line in lines], answers, intents, neighbours(rows, NEAREST))


def streams(data: Data, options: argparse.Namespace) -> Iterator[tuple[str, Iterator[Ints]]]:
    """By name the orders in which requests come."""
    total = options.warmup + options.labels + options.later
    if options.splits:
        yield f"shuffled, {options.splits} splits", (shuffled(data, seed, total) for seed in range(options.splits))
    few = options.stream_splits
    if few:
        yield f"sparse: at most 25 requests an intent, {few} splits", (sparse(data, seed) for seed in range(few))
        yield (
            f"skewed: intents by Zipf's law, {few} splits",
            (skewed(data, 1000 + seed, total) for seed in range(few)),
        )
        longer = options.warmup + options.labels + 3 * options.later
        yield (
            f"growing: counted on {3 * options.later:,} requests, {few} splits",
            (shuffled(data, 2000 + seed, longer) for seed in range(few)),
        )
    if options.in_order:
        yield "in the order of the file", iter([np.arange(total)])


def shuffled(data: Data, seed: int, total: int) -> Ints:
    return np.random.default_rng(seed).permutation(len(data.answers))[:total]


def sparse(data: Data, seed: int) -> Ints:
    """So few of each intent that most have no neighbour yet."""
    order = np.random.default_rng(seed).permutation(len(data.answers))
    met: dict[int, int] = {}
    kept = []
    for row in order.tolist():
        intent = int(data.intents[row])
        met[intent] = met.get(intent, 0) + 1
        if met[intent] <= 25:
            kept.append(row)
    return np.array(kept)


def skewed(data: Data, seed: int, total: int) -> Ints:
    """A few intents make most of the traffic, until their requests are used up: none comes twice."""
    random = np.random.default_rng(seed)
    rank = random.permutation(int(data.intents.max()) + 1) + 1
    weights = 1 / rank[data.intents]
    keys = random.exponential(size=len(weights)) / weights
    return np.argsort(keys)[:total]


class Shared:
    """What the processes that replay splits are forked with."""

    data: Data
    rules: Sequence[Rule]


def replays(order: Ints) -> list[dict[float, Ints]]:
    """What becomes of every request, by rule and threshold."""
    stream = stream_of(order, Shared.data.answers, Shared.data.near)
    return [
        {threshold: replay(stream, threshold, rule) for threshold in (CONTRAST if rule.contrast else COSINE)}
        for rule in Shared.rules
    ]


class Tables:
    """What every rule and way came to."""

    def __init__(self, options: argparse.Namespace, rates: Sequence[float]) -> None:
        self.options, self.rates = options, rates
        self.fixed: dict[tuple[str, float], Sum] = {}
        self.tuned: dict[tuple[str, float, str], Sum] = {}

    def add(self, rule: Rule, runs: dict[float, Ints]) -> None:
        """Add one split."""
        total = len(next(iter(runs.values())))
        warm = self.options.warmup
        labels = warm + min(self.options.labels, (total - warm) // 2)
        for threshold in FIXED_CONTRAST if rule.contrast else FIXED:
            one = self.fixed.setdefault((rule.name, threshold), Sum())
            one.add(runs[threshold][labels:], threshold, total - labels, 0.0)
        tried = [_tried(threshold, run[warm:labels]) for threshold, run in runs.items()]
        for rate in self.rates:
            right = [one for one in tried if one.hits and one.false_hits <= rate * one.hits]
            best = certified(tried, rate=rate, confidence=self.options.confidence)
            for way, found in zip(WAYS, (right[-1] if right else None, best), strict=True):
                run = None if found is None else runs[found.threshold][labels:]
                threshold = 1.0 if found is None else found.threshold
                self.tuned.setdefault((rule.name, rate, way), Sum()).add(run, threshold, total - labels, rate)

    def print(self) -> None:
        """As Markdown."""
        print("| promise | score | threshold chosen as | promise broken in | none found in | median | ", end="")
        print("hits | errors per request | false hits per hit |")
        print("|---|---|---|---|---|---|---|---|---|")
        for (rule, rate, way), one in sorted(self.tuned.items(), key=lambda item: (item[0][1], item[0][2])):
            median = f"{np.median(one.thresholds):.2f}" if one.thresholds else "-"
            none = one.splits - one.chosen
            print(f"| {rate:.0%} | {rule} | {way} | {one.promise()} | {none} | {median} | {one.cells()} |")
        print("\n| score | fixed threshold | hits | errors per request | false hits per hit |")
        print("|---|---|---|---|---|")
        for (rule, threshold), one in self.fixed.items():
            print(f"| {rule} | {threshold:.2f} | {one.cells()} |")
        print(flush=True)


def evaluate(name: str, data: Data, orders: Iterable[Ints], tables: Tables) -> None:
    """Print the tables of one stream."""
    Shared.data, Shared.rules = data, data.rules()
    with multiprocessing.get_context("fork").Pool(tables.options.jobs) as pool:
        for number, found in enumerate(pool.imap_unordered(replays, orders), start=1):
            for rule, runs in zip(Shared.rules, found, strict=True):
                tables.add(rule, runs)
            print(f"{name}: {number}", file=sys.stderr, flush=True)
    print(f"### {name[0].upper()}{name[1:]}\n")
    tables.print()


def _tried(threshold: float, run: Ints) -> Tried:
    return Tried(threshold, int((run > 0).sum()), int((run == 2).sum()), int((run == 0).sum()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("MNEME_BENCH_DATA")
    parser.add_argument("--data", type=Path, default=Path(default) if default else Path("data"), help="the folder")
    parser.add_argument("--text", default="clinc150.jsonl.gz", help="its JSONL file, compressed")
    parser.add_argument("--vectors", default="clinc150_minilm_f16.npy", help="the vectors of its lines")
    parser.add_argument("--label", default="intent", help="the field that holds the answer")
    parser.add_argument("--out-of-scope", default="oos", help="the label that is no answer")
    parser.add_argument("--labels", type=int, default=4000, help="labelled requests to calibrate on")
    parser.add_argument("--warmup", type=int, default=0, help="requests before them that fill the cache, uncounted")
    parser.add_argument("--later", type=int, default=2000, help="requests counted after them")
    parser.add_argument("--rates", default="0.01,0.02,0.05", help="promises: wrong hits among hits")
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--splits", type=int, default=200, help="shuffles; 0 for none")
    parser.add_argument("--stream-splits", type=int, default=20, help="of each other kind of stream; 0 for none")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--in-order", action="store_true", help="one more split, in the order of the file")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
