"""Single-flight: of the callers who want the same computation at the same time, one computes and the others wait.

A *flight* is one such computation under way. Its leader computes; whoever joins waits for the outcome. A leader that
is cancelled or killed leaves no outcome: then those who waited try again, and one of them leads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
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
    expired_at: float | None = None
    """When it expired, for something to serve meanwhile."""
    score: float = 1.0
    """What the threshold is compared with."""


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

    __slots__ = ("awaits", "key", "landed", "looked", "outcome", "partition", "query", "stale", "vector")

    def __init__(self, runtime: Runtime, key: bytes, partition: bytes, query: str) -> None:
        self.key = key
        self.partition = partition
        self.query = query
        self.looked = runtime.signal()
        self.landed = runtime.signal()
        self.stale: Offer | None = None
        self.vector: Vector | None = None
        self.awaits: list[Flight] = []
        """What its leader, and all who work for it, are waiting for at the moment."""
        self.outcome: Outcome | None = None


# The flights that the running thread or task works for: whatever it waits for, they wait for.
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

    def join(self, key: bytes, partition: bytes, query: str) -> tuple[Flight, bool]:
        """The flight for *key*, and whether the caller leads it.

        A leader must `land` it and a waiter must `leave` it, whatever happens. Who would wait for itself, because the
        flight waits for what it works for, leads a flight of its own instead, which nobody else can join.
        """
        with self._lock:
            flight = self._flying.get(key)
            if flight is not None and not _waits_for(flight, _led.get()):
                _note_wait(_led.get(), flight)
                return flight, False
            new = Flight(self._runtime, key, partition, query)
            if flight is None:
                self._flying[key] = new
            return new, True

    def leave(self, flight: Flight, own: Flight | None = None) -> None:
        """No longer wait for *flight*, which `join`, or `twin` for the caller's *own* flight, said to wait for."""
        with self._lock:
            for waiter in (*_led.get(), *([own] if own else ())):
                waiter.awaits.remove(flight)

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
        self,
        flight: Flight,
        vector: Vector,
        accepts: Callable[[float], bool],
        *,
        landings: int,
        refused: Collection[Flight] = (),
    ) -> tuple[Flight | None, bool]:
        """The flight in the same partition that computes the most similar query, if acceptable and not *refused*.

        If none is, *flight* becomes one that others may find. A flight that waits for its twin is not found by others,
        and none is found that waits for this one, so no circle of waiting can form. Who waits must `leave`.

        Returns:
            The twin, and whether the answer holds: it does not when flights landed since *landings* was asked for,
            one of which may have been the twin. Then the cache must be looked at again.
        """
        with self._lock:
            if self._landings != landings:
                return None, False
            best, best_similarity = None, -2.0
            waiters = (*_led.get(), flight)
            for other in self._flying.values():
                if other is flight or other.vector is None or other.partition != flight.partition:
                    continue
                if other in refused or other.vector.shape != vector.shape:  # of another embedder
                    continue
                similarity = float(np.dot(other.vector, vector))
                if similarity > best_similarity and accepts(similarity) and not _waits_for(other, waiters):
                    best, best_similarity = other, similarity
            if best is None:
                flight.vector = vector
            else:
                _note_wait(waiters, best)
            return best, True

    @contextmanager
    def leading(self, flight: Flight) -> Iterator[None]:
        """Mark what runs inside as part of *flight*."""
        token = _led.set((*_led.get(), flight))
        try:
            yield
        finally:
            _led.reset(token)


def _note_wait(waiters: Iterable[Flight], flight: Flight) -> None:
    for waiter in waiters:
        waiter.awaits.append(flight)


def _waits_for(flight: Flight, others: Sequence[Flight]) -> bool:
    """Whether *flight* is one of *others*, or waits for one of them, if only through a third."""
    seen, ahead = set(), [flight]
    while ahead and others:
        one = ahead.pop()
        if one in others:
            return True
        if one not in seen:
            seen.add(one)
            ahead += one.awaits
    return False
