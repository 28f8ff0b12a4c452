"""A cache that meets a stream of labelled requests, simulated: the decisions of a real one in a hundredth of the time.

A test compares it with a real cache. Requests are in order; each has a vector and an answer. What is not served is
stored with its own answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESOLUTION = 1e-6


@dataclass(frozen=True)
class Rule:
    """When an entry is served, and what is stored."""

    threshold: float
    contrast: bool = False
    floor: float = 0.5
    least: float = 0.7
    alias: float | None = None
    everything: bool = False
    """Whether a request is stored even if it was served: what a log is replayed into, or several writers fill."""

    unique: bool = False
    """Whether no two stored answers are the same, as texts are that are generated each time anew."""

    def serves(self, similarity: float, rival: float) -> bool:
        if not self.contrast:
            return similarity >= self.threshold - RESOLUTION
        score = 2 * similarity - max(rival, self.floor)
        return similarity >= self.least - RESOLUTION and score >= self.threshold - RESOLUTION


@dataclass(frozen=True)
class Run:
    """What became of every request, and of the cache."""

    hit: npt.NDArray[np.bool_]
    wrong: npt.NDArray[np.bool_]
    """Served with an answer that is not the request's own."""
    vectors: int
    aliases: int

    def later(self) -> Run:
        """The second half of the requests: the cache is no longer empty."""
        half = len(self.hit) // 2
        return Run(self.hit[half:], self.wrong[half:], self.vectors, self.aliases)


def simulate(similarities: npt.NDArray[np.float32], answers: npt.NDArray[np.int64], rule: Rule) -> Run:
    """The stream through an empty cache. *similarities* has those of every request to every other."""
    count = len(answers)
    absent = np.full(count, -np.inf, np.float32)  # 0 where a request has become a vector
    hit, wrong = np.zeros(count, bool), np.zeros(count, bool)
    vectors = aliases = 0
    for now in range(count):
        near = similarities[now, :now] + absent[:now]
        best = int(near.argmax()) if vectors else -1
        similarity = float(near[best]) if vectors else -math.inf
        served = False
        if vectors:
            rival = -math.inf
            if rule.contrast:
                others = np.arange(now) != best if rule.unique else answers[:now] != answers[best]
                rival = float(near.max(where=others, initial=-np.inf))
            served = rule.serves(similarity, rival)
        if served:
            hit[now], wrong[now] = True, answers[best] != answers[now]
            if not rule.everything:
                continue
        if rule.alias is not None and vectors and similarity >= rule.alias and answers[best] == answers[now]:
            aliases += 1
        else:
            absent[now] = 0.0
            vectors += 1
    return Run(hit, wrong, vectors, aliases)
