"""The ready-made guards, and which of them are on by default."""

from __future__ import annotations

from mneme._rules.guards_dates import dates_differ
from mneme._rules.guards_direction import direction_differs
from mneme._rules.guards_kinds import TextGuard
from mneme._rules.guards_names import literals_differ, names_differ
from mneme._rules.guards_numbers import numbers_differ
from mneme._rules.guards_polarity import negations_differ, opposites_differ
from mneme._rules.guards_question import asked_for_differs
from mneme.ports import Guard

__all__ = [
    "DATES",
    "DEFAULT_GUARDS",
    "DIRECTION",
    "LITERALS",
    "NAMES",
    "NEGATION",
    "NUMBERS",
    "OPPOSITES",
    "QUESTION",
]

NUMBERS = TextGuard("numbers", numbers_differ)
DATES = TextGuard("dates", dates_differ)
NEGATION = TextGuard("negation", negations_differ)
OPPOSITES = TextGuard("opposites", opposites_differ)
NAMES = TextGuard("names", names_differ)
LITERALS = TextGuard("literals", literals_differ)
DIRECTION = TextGuard("direction", direction_differs)
QUESTION = TextGuard("question", asked_for_differs)

DEFAULT_GUARDS: tuple[Guard, ...] = (NUMBERS, DATES, NEGATION, OPPOSITES, NAMES, LITERALS, DIRECTION, QUESTION)
