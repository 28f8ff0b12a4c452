"""Groups of texts that mean the same: each asks the cache for the nearest one before it, and joins its group.

A text that joins becomes an alias: found when it comes again, without a vector of its own, so groups do not drift.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mneme import Candidate, InputTooLongError, SemanticCache
from mneme.guards import DEFAULT_GUARDS
from mneme.types import Layer
from showcase.work.inputs import BadInputError, checked_text
from showcase.work.remembered import Remembered

__all__ = ["MOST_LINES", "Group", "Member", "Outcome", "Pair", "checked_lines", "deduplicate", "tickets"]

MOST_LINES, MOST_LINE = 200, 300
NEAR = 0.1
"""So far below the threshold a pair is still shown."""
LOWEST, HIGHEST = 0.5, 0.99


@dataclass(frozen=True, slots=True)
class Member:
    """A line in a group, and how it got there."""

    text: str
    layer: Layer | None
    """`None` for the first of its group."""
    similarity: float
    """To the line that it was found by."""


@dataclass(frozen=True, slots=True)
class Group:
    """Lines that mean the same, as far as can be told."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two lines that might have been one group, and why they are not."""

    text: str
    other: str
    similarity: float
    guard: str
    """The guard's reason; empty if they are not similar enough."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the lines."""

    lines: int
    groups: tuple[Group, ...]
    """In order of appearance."""
    guarded: tuple[Pair, ...]
    """Similar enough, and kept apart by a guard; the most similar first."""
    near: tuple[Pair, ...]
    """A little less similar than they would have to be."""
    unread: tuple[tuple[str, str], ...]
    """Lines that the embedder cannot read, and why: they equal nothing but themselves."""
    vectors: int
    """How many lines needed a vector in the index; the others are aliases."""
    seconds: float

    @property
    def duplicates(self) -> int:
        """Lines that said nothing new."""
        return self.lines - len(self.groups)


def tickets() -> list[str]:
    """Forty tickets to a support desk, written for the showcase."""
    return (Path(__file__).parents[1] / "data" / "tickets.txt").read_text(encoding="utf-8").splitlines()


def checked_lines(text: str) -> list[str]:
    """The lines that are not blank.

    Raises:
        BadInputError: There are none, or too many, or one is too long.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise BadInputError("there are no lines: paste some, or take the tickets")
    if len(lines) > MOST_LINES:
        raise BadInputError(f"there are {len(lines):,} lines, and at most {MOST_LINES} are taken: paste fewer")
    return [checked_text(line, f"line {number}", MOST_LINE) for number, line in enumerate(lines, start=1)]


def deduplicate(lines: Sequence[str], embedder: Remembered, *, threshold: float = 0.8, guards: bool = True) -> Outcome:
    """Sort *lines* into groups, in the order in which they come.

    Raises:
        BadInputError: The threshold is out of range.
    """
    if not LOWEST <= threshold <= HIGHEST:
        raise BadInputError(f"the threshold is {threshold:g}; it must be from {LOWEST:g} to {HIGHEST:g}")
    begun = time.perf_counter()
    groups: dict[str, list[Member]] = {}
    apart: list[Pair] = []
    unread: dict[str, str] = {}
    with SemanticCache(
        ":memory:",
        embedder,
        similarity_threshold=threshold,
        alias_threshold=threshold,
        guards=DEFAULT_GUARDS if guards else (),
    ) as cache:
        _embed(lines, embedder)
        for line in lines:
            hit = cache.get(line)
            if hit is None:
                try:
                    embedder.embed(line)
                except InputTooLongError as error:
                    unread[line] = str(error)
            if hit is None or hit.layer == "semantic":
                apart += _kept_apart(cache, line, threshold)
            name = line if hit is None else str(hit.response)
            if hit is None or hit.layer == "semantic":
                cache.put(line, name)
            groups.setdefault(name, []).append(
                Member(line, None if hit is None else hit.layer, 1.0 if hit is None else hit.similarity)
            )
        vectors = len(groups) - len(unread)
    apart = _without_repeats(apart, groups)
    return Outcome(
        lines=len(lines),
        groups=tuple(Group(tuple(members)) for members in groups.values()),
        guarded=tuple(pair for pair in apart if pair.guard),
        near=tuple(pair for pair in apart if not pair.guard),
        unread=tuple(unread.items()),
        vectors=vectors,
        seconds=time.perf_counter() - begun,
    )


def _embed(lines: Sequence[str], embedder: Remembered) -> None:
    """All in one batch, if all of them can be read; the cache embeds one by one otherwise."""
    try:
        embedder.embed_many(lines)
    except InputTooLongError:
        return


def _kept_apart(cache: SemanticCache, line: str, threshold: float) -> list[Pair]:
    """The entries near *line* that did not answer."""
    return [
        Pair(line, one.query, one.similarity, one.detail)
        for one in cache.explain(line, k=4).candidates
        if _is_near(one, threshold)
    ]


def _is_near(one: Candidate, threshold: float) -> bool:
    return one.reason == "guarded" or (one.reason == "below_threshold" and one.similarity >= threshold - NEAR)


def _without_repeats(pairs: list[Pair], groups: dict[str, list[Member]]) -> list[Pair]:
    """One pair for each two groups, the most similar one. None is within a group: its first alone has a vector."""
    group_of = {member.text: name for name, members in groups.items() for member in members}
    best: dict[frozenset[str], Pair] = {}
    for pair in sorted(pairs, key=lambda pair: -pair.similarity):
        best.setdefault(frozenset((group_of[pair.text], group_of[pair.other])), pair)
    return list(best.values())
