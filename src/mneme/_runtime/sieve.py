"""SIEVE: a queue, one bit an entry, and a hand that passes over what was asked for since it last came by.

Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is Simpler than LRU", NSDI 2024.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Container, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mneme._runtime.ranking import Kept

__all__ = ["Sieve"]

_SLACK = 1024
"""So many ids of entries that are gone a queue may hold besides as many as there are entries."""


class _Queue:
    """Ids in the order in which they came, some of which may be gone; and where the hand is."""

    __slots__ = ("hand", "ids", "limit")

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.hand = 0
        self.limit = _SLACK

    def append(self, entry_id: int, alive: Container[int]) -> None:
        while self.hand < len(self.ids) and self.ids[self.hand] not in alive:
            self.hand += 1
        if self.hand == len(self.ids):  # what comes now is the last to be looked at, not the next
            self.hand = 0
        if len(self.ids) >= self.limit:
            self.hand = sum(each in alive for each in self.ids[: self.hand])
            self.ids = [each for each in self.ids if each in alive]
            self.limit = 2 * len(self.ids) + _SLACK
        self.ids.append(entry_id)


class Sieve:
    """Entries in the order in which they came, each with whether it was served since the hand last passed it.

    Namespaces with a quota have queues and hands of their own; the bits are shared.
    """

    def __init__(self, quotas: Collection[str] = ()) -> None:
        self._lock = threading.Lock()
        self._quotas = tuple(quotas)
        self.clear()

    def clear(self) -> None:
        with self._lock:
            self._visited: dict[int, bool] = {}
            self._queue = _Queue()
            self._own = {namespace: _Queue() for namespace in self._quotas}

    def written(self, entries: Iterable[Kept]) -> None:
        with self._lock:
            for entry_id, namespace, _, _ in entries:
                if entry_id in self._visited:
                    self._visited[entry_id] = True
                    continue
                self._visited[entry_id] = False
                self._queue.append(entry_id, self._visited)
                if namespace in self._own:
                    self._own[namespace].append(entry_id, self._visited)

    def hit(self, entry_id: int) -> None:
        with self._lock:
            if entry_id in self._visited:
                self._visited[entry_id] = True

    def removed(self, ids: Iterable[int]) -> None:
        with self._lock:
            for entry_id in ids:
                self._visited.pop(entry_id, None)

    def victims(self, namespace: str | None, count: int, spare: Container[int]) -> list[int]:
        with self._lock:
            queue = self._queue if namespace is None else self._own[namespace]
            chosen = dict.fromkeys(self._pass_over(queue, count, spare))
            if len(chosen) < count:
                spared = (each for each in queue.ids if each in spare and each in self._visited)
                chosen |= dict.fromkeys([each for each in spared if each not in chosen][: count - len(chosen)])
            return list(chosen)

    def _pass_over(self, queue: _Queue, count: int, spare: Container[int]) -> list[int]:
        """What the hand chooses on its way: twice around, every bit has been cleared and found to be."""
        chosen: dict[int, None] = {}
        for _ in range(2 * len(queue.ids)):
            if len(chosen) == count:
                break
            entry_id = queue.ids[queue.hand]
            queue.hand = (queue.hand + 1) % len(queue.ids)
            visited = self._visited.get(entry_id)
            if visited is None or entry_id in spare or entry_id in chosen:
                continue
            if visited:
                self._visited[entry_id] = False
            else:
                chosen[entry_id] = None
        return list(chosen)
