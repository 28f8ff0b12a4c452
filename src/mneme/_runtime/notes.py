"""The notes of a cache as memory holds them: all of them, always."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from mneme.ports import Record

DENIED = "denied"
"""The kind of the notes that every search looks at."""
RAISED = "raised"
"""The kind of the notes that every request looks at: thresholds that an alarm raised, by namespace."""
_NONE: Mapping[str, str] = MappingProxyType({})


class Notes:
    """Small texts by kind and name; what the store holds of them, as far as memory mirrors it.

    Thread safety: reading takes no lock; what changes them takes one for a moment.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: dict[str, dict[str, str]] = {DENIED: {}, RAISED: {}}
        self.denied = self._texts[DENIED]
        """The rejected pairs by name; nothing is in it while nothing was ever rejected."""
        self.raised = self._texts[RAISED]
        """Raised thresholds by namespace; nothing is in it while there was no alarm."""
        self._by_id: dict[int, tuple[str, str]] = {}

    def get(self, kind: str, name: str) -> str | None:
        """The text of a note, or `None`."""
        return self._texts.get(kind, _NONE).get(name)

    def of(self, kind: str) -> Mapping[str, str]:
        """All notes of a kind, by name, oldest first. Others may change it meanwhile: copy before going through it."""
        return self._texts.get(kind, _NONE)

    def keep(self, records: Iterable[Record]) -> None:
        """Hold these too."""
        with self._lock:
            self._keep(records)

    def _keep(self, records: Iterable[Record]) -> None:
        for record in records:
            self._by_id[record.id] = record.scope, record.query
            self._texts.setdefault(record.scope, {})[record.query] = record.payload.decode()

    def forget(self, ids: Iterable[int]) -> None:
        """Let go of the notes among these entries."""
        if not self._by_id:
            return
        with self._lock:
            for entry_id in ids:
                kind, name = self._by_id.pop(entry_id, ("", ""))
                self._texts.get(kind, {}).pop(name, None)

    def raised_to(self, namespace: str) -> float | None:
        """What an alarm raised the threshold of a namespace to; `None` if none did."""
        text = self.raised.get(namespace)
        return None if text is None else float(text)

    def replace(self, records: Iterable[Record]) -> None:
        """Hold these and no others."""
        with self._lock:
            fresh = Notes()  # filled before it is seen: a reader would miss that a certificate was voided
            fresh._keep(records)
            self._by_id, self._texts = fresh._by_id, fresh._texts
            self.denied, self.raised = self._texts[DENIED], self._texts[RAISED]
