"""Single-flight: of the callers who want the same computation at the same time, one computes and the others wait.

A *flight* is one such computation under way. Its leader computes; whoever joins waits for the outcome. A leader that
is cancelled or killed leaves no outcome: then those who waited try again, and one of them leads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from mneme._runtime.contract import Runtime
from mneme.ports import Record, Vector
from mneme.types import Layer


@dataclass(frozen=True, slots=True)
class Offer:
    """A value that a flight can give to those who wait, as far as they accept it."""

    value: Callable[[], Any]
    """Makes it anew for every waiter, so that callers share nothing they could change."""
    layer: Layer = "exact"
    similarity: float = 1.0
    record: Record | None = None
    """The entry that it was found in, or became."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a flight came to: a value, or the error that computing it raised."""

    offer: Offer | None = None
    error: Exception | None = None


class Flight:
    """One computation under way.

    `looked` is set when the leader has looked in the cache, and may have found something stale to serve meanwhile;
    `landed` when it is over.
    """

    __slots__ = ("key", "landed", "looked", "outcome", "partition", "stale", "vector")

    def __init__(self, runtime: Runtime, key: bytes, partition: bytes) -> None:
        self.key = key
        self.partition = partition
        self.looked = runtime.signal()
        self.landed = runtime.signal()
        self.stale: Offer | None = None
        self.vector: Vector | None = None
        self.outcome: Outcome | None = None


# The flights that the running thread or task leads, its children included: were it to wait for one, it would wait for
# itself.
_led: ContextVar[tuple[Flight, ...]] = ContextVar("mneme_led_flights", default=())


class Flights:
    """The flights of one cache.

    Thread safety: every method takes one lock for a moment.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._flying: dict[bytes, Flight] = {}
        self._landings = 0

    def join(self, key: bytes, partition: bytes) -> tuple[Flight, bool]:
        """The flight for *key*, and whether the caller leads it; a leader must `land` it whatever happens.

        A computation that asks for its own key again leads a flight of its own, which nobody else can join.
        """
        with self._lock:
            flight = self._flying.get(key)
            if flight is not None and flight not in _led.get():
                return flight, False
            new = Flight(self._runtime, key, partition)
            if flight is None:
                self._flying[key] = new
            return new, True

    def land(self, flight: Flight, outcome: Outcome | None) -> None:
        """End a flight; no outcome means that its leader gave up and a waiter should lead. The first call counts."""
        with self._lock:
            if self._flying.get(flight.key) is flight:
                del self._flying[flight.key]
            self._landings += 1
        flight.outcome = outcome
        flight.looked.set()
        flight.landed.set()

    def landings(self) -> int:
        """How many flights have ended: unchanged means that nothing was stored by a flight meanwhile."""
        return self._landings

    def twin(
        self, flight: Flight, vector: Vector, accepts: Callable[[float], bool], *, landings: int
    ) -> tuple[Flight | None, bool]:
        """The flight in the same partition that computes the most similar query, if that is acceptable.

        If none is, *flight* becomes one that others may find. A flight that waits for its twin is not found by others,
        so no circle of waiting can form.

        Returns:
            The twin, and whether the answer holds: it does not when flights landed since *landings* was asked for,
            one of which may have been the twin. Then the cache must be looked at again.
        """
        with self._lock:
            if self._landings != landings:
                return None, False
            best, best_similarity = None, -2.0
            for other in self._flying.values():
                if other is flight or other.vector is None or other.partition != flight.partition:
                    continue
                similarity = float(np.dot(other.vector, vector))
                if similarity > best_similarity and accepts(similarity) and other not in _led.get():
                    best, best_similarity = other, similarity
            if best is None:
                flight.vector = vector
            return best, True

    @contextmanager
    def leading(self, flight: Flight) -> Iterator[None]:
        """Mark what runs inside as part of *flight*."""
        token = _led.set((*_led.get(), flight))
        try:
            yield
        finally:
            _led.reset(token)
