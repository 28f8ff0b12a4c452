"""A real cache on real requests that somebody makes worse half-way: what audits see, and what the alarm does about it.

    python evaluation/watching.py --data DIRECTORY

The directory (or `MNEME_BENCH_DATA`) holds `clinc150.jsonl.gz`, lines of `{"text", "intent"}`, and their embeddings,
`clinc150_minilm_f16.npy`. Requests come in random order through `get_or_compute`; the answer is the intent. At half
of them the threshold is lowered, by mistake. Prints a Markdown table: false hits among semantic hits before and after
that, without an alarm, and with one, until it is raised and after.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from intervals import share

from mneme import SemanticCache
from mneme.ports import Vector

LIMIT = 0.02
"""`max_false_hit_rate`."""


class Known:
    """Looks the vectors of known texts up."""

    fingerprint = "clinc150-minilm"

    def __init__(self, texts: list[str], vectors: npt.NDArray[np.float16]) -> None:
        self.dim = vectors.shape[1]
        self._rows = {text: row for row, text in enumerate(texts)}
        self._vectors = vectors

    def embed(self, text: str) -> Vector:
        vector: Vector = self._vectors[self._rows[text]].astype(np.float32)
        return vector


@dataclass
class Phase:
    """Semantic hits, and how many were wrong."""

    hits: int = 0
    wrong: int = 0

    def __str__(self) -> str:
        return share(self.wrong, self.hits)


@dataclass
class Stream:
    """What became of the requests, phase by phase."""

    phases: dict[str, Phase] = field(default_factory=dict)
    alarms: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)
    audits: int = 0


def replay(data: Path, *, rate: float, threshold: float, lowered: float, seed: int, count: int) -> Stream:
    with gzip.open(data / "clinc150.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    texts, intents = [row["text"] for row in rows], {row["text"]: row["intent"] for row in rows}
    embedder = Known(texts, np.load(data / "clinc150_minilm_f16.npy"))
    order = np.random.default_rng(seed).permutation(len(texts))[:count]
    stream, layers = Stream(), []

    def hook(event: str, fields: Mapping[str, Any]) -> None:
        if event.startswith("hit_"):
            layers.append(event)
        elif event == "audit":
            stream.audits += 1
        elif event == "alarm":
            stream.alarms.append((number, dict(fields)))

    options: dict[str, Any] = {"audit_rate": rate, "max_false_hit_rate": LIMIT} if rate else {}
    with SemanticCache(
        ":memory:", embedder, similarity_threshold=threshold, metrics_hook=hook, index_backend="numpy", **options
    ) as cache:
        cache._core.draw = random.Random(seed).random  # noqa: SLF001 -- chance, which is not to differ from run to run
        phase = stream.phases["before"] = Phase()
        for number, row in enumerate(order.tolist()):
            if number == count // 2:
                cache.set_similarity_threshold(lowered)
                phase = stream.phases["lowered"] = Phase()
            served = cache.get_or_compute(texts[row], intents.__getitem__)
            if layers == ["hit_semantic"]:
                phase.hits += 1
                phase.wrong += served != intents[texts[row]]
            layers.clear()
            settle(cache)
            if len(stream.alarms) > len(stream.phases) - 2 and number >= count // 2:
                phase = stream.phases[f"after alarm {len(stream.alarms)}"] = Phase()
    return stream


def settle(cache: SemanticCache) -> None:
    """Wait until nothing is left to be done in the background, so that every run is the same."""
    thread = cache._core.background._thread  # type: ignore[attr-defined]  # noqa: SLF001 -- there is no verb for that
    if thread is not None:
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("MNEME_BENCH_DATA"))
    parser.add_argument("--requests", type=int, default=6_000)
    parser.add_argument("--threshold", type=float, default=0.9)
    parser.add_argument("--lowered", type=float, default=0.6)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.data is None:
        parser.error("pass --data, or set MNEME_BENCH_DATA")
    print(f"{given.requests} requests, threshold {given.threshold}, then {given.lowered}; limit {LIMIT:.0%}.\n")
    print("| audited | phase | requests | wrong of semantic hits | threshold |\n|---|---|---|---|---|")
    for rate in (0.0, 0.1, 0.3):
        options = {"threshold": given.threshold, "lowered": given.lowered, "seed": given.seed, "count": given.requests}
        stream = replay(given.data, rate=rate, **options)
        at = [0, given.requests // 2, *(number + 1 for number, _ in stream.alarms), given.requests]
        thresholds = [given.threshold, given.lowered, *(alarm["raised_to"] for _, alarm in stream.alarms)]
        for (name, phase), begin, end, threshold in zip(stream.phases.items(), at, at[1:], thresholds, strict=False):
            print(f"| {rate:.0%} | {name} | {end - begin} | {phase} | {threshold:g} |", flush=True)


if __name__ == "__main__":
    main()
