"""Dates in words: months, days of the week, and days and spans counted from now."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mneme._rules.guards_reading import Reading, alike, remembered, told, words

__all__ = ["dates", "dates_differ"]

_NAMES = {
    spelling: name
    for name, spellings in {
        "January": "jan january",
        "February": "feb february febuary",
        "March": "mar march",
        "April": "apr april",
        "May": "may",
        "June": "jun june",
        "July": "jul july",
        "August": "aug august",
        "September": "sep sept september",
        "October": "oct october",
        "November": "nov november",
        "December": "dec december",
        "Monday": "mon monday",
        "Tuesday": "tue tues tuesday",
        "Wednesday": "wed wednesday wensday",
        "Thursday": "thu thur thurs thursday",
        "Friday": "fri friday",
        "Saturday": "sat saturday",
        "Sunday": "sun sunday",
        "weekday": "weekday",
        "weekend": "weekend",
        "tomorrow": "tomorrow tmrw tomorow tommorow tommorrow",
        "yesterday": "yesterday",
        "today": "today",
        "tonight": "tonight",
        "morning": "morning",
        "afternoon": "afternoon",
        "evening": "evening",
        "christmas": "christmas xmas",
        "easter": "easter",
        "spring": "spring",
        "summer": "summer",
        "autumn": "autumn",
        "winter": "winter",
    }.items()
    for spelling in spellings.split()
}
_NAMES |= {f"{spelling}s": name for spelling, name in _NAMES.items() if len(spelling) > 3}
# Names that are other words too: dates after one of these words, or beside a number.
_AMBIGUOUS = words("may march mar mon wed sat sun")
_MONTH = (
    r"\b(?:in|of|until|till|by|from|since|during|before|after|last|next|this|early|late|mid|on|every) NAME\b"
    r"|\d\D{0,3}\bNAME\b|\bNAME\b\D{0,2}\d"
)
# The answer is often the same for the time that a question is asked at anyway.
_NOW = frozenset({"today", "tonight"})
_LOOSE = words("morning afternoon evening spring summer autumn winter christmas easter")
_WHICH = words("last next previous coming past")
_SPAN = re.compile(
    r"\b(last|next|previous|coming|past)\s(week|weekend|month|quarter|year|summer|winter|spring|autumn|night)s?\b"
)
_SPAN_NAMES = {"previous": "last", "past": "last", "coming": "next"}


@remembered
def dates(text: Reading) -> frozenset[str]:
    """The dates of *text*, by one name each. English only."""
    return frozenset(_dates(text)) if text.english else frozenset()


def _dates(text: Reading) -> Iterator[str]:
    for word in text.vocabulary & _NAMES.keys():
        if word not in _AMBIGUOUS or re.search(_MONTH.replace("NAME", word), text.folded):
            yield _NAMES[word]
    if not text.vocabulary.isdisjoint(_WHICH):
        for which, span in _SPAN.findall(text.folded):
            yield f"{_SPAN_NAMES.get(which, which)} {span}"


def dates_differ(asked: Reading, stored: Reading) -> str | None:
    """Whether the two texts speak of different times; only one of them doing so at all counts, save for now."""
    ones, others = dates(asked), dates(stored)
    if ones == others:
        return None
    mine, theirs = ones - others, others - ones
    if mine and theirs:
        return f"dates differ: {told(mine, theirs)}"
    if ones and others:
        return None
    named, without = (mine, stored) if mine else (theirs, asked)
    if any(not _misspelt(name, without) for name in named - _NOW - _LOOSE):
        return f"dates differ: {told(mine, theirs)}"
    return None


def _misspelt(name: str, text: Reading) -> bool:
    """Whether *text* has the name with a slip of the pen."""
    lower = name.casefold()
    return any(alike(lower, word) for word in text.vocabulary)
