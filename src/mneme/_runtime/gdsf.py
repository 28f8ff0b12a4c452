"""Greedy-Dual-Size-Frequency: what is dear, asked for often and small stays; what was so long ago grows old.

Cherkasova: "Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching Policy", HPL-98-69R1.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Container, Iterable
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mneme._runtime.ranking import Kept

__all__ = ["GDSF"]

_Place = tuple[float, int, int]
"""Priority, moment of the last use (so that of equals the least recently used goes first), id."""
_SLACK = 1024
"""So many outdated places a heap may hold besides as many as there are entries."""


class _Rank:
    """How an entry stands."""

    __slots__ = ("frequency", "priority", "used", "worth")

    def __init__(self) -> None:
        self.frequency = 0
        self.worth = 0.0
        self.priority = 0.0
        self.used = 0


class GDSF:
    """Entries in order of L + frequency * cost / size, where L is the highest priority that was ever evicted.

    An entry whose cost is unknown is taken to cost what others do on average. A hit only notes the new priority: it can
    but rise, so a place in a heap that is too low is found to be so when it comes up, and is taken anew.
    """

    def __init__(self, quotas: Collection[str] = ()) -> None:
        self._lock = threading.Lock()
        self._own: dict[str, list[_Place]] = {namespace: [] for namespace in quotas}
        self.clear()

    def clear(self) -> None:
        with self._lock:
            self._ranks: dict[int, _Rank] = {}
            self._heap: list[_Place] = []
            for heap in self._own.values():
                heap.clear()
            self._inflation = 0.0
            self._clock = 0
            self._known = 0
            self._known_cost = 0.0

    def written(self, entries: Iterable[Kept]) -> None:
        with self._lock:
            for entry_id, namespace, cost, size in entries:
                rank = self._ranks.get(entry_id)
                if rank is None:
                    rank = self._ranks[entry_id] = _Rank()
                rank.worth = self._cost(cost) / max(size, 1)
                self._use(rank)
                place = (rank.priority, rank.used, entry_id)
                self._push(self._heap, place)
                if namespace in self._own:
                    self._push(self._own[namespace], place)

    def hit(self, entry_id: int) -> None:
        with self._lock:
            rank = self._ranks.get(entry_id)
            if rank is not None:
                self._use(rank)

    def removed(self, ids: Iterable[int]) -> None:
        with self._lock:
            for entry_id in ids:
                self._ranks.pop(entry_id, None)

    def victims(self, namespace: str | None, count: int, spare: Container[int]) -> list[int]:
        with self._lock:
            heap = self._heap if namespace is None else self._own[namespace]
            chosen: dict[int, _Place] = {}
            spared: dict[int, _Place] = {}
            while heap and len(chosen) < count:
                place = heappop(heap)
                entry_id = place[2]
                rank = self._ranks.get(entry_id)
                if rank is None or entry_id in chosen or entry_id in spared:
                    continue
                now = (rank.priority, rank.used, entry_id)
                if now > place:
                    heappush(heap, now)
                elif now == place:  # if it is lower, it has been pushed there
                    (spared if entry_id in spare else chosen)[entry_id] = place
            last = sorted(spared.items(), key=lambda item: item[1])
            chosen |= dict(last[: count - len(chosen)])
            for place in {**spared, **chosen}.values():  # they may yet stay: the store may fail
                heappush(heap, place)
            self._inflation = max([self._inflation, *(place[0] for place in chosen.values())])
            return list(chosen)

    def _cost(self, cost: float) -> float:
        if cost > 0:
            self._known += 1
            self._known_cost += cost
            return cost
        return self._known_cost / self._known if self._known else 1.0

    def _use(self, rank: _Rank) -> None:
        self._clock += 1
        rank.frequency += 1
        rank.priority = self._inflation + rank.frequency * rank.worth
        rank.used = self._clock

    def _push(self, heap: list[_Place], place: _Place) -> None:
        if len(heap) > 2 * len(self._ranks) + _SLACK:
            alive = {entry_id: self._ranks[entry_id] for _, _, entry_id in heap if entry_id in self._ranks}
            heap[:] = [(rank.priority, rank.used, entry_id) for entry_id, rank in alive.items()]
            heapify(heap)
        heappush(heap, place)
