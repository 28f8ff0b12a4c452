"""Negation, opposites, and what the two make of each other: "not allowed" is "banned"."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from mneme._rules.guards_opposites import OPPOSITES
from mneme._rules.guards_phrases import phrases
from mneme._rules.guards_reading import Reading, remembered, stem, words

__all__ = ["Opposites", "negations", "negations_differ", "opposites_differ"]

_CUES = words(
    "not no never none nobody nothing nowhere neither nor cannot without except unless unable hardly isnt arent wasnt "
    "werent dont doesnt didnt cant couldnt wont wouldnt shouldnt hasnt havent hadnt mustnt"
)
# Where a cue denies nothing, or is only there for politeness.
_IDLE = re.compile(
    r"\b(?:or|if|whether or|why|is it) not\b|\bor no\b|\bnot (?:only|just|sure|to mention)\b"
    r"|\bno (?:matter|doubt|problem|worries|idea|clue|\d)|\bno\.|\b(?:not|no)-|/\w+n't\b"
    r"|\b\w+n't (?:it|they|he|she|we|you)\?|\bif \w+ \w+n't$"
    r"|\b(?:\w+n't|dont|didnt|doesnt|cant|not|cannot|unable to) (?:know|understand|remember|recall|mind|forget|wait)\b"
    r"|\bi (?:can't|cant|cannot|could not|couldn't|am unable to) (?:find|figure|tell|see|decide)\b"
)


@remembered
def negations(text: Reading) -> tuple[str, ...]:
    """The words of *text* that deny something. English only."""
    if not text.english:
        return ()
    if text.vocabulary.isdisjoint(_CUES) and "n't" not in text.folded:
        return ()
    found = [word for word in text.lowers if word in _CUES or word.endswith("n't")]
    return tuple(found[len(_IDLE.findall(text.folded)) :])


def negations_differ(asked: Reading, stored: Reading) -> str | None:
    """Whether one text denies what the other says: an odd number of negations against an even one.

    An opposite makes up for a negation.
    """
    ones, others = negations(asked), negations(stored)
    if len(ones) % 2 == len(others) % 2 or OPPOSITES_DEFAULT.found(asked, stored):
        return None
    return f"only one of them is negated: {' '.join(ones or others)}"


def opposites_differ(asked: Reading, stored: Reading) -> str | None:
    """Whether the texts differ by two opposite words, and no negation makes up for it."""
    return OPPOSITES_DEFAULT(asked, stored)


class Opposites:
    """Whether each of two texts has a word that is the opposite of one of the other's.

    Args:
        groups: Groups of sides of words: words of two sides of one group are opposites, those of one side are the same.
        english: Whether the words are English, and say nothing in a text of another language.
    """

    def __init__(self, groups: Iterable[Sequence[Collection[str]]], *, english: bool = True) -> None:
        self._english = english
        self._against: dict[str, set[str]] = {}
        self._beside: dict[str, set[str]] = {}
        for group in groups:
            sides = [{_term(word) for word in side} for side in group]
            for side in sides:
                for word in side:
                    self._beside.setdefault(word, set()).update(side)
                    self._against.setdefault(word, set()).update(*(other for other in sides if other is not side))
        self._listed = frozenset(self._against)

    def __call__(self, asked: Reading, stored: Reading) -> str | None:
        """A reason, unless the texts differ by a negation as well."""
        found = self.found(asked, stored)
        if found is None or len(negations(asked)) % 2 != len(negations(stored)) % 2:
            return None
        return f"words differ: {found[0]} / {found[1]}"

    def found(self, asked: Reading, stored: Reading) -> tuple[str, str] | None:
        """The first two opposites. A word of which the other text has a synonym counts for nothing."""
        if self._english and not (asked.english and stored.english):
            return None
        ones, others = terms(asked), terms(stored)
        mine, theirs = (ones - others) & self._listed, (others - ones) & self._listed
        for word in sorted(mine) if mine and theirs else ():
            if self._beside[word] & others:
                continue
            for other in sorted(self._against[word] & theirs):
                if not self._beside[other] & ones:
                    return asked.as_written(word), stored.as_written(other)
        return _with_and_without_prefix(asked, stored) if self._english else None


def _term(word: str) -> str:
    return word if " " in word else stem(word)


@remembered
def terms(text: Reading) -> frozenset[str]:
    """Words without their endings, and phrases: what opposites are found by."""
    return text.stems | phrases(text)


_PREFIXES = ("un", "dis", "non", "in", "im", "ir", "il", "mis")
# Words that begin like a denial of another word and are none, or that deny by themselves.
_NO_DENIAL = _CUES | {
    stem(word)
    for word in words(
        "under until union unit unite united unity uncle install into inform income input inside indeed "
        "intend intent invest instance instant import impress improve impact dispatch display discount "
        "discover discuss distract dispose disclose dispute district distance inch ink include increase "
        "indent infection injury inner interest invite infront internet mission missing"
    )
}


def _with_and_without_prefix(asked: Reading, stored: Reading) -> tuple[str, str] | None:
    ones, others = asked.stems - stored.stems, stored.stems - asked.stems
    for word in sorted([one for one in ones if one.startswith(_PREFIXES)]):
        if plain := _denied(word, others):
            return asked.as_written(word), stored.as_written(plain)
    for word in sorted([other for other in others if other.startswith(_PREFIXES)]):
        if plain := _denied(word, ones):
            return asked.as_written(plain), stored.as_written(word)
    return None


def _denied(word: str, others: Collection[str]) -> str | None:
    """The one of *others* that *word* denies."""
    if word not in _NO_DENIAL:
        for prefix in _PREFIXES:
            rest = word.removeprefix(prefix)
            if rest != word and len(rest) > 2 and rest in others:
                return rest
    return None


OPPOSITES_DEFAULT = Opposites(OPPOSITES)
