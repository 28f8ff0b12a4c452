"""Vectors that were made rather than found: more of the same kind, near copies, stand-ins, and the worst kinds."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import numpy.typing as npt

from mneme.ports import Matrix

_BLOCK = 20_000
_SAMPLE = 20_000


def unit(rows: npt.NDArray[np.floating]) -> Matrix:
    """Divided by their lengths, so that doing it again changes nothing: the cache, which divides what it is given, then
    holds the same numbers to the last bit as what it is compared with.
    """
    random = np.random.default_rng(12)
    made = np.empty(rows.shape, np.float32)
    for start in range(0, len(rows), _BLOCK):
        block = _divided(rows[start : start + _BLOCK])
        while (moving := (_divided(block) != block).any(axis=1)).any():
            # One row in some hundred rounds to a length that is just not 1, and would creep for long: a millionth aside
            # is another one.
            size = (int(moving.sum()), rows.shape[1])
            block[moving] = _divided(block[moving] * (1 + 1e-6 * random.standard_normal(size)))
        made[start : start + _BLOCK] = block
    return made


def _divided(rows: npt.NDArray[np.floating]) -> Matrix:
    exact = rows.astype(np.float64)
    exact *= 1 / np.sqrt(np.einsum("ij,ij->i", exact, exact))[:, None]
    return exact.astype(np.float32)


def enlarged(rows: Matrix, count: int, *, low: float = 0.7, high: float = 0.9) -> Matrix:
    """So many rows: first these, then ones with a cosine between *low* and *high* to one of these.

    They are moved within the covariance of the data, not in every direction alike: what is made lies where sentences
    lie, and can be told from them as little, or as well, as they from one another.
    """
    whole = np.empty((count, rows.shape[1]), np.float32)
    whole[: len(rows)] = rows[:count]
    move = mover(rows)
    random = np.random.default_rng(4)
    for start in range(min(count, len(rows)), count, _BLOCK):
        size = min(_BLOCK, count - start)
        sources = rows[random.integers(0, len(rows), size)]
        whole[start : start + size] = move(sources, random.uniform(low, high, size).astype(np.float32))
    return whole


def mover(rows: Matrix) -> Callable[[Matrix, npt.NDArray[np.float32]], Matrix]:
    """A function that moves vectors to given cosines, by noise with the covariance of these rows."""
    random = np.random.default_rng(5)
    sample = rows[random.permutation(len(rows))[:_SAMPLE]].astype(np.float64)
    values, directions = np.linalg.eigh(np.cov(sample, rowvar=False))
    spread = (directions * np.sqrt(np.maximum(values, 0))).T.astype(np.float32)

    def move(sources: Matrix, cosines: npt.NDArray[np.float32]) -> Matrix:
        noise = random.standard_normal(sources.shape, np.float32) @ spread
        noise -= np.einsum("ij,ij->i", noise, sources)[:, None] * sources
        noise *= (np.sqrt(1 - cosines**2) / np.linalg.norm(noise, axis=1))[:, None]
        return unit(cosines[:, None] * sources + noise)

    return move


def falling_spectrum(count: int, dim: int) -> Matrix:
    """Gaussian rows with a spectrum that falls like MiniLM's: a stand-in where there is nothing better."""
    place = np.arange(dim)
    spread = np.sqrt((place + 1.0) ** -0.4 * (1 - place / dim) ** 2)
    return unit(np.random.default_rng(dim).standard_normal((count, dim), np.float32) * spread.astype(np.float32))


def isotropic(count: int, dim: int) -> Matrix:
    """The same in every direction: no few dimensions say anything about a similarity."""
    return unit(np.random.default_rng(6).standard_normal((count, dim), np.float32))


def two_clusters(count: int, dim: int) -> Matrix:
    """Half of the rows about one point, half about another, all of a cluster within a cosine of 0.9 or so."""
    centres = isotropic(2, dim)
    return unit(centres[np.arange(count) % 2] + np.float32(0.33) * isotropic(count, dim))


def all_equal(count: int, dim: int) -> Matrix:
    return np.repeat(isotropic(1, dim), count, axis=0)


# --- sentences, where there are none ----------------------------------------------------------------------------------

_FORMS = (
    "How do I {verb} {thing} {where}?",
    "What does it cost to {verb} {thing} {where}?",
    "Can you {verb} {thing} for me {when}?",
    "Is it safe to {verb} {thing} {when}?",
    "Which {kind} should I choose for {thing}?",
    "Explain to a child why people {verb} {thing}.",
    "Who invented {thing}, and when did it reach the {kind}?",
    "Write a short {kind} about {thing} {where}.",
    "The {kind} says that nobody may {verb} {thing} {when}.",
    "My {kind} broke down while I tried to {verb} {thing}.",
    "{thing}: five things that every {kind} should know",
    "Compare {thing} with {other} {where}.",
)
_WORDS = {
    "verb": "buy|sell|repair|clean|paint|cancel|insure|measure|borrow|translate|grow|photograph|test|deliver|return|"
    "cook|install|replace|store|upgrade|rent|inspect|lift|register",
    "thing": "a bicycle|the kitchen sink|an old violin|my passport|a solar panel|sourdough bread|the tax return|a tent|"
    "a laptop battery|wild mushrooms|a wedding dress|the neighbour's cat|a microscope|a train ticket|the garden fence|"
    "a bank account|an electric car|a rare stamp|the monthly report|a fishing boat|winter tyres|a heat pump|"
    "an apple tree|the hospital bill|a telescope|a leather sofa|the school timetable|a sewing machine|olive oil|"
    "a Python library|the water meter|a chess set|a mortgage|running shoes|the smoke alarm|a bag of cement|honey bees|"
    "a cello bow|the office printer|an insurance policy|a glass door|the dishwasher|antique coins|a tax refund",
    "other": "a cheaper one|last year's model|what the neighbours have|the original|a wooden one|nothing at all|"
    "something handmade|the digital version",
    "where": "in Lisbon|at home|on a small island|in the mountains|at an airport|online|near the coast|in winter|"
    "without any tools|in a rented flat|abroad|in the countryside|on a tight budget|at work",
    "when": "today|before the holidays|at night|while it rains|during an exam|next Thursday|after surgery|on Sundays|"
    "without asking first|before the contract ends",
    "kind": "expert|machine|manual|museum|teacher|poem|insurance|newspaper|doctor|landlord|farmer|browser|committee|"
    "lawyer|company|student",
}


def sentences(count: int) -> list[str]:
    """Distinct sentences about everyday things, the same ones every time."""
    random = Random(7)
    made: dict[str, None] = {}
    while len(made) < count:
        words = {name: random.choice(choices.split("|")) for name, choices in _WORDS.items()}
        text = random.choice(_FORMS).format(**words)
        made[text[0].upper() + text[1:]] = None
    return list(made)
