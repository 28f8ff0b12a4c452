"""What the guards read in a text: its words, and whether the rules of English apply to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from typing import TypeVar, cast

__all__ = ["Reading", "alike", "remembered", "stem", "told", "words"]

T = TypeVar("T")


def words(listed: str) -> frozenset[str]:
    """The words of a list that is written as one text."""
    return frozenset(listed.split())


_DOTTED = re.compile(r"(?<=\b[^\W\d_])\.(?=[^\W\d_]\b)|(?<=\.[^\W\d_])\.")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")

# Words that are frequent in one language and rare in the others. Which of them a text has says whether the rules of
# English grammar mean anything for it: "no" is "in the" in Portuguese, and German writes every noun with a capital.
_ENGLISH = words(
    "the a an is are was were be been what which who how when where why do does did can could should would will my "
    "your i you it its of for to in on at with from by and or if not this that there have has get any i'm what's how's"
)
_FOREIGN = words(
    "der das den dem des ein eine einen einem einer und ist sind ich wie mein meine meinen nicht zu von mit für auf "
    "kann wo wann warum welche wird oder bei nach le la les un une du et est je mon ma mes pour dans avec comment où "
    "quand quel quelle pourquoi que qui sur pas ne el los las una y es como cómo qué para por con dónde cuándo del "
    "il lo gli uno di che sono mio mia o os uma e meu minha não em da dos het een en hoe ik mijn "
    "wat niet naar"
)


class Reading(str):  # noqa: SLOT000 -- what is remembered needs a dictionary
    """A text that knows its words, and remembers what else was read in it: several guards look at the same."""

    folded: str
    """The text, case folded, with plain apostrophes."""
    lowers: tuple[str, ...]
    """The words in order, case folded, without a possessive *'s*; numbers and signs are none."""
    vocabulary: frozenset[str]
    """The different words."""
    stems: frozenset[str]
    """The different words without their endings."""
    capitals: bool
    """Whether any letter but the first is a capital."""
    english: bool
    """Whether the text may be English. A text without any word of grammar passes for it."""

    def __new__(cls, text: str) -> Reading:
        """White space says nothing, nor do the full stops of "U.S." or "a.m."."""
        text = " ".join(text.split())
        new = super().__new__(cls, _DOTTED.sub("", text) if "." in text else text)
        rest = text[1:]
        new.capitals = rest != rest.lower()
        new.folded = new.casefold().replace("\u2019", "'")
        new.lowers = tuple([word.removesuffix("'s") for word in _WORD.findall(new.folded)])
        new.vocabulary = vocabulary = frozenset(new.lowers)
        new.stems = frozenset([stem(word) for word in vocabulary])
        foreign = len(vocabulary & _FOREIGN)
        new.english = not foreign or foreign < len(vocabulary & _ENGLISH)
        return new

    @classmethod
    def of(cls, text: str) -> Reading:
        """*text* itself if it is a reading."""
        return text if isinstance(text, Reading) else cls(text)

    def as_written(self, term: str) -> str:
        """The word that *term* is the stem of; what is no stem of any word as it is."""
        return next((word for word in self.lowers if stem(word) == term), term)


@lru_cache(maxsize=8192)  # a text has the words of others
def stem(word: str) -> str:
    """*word* without the ending of a plural or of a verb, the same for all its forms; seldom a word itself."""
    if len(word) == 4:
        return word[:-1] if word[-1] == "s" and word[-2] != "s" else word
    if len(word) < 5:
        return word
    if word.endswith(("ies", "ied")):
        return word[:-3] + "y"
    for ending in ("ing", "ed", "ly", "es", "s"):
        if word.endswith(ending) and not word.endswith("ss"):
            word = word[: -len(ending)]
            if ending in ("ing", "ed"):
                if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl":
                    return word[:-1]
                if _SHORT.fullmatch(word):
                    return word + "e"
            break
    return word[:-1] if word.endswith("e") and len(word) > 4 else word


_SHORT = re.compile(r"[^aeiou][aeiou][^aeiouwxy]")
"""A verb of four letters that has lost an e: hiring, made of hire."""


def alike(one: str, other: str) -> bool:
    """Whether two words may be one with a slip of the pen: a letter more, or another, or two that changed places."""
    short, long = sorted((one, other), key=len)
    same_length = len(short) == len(long)
    if len(short) < (_LONG if same_length else _LONG - 2) or len(long) - len(short) > 1 or short[0] != long[0]:
        return False
    start = 0
    while start < len(short) and short[start] == long[start]:
        start += 1
    rest_short, rest_long = short[start:], long[start:]
    if not same_length:
        return rest_short == rest_long[1:]
    swapped = rest_short[:2] == rest_long[1::-1] and rest_short[2:] == rest_long[2:]
    return swapped or rest_short[1:] == rest_long[1:]


_LONG = 7
"""Shorter words in which a letter is another are two words: Maria and Marie."""


def remembered(read: Callable[[Reading], T]) -> Callable[[Reading], T]:
    """*read*, done once for each reading."""
    name = f"{read.__module__}.{read.__qualname__}"  # no other attribute has a name with a dot

    @wraps(read)
    def again(reading: Reading) -> T:
        known = reading.__dict__
        if name not in known:
            known[name] = read(reading)
        return cast("T", known[name])

    return again


def told(ones: Iterable[str], others: Iterable[str]) -> str:
    """What each of two texts has and the other has not, for a reason."""
    return f"{_some(ones)} / {_some(others)}"


def _some(ones: Iterable[str]) -> str:
    first = sorted(ones)
    return " ".join([*first[:_TOLD], *(["..."] if len(first) > _TOLD else [])]) or "none"


_TOLD = 6
