"""The hot layer: exact entries in memory, so that most hits touch neither the store nor a lock.

Eviction is FIFO with a second chance (an entry that was read since it was last considered goes round once more): a
read sets one flag, where a least-recently-used list would have to be relinked under a lock on every hit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from mneme.ports import Record

HotKey = tuple[str, str, str]
"""Namespace, canonical scope and normalised query: no hash is computed on the way to a hot entry."""

_OVERHEAD = 600
"""Bytes of a hot entry beside its texts, measured with tracemalloc on CPython 3.11."""
_IMMUTABLE = (str, bytes, int, float, bool, type(None))


class HotEntry:
    """A record ready to be served."""

    __slots__ = ("hot_key", "read", "record", "shareable", "size", "value")

    def __init__(self, hot_key: HotKey, record: Record, response: Any) -> None:
        self.hot_key = hot_key
        self.record = record
        # A response that can be changed is decoded afresh for every reader instead.
        self.shareable = type(response) in _IMMUTABLE
        self.value = response if self.shareable else None
        self.size = _OVERHEAD + 2 * (len(record.query) + len(record.payload)) + len(record.metadata) + len(hot_key[2])
        self.read = False


class HotLayer:
    """At most *max_bytes* of entries; 0 keeps none.

    Thread safety: `get` takes no lock; everything that changes the layer takes one for a moment.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: dict[HotKey, HotEntry] = {}
        self._by_id: dict[int, HotKey] = {}
        self._bytes = 0
        self._version = 0
        self.get = self._entries.get
        self.keeps = max_bytes > 0

    @property
    def memory_bytes(self) -> int:
        return self._bytes

    def version(self) -> int:
        """Changes with every `put`, `discard` and `clear`; to be asked before a store is read."""
        return self._version

    def offer(self, entry: HotEntry, version: int) -> None:
        """Keep what was read from the store, unless something was written since *version* was asked for.

        Without that condition a slow reader could put an old response back over a newer one, for good.
        """
        with self._lock:
            if version == self._version:
                self._insert(entry)

    def put(self, entries: Iterable[HotEntry]) -> None:
        """Keep what was just written."""
        with self._lock:
            self._version += 1
            for entry in entries:
                self._insert(entry)

    def discard(self, entry_ids: Iterable[int]) -> None:
        """Forget entries that were deleted or replaced."""
        with self._lock:
            self._version += 1
            for entry_id in entry_ids:
                hot_key = self._by_id.get(entry_id)
                if hot_key is not None:
                    self._remove(hot_key)

    def forget(self, hot_keys: Iterable[HotKey]) -> None:
        """Forget what may have been replaced."""
        with self._lock:
            self._version += 1
            for hot_key in hot_keys:
                self._remove(hot_key)

    def forget_if(self, doubtful: Callable[[Record], bool]) -> None:
        """Forget every entry that is *doubtful*. Looks at all of them."""
        with self._lock:
            self._version += 1
            for hot_key in [key for key, entry in self._entries.items() if doubtful(entry.record)]:
                self._remove(hot_key)

    def clear(self) -> None:
        with self._lock:
            self._version += 1
            self._entries.clear()
            self._by_id.clear()
            self._bytes = 0

    def _insert(self, entry: HotEntry) -> None:
        if entry.size > self._max_bytes:
            self._remove(entry.hot_key)
            return
        self._remove(entry.hot_key)
        self._entries[entry.hot_key] = entry
        self._by_id[entry.record.id] = entry.hot_key
        self._bytes += entry.size
        while self._bytes > self._max_bytes:
            oldest_key = next(iter(self._entries))
            oldest = self._entries[oldest_key]
            if oldest.read:
                oldest.read = False
                self._entries[oldest_key] = self._entries.pop(oldest_key)
            else:
                self._remove(oldest_key)

    def _remove(self, hot_key: HotKey) -> None:
        entry = self._entries.pop(hot_key, None)
        if entry is not None:
            self._by_id.pop(entry.record.id, None)
            self._bytes -= entry.size
