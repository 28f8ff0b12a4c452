"""What would have become of the latest questions at another threshold."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from mneme import MnemeError
from showcase.recorder import Seen
from showcase.state import State

__all__ = ["Near", "WhatIf"]

KEPT = 200


@dataclass(frozen=True, slots=True)
class Near:
    """A question that was asked, and what was stored before it that is nearest."""

    seen: Seen
    similarity: float | None
    """Of the nearest entry that might answer; `None` if there is none."""
    query: str
    refused_similarity: float | None
    """Of the nearest entry that a guard refuses."""
    refused_query: str
    refusal: str

    def at(self, threshold: float) -> str:
        """`exact`, `semantic`, `guarded` or `miss`."""
        if self.seen.outcome == "exact":
            return "exact"
        if self.similarity is not None and self.similarity >= threshold:
            return "semantic"
        if self.refused_similarity is not None and self.refused_similarity >= threshold:
            return "guarded"
        return "miss"


class WhatIf:
    """Looks at each question once, with the entries that were there before it, and remembers what it found."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._known: OrderedDict[int, Near] = OrderedDict()

    def latest(self, most: int = 40) -> list[Near]:
        """The latest questions to the shared cache whose text is known, the newest first."""
        latest = self._state.recorder.latest(apart=False)
        asked = [seen for seen in latest if seen.query and not seen.elsewhere][:most]
        return [self._near(seen) for seen in asked]

    def _near(self, seen: Seen) -> Near:
        with self._lock:
            known = self._known.get(seen.number)
        if known is None:
            known = self._look(seen)
            with self._lock:
                self._known[seen.number] = known
                while len(self._known) > KEPT:
                    self._known.popitem(last=False)
        return known

    def _look(self, seen: Seen) -> Near:
        """`explain` says what there is now; what was stored when the question was asked, is older than that."""
        if seen.outcome == "exact":
            return Near(seen, 1.0, seen.query, None, "", "")
        try:
            told = self._state.cache.explain(
                seen.query, k=8, namespace=seen.namespace, scope=seen.scope, similarity_threshold=0.0
            )
        except MnemeError:
            return Near(seen, None, "", None, "", "")
        age = time.time() - seen.at
        before = [found for found in told.candidates if found.age_seconds > age + seen.seconds]
        might = [found for found in before if found.reason in ("accepted", "not_reached")]
        refused = [found for found in before if found.reason == "guarded"]
        best = max(might, key=lambda found: found.similarity, default=None)
        worst = max(refused, key=lambda found: found.similarity, default=None)
        return Near(
            seen,
            best.similarity if best else None,
            best.query if best else "",
            worst.similarity if worst else None,
            worst.query if worst else "",
            worst.detail if worst else "",
        )
