"""Names of things: proper names, quoted words, identifiers, paths, addresses."""

from __future__ import annotations

import re

from mneme._rules.guards_reading import Reading, Word, remembered, told, words

__all__ = ["literals", "literals_differ", "names", "names_differ"]

_QUOTED = re.compile(r"\"([^\"\n]{1,200})\"|“([^”\n]{1,200})”|«([^»\n]{1,200})»|`([^`\n]{1,200})`")
_CODE = re.compile(
    r"(?:https?://|www\.)\S+"
    r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"  # an address of mail
    r"|(?<![\w/])[@#][^\W\d][\w-]*"  # a handle, a hashtag
    r"|(?<![\w-])--?[a-z][\w-]*"  # an option of a command
    r"|\b[^\W_]+(?:_[^\W_]+)+\b|\b__\w+__\b"  # snake_case
    r"|\b[a-z]+(?:[A-Z][a-z0-9]+)+\b"  # camelCase
    r"|(?<!\w)(?:~|\.{0,2})?(?:/[\w.-]+){2,}/?"  # a path
    r"|\b[A-Za-z]:\\\S+"
    r"|\b\w+(?:\.\w+)*\.(?:py|js|ts|json|csv|txt|md|ya?ml|toml|html?|css|sql|exe|pdf|docx?|xlsx?|zip|com|org|net|io)\b"
    r"|\b[A-Za-z](?:\+\+|\#)|(?<!\w)\.[Nn][Ee][Tt]\b"  # C++, C#, .NET
    r"|\b\w+\(\)",
)
# What is written with a capital and names nothing that an answer depends on, or is read by another guard.
_NO_NAMES = words(
    "i i'm i'd i'll i've ok okay hi hello hey thanks thank please pls cheers mr mrs ms dr tv pc sim atm pin id faq "
    "january february march april may june july august september october november december jan feb mar apr jun jul aug "
    "sep sept oct nov dec monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri "
    "sat sun am pm asap fyi btw eta wi fi wifi internet web christmas easter"
)
_SAME = (
    frozenset({"uk", "u.k", "britain", "united kingdom", "great britain"}),
    frozenset({"us", "usa", "u.s", "america", "united states", "states"}),
    frozenset({"js", "javascript"}),
    frozenset({"ts", "typescript"}),
    frozenset({"postgres", "postgresql"}),
    frozenset({"mac", "macos", "osx"}),
    frozenset({"gb", "british"}),
)
_FUNCTION = words(
    "the a an my your our their his her its this that these those some any i you he she it we they me us as in on at "
    "of for to and or is are was were do does did can will so"
)
_LEAST_LOWER = 0.4
"""Of the words that begin no sentence so many must be in lower case; else capitals are a manner of writing."""
_GERMAN = words("der die das und ist ich wie ein eine nicht mein meine zu auf für mit wo wann warum kann")


@remembered
def literals(text: Reading) -> frozenset[str]:
    """What is quoted, or can only be code, a path or an address; case folded."""
    found = {next(part for part in match if part).strip() for match in _QUOTED.findall(text)}
    for match in _CODE.findall(text):
        plain = match.rstrip(".,;:!?)").removesuffix("/")
        found.add(re.sub(r"^(?:https?://)?(?:www\.)?", "", plain))
    return frozenset([one.casefold() for one in found if one])


def literals_differ(asked: Reading, stored: Reading) -> str | None:
    """Whether each of the texts names something word for word that the other does not hold at all."""
    mine, theirs = _missing(literals(asked), stored), _missing(literals(stored), asked)
    if mine and theirs:
        return f"they name different things: {told(mine, theirs)}"
    return None


def _missing(ones: frozenset[str], text: Reading) -> set[str]:
    if not ones:
        return set()
    plain = text.casefold()
    return {one for one in ones if one not in plain and not _mostly(one, text)}


