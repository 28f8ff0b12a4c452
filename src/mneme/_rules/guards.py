"""The ready-made guards, and which of them are on by default."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from importlib import import_module
from typing import Any

from mneme._rules.guards_kinds import TextGuard
from mneme._rules.guards_reading import Reading
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
    "opposites",
]


class _Later:
    """A function of a module that is imported when it is first called.

    The patterns and word lists of the guards take a sixth of the time in which mneme is imported.
    """

    __slots__ = ("_function", "_module", "_name")

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self._name = name
        self._function: Callable[[Reading, Reading], str | None] | None = None

    def __call__(self, asked: Reading, stored: Reading) -> str | None:
        function = self._function
        if function is None:
            made: Callable[[Reading, Reading], str | None]
            made = getattr(import_module(f"mneme._rules.{self._module}"), self._name)
            function = self._function = made
        return function(asked, stored)


NUMBERS = TextGuard("numbers", _Later("guards_numbers", "numbers_differ"))
DATES = TextGuard("dates", _Later("guards_dates", "dates_differ"))
NEGATION = TextGuard("negation", _Later("guards_polarity", "negations_differ"))
OPPOSITES = TextGuard("opposites", _Later("guards_polarity", "opposites_differ"))
NAMES = TextGuard("names", _Later("guards_names", "names_differ"))
LITERALS = TextGuard("literals", _Later("guards_names", "literals_differ"))
DIRECTION = TextGuard("direction", _Later("guards_direction", "direction_differs"))
QUESTION = TextGuard("question", _Later("guards_question", "asked_for_differs"))

DEFAULT_GUARDS: tuple[Guard, ...] = (NUMBERS, DATES, NEGATION, OPPOSITES, NAMES, LITERALS, DIRECTION, QUESTION)


def opposites(groups: Iterable[Sequence[str | Collection[str]]], *, name: str) -> TextGuard:
    """A guard of your own words that cannot stand for one another, in any language, beside the ready-made list.

    Two questions are refused if each has a word of a group that the other has not, neither itself nor a synonym of it.
    Plurals and the forms of English verbs count as the word itself, and a negation makes up for an opposite.

    Args:
        groups: Each a sequence of words, or of collections of synonyms: `[("oak", "pine", ("beech", "beechwood"))]`.
        name: For events and explanations; different from those of the other guards.

    Raises:
        TypeError, ValueError: A group has fewer than two sides, or a word is not a single word.
    """
    if isinstance(groups, str) or not isinstance(groups, Iterable):
        raise TypeError(f"groups must be groups of words, like [('oak', 'pine')], not {groups!r}")
    checked = [_sides(group) for group in groups]
    if not isinstance(name, str):
        raise TypeError(f"the name of a guard must be a str, not {type(name).__name__}")
    from mneme._rules.guards_polarity import Opposites  # noqa: PLC0415 -- word lists, made when first used

    return TextGuard(name, Opposites(checked, english=False))


def _sides(group: Any) -> list[list[str]]:
    if isinstance(group, str) or not isinstance(group, Sequence):
        raise TypeError(f"a group must be a sequence of words, like ('oak', 'pine'), not {group!r}")
    if len(group) < 2:
        raise ValueError(f"a group needs at least two words that cannot stand for one another, got {group!r}")
    return [[_word(word) for word in _side(side)] for side in group]


def _side(side: Any) -> Collection[str]:
    if isinstance(side, str):
        return [side]
    if not isinstance(side, Collection) or not side:
        raise TypeError(f"in a group stand words and collections of synonyms, not {side!r}")
    return side


def _word(word: Any) -> str:
    if not isinstance(word, str):
        raise TypeError(f"a word must be a str, not {type(word).__name__}")
    read = Reading.of(word).lowers
    if len(read) != 1 or len(read[0]) != len(word.strip()):
        raise ValueError(f"{word!r} is not a single word of letters; list the words in which two phrases differ")
    return read[0]
