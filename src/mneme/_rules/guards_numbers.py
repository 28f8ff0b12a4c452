"""Numbers, with what is bound to them: a unit, a currency, a half of the day, a bound like "over"."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from mneme._rules.guards_reading import Reading, remembered, told

__all__ = ["Quantity", "numbers_differ", "quantities"]


class Quantity(NamedTuple):
    """One number of a text."""

    value: str
    """In one spelling: "1,000", "1000.0" and "thousand" are `1000`; of a time of day the hour is below 13."""
    unit: str | None = None
    half: str | None = None
    """`am` or `pm`, where the text says so."""
    bound: str | None = None
    """`over` or `under`, if the number is the limit of something."""
    idle: bool = False
    """Whether it only says how many things to name ("the 5 best ways"), or is a one: the same may be asked without."""


_BELOW_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_FROM_THIRD = "third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
_FROM_TWENTY = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {
    **{word: value for value, word in enumerate(_BELOW_TWENTY.split()) if word != "one"},
    **{word: value for value, word in enumerate(_FROM_THIRD.split(), start=3)},
}
_TENS = {word: 10 * value for value, word in enumerate(_FROM_TWENTY.split(), start=2)}
_SCALES = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
# "One" is also an article and a pronoun, and "second" a unit: alone they count only against another number.
_LOOSE = {"one": 1, "first": 1, "second": 2}

_DIGIT = re.compile(r"\d")
_WORDS = frozenset({*_SMALL, *_TENS, *_SCALES, *_LOOSE})
_ALL_WORDS = "|".join(_WORDS)
_DIGITS = (
    r"(?:(?P<sign>[£$€¥₹])\s?)?(?P<digits>\d{1,3}(?:,\d{3}){1,6}(?:\.\d+)?(?!\d)|\d+(?:[.:]\d+)*)"
    r"(?:(?P<ordinal>st|nd|rd|th)\b|[\s-]?(?P<tail>%|°?[^\W\d_]+(?:\.m\.)?))?"
)
_SPELT = (
    rf"\b(?P<words>(?:{_ALL_WORDS})(?:[\s-](?:{_ALL_WORDS}))*)\b"
    r"(?:[\s-](?P<next>%|[^\W\d_]+(?:\.m\.)?))?"
)
_NUMBER = re.compile(f"{_DIGITS}|{_SPELT}", re.IGNORECASE)
_NUMERAL = re.compile(f"{_DIGITS}(?P<words>(?!))?(?P<next>(?!))?", re.IGNORECASE)
"""The same without words: a text that has none is searched in a tenth of the time."""

_UNITS = {
    spelling: unit
    for unit, spellings in {
        "pound": "£ gbp quid sterling",
        "dollar": "$ usd dollar dollars bucks",
        "euro": "€ eur euro euros",
        "yen": "¥ jpy yen",
        "rupee": "₹ inr rupee rupees",
        "percent": "% percent pct",
        "second": "s sec secs second seconds",
        "millisecond": "ms millisecond milliseconds",
        "minute": "min mins minute minutes",
        "hour": "h hr hrs hour hours hourly",
        "day": "d day days",
        "night": "night nights",
        "week": "wk wks week weeks",
        "month": "month months mo",
        "year": "y yr yrs year years",
        "gram": "g gram grams gramme grammes",
        "kilogram": "kg kgs kilo kilos kilogram kilograms",
        "milligram": "mg mgs milligram milligrams",
        "lb": "lb lbs",
        "ounce": "oz ounce ounces",
        "millimetre": "mm millimetre millimetres millimeter millimeters",
        "centimetre": "cm centimetre centimetres centimeter centimeters",
        "kilometre": "km kms kilometre kilometres kilometer kilometers",
        "metre": "metre metres meter meters",
        "mile": "mile miles mi",
        "foot": "ft foot feet",
        "inch": "inch inches",
        "litre": "l litre litres liter liters",
        "millilitre": "ml millilitre millilitres milliliter milliliters",
        "kilobyte": "kb kilobyte kilobytes",
        "megabyte": "mb megabyte megabytes",
        "gigabyte": "gb gig gigs gigabyte gigabytes",
        "terabyte": "tb terabyte terabytes",
        "watt": "w watt watts",
        "kilowatt": "kw kilowatt kilowatts",
        "kilowatt hour": "kwh",
        "celsius": "°c c celsius centigrade",
        "fahrenheit": "°f f fahrenheit",
        "mph": "mph",
        "kph": "kph kmh",
    }.items()
    for spelling in spellings.split()
}
_HIGHEST = 10**15
"""No run of number words says more than a thousand times this."""
_FACTORS = {"k": 1000, "bn": 10**9, **_SCALES}
_HALVES = {"am": "am", "a.m.": "am", "pm": "pm", "p.m.": "pm"}
_CODE_BEFORE = re.compile(r"\b(gbp|usd|eur|jpy|inr)\s*$", re.IGNORECASE)
_BOUND_BEFORE = re.compile(
    r"\b(?:(over|above|exceed(?:s|ing)?|after|since|at\sleast|(?:more|greater|larger|bigger|longer|older|higher)\sthan)"
    r"|(under|below|before|until|within|at\smost|up\sto|(?:less|fewer|smaller|shorter|younger|lower)\sthan))"
    r"\s(?:the\s(?:age\sof\s)?)?$",
    re.IGNORECASE,
)
_LIST_BEFORE = re.compile(
    r"\b(?:top|best|these|those|are|your|some|any|name|list|give\sme)(?:\sthe)?\s$", re.IGNORECASE
)
_LIST_AFTER = re.compile(
    r"\s(?:best|top|most|main|major|different|good|great|ways?|things?|tips?|reasons?|steps|examples?|types?|kinds?|ideas"
    r"|facts)\b",
    re.IGNORECASE,
)
_LISTS = frozenset(str(length) for length in range(2, 21))
_HALF_WORDS = {"morning": "am", "afternoon": "pm", "evening": "pm", "tonight": "pm"}


@remembered
def quantities(text: Reading) -> tuple[Quantity, ...]:
    """The numbers of *text* in order. Number words and units are those of English, digits of any script."""
    return tuple(_quantities(text))


def _quantities(text: Reading) -> Iterator[Quantity]:
    spelt = text.english and not text.vocabulary.isdisjoint(_WORDS)
    if not spelt and not _DIGIT.search(text):
        return
    plain = str.__str__(text)
    for match in (_NUMBER if spelt else _NUMERAL).finditer(plain):
        before = plain[max(0, match.start() - 24) : match.start()]
        found = _BOUND_BEFORE.search(before)
        bound = None if found is None else "over" if found[1] else "under"
        tail = (match["tail"] or match["next"] or "").lower()
        unit = _UNITS.get(match["sign"] or "") or _UNITS.get(tail)
        if match["words"]:
            values = re.split(r"[\s-]", match["words"].lower())
            ones = [Quantity(str(value), unit, _half(tail, text), bound) for value in _values(values)]
        else:
            if unit is None and (code := _CODE_BEFORE.search(before)):
                unit = _UNITS[code[1].lower()]
            ones = [_digits(match["digits"], tail, unit, bound, text)]
        end = match.end("words" if match["words"] else "digits")
        listing = unit is None and bool(_LIST_BEFORE.search(before) or _LIST_AFTER.match(plain, end))
        loose = bool(match["words"]) and all(word in _LOOSE for word in re.split(r"[\s-]", match["words"].lower()))
        for one in ones:
            yield one._replace(idle=loose or one.value == "1" or (listing and one.value in _LISTS))


def _digits(digits: str, tail: str, unit: str | None, bound: str | None, text: Reading) -> Quantity:
    if not digits.isascii():
        digits = "".join(str(unicodedata.decimal(sign, sign)) for sign in digits)
    half = _half(tail, text)
    if ":" in digits:
        hour, _, rest = digits.partition(":")
        hour = _plain(hour)
        if len(hour) < 3 and int(hour) > 12:
            hour, half = str(int(hour) - 12), "pm"
        rest = rest.replace(":", ".").rstrip("0.")  # as a decimal: "the 9.30 train"
        return Quantity(f"{hour}.{rest}" if rest else hour, None, half, bound)
    value = _plain(digits.replace(",", ""))
    if tail in _FACTORS and len(value) < 16 and value.count(".") < 2:
        value = _plain(f"{float(value) * _FACTORS[tail]:.6f}")
    return Quantity(value, unit, half, bound)


def _plain(digits: str) -> str:
    """Without zeros that say nothing. A version of several parts stays as it is."""
    if digits.count(".") == 1:
        digits = digits.rstrip("0").rstrip(".")
    return digits.lstrip("0") or "0" if "." not in digits else digits


def _values(words: list[str]) -> Iterator[int]:
    """The numbers that a run of number words says: "two hundred" is one, "two seven" are two."""
    total, last = None, 0
    for word in words:
        if total is not None and total > _HIGHEST:
            yield total
            total, last = None, 0
        if word in _SCALES:
            total = (1 if total is None else total) * _SCALES[word]
            last = _SCALES[word]
            continue
        value = _SMALL.get(word) or _TENS.get(word) or _LOOSE.get(word, 0)
        if total is not None and value < last and last >= 20:
            total += value
        else:
            if total is not None:
                yield total
            total = value
        last = value
    if total is not None:
        yield total


def _half(tail: str, text: Reading) -> str | None:
    if tail in _HALVES:
        return _HALVES[tail]
    halves = {_HALF_WORDS[word] for word in _HALF_WORDS if word in text.vocabulary}
    return halves.pop() if len(halves) == 1 else None


def numbers_differ(asked: Reading, stored: Reading) -> str | None:
    """Whether the two texts have different numbers, or the same ones of something else."""
    ones, others = quantities(asked), quantities(stored)
    if ones == others:
        return None
    mine, theirs = {one.value for one in ones}, {other.value for other in others}
    if mine != theirs:
        more, fewer = mine - theirs, theirs - mine
        if (more and fewer) or _counts(more, ones) or _counts(fewer, others):
            return f"numbers differ: {told(more, fewer)}"
    bound, other_bound = _bound_to(ones), _bound_to(others)
    for of in sorted(bound.keys() & other_bound.keys()):
        if bound[of].isdisjoint(other_bound[of]):
            return f"{of[0]} is of something else: {told(bound[of], other_bound[of])}"
    return None


def _bound_to(ones: tuple[Quantity, ...]) -> dict[tuple[str, str], set[str]]:
    """For each value, and each kind of thing that may be bound to it, what is."""
    found: dict[tuple[str, str], set[str]] = {}
    for one in ones:
        for kind, what in (("unit", one.unit), ("half", one.half), ("bound", one.bound)):
            if what is not None:
                found.setdefault((one.value, kind), set()).add(what)
    return found


def _counts(values: set[str], among: tuple[Quantity, ...]) -> bool:
    """Whether any of the values that only one text has is more than idle."""
    return any(one.value in values and not one.idle for one in among)