def _mostly(quoted: str, text: Reading) -> bool:
    """Whether *text* has most of the words of something quoted, which then is only quoted in another way."""
    words = [word.lower for word in Reading(quoted).words]
    return len(words) > 1 and sum(word in text.vocabulary for word in words) * 3 > len(words) * 2


@remembered
def names(text: Reading) -> tuple[str, ...]:
    """The words of *text* that are proper names by their capitals, case folded.

    The first word of a sentence is none. In German, and in a text that has hardly a word without a capital, capitals
    say nothing.
    """
    inner = [word for word in text.words if not word.first]
    lower = sum(word.text[0].islower() for word in inner)
    if len(inner) * _LEAST_LOWER > lower or (not text.english and text.vocabulary & _GERMAN):
        return ()
    found = [word for word in text.words if _is_name(word)]
    return tuple([word.lower.removesuffix("'") for word in found])


def _is_name(word: Word) -> bool:
    text = word.text
    if word.lower in _NO_NAMES or word.lower in _FUNCTION:
        return False
    if word.first:
        return len(text) > 1 and text[1:] != text[1:].lower() and not text.isupper()
    return text != word.lower and text[0] != "'"


def names_differ(asked: Reading, stored: Reading) -> str | None:
    """Whether each of the texts has a proper name that the other does not hold, in whatever spelling.

    Where only one of them writes names with capitals, the other must have another word in the very same place.
    """
    ones, others = names(asked), names(stored)
    if not ones and not others:
        return None
    mine = {name for name in ones if not _holds(stored, name)}
    theirs = {name for name in others if not _holds(asked, name)}
    if not mine and not theirs:
        return None
    if not (mine and theirs):
        here, there = _replaced(asked, stored)
        if not here or not there or len(here) > 3 or len(there) > 3:
            return None
        if not (set(here) <= set(ones) or set(there) <= set(others)) or not _FUNCTION.isdisjoint(here + there):
            return None
        mine, theirs = set(here), set(there)
    if _same(mine, theirs, asked, stored):
        return None
    return f"names differ: {told(mine, theirs)}"


def _holds(text: Reading, name: str) -> bool:
    vocabulary = text.vocabulary
    return name in vocabulary or name + "s" in vocabulary or name.removesuffix("s") in vocabulary


def _replaced(asked: Reading, stored: Reading) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is left of each text without the words that both begin and end with."""
    ones, others = asked.lowers, stored.lowers
    start = 0
    while start < min(len(ones), len(others)) and ones[start] == others[start]:
        start += 1
    end = 0
    while end < min(len(ones), len(others)) - start and ones[-1 - end] == others[-1 - end]:
        end += 1
    return ones[start : len(ones) - end], others[start : len(others) - end]


def _same(mine: set[str], theirs: set[str], asked: Reading, stored: Reading) -> bool:
    """Whether one is another spelling of the other, an abbreviation, or spelt almost the same."""
    for group in _SAME:
        if mine <= group | {"the"} and theirs <= group | {"the"}:
            return True
    for one in mine:
        for other in theirs:
            if _initials(one, stored) or _initials(other, asked) or _alike(one, other):
                return True
    return False


def _initials(name: str, text: Reading) -> bool:
    """Whether words that follow one another in *text* begin with the letters of *name*."""
    if not 2 <= len(name) <= 6:
        return False
    initials = "".join([word[0] for word in text.lowers])
    return name in initials


def _alike(one: str, other: str) -> bool:
    """Whether two names are one with a slip of the pen, or one begins with the other."""
    short, long = sorted((one, other), key=len)
    if len(short) > 3 and long.startswith(short):
        return True
    if len(short) < 5 or len(long) - len(short) > 1:
        return False
    start = 0
    while start < len(short) and short[start] == long[start]:
        start += 1
    rest_short, rest_long = short[start:], long[start:]
    if len(short) == len(long):  # one letter differs, or two have changed places
        return rest_short[1:] == rest_long[1:] or (
            rest_short[:2] == rest_long[1::-1] and rest_short[2:] == rest_long[2:]
        )
    return rest_short == rest_long[1:]
