"""Questions without end, of which it is known which of them mean the same."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["TOPICS", "Request", "Traffic"]

_COUNTRIES = (
    *("Peru", "Kenya", "Norway", "Japan", "Chile", "Egypt", "Greece", "Canada", "Turkey", "Poland"),
    *("Mexico", "Iceland", "Vietnam", "Portugal", "Morocco", "Finland", "Nepal", "Cuba", "Ghana", "Ireland"),
)
# The first wording of each is the usual one, the others say the same.
_WORDINGS = (
    (
        *("What is the capital of {}?", "Which city is the capital of {}?"),
        *("What's the capital city of {}?", "Name the capital of {}."),
    ),
    (
        *("What is the currency of {}?", "Which currency is used in {}?"),
        *("What currency do they use in {}?", "What money do people pay with in {}?"),
    ),
    (
        *("What language is spoken in {}?", "Which language do people speak in {}?"),
        *("What is the official language of {}?", "What language do they speak in {}?"),
    ),
    (
        *("How many people live in {}?", "What is the population of {}?"),
        *("How large is the population of {}?", "How many inhabitants does {} have?"),
    ),
    (
        *("What is the highest mountain in {}?", "Which mountain in {} is the highest?"),
        *("What's the tallest mountain of {}?", "Which is the tallest peak in {}?"),
    ),
    (
        *("What do people in {} like to eat?", "What food is typical of {}?"),
        *("What is a typical dish of {}?", "Which dishes are typical of {}?"),
    ),
    (
        *("What is the weather like in {} in summer?", "How is the weather in {} in summer?"),
        *("How warm does it get in {} in summer?", "What's the summer weather like in {}?"),
    ),
    (
        *("Do I need a visa for {}?", "Do I need a visa to travel to {}?"),
        *("Is a visa required to visit {}?", "Do I have to get a visa to go to {}?"),
    ),
)
TOPICS = len(_COUNTRIES) * len(_WORDINGS)


@dataclass(frozen=True, slots=True)
class Request:
    """A question, and what it is about: two of the same topic have the same answer, two of different ones never."""

    question: str
    topic: str


class Traffic:
    """Some topics are asked about often and most seldom, as it is everywhere. The same seed asks the same.

    Args:
        paraphrases: The share of questions, from 0 to 1, that are put in other words than the usual ones.
        seed: Begins the sequence.
    """

    def __init__(self, paraphrases: float, seed: int = 1) -> None:
        self._paraphrases = paraphrases
        self._random = random.Random(seed)  # noqa: S311 -- no secret: that it can be repeated is the point
        self._topics = [(country, kind) for country in _COUNTRIES for kind in range(len(_WORDINGS))]
        self._random.shuffle(self._topics)

    def next(self) -> Request:
        """The next question."""
        country, kind = self._topics[int(len(self._topics) * self._random.random() ** 2)]
        usual, *others = _WORDINGS[kind]
        wording = self._random.choice(others) if self._random.random() < self._paraphrases else usual
        return Request(wording.format(country), usual.format(country))
