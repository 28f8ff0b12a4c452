"""What is there, not what happened: sizes and certificates; and which namespaces are told apart."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Collection, Iterator

from mneme import Stats
from mneme.adapters._measures import (
    CERTIFIED,
    CERTIFIED_THRESHOLD,
    ENTRIES,
    INDEX_MEMORY,
    MEMORY,
    TOMBSTONES,
    Fields,
    Point,
)

__all__ = ["ABOUT_CERTIFICATES", "Certificates", "Gauges", "Namespaces"]


class Namespaces:
    """Which namespaces are told apart: there may be one for every user, and a series for each would be too many."""

    def __init__(self, names: Collection[str]) -> None:
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"namespaces must be a collection of strings, like ('a', 'b'), not {names!r}")
        self.names = tuple(dict.fromkeys(names))
        self._known = frozenset(names)

    def label(self, namespace: str) -> str:
        """The namespace, if it is one of them; "other" if it is not, and nothing if none is told apart."""
        if not self._known:
            return ""
        return namespace if namespace in self._known else "other"

    def labels(self) -> tuple[str, ...]:
        """Everything that `label` may say."""
        return (*self.names, "other") if self.names else ("",)


class Gauges:
    """What is there, not what happened: from what a cache says of all namespaces, and of those that are told apart."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self._entries: dict[str, int] = {}

    def points(self, stats: Stats) -> Iterator[tuple[Point, str]]:
        """The points to set, each with the label of its namespace. Entries are counted once whatever is told apart."""
        names = self._namespaces.names
        if stats.namespace is not None:
            if stats.namespace in names:
                self._entries[stats.namespace] = stats.entries
                yield Point(ENTRIES, stats.entries), stats.namespace
            return
        if names:
            yield Point(ENTRIES, max(0, stats.entries - sum(self._entries.values()))), "other"
        else:
            yield Point(ENTRIES, stats.entries), ""
        yield Point(MEMORY, stats.memory_bytes_estimate), ""
        yield Point(INDEX_MEMORY, stats.index_memory_bytes), ""
        yield Point(TOMBSTONES, stats.index_tombstone_count), ""


ABOUT_CERTIFICATES = frozenset({"certificate", "alarm"})


class Certificates:
    """What the certificates of namespaces are worth, as events tell it one by one."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, tuple[str, float | None]]] = {}
        self._states: set[str] = {"valid", "voided", "expired"}

    def points(self, event: str, fields: Fields) -> list[Point]:
        """What is to be set for the label of the event's namespace, if it is about a certificate."""
        namespace = fields["namespace"]
        with self._lock:
            known = self._known.setdefault(self._namespaces.label(namespace), {})
            if event == "certificate":
                known[namespace] = (str(fields["reason"]), fields.get("threshold") if fields.get("usable") else None)
            elif event == "alarm" and fields.get("certificate_voided"):
                known[namespace] = ("voided", None)
            else:
                return []
            counted = Counter(state for state, _ in known.values())
            self._states |= counted.keys()
            thresholds = [threshold for _, threshold in known.values() if threshold is not None]
            points = [Point(CERTIFIED, counted[state], state) for state in sorted(self._states)]
        return [*points, Point(CERTIFIED_THRESHOLD, min(thresholds, default=math.nan))]
