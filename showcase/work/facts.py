"""From what somebody says to facts worth keeping: their kind, their wording for later questions, how long they hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["NOTE", "Fact", "facts_in"]

NOTE = "note"
"""The kind of what no pattern knows: kept as it was said, and corrected by nothing."""

_PATTERNS = (
    (
        "home",
        r"\bI (?:live in|moved to|have moved to) ([\w' -]+?)(?= with\b| and\b|[.,!?]|$)",
        "The user lives in {}",
        None,
    ),
    (
        "diet",
        r"\bI(?: a|')m (?:a )?(vegan|vegetarian|allergic to [\w ]+?)(?= and\b|[.,!?]|$)",
        "What the user can eat: the user is {}",
        None,
    ),
    ("pet", r"\bmy (?:dog|cat)(?: is called| is)? ([A-Z]\w+)", "The user has a pet named {}", None),
    ("job", r"\bI work as an? ([\w ]+?)(?= and\b| in\b|[.,!?]|$)", "The user works as a {}", None),
    ("mood", r"\bI(?: a|')m (tired|ill|happy|in a hurry)\b", "Today the user is {}", "1d"),
    ("trip", r"\bI(?: a|')m (?:flying|travelling) to ([A-Z]\w+)", "The user is about to travel: a flight to {}", "14d"),
)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something to remember about somebody."""

    kind: str
    """A later fact of the same kind takes its place, unless it is a note."""
    statement: str
    """What it is found by: a statement with the words of later questions in it."""
    value: str
    ttl: str | None
    """How long such things are true."""


def facts_in(said: str) -> list[Fact]:
    """The facts in a sentence; the sentence itself as a note, if no pattern knows one."""
    return list(_known(said)) or [Fact(NOTE, f"The user said: {said}", said, None)]


def _known(said: str) -> Iterator[Fact]:
    for kind, pattern, statement, ttl in _PATTERNS:
        for found in re.finditer(pattern, said, flags=re.IGNORECASE if kind not in {"pet", "trip"} else 0):
            yield Fact(kind, statement.format(found[1]), found[1], ttl)
