"""One question, asked with the cache and without it at the same time; what comes of it, piece by piece."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mneme import Explanation, InputTooLongError, MnemeError
from showcase.models import CutOffError, ModelError
from showcase.state import Asked, State

__all__ = ["Done", "Piece", "Run", "Side"]

Side: TypeAlias = Literal["with", "without"]
_PATIENCE = 0.5


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer, as it came."""

    side: Side
    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """How one side ended."""

    side: Side
    text: str
    seconds: float
    waited: float = 0.0
    """Before these, for the model to be done with others."""
    outcome: str = "miss"
    """`exact`, `semantic` or `miss`."""
    asked: Asked | None = None
    problem: str = ""


class Run:
    """A question under way. Iterate over it once: pieces and ends of both sides as they happen, `None` now and then.

    What the cache would do is found out first, since afterwards the question itself is stored.

    Raises:
        MnemeError, ValueError: The cache cannot take the question.
    """

    def __init__(self, state: State, question: str) -> None:
        self.question = question
        self._state = state
        self._events: queue.SimpleQueue[Piece | Done] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._looked_up = threading.Event()
        self.embed_seconds = self._embedded()
        self.explanation: Explanation = state.cache.explain(question, k=5, scope=state.scope())
        self._threads = [
            threading.Thread(target=self._side, args=(side, ask), name=f"showcase-{side}", daemon=True)
            for side, ask in (("with", self._with), ("without", self._without))
        ]

    def _embedded(self) -> float | None:
        """How long the embedder takes; `None` for what it cannot take, which is answered on the exact layer alone."""
        begun = time.perf_counter()
        try:
            self._state.embedder.embed(self.question)
        except InputTooLongError:
            return None
        return time.perf_counter() - begun

    def __iter__(self) -> Iterator[Piece | Done | None]:
        """Begins both sides; leaving the iteration ends them. While nothing happens one can leave too."""
        for thread in self._threads:
            thread.start()
        try:
            left = 2
            while left:
                try:
                    event = self._events.get(timeout=_PATIENCE)
                except queue.Empty:
                    yield None
                    continue
                yield event
                left -= isinstance(event, Done)
        finally:
            self.stop()

    def stop(self) -> None:
        """Let both sides end as soon as they can."""
        self._stop.set()
        self._looked_up.set()

    def join(self) -> None:
        """Wait until both have ended."""
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _side(self, side: Side, ask: Callable[[], Done]) -> None:
        begun = time.perf_counter()
        try:
            done = ask()
        except CutOffError as error:
            said = error.answer
            problem = "" if side == "without" else "The model was cut off; such an answer is shown, and not kept."
            done = Done(side, said.text, said.seconds, said.waited, problem=problem)
        except (ModelError, MnemeError) as error:
            done = Done(side, "", time.perf_counter() - begun, problem=str(error))
        except Exception as error:  # noqa: BLE001 -- whoever waits for this side would wait for ever
            done = Done(side, "", time.perf_counter() - begun, problem=f"{type(error).__name__}: {error}")
        finally:
            self._looked_up.set()
        self._events.put(done)

    def _with(self) -> Done:
        asked = self._state.ask_model(
            self.question,
            say=lambda text: self._events.put(Piece("with", text)),
            stopped=self._stop.is_set,
            begin=self._looked_up.set,
        )
        waited = asked.computed.waited if asked.computed else 0.0
        return Done("with", asked.response, max(0.0, asked.seconds - waited), waited, asked.outcome, asked)

    def _without(self) -> Done:
        # Where the model serves one at a time, this side must not be in the way of one that may not need it.
        self._looked_up.wait()
        answer = self._state.model.answer(
            self._state.turns(self.question),
            say=lambda text: self._events.put(Piece("without", text)),
            stopped=self._stop.is_set,
        )
        if not answer.whole:
            raise CutOffError(answer)
        return Done("without", answer.text, answer.seconds, answer.waited)
