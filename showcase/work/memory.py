"""What an agent remembers of its users: facts recalled by what they are about, and forgotten by time or on demand.

A user is a namespace, so no question about one can find a fact of another. Nothing is served as an answer: the nearest
facts are looked up, and the model reads them as quotations.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from mneme import Embedder, Entry, Forgotten, InputTooLongError, SemanticCache
from showcase.work.asking import Asks, Reply
from showcase.work.facts import NOTE, Fact, facts_in
from showcase.work.inputs import BadInputError, checked_text

__all__ = ["LASTS", "LEAST", "TALK", "Heard", "Memory", "Recalled", "Remembered"]

MOST_FACTS, MOST_USERS = 50, 6
MOST_SAID, MOST_NAME = 200, 30
LEAST = 0.25
"""Facts less similar to the question have nothing to do with it: for short statements and the local model."""
LASTS = {"": "as long as such things do", "30s": "30 seconds", "1h": "an hour", "1d": "a day", "infinite": "for ever"}
INSTRUCTION = "You are the user's assistant. Answer in one short sentence. Use what is known about the user."
TALK = {
    "Ann": (
        "I live in Lisbon with my dog Rex.",
        "I'm vegetarian, and I work as a nurse.",
        "I'm tired.",
        "I moved to Porto!",
        "I like to read novels before going to sleep.",
    ),
    "Bob": ("I live in Oslo.", "I'm allergic to peanuts.", "I'm flying to Rome next week."),
}


@dataclass(frozen=True, slots=True)
class Heard:
    """What was made of a sentence."""

    facts: tuple[Fact, ...]
    corrected: tuple[str, ...]
    """Facts that are not true any more, and were removed."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A fact in the memory of one user."""

    entry_id: int
    kind: str
    statement: str
    said: str
    age_seconds: float
    seconds_left: float | None
    """Until it expires; below 0 if it has, and is only not removed yet; `None` for never."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """A fact that came up, and how near it is to the question."""

    statement: str
    said: str
    similarity: float
    age_seconds: float
    used: bool
    """Whether the agent gets to see it."""


class Memory:
    """The users of one person who tries this out, and what is remembered of each.

    Args:
        cache: Shared with others.
        namespace: This person's; each user has one below it.
        model: Answers questions; `None` for nobody.
        embedder: The cache's.
        now: The time, of the same clock as the cache's.

    Thread safety: all methods may be called from any thread.
    """

    def __init__(
        self,
        cache: SemanticCache,
        namespace: str,
        model: Asks | None,
        embedder: Embedder,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._cache = cache
        self._embedder = embedder
        self._namespace = namespace
        self._model = model
        self._now = now
        self._users = list(TALK)
        self._lock = threading.Lock()

    @property
    def users(self) -> tuple[str, ...]:
        """Their names, in the order in which they came."""
        return tuple(self._users)

    def add_user(self, name: str) -> str:
        """Another user; the name as it is kept.

        Raises:
            BadInputError: The name is empty, too long, or there already; or there are enough users.
        """
        name = " ".join(checked_text(name, "the name", MOST_NAME).split())
        with self._lock:
            if name.casefold() in map(str.casefold, self._users):
                raise BadInputError(f"there is a user {name!r} already: choose another name")
            if len(self._users) >= MOST_USERS:
                raise BadInputError(f"there are {MOST_USERS} users, which is the most here")
            self._users.append(name)
        return name

    def hear(self, user: str, said: str, lasts: str = "") -> Heard:
        """Keep the facts in a sentence, in place of earlier ones of the same kind.

        Raises:
            BadInputError: There is no such user; the sentence is empty, too long or cannot be read; the memory is full.
        """
        namespace = self._of(user)
        said = checked_text(said, "the sentence", MOST_SAID)
        if lasts not in LASTS:
            raise BadInputError(f"{lasts!r} is no time to remember: choose one of {', '.join(LASTS.values())}")
        if len(self._entries(user)) >= MOST_FACTS:
            raise BadInputError(f"{MOST_FACTS} facts are remembered of {user}, which is the most here: forget some")
        facts = facts_in(said)
        corrected: list[str] = []
        for fact in facts:
            embedding = self._embedding(fact.statement)
            self._cache.put(
                fact.statement,
                fact.value,
                embedding=embedding,
                namespace=namespace,
                metadata={"kind": fact.kind, "said": said},
                ttl=lasts or fact.ttl,
                tags=[fact.kind],
            )
            if fact.kind == NOTE:
                continue
            # After the new one is kept: if it cannot be, what was known stays.
            old = [entry.query for entry in self._entries(user, fact.kind) if entry.query != fact.statement]
            corrected += [query for query in old if self._cache.delete(query, namespace=namespace)]
        return Heard(tuple(facts), tuple(corrected))

    def facts(self, user: str) -> tuple[Remembered, ...]:
        """Everything that is remembered of a user, oldest first. Raises `BadInputError` if there is no such user."""
        now = self._now()
        return tuple(
            Remembered(
                entry_id=entry.entry_id,
                kind=entry.metadata["kind"],
                statement=entry.query,
                said=entry.metadata["said"],
                age_seconds=now - entry.created_at,
                seconds_left=None if entry.expires_at is None else entry.expires_at - now,
            )
            for entry in self._entries(user)
        )

    def recall(self, user: str, question: str, k: int = 5) -> tuple[Recalled, ...]:
        """The facts nearest to a question, best first; the agent gets to see those that are near enough.

        Raises:
            BadInputError: There is no such user; the question is empty, too long or cannot be read.
        """
        namespace = self._of(user)
        question = checked_text(question, "the question", MOST_SAID)
        hits = self._cache.lookup(question, k=k, embedding=self._embedding(question), namespace=namespace)
        return tuple(
            Recalled(hit.query, hit.metadata["said"], hit.similarity, hit.age_seconds, hit.similarity >= LEAST)
            for hit in hits
        )

    def prompt(self, question: str, recalled: tuple[Recalled, ...]) -> str:
        """What the agent gets to see: facts as quotations, because whoever may put facts may put instructions."""
        known = [f'- "{one.statement}" (heard {ago(one.age_seconds)})' for one in recalled if one.used]
        return "\n".join(["Known about the user:", *(known or ["- nothing"]), "", f"The user asks: {question}"])

    def answer(self, question: str, recalled: tuple[Recalled, ...]) -> Reply | None:
        """What the model says to the prompt; `None` without a model. Raises what the model raises."""
        return None if self._model is None else self._model.ask(INSTRUCTION, self.prompt(question, recalled))

    def forget_fact(self, user: str, entry_id: int) -> bool:
        """Forget one fact; whether there was one of that number. Raises `BadInputError` if there is no such user."""
        found = [entry for entry in self._entries(user) if entry.entry_id == entry_id]
        return any(self._cache.delete(entry.query, namespace=entry.namespace) for entry in found)

    def forget_user(self, user: str) -> Forgotten:
        """Forget everything of a user, in the files too. Raises `BadInputError` if there is no such user."""
        return self._cache.forget(namespace=self._of(user))

    def clear(self) -> None:
        """Forget every user."""
        for user in self._users:
            self._cache.clear_namespace(self._of(user))

    def _of(self, user: str) -> str:
        if user not in self._users:
            raise BadInputError(f"there is no user {user!r}: choose one of {', '.join(self._users)}")
        return f"{self._namespace}/{user}"

    def _entries(self, user: str, kind: str | None = None) -> list[Entry]:
        tags = None if kind is None else [kind]
        return self._cache.entries(namespace=self._of(user), tags=tags, limit=2 * MOST_FACTS)

    def _embedding(self, text: str) -> object:
        """Found out before anything is stored or removed: a fact without a vector would never be recalled."""
        try:
            return self._embedder.embed(text)
        except InputTooLongError as error:
            raise BadInputError(f"{text!r} cannot be remembered by its meaning: {error}") from error


def ago(seconds: float) -> str:
    """How long ago, for people."""
    for most, size, unit in ((90, 1, "s"), (5400, 60, "min"), (36 * 3600, 3600, "h")):
        if seconds < most:
            return f"{max(0, round(seconds / size))} {unit} ago"
    return f"{round(seconds / 86400)} days ago"
