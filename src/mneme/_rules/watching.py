"""What is known of one namespace's answers, as data: audits, labels, evidence, and the alarm that came of it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mneme._rules import drift

BINS = 100
"""Labels are kept by similarity in so many classes from 0 to 1."""


@dataclass(frozen=True, slots=True)
class State:
    """As it is kept in a note. Every change gives a new one."""

    audits: int = 0
    """Since the beginning, or since the last alarm or reset: those that the evidence is about."""
    wrong: int = 0
    failed: int = 0
    """Audits whose computing raised: they say nothing."""
    stakes: tuple[float, ...] = field(default_factory=lambda: tuple(drift.beginning()))
    limit: float | None = None
    """What the evidence is against; another limit begins anew."""
    embedder: str | None = None
    """The fingerprint of the one whose hits it is about; so does another."""
    alarms: int = 0
    alarmed_at: float | None = None
    rejected: int = 0
    confirmed: int = 0
    labels: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By class of similarity: how often the nearest neighbour of a miss had the same answer, and another one."""

    @property
    def alarmed(self) -> bool:
        """Whether an alarm was raised that nobody has reset."""
        return self.alarmed_at is not None

    def audited(self, *, wrong: bool, limit: float | None, embedder: str | None) -> State:
        """After one more audit."""
        about_the_same = (limit, embedder) == (self.limit, self.embedder)
        fresh = self if about_the_same else replace(self.anew(limit), embedder=embedder)
        stakes: tuple[float, ...] = fresh.stakes
        if limit is not None:
            stakes = tuple(drift.after(fresh.stakes, fresh.audits, wrong=wrong, limit=limit))
        return replace(fresh, audits=fresh.audits + 1, wrong=fresh.wrong + wrong, stakes=stakes)

    def anew(self, limit: float | None) -> State:
        """With the evidence forgotten."""
        return replace(self, audits=0, wrong=0, failed=0, stakes=tuple(drift.beginning()), limit=limit)

    def labelled(self, labels: dict[int, tuple[int, int]]) -> State:
        """With more labels."""
        merged = dict(self.labels)
        for where, (same, other) in labels.items():
            before = merged.get(where, (0, 0))
            merged[where] = before[0] + same, before[1] + other
        return replace(self, labels=merged)


def class_of(similarity: float) -> int:
    """The class that a similarity belongs to: the next lower hundredth."""
    return max(0, min(BINS - 1, math.floor(similarity * BINS + 1e-6)))


def dumped(state: State) -> str:
    """As the text of a note."""
    return json.dumps(asdict(state))


def loaded(text: str | None) -> State:
    """From the text of a note; a state that cannot be read is as if there were none."""
    if text is None:
        return State()
    try:
        given: dict[str, Any] = json.loads(text)
        labels = {int(where): (int(same), int(other)) for where, (same, other) in given.pop("labels").items()}
        stakes = tuple(float(stake) for stake in given.pop("stakes"))
        if len(stakes) != len(drift.beginning()):
            stakes = tuple(drift.beginning())
        known = {name: given[name] for name in State.__slots__ if name in given}
        return State(**known, labels=labels, stakes=stakes)
    except (ValueError, KeyError, TypeError, AttributeError):
        return State()
