"""The semantic layer with value contrast: candidates in order of similarity, each against the best different answer.

Scores fall along that order as long as `value_eq` is an equivalence: what agrees with an entry has the same rival and
is less similar, and what differs has that entry, or one nearer still, for its rival. So the first fresh entry whose
score is too low ends the search, and where the best entries agree no more is asked for than could change the verdict.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mneme._engine.ask import Ask
from mneme._engine.core import Core
from mneme._engine.nearest import ANY, Nearest, Scored, nearest
from mneme._rules.answers import same_answer
from mneme._rules.contrast import ValueContrast
from mneme._rules.expiry import is_expired
from mneme._rules.similarity import RESOLUTION
from mneme.ports import Record, Vector

DEEPEST = 4096
"""So many entries are looked at for a different answer; the rest counts as one."""
FIRST_CANDIDATES = 8
"""How many candidates are looked at before more are asked for; the best one nearly always answers."""
MORE = 8

Answers = Callable[[Scored, float], Coroutine[Any, Any, bool]]
"""Judges a candidate by its score; whether it answers."""


@dataclass(slots=True)
class Field:
    """What is known of the neighbourhood of one query: entries, nearest first, and how far down that is all there is.

    Entries that have expired are nobody's rivals: they are invisible, whether or not they were removed already.
    """

    core: Core
    now: float
    entries: list[Scored] = field(default_factory=list)
    known: float = math.inf
    """Everything above this similarity is among the entries."""
    deepest: bool = False
    """Enough entries were looked at: what lies below counts as a different answer."""
    _same: dict[tuple[int, int], bool] = field(default_factory=dict)

    def found(self, nearest: Nearest, floor: float, k: int) -> None:
        """Take note of a search that went down to *floor* or to the best *k*."""
        self.entries = nearest.candidates
        lowest = self.entries[-1].similarity if self.entries else math.inf
        self.known = lowest if nearest.more else floor
        self.deepest = k >= DEEPEST

    def rival(self, candidate: Scored, bound: float) -> float | None:
        """The similarity of the best entry with a different answer, or *bound* if it is not more.

        `None` while that is not known.
        """
        record = candidate.record
        for other, similarity in self.entries:
            if similarity <= bound:
                return bound
            if not is_expired(other.expires_at, self.now) and not self._agree(record, other):  # each agrees with itself
                return similarity
        if self.known <= bound:
            return bound
        return self.known if self.deepest else None

    def _agree(self, one: Record, other: Record) -> bool:
        pair = (one.id, other.id)
        if pair not in self._same:
            options = self.core.options
            self._same[pair] = same_answer(one, other, codec=options.codec, value_eq=options.value_eq)
        return self._same[pair]


class Contest:
    """One query, until it is answered or it is certain that nothing answers it."""

    def __init__(self, core: Core, contrast: ValueContrast, ask: Ask, answers: Answers) -> None:
        self._contrast = contrast
        self._threshold = ask.threshold
        self._answers = answers
        self._passed: set[int] = set()
        self._field = Field(core, core.clock.now())
        self.floor = contrast.least(ask.threshold)
        """How far down the next search has to go."""

    async def settled(self, found: Nearest, floor: float, k: int) -> bool:
        """Judge what a search for the best *k* down to *floor* found; whether that is the end of it."""
        contrast, near = self._contrast, self._field
        near.found(found, floor, k)
        least = contrast.least(self._threshold)
        for candidate in near.entries:
            record, similarity = candidate
            if similarity < least:
                return True
            if record.id in self._passed:
                continue
            bound = contrast.bound(similarity, self._threshold)
            dead = is_expired(record.removable_at, near.now)
            rival = bound if dead else near.rival(candidate, bound)
            if rival is None:
                self.floor = bound
                return False
            score = contrast.score(similarity, rival)
            if await self._answers(candidate, score):
                return True
            if score < self._threshold - RESOLUTION and not is_expired(record.expires_at, near.now):
                return True
            self._passed.add(record.id)
        self.floor = least
        return near.known <= least


async def find(
    core: Core,
    contrast: ValueContrast,
    asks: Sequence[Ask],
    vectors: Sequence[Vector],
    answers: Sequence[Answers],
    *,
    era: int,
) -> None:
    """Judge the candidates of each request, all of one partition, until one answers or none can."""
    contests = [
        (Contest(core, contrast, ask, each), vector) for ask, vector, each in zip(asks, vectors, answers, strict=True)
    ]
    k = FIRST_CANDIDATES
    while contests:
        floor = min(contest.floor for contest, _ in contests)
        queries = np.stack([vector for _, vector in contests])
        found = await nearest(core, asks[0].partition, queries, floor=floor, k=k, era=era)
        unsettled = []
        for (contest, vector), one in zip(contests, found, strict=True):
            if not await contest.settled(one, floor, k):
                unsettled.append((contest, vector))
        contests = unsettled
        k *= MORE


async def rivals(
    core: Core, contrast: ValueContrast, partition: bytes, vector: Vector, k: int, *, era: int
) -> tuple[list[Scored], list[float | None]]:
    """The nearest *k* entries, and for each the best similarity of one with a different answer, or the floor."""
    asked = k
    while True:
        [found] = await nearest(core, partition, vector[None], floor=ANY, k=asked, era=era)
        near = Field(core, core.clock.now())
        near.found(found, ANY, asked)
        candidates = found.candidates[:k]
        known = [near.rival(candidate, contrast.floor) for candidate in candidates]
        if None not in known and (len(candidates) == k or not found.more):
            return candidates, known
        asked = max(asked * MORE, FIRST_CANDIDATES)
