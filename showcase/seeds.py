"""Questions of our own to try things with. Each but the first of a group says what ought to become of it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GROUPS", "Group", "story"]


@dataclass(frozen=True, slots=True)
class Group:
    """A question, and others that are like it."""

    first: str
    same: tuple[str, ...]
    """Other words for it: answered from the cache."""
    other: tuple[str, ...] = ()
    """Alike, and yet another question: never answered by it."""


GROUPS = (
    Group(
        "What is the capital of France?",
        ("What's the capital city of France?", "Which city is the capital of France?"),
        ("What is the capital of Australia?",),
    ),
    Group(
        "Why is the sky blue?",
        ("Why does the sky look blue?", "What makes the sky blue?"),
        ("Why is the sea blue?",),
    ),
    Group(
        "How long does the train take from Paris to London?",
        ("How long does it take to get from Paris to London by train?",),
        ("How long does the train take from London to Paris?",),
    ),
    Group(
        "How do I boil an egg?",
        ("How do you boil an egg?", "What is the best way to boil an egg?"),
        ("How do I boil an egg for 10 minutes?",),
    ),
    Group(
        "How do I enable two-factor authentication?",
        ("How can I turn on two-factor authentication?",),
        ("How do I disable two-factor authentication?",),
    ),
    Group(
        "How far away is the Moon?",
        ("What is the distance to the Moon?", "How far is the moon from the Earth?"),
        ("How far away is the Sun?",),
    ),
    Group("How do plants make food?", ("How do plants produce food?", "How do plants make their food?")),
    Group("Who wrote Romeo and Juliet?", ("Who is the author of Romeo and Juliet?",), ("Who wrote Hamlet?",)),
)


def story() -> list[str]:
    """Some thirty questions as people ask them: some again, some in other words, some that are merely alike."""
    told: list[str] = []
    for before, group in zip((None, *GROUPS), GROUPS, strict=False):
        told += [group.first, group.first, *group.same, *group.other[:1]]
        if before is not None:
            told.append(before.first.lower())
    return told
