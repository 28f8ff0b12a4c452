"""Guards: what refuses the answer to one question where another, however similar, needs another answer.

The ready-made guards are pure functions of the two questions, written for English; what does not depend on a language
(digits, quoted words, code) they read in any. `DEFAULT_GUARDS` are those that are on unless a cache is told otherwise.
`opposites` makes a guard of a list of your own words, `Rule` one of a function, and `Uncertain` keeps an expensive one
for similarities that leave a doubt.
"""

from mneme._rules.guards import (
    DATES,
    DEFAULT_GUARDS,
    DIRECTION,
    LITERALS,
    NAMES,
    NEGATION,
    NUMBERS,
    OPPOSITES,
    QUESTION,
    opposites,
)
from mneme._rules.guards_kinds import Rule, TextGuard, Uncertain
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
    "Guard",
    "Rule",
    "TextGuard",
    "Uncertain",
    "opposites",
]
