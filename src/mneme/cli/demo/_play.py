"""The demo itself: real questions, a real file, and whatever computes the answers. Every figure is measured here."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mneme import Embedder, SemanticCache
from mneme.cli import _show as show
from mneme.cli.demo._models import Model
from mneme.cli.demo._questions import FalseFriend, Question
from mneme.cli.demo._tally import Asked, Outcome, Tally

NAMESPACE = "acme"
_CALLERS = 8
_NEW_QUESTION = "Why is the sky blue?"


@dataclass(frozen=True, slots=True)
class Kept:
    """A false friend, and what became of it."""

    friend: FalseFriend
    similarity: float | None
    """To the most similar question that is stored where the look-alike is."""
    nearest: str | None
    answered: bool
    """Whether it was answered after all, which is a failure."""


class Screen(Protocol):
    """Shows what happens, as it happens."""

    def begin(self, title: str, tally: Tally) -> None: ...
    def asking(self, query: str) -> None: ...
    def asked(self, asked: Asked, tally: Tally) -> None: ...
    def end(self, tally: Tally) -> None: ...
    def say(self, text: str) -> None: ...
    def kept(self, kept: Sequence[Kept], threshold: float) -> None: ...


class Play:
    """The parts of the demo, to be played in order on one file."""

    def __init__(
        self,
        file: Path,
        embedder: Embedder,
        model: Model,
        questions: Sequence[Question],
        *,
        threshold: float,
        screen: Screen,
    ) -> None:
        self._file = file
        self._embedder = embedder
        self._model = model
        self._questions = questions
        self._threshold = threshold
        self._screen = screen
        self._scope = {"language": "en", "model": model.name}
        self._meaning = {normal(question.text): question.meaning for question in questions}
        self._events: list[tuple[str, Mapping[str, Any]]] = []
        self.model_calls = 0

    @contextmanager
    def open(self) -> Iterator[SemanticCache]:
        """The cache, opened anew."""
        with SemanticCache(
            self._file,
            self._embedder,
            similarity_threshold=self._threshold,
            metrics_hook=lambda event, fields: self._events.append((event, fields)),
        ) as cache:
            yield cache

    def ask_all(self, cache: SemanticCache, title: str) -> Tally:
        """Ask every question in turn; the model is asked what the cache does not know."""
        tally = Tally(len(self._questions))
        self._screen.begin(title, tally)
        for number, question in enumerate(self._questions, start=1):
            self._screen.asking(question.text)
            asked = self._ask(cache, number, question)
            tally.asked.append(asked)
            self._screen.asked(asked, tally)
        self._screen.end(tally)
        return tally

    def _ask(self, cache: SemanticCache, number: int, question: Question) -> Asked:
        self._events.clear()
        begun = time.perf_counter()
        cache.get_or_compute(question.text, self._compute, namespace=NAMESPACE, scope=self._scope)
        seconds = time.perf_counter() - begun
        for event, fields in self._events:
            outcome: Outcome | None = _OUTCOME_OF.get(event)
            if outcome is not None:
                # The event says which entry answered; the entry says which question it was stored for.
                [entry] = cache.entries(after=fields["entry_id"] - 1, limit=1)
                return Asked(
                    number,
                    question.text,
                    outcome,
                    seconds,
                    similarity=fields["similarity"],
                    matched=entry.query,
                    right=self._meaning[normal(entry.query)] == question.meaning,
                    saved=fields["seconds_saved"],
                )
        return Asked(number, question.text, "miss", seconds)

    def _compute(self, question: str) -> str:
        self.model_calls += 1
        return self._model(question)

    def ask_together(self, cache: SemanticCache) -> tuple[int, int]:
        """Eight callers ask a new question at the same moment; how often the model ran, and how many were answered."""
        before = self.model_calls
        start = threading.Barrier(_CALLERS)
        answers: list[str] = []

        def caller() -> None:
            start.wait()
            answers.append(cache.get_or_compute(_NEW_QUESTION, self._compute, namespace=NAMESPACE, scope=self._scope))

        threads = [threading.Thread(target=caller) for _ in range(_CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        calls = self.model_calls - before
        self._screen.say(
            f"{_CALLERS} threads ask {_NEW_QUESTION!r} at the same moment: {show.counted(calls, 'model call')}, "
            f"{show.counted(len(answers), 'answer')}"
        )
        return calls, len(answers)

    def ask_false_friends(self, cache: SemanticCache, friends: Sequence[FalseFriend]) -> list[Kept]:
        """Ask what must not be answered, each in its own tenant and scope."""
        kept = []
        for friend in friends:
            nearest = cache.lookup(friend.query, k=1, namespace=NAMESPACE, scope=self._scope)
            hit = cache.get(friend.query, namespace=friend.namespace or NAMESPACE, scope=self._scope | friend.scope)
            kept.append(
                Kept(
                    friend,
                    similarity=nearest[0].similarity if nearest else None,
                    nearest=nearest[0].query if nearest else None,
                    answered=hit is not None,
                )
            )
        self._screen.kept(kept, self._threshold)
        return kept


_OUTCOME_OF: dict[str, Outcome] = {"hit_exact": "exact", "hit_semantic": "semantic"}


def normal(text: str) -> str:
    """What makes two questions equal for the exact layer."""
    return " ".join(text.split()).casefold()
