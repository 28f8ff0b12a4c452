"""Which entries are to go first, kept in memory: what is asked of a policy, and which there are.

Least recently used needs none of this: the store knows the access times, and chooses.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable
from typing import NamedTuple, Protocol

from mneme._runtime.gdsf import GDSF
from mneme._runtime.sieve import Sieve
from mneme._runtime.usage import UsageLog

__all__ = ["Kept", "RankedUsageLog", "Ranking", "ranking_of"]


class Kept(NamedTuple):
    """What a policy may go by."""

    id: int
    namespace: str
    cost: float
    """What it would take to have it again; 0.0 if unknown."""
    size: int
    """In bytes, without the vector."""


class Ranking(Protocol):
    """An order of the entries that are kept. Approximate where others write too: what they read is not known here.

    Thread safety: every method takes one lock for a moment; `victims` for as long as choosing takes.
    """

    def written(self, entries: Iterable[Kept]) -> None:
        """These were put: anew, or in place of what they were."""
        ...

    def hit(self, entry_id: int) -> None:
        """This one was served."""
        ...

    def removed(self, ids: Iterable[int]) -> None:
        """These are gone, whoever removed them."""
        ...

    def victims(self, namespace: str | None, count: int, spare: Container[int]) -> list[int]:
        """The next *count* to go, of one namespace or of all; of *spare* only if there are no others.

        They stay in the ranking until they are `removed`.
        """
        ...

    def clear(self) -> None:
        """Know of none."""
        ...


def ranking_of(policy: str, quotas: Collection[str]) -> Ranking | None:
    """The ranking that a policy needs. Only of the namespaces in *quotas* are victims chosen by themselves."""
    if policy == "gdsf":
        return GDSF(quotas)
    return Sieve(quotas) if policy == "sieve" else None


class RankedUsageLog(UsageLog):
    """A usage log that tells a ranking of every hit. So a cache without a ranking pays nothing for it."""

    def __init__(self, now: float, ranking: Ranking) -> None:
        super().__init__(now)
        self._ranking = ranking

    def hit_exact(
        self, namespace: str, entry_id: int, now: float, seconds_saved: float, cost_saved: float = 0.0
    ) -> None:
        super().hit_exact(namespace, entry_id, now, seconds_saved, cost_saved)
        self._ranking.hit(entry_id)

    def hit_semantic(
        self, namespace: str, entry_id: int, now: float, seconds_saved: float, cost_saved: float = 0.0
    ) -> None:
        super().hit_semantic(namespace, entry_id, now, seconds_saved, cost_saved)
        self._ranking.hit(entry_id)
