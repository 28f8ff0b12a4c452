"""A table of phrases in four languages, written for the showcase: what it knows, it translates rightly and at once."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mneme.guards import Rule

__all__ = ["LANGUAGES", "PLACEHOLDERS", "Phrase", "carried_over", "phrases", "slots"]

LANGUAGES = {"de": "German", "fr": "French", "es": "Spanish"}
_FILE = Path(__file__).parents[1] / "data" / "phrases.txt"
_SLOT = r"(\{\w*\}|%\(\w+\)[sd]|%[sd]|</?\w+>|\d+(?:[.,:]\d+)*)"
"""A placeholder, a tag, or a number."""
_PLACEHOLDER = r"\{\w*\}|%\(\w+\)[sd]|%[sd]|</?\w+>"


@dataclass(frozen=True, slots=True)
class Phrase:
    """One sentence in every language, with `{}` for what is carried over."""

    english: str
    others: dict[str, str]

    def translated(self, text: str, language: str) -> str | None:
        """*text* in that language, if it is this phrase; `None` if it is not."""
        parts = map(re.escape, _simple(self.english).split("{}"))
        found = re.fullmatch(_SLOT.join(parts), _simple(text))
        if found is None:
            return None
        # Case of placeholders counts, and was folded for the comparison.
        return self.others[language].format(*slots(text))


@cache
def phrases() -> tuple[Phrase, ...]:
    """The whole table."""
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    blocks = "\n".join(line for line in lines if not line.startswith("#")).strip().split("\n\n")
    return tuple(_phrase(*block.splitlines()) for block in blocks)


def _phrase(english: str, *others: str) -> Phrase:
    return Phrase(english, dict(zip(LANGUAGES, others, strict=True)))


def slots(text: str) -> list[str]:
    """Placeholders, tags and numbers, in their order."""
    return re.findall(_SLOT, text)


def carried_over(text: str, translation: str) -> list[str]:
    """What should have been carried over into the translation and is not there."""
    return sorted((Counter(slots(text)) - Counter(slots(translation))).elements())


def _simple(text: str) -> str:
    return " ".join(text.split()).rstrip(" .!?").casefold()


def _placeholders_differ(asked: str, stored: str) -> str | None:
    """Two messages with other placeholders have other translations, however alike they are."""
    ones, others = (Counter(re.findall(_PLACEHOLDER, text)) for text in (asked, stored))
    if ones == others:
        return None
    return f"placeholders differ: {' '.join(sorted(ones)) or 'none'} / {' '.join(sorted(others)) or 'none'}"


PLACEHOLDERS = Rule("placeholders", _placeholders_differ)
"""A guard of one's own: the ready-made ones know numbers, and not the placeholders of somebody's messages."""
