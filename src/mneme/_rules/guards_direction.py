"""Who goes where: what comes after "from" in one question and after "to" in the other."""

from __future__ import annotations

import re
from itertools import chain
from typing import NamedTuple

from mneme._rules.guards_reading import Reading, remembered, stem, words

__all__ = ["Ends", "direction_differs", "ends"]

_TOKEN = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*|[.?!;:,]")
_TARGET = frozenset({"to", "into", "onto", "towards", "toward"})
_SURE_TARGET = _TARGET - {"to"}
# Words with which neither end can go on.
_STOP = words(
    "from to into onto towards toward via on at by in with without using when if and or but how what which who why "
    "where that than then because so is are was do does did can could should would will for of before after through "
    ". ? ! ; : ,"
)
_EMPTY = words(
    "the a an my your our their his her its this that some any all over back out up down away i you me it one account "
    "straight directly each other another"
)
_EXCHANGES = {"leav": "for", "swap": "for", "exchang": "for", "trad": "for", "replac": "with", "substitut": "with"}
# Stems of words with which a "to" without a "from" has two ends: "convert feet to metres". Else it may begin a verb.
_TRANSFERS = words(
    "convert conversion translat translation migrat migration mov transfer switch chang upgrad port export cast "
    "exchang send pay compar forward redirect map"
)
_REACH = 4


class Ends(NamedTuple):
    """From what, to what: words without their endings."""

    source: frozenset[str]
    target: frozenset[str]
    said_source: frozenset[str]
    """The words right after "from", and none where that is not said."""
    said_target: frozenset[str]
    """The words right after "to"."""


_NOWHERE = Ends(frozenset(), frozenset(), frozenset(), frozenset())
_WAYS = _TARGET | {"from"}


@remembered
def ends(text: Reading) -> Ends:
    """Where *text* says that something starts and ends. English only."""
    if not text.english or not (text.vocabulary & _WAYS or text.stems & _EXCHANGES.keys()):
        return _NOWHERE
    tokens = [token.casefold().removesuffix("'s") for token in _TOKEN.findall(text)]
    sources: list[list[str]] = []
    targets: list[list[str]] = []
    for position, here in enumerate(tokens):
        if here == "from":
            sources.append(_after(tokens, position))
        elif here in _TARGET:
            targets.append(_after(tokens, position))
        elif (word := _EXCHANGES.get(stem(here))) is not None and word in tokens[position + 2 : position + 6]:
            sources.append(_after(tokens, position))
            targets.append(_after(tokens, tokens.index(word, position)))
    first = frozenset([found[0] for found in sources if found]), frozenset([found[0] for found in targets if found])
    if targets and not sources:
        sources = _implied(text, tokens)
    return Ends(frozenset(chain(*sources)), frozenset(chain(*targets)), *first)


def _implied(text: Reading, tokens: list[str]) -> list[list[str]]:
    """What stands before the first "into", or before a "to" that is no infinitive's, in place of a "from"."""
    transfers = not text.stems.isdisjoint(_TRANSFERS)
    for position, token in enumerate(tokens):
        if token in (_TARGET if transfers else _SURE_TARGET):
            found = _before(tokens, position)
            return [found] if found else []
    return []


def _after(tokens: list[str], position: int) -> list[str]:
    found = []
    for token in tokens[position + 1 : position + 2 + _REACH]:
        if token in _STOP:
            break
        if token not in _EMPTY:
            found.append(stem(token))
    return found


def _before(tokens: list[str], position: int) -> list[str]:
    found = []
    for token in reversed(tokens[max(0, position - _REACH) : position]):
        if token in _STOP:
            break
        if token not in _EMPTY:
            found.append(stem(token))
    return found


def direction_differs(asked: Reading, stored: Reading) -> str | None:
    """Whether what is the start in one text is the goal in the other, or two of its words have changed places."""
    if not asked.stems.isdisjoint(_MUTUAL):
        return None
    if (places := _exchanged(asked, stored)) is not None:
        return f"changed places: {places[0]} / {places[1]}"
    one, other = ends(asked), ends(stored)
    forth, back = one.source & other.target, one.target & other.source
    straight = (one.source & other.source) | (one.target & other.target)
    if forth - straight and back - straight:
        return f"the other way round: {_way(one)}, {_way(other)}"
    if straight:
        return None
    if one.said_source & other.said_target or one.said_target & other.said_source:
        return f"the other way round: {_way(one)}, {_way(other)}"
    return None


def _exchanged(asked: Reading, stored: Reading) -> tuple[str, str] | None:
    """Two words or short phrases that stand in each other's places, while all else is equal: who does what to whom.

    What is joined by "and" or "or" may stand in any order. A clause that was moved is none: nothing stands between it
    and the rest that stays where it was.
    """
    ones, others = asked.lowers, stored.lowers
    if ones == others or len(ones) != len(others) or asked.vocabulary != stored.vocabulary or not asked.english:
        return None
    start, end = 0, len(ones)
    while ones[start] == others[start]:
        start += 1
    while ones[end - 1] == others[end - 1]:
        end -= 1
    mine, theirs = ones[start:end], others[start:end]
    for first in range(1, min(_PHRASE, len(mine) - 2) + 1):
        for last in range(1, min(_PHRASE, len(mine) - first - 1) + 1):
            between = mine[first:-last]
            if (
                mine[:first] == theirs[-first:]
                and mine[-last:] == theirs[:last]
                and between == theirs[last:-first]
                and _JOINS.isdisjoint(between)
                and between[0] != "of"
            ):
                return " ".join(mine[:first]), " ".join(mine[-last:])
    return None


_PHRASE = 3
_JOINS = words("and or nor vs versus plus with is are")
# Stems of what holds in both directions.
_MUTUAL = words("distanc far compar comparison differ different differenc similar similarity between relation common")


def _way(ends: Ends) -> str:
    return f"from {' '.join(sorted(ends.source)) or '?'} to {' '.join(sorted(ends.target)) or '?'}"
