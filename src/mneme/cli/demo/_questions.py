"""What the demo asks: questions in several wordings, and false friends that must not be answered."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

_ORDER = 7
"""Seed of the shuffle: the same order on every run."""


@dataclass(frozen=True, slots=True)
class Question:
    """One wording of a question. Wordings with the same *meaning* may answer each other, no others."""

    text: str
    meaning: int


@dataclass(frozen=True, slots=True)
class FalseFriend:
    """A question that looks like another one and must not get its answer."""

    query: str
    like: int
    """The meaning that it looks like."""
    namespace: str | None = None
    """Where it is asked, if not where the others are. Without this and a scope, the threshold keeps it apart."""
    scope: dict[str, Any] = field(default_factory=dict)
    """What its scope says differently."""


def load(*, quick: bool) -> tuple[list[Question], list[FalseFriend]]:
    """The questions in the order in which they are asked, and the false friends of those asked."""
    text = resources.files("mneme.cli.demo").joinpath("questions.json").read_text(encoding="utf-8")
    data = json.loads(text)
    asked = [(meaning, entry) for meaning, entry in enumerate(data["questions"]) if entry["quick"] or not quick]
    meaning_of = {entry["wordings"][0]: meaning for meaning, entry in asked}
    questions = [Question(wording, meaning) for meaning, entry in asked for wording in entry["wordings"]]
    random.Random(_ORDER).shuffle(questions)  # noqa: S311 - an order, not a secret
    friends = [
        FalseFriend(**entry | {"like": meaning_of[entry["like"]]})
        for entry in data["false_friends"]
        if entry["like"] in meaning_of
    ]
    return questions, friends
