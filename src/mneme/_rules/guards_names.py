"""Names of things: proper names, quoted words, identifiers, paths, addresses."""

from __future__ import annotations

import re

from mneme._rules.guards_reading import Reading, alike, remembered, told, words

__all__ = ["literals", "literals_differ", "names", "names_differ"]

_QUOTED = re.compile(r"\"([^\"\n]{1,200})\"|“([^”\n]{1,200})”|«([^»\n]{1,200})»|`([^`\n]{1,200})`")
_CODE = re.compile(
    r"(?:https?://|www\.)\S+"
    r"|(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+"  # an address of mail
    r"|(?<![\w/])[@#][^\W\d][\w-]*"  # a handle, a hashtag
    r"|(?<![\w-])--?[a-z][\w-]*"  # an option of a command
    r"|\b[^\W_]+(?:_[^\W_]+)+\b|\b__\w+__\b"  # snake_case
    r"|\b[a-z]+(?:[A-Z][a-z0-9]+)+\b"  # camelCase
    r"|(?<!\w)(?:~|\.{0,2})?(?:/[\w.-]+){2,}/?"  # a path
    r"|\b[A-Za-z]:\\\S+"
    r"|(?<![\w.])\w+(?:\.\w+)*\.(?:py|js|ts|json|csv|txt|md|ya?ml|toml|html?|css|sql|exe|pdf|docx?|xlsx?|zip|com|org|net|io)\b"
    r"|\b[A-Za-z](?:\+\+|\#)|(?<!\w)\.[Nn][Ee][Tt]\b"  # C++, C#, .NET
    r"|\b\w+\(\)",
)
# What every literal has somewhere: looked for first, because most questions have none of it.
_QUOTE = re.compile(r"[\"“«`]")
_MARK = re.compile(r"[_@#\\]|/\S*/|\(\)|\+\+")
_SUSPECT = re.compile(r"[a-z][A-Z]|\.\w|(?<!\w)-")
# What is written with a capital and names nothing that an answer depends on, or is read by another guard.
_NO_NAMES = words(
    "i i'm i'd i'll i've ok okay hi hello hey thanks thank please pls cheers mr mrs ms dr tv pc sim atm pin id faq "
    "january february march april may june july august september october november december jan feb mar apr jun jul aug "
    "sep sept oct nov dec monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri "
    "sat sun am pm asap fyi btw eta wi fi wifi internet web christmas easter usd eur gbp jpy inr"
)
# Names that are the same, or as good as: a country and its people, short and long forms.
_SAME = tuple(
    words(group)
    for group in (
        "uk gb britain british english england",
        "us usa america american states",
        "scotland scottish scots",
        "wales welsh",
        "ireland irish",
        "france french",
        "germany german",
        "spain spanish",
        "italy italian",
        "poland polish",
        "turkey turkish turks",
        "holland netherlands dutch",
        "greece greek",
        "china chinese",
        "sweden swedish",
        "denmark danish",
        "finland finnish",
        "switzerland swiss",
        "st saint",
        "js javascript",
        "ts typescript",
        "postgres postgresql",
        "mac macos osx",
    )
)
_UNITED = words("the united great kingdom of")
_ENDINGS = words("s es n ns an ans ian ians ese ish i is er ers ic")
"""What makes a people of a country, or many of one."""
_MANY = 16
"""So many names are not compared letter by letter."""
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
    found: set[str] = set()
    if _QUOTE.search(text):
        found.update(next(part for part in match if part).strip() for match in _QUOTED.findall(text))
    if _MARK.search(text) or ((text.capitals or "." in text or "-" in text) and _SUSPECT.search(text)):
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
    return {one for one in ones if one not in text.folded and not _mostly(one, text)}


def _mostly(quoted: str, text: Reading) -> bool:
    """Whether *text* has most of the words of something quoted, which then is only quoted in another way."""
    inside = Reading.of(quoted).lowers
    return len(inside) > 1 and sum(word in text.vocabulary for word in inside) * 3 > len(inside) * 2


@remembered
def names(text: Reading) -> tuple[str, ...]:
    """The words of *text* that are proper names by their capitals, case folded.

    The first word of a sentence is none. In German, and in a text that has hardly a word without a capital, capitals
    say nothing.
    """
    if not text.capitals or (not text.english and text.vocabulary & _GERMAN):
        return ()
    found, first, inner, lower = [], True, 0, 0
    for token in _TOKEN.findall(text):
        if token in _SENTENCE_ENDS:
            first = True
            continue
        if not first:
            inner += 1
            lower += token[0].islower()
        if _is_name(token, first=first):
            found.append(token.casefold().replace("\u2019", "'").removesuffix("'s"))
        first = False
    if inner * _LEAST_LOWER > lower:
        return ()
    return tuple([name for name in found if name not in _NO_NAMES and name not in _FUNCTION])


_SENTENCE_ENDS = '.?!:;•"“”('
_TOKEN = re.compile(rf"(?<![^\W_])[^\W\d_]+(?:['\u2019][^\W\d_]+)*|[{re.escape(_SENTENCE_ENDS)}]")


def _is_name(word: str, *, first: bool) -> bool:
    if first:
        return word[1:] != word[1:].lower() and not word.isupper()
    return word[0].isupper() or word[1:] != word[1:].lower()


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
        if mine <= group | _UNITED and theirs <= group | _UNITED and mine & group and theirs & group:
            return True
    if len(mine) + len(theirs) > _MANY:
        return False
    for one in mine:
        for other in theirs:
            if _initials(one, stored) or _initials(other, asked) or _made_of(one, other):
                return True
    return False


def _initials(name: str, text: Reading) -> bool:
    """Whether words that follow one another in *text* begin with the letters of *name*."""
    if not 2 <= len(name) <= 6:
        return False
    initials = "".join([word[0] for word in text.lowers])
    return name in initials


def _made_of(one: str, other: str) -> bool:
    """Whether two names are one with a slip of the pen, or one is made of the other by an ending."""
    short, long = sorted((one, other), key=len)
    if len(short) > 3 and long.startswith(short) and long[len(short) :] in _ENDINGS:
        return True
    return alike(one, other)
