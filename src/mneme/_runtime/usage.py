"""What reads leave behind: access times and counters, kept in memory and written in batches."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mneme.ports import Counters, NamespaceSummary, Usage

FLUSH_COUNT = 1000
"""So many access times are worth a transaction of their own."""
FLUSH_SECONDS = 60.0
"""What is pending is written after so long, if anything writes or misses at all."""
PAUSE_SECONDS = 1.0
"""The least time between two flushes that nobody asked for, so that a store that fails is not tried at every miss."""


@dataclass(slots=True)
class _Tally:
    """`Counters` that count."""

    hits_exact: int = 0
    hits_semantic: int = 0
    misses: int = 0
    evictions: int = 0
    expirations: int = 0
    seconds_saved: float = 0.0
    cost_saved: float = 0.0

    def add(self, counters: Counters) -> None:
        self.hits_exact += counters.hits_exact
        self.hits_semantic += counters.hits_semantic
        self.misses += counters.misses
        self.evictions += counters.evictions
        self.expirations += counters.expirations
        self.seconds_saved += counters.seconds_saved
        self.cost_saved += counters.cost_saved

    def frozen(self) -> Counters:
        return Counters(
            self.hits_exact,
            self.hits_semantic,
            self.misses,
            self.evictions,
            self.expirations,
            self.seconds_saved,
            self.cost_saved,
        )


class UsageLog:
    """Counts what happened; totals are what the store knows plus what is pending.

    Thread safety: every method takes one lock for a moment.
    """

    def __init__(self, now: float) -> None:
        self._lock = threading.Lock()
        self._accessed: dict[int, float] = {}
        self._pending: dict[str, _Tally] = {}
        self._stored: dict[str, Counters] = {}
        self._before_taken: dict[str, Counters] = {}
        self._flushed_at = now

    def load(self, summary: Iterable[NamespaceSummary]) -> None:
        """Start from the totals a store has kept."""
        with self._lock:
            self._stored = {part.namespace: part.counters for part in summary}

    def _tally(self, namespace: str) -> _Tally:
        tally = self._pending.get(namespace)
        if tally is None:
            tally = self._pending[namespace] = _Tally()
        return tally

    def hit_exact(
        self, namespace: str, entry_id: int, now: float, seconds_saved: float, cost_saved: float = 0.0
    ) -> None:
        with self._lock:
            self._accessed[entry_id] = now
            tally = self._tally(namespace)
            tally.hits_exact += 1
            tally.seconds_saved += seconds_saved
            if cost_saved:
                tally.cost_saved += cost_saved

    def hit_semantic(
        self, namespace: str, entry_id: int, now: float, seconds_saved: float, cost_saved: float = 0.0
    ) -> None:
        with self._lock:
            self._accessed[entry_id] = now
            tally = self._tally(namespace)
            tally.hits_semantic += 1
            tally.seconds_saved += seconds_saved
            if cost_saved:
                tally.cost_saved += cost_saved

    def replaced(self, entries: Mapping[int, float]) -> None:
        """Forget accesses before these entries, by id, were written anew: written later, they would age them."""
        with self._lock:
            for entry_id, written_at in entries.items():
                if self._accessed.get(entry_id, math.inf) <= written_at:
                    del self._accessed[entry_id]

    def miss(self, namespace: str) -> None:
        with self._lock:
            self._tally(namespace).misses += 1

    def evicted(self, namespace: str, count: int) -> None:
        with self._lock:
            self._tally(namespace).evictions += count

    def expired(self, namespace: str, count: int) -> None:
        with self._lock:
            self._tally(namespace).expirations += count

    def totals(self, namespace: str | None) -> Counters:
        """The counters of one namespace, or of all."""
        with self._lock:
            names = {*self._stored, *self._pending} if namespace is None else {namespace}
            total = Counters()
            for name in names:
                total += self._stored.get(name, Counters())
                if name in self._pending:
                    total += self._pending[name].frozen()
            return total

    def is_due(self, now: float) -> bool:
        """Whether enough has gathered, or for long enough, to be written."""
        pause = now - self._flushed_at
        if len(self._accessed) >= FLUSH_COUNT:
            return pause >= PAUSE_SECONDS
        return pause >= FLUSH_SECONDS and bool(self._accessed or self._pending)

    def take(self, now: float) -> Usage | None:
        """What is pending, handed over for writing; `None` when nothing is. A failed write gives it back."""
        with self._lock:
            self._flushed_at = now
            if not self._accessed and not self._pending:
                return None
            usage = Usage(self._accessed, {name: tally.frozen() for name, tally in self._pending.items()})
            self._before_taken = dict(self._stored)
            for name, counters in usage.counters.items():
                self._stored[name] = self._stored.get(name, Counters()) + counters
            self._accessed, self._pending = {}, {}
            return usage

    def give_back(self, usage: Usage) -> None:
        """Make pending again what was just taken and could not be written."""
        with self._lock:
            self._stored = self._before_taken
            self._accessed = {**usage.accessed, **self._accessed}
            for name, counters in usage.counters.items():
                self._tally(name).add(counters)
