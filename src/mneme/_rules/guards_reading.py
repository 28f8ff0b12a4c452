"""What the guards read in a text: its words, and whether the rules of English apply to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache, wraps
from typing import NamedTuple, TypeVar, cast

__all__ = ["Reading", "Word", "remembered", "stem", "told", "words"]

T = TypeVar("T")


def words(listed: str) -> frozenset[str]:
    """The words of a list that is written as one text."""
    return frozenset(listed.split())


_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_SENTENCE_END = re.compile(r"[.?!:;\n•\"“”(]")

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


class Word(NamedTuple):
    """One word of a text."""

    text: str
    """As it is written, without a possessive *'s*."""
    lower: str
    start: int
    first: bool
    """Whether it begins a sentence, so that its capital says nothing."""


class Reading(str):  # noqa: SLOT000 -- what is remembered needs a dictionary
    """A text that remembers what was read in it: several guards look at the same words."""

    @classmethod
    def of(cls, text: str) -> Reading:
        """*text* itself if it is a reading; white space says nothing."""
        return text if isinstance(text, Reading) else cls(" ".join(text.split()))

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """The words in order; numbers and signs are none."""
        found: list[Word] = []
        end = 0
        for match in _WORD.finditer(self):
            text = match[0].replace("\u2019", "'")
            if text[-2:] in ("'s", "'S") and len(text) > 2:
                text = text[:-2]
            between = self[end : match.start()]
            first = not found or _SENTENCE_END.search(between) is not None
            found.append(Word(text, text.casefold(), match.start(), first))
            end = match.end()
        return tuple(found)

    @cached_property
    def lowers(self) -> tuple[str, ...]:
        """The words, case folded."""
        return tuple([word.lower for word in self.words])

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """The different words, case folded."""
        return frozenset(self.lowers)

    @cached_property
    def stems(self) -> frozenset[str]:
        """The different words without their endings."""
        return frozenset([stem(word) for word in self.vocabulary])

    def as_written(self, term: str) -> str:
        """The word that *term* is the stem of; what is no stem of any word as it is."""
        return next((word for word in self.lowers if stem(word) == term), term)

    @cached_property
    def english(self) -> bool:
        """Whether the text may be English. A text without any word of grammar passes for it."""
        foreign = len(self.vocabulary & _FOREIGN)
        return not foreign or foreign < len(self.vocabulary & _ENGLISH)


@lru_cache(maxsize=8192)  # a text has the words of others
def stem(word: str) -> str:
    """*word* without the ending of a plural or of a verb, the same for all its forms; seldom a word itself."""
    if len(word) == 4:
        return word[:-1] if word[-1] == "s" and word[-2] != "s" else word
    if len(word) > 4:
        if word.endswith(("ies", "ied")):
            return word[:-3] + "y"
        for ending in ("ing", "ed", "es", "s"):
            if word.endswith(ending) and not word.endswith("ss"):
                word = word[: -len(ending)]
                break
        if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl":
            word = word[:-1]
        return word[:-1] if word.endswith("e") and len(word) > 3 else word
    return word


def remembered(read: Callable[[Reading], T]) -> Callable[[Reading], T]:
    """*read*, done once for each reading."""
    name = f"{read.__module__}.{read.__qualname__}"

    @wraps(read)
    def again(reading: Reading) -> T:
        known = reading.__dict__
        if name not in known:
            known[name] = read(reading)
        return cast("T", known[name])

    return again


def told(ones: Iterable[str], others: Iterable[str]) -> str:
    """What each of two texts has and the other has not, for a reason."""
    return f"{' '.join(sorted(ones)) or 'none'} / {' '.join(sorted(others)) or 'none'}"
