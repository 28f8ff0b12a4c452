"""What the cache did lately, from its events: who asked what, and which layer answered."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = ["Asking", "Elsewhere", "Recorder", "Seen"]

Outcome: TypeAlias = Literal["exact", "semantic", "miss"]

KEPT = 500
_OUTCOMES: Mapping[str, Outcome] = {
    "hit_exact": "exact",
    "hit_semantic": "semantic",
    "miss": "miss",
}


@dataclass(slots=True)
class Seen:
    """One lookup, as the cache reported it."""

    number: int
    """Counts all lookups of this recorder."""
    at: float
    """Seconds since the epoch."""
    namespace: str
    scope: Any
    query: str
    """Empty if nobody said what is asked, see `Recorder.asking`."""
    outcome: Outcome
    reason: str
    """Of a miss."""
    similarity: float | None
    entry_id: int | None
    seconds: float
    """What the lookup took."""
    seconds_saved: float
    cost_saved: float
    refused: str = ""
    """What a guard said of the entry that was near enough, if one refused it."""
    compute_seconds: float | None = None
    """Of a miss: what computing took; `None` while it lasts, and if it failed."""
    elsewhere: bool = False
    """Whether it was looked up in a cache of a page's own: the number of its entry means nothing in the shared one."""


@dataclass(slots=True)
class Asking:
    """A question under way: what is asked, and what was seen of it."""

    query: str
    scope: Any = None
    seen: Seen | None = None
    refusals: list[str] = field(default_factory=list)


_asking: ContextVar[Asking | None] = ContextVar("asking", default=None)


class Recorder:
    """A metrics hook that keeps the latest lookups. Called in the thread that asked, it tells whose event it is.

    Args:
        apart: Namespaces with so many lookups that they would push out all others: theirs are kept apart.
    """

    wants_seconds = True

    def __init__(self, apart: Collection[str] = ()) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._apart = frozenset(apart)
        self._latest: deque[Seen] = deque(maxlen=KEPT)
        self._latest_apart: deque[Seen] = deque(maxlen=KEPT)

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        self.hear(event, fields, elsewhere=False)

    @property
    def elsewhere(self) -> Elsewhere:
        """The hook for a cache of a page's own."""
        return Elsewhere(self)

    def hear(self, event: str, fields: Mapping[str, Any], *, elsewhere: bool) -> None:
        """Take note of an event of the shared cache, or of another."""
        asking = _asking.get()
        if event == "guard_refusal" and asking is not None:
            asking.refusals.append(f"{fields['guard']}: {fields['reason']}")
        if event == "compute" and asking is not None and asking.seen is not None and "error" not in fields:
            asking.seen.compute_seconds = fields["seconds"]
        outcome = _OUTCOMES.get(event)
        if outcome is None:
            return
        seen = Seen(
            number=next(self._numbers),
            at=time.time(),
            namespace=fields["namespace"],
            scope=asking.scope if asking else None,
            query=asking.query if asking else "",
            outcome=outcome,
            reason=fields.get("reason", ""),
            similarity=fields.get("similarity"),
            entry_id=fields.get("entry_id"),
            seconds=fields.get("seconds", 0.0),
            seconds_saved=fields.get("seconds_saved", 0.0),
            cost_saved=fields.get("cost_saved", 0.0),
            refused=asking.refusals[0] if asking and asking.refusals else "",
            elsewhere=elsewhere,
        )
        if asking is not None:
            asking.seen = seen
        with self._lock:
            (self._latest_apart if seen.namespace in self._apart else self._latest).append(seen)

    @contextmanager
    def asking(self, query: str, scope: Any = None) -> Iterator[Asking]:
        """What this thread asks meanwhile belongs to *query*."""
        asking = Asking(query, scope)
        token = _asking.set(asking)
        try:
            yield asking
        finally:
            _asking.reset(token)

    def latest(self, most: int = KEPT, *, apart: bool = True) -> list[Seen]:
        """The latest lookups, the newest first; those that are kept apart among them, or not."""
        with self._lock:
            found = [*self._latest, *self._latest_apart] if apart else list(self._latest)
        return sorted(found, key=lambda seen: seen.number, reverse=True)[:most]

    def clear(self) -> None:
        """Forget them."""
        with self._lock:
            self._latest.clear()
            self._latest_apart.clear()


class Elsewhere:
    """A metrics hook that tells a recorder of another cache than the shared one."""

    wants_seconds = True

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        self._recorder.hear(event, fields, elsewhere=True)
