"""Many requests from many threads, and what became of them."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mneme import MnemeError
from showcase.models import CutOffError, ModelError
from showcase.state import STRESS, State
from showcase.traffic import Traffic

__all__ = ["Plan", "Sample", "Snapshot", "Stress", "percentile"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run."""

    requests: int
    threads: int
    paraphrases: float
    delay: float | None
    """Seconds that the stand-in for the model waits; `None` for the model itself."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One request that was answered."""

    at: float
    """Seconds since the run began."""
    seconds: float
    outcome: str
    wrong: bool
    """Whether the answer belongs to a question about something else."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How far a run has come."""

    plan: Plan | None
    running: bool
    seconds: float
    samples: Sequence[Sample] = field(repr=False, default=())
    failure: str = ""

    def count(self, *outcomes: str) -> int:
        """How many requests ended so."""
        return sum(sample.outcome in outcomes for sample in self.samples)

    @property
    def wrong(self) -> int:
        """How many were answered wrongly."""
        return sum(sample.wrong for sample in self.samples)

    def times(self, *outcomes: str) -> list[float]:
        """The times of those that ended so, in order."""
        return sorted(sample.seconds for sample in self.samples if sample.outcome in outcomes)


class Stress:
    """One run at a time. Everything may be called from any thread."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._samples: list[Sample] = []
        self._plan: Plan | None = None
        self._traffic = Traffic(0.0)
        self._taken = 0
        self._begun = self._ended = 0.0
        self._failure = ""

    def start(self, plan: Plan) -> bool:
        """Begin with an empty namespace; false if a run is under way."""
        with self._lock:
            if self._running():
                return False
            self._state.cache.clear_namespace(STRESS)
            self._stop.clear()
            self._samples, self._plan, self._traffic = [], plan, Traffic(plan.paraphrases)
            self._taken, self._failure = 0, ""
            self._begun = self._ended = time.perf_counter()
            self._threads = [
                threading.Thread(target=self._work, args=(plan,), name=f"showcase-stress-{number}", daemon=True)
                for number in range(plan.threads)
            ]
            for thread in self._threads:
                thread.start()
            return True

    def stop(self) -> None:
        """End the run, and wait until every thread has ended."""
        with self._lock:  # one that is just beginning has begun, and ends too
            self._stop.set()
        self.join()

    def join(self) -> None:
        """Wait until the run has ended by itself."""
        for thread in self._threads:
            thread.join()

    def snapshot(self) -> Snapshot:
        """How far it is now."""
        with self._lock:
            running = self._running()
            seconds = (time.perf_counter() if running else self._ended) - self._begun
            return Snapshot(self._plan, running, seconds, tuple(self._samples), self._failure)

    def _running(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _work(self, plan: Plan) -> None:
        while not self._stop.is_set():
            with self._lock:
                if self._taken == plan.requests:
                    break
                self._taken += 1
                request = self._traffic.next()
            try:
                compute = functools.partial(self._compute, topic=request.topic)
                asked = self._state.ask(request.question, compute, namespace=STRESS)
            except CutOffError:
                continue  # not kept, and no answer either
            except (ModelError, MnemeError) as error:
                if not self._stop.is_set():  # the first; what others say then, is that they were stopped
                    self._failure = str(error)
                    self._stop.set()
                break
            now = time.perf_counter()
            wrong = asked.response["topic"] != request.topic
            with self._lock:
                self._samples.append(Sample(now - self._begun, asked.seconds, asked.outcome, wrong))
        with self._lock:
            self._ended = time.perf_counter()

    def _compute(self, question: str, topic: str) -> dict[str, Any]:
        """The model's answer, or a stand-in's; with the topic, by which it is seen whether it is served rightly."""
        plan = self._plan
        if plan is not None and plan.delay is not None:
            if self._stop.wait(plan.delay):
                raise ModelError("the run was stopped")
            return {"topic": topic, "text": f"a stand-in for a model answered {question!r}"}
        answer = self._state.model.answer(self._state.turns(question), stopped=self._stop.is_set)
        if not answer.whole:
            raise CutOffError(answer)
        return {"topic": topic, "text": answer.text}


def percentile(times: Sequence[float], share: float) -> float | None:
    """The time within which that share of *times*, which are in order, lies; `None` if there are none."""
    return times[min(len(times) - 1, int(len(times) * share))] if times else None
