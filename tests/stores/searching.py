"""The simplest store that searches by itself."""

import numpy as np

from mneme.stores import MemoryStore


class SearchingMemoryStore(MemoryStore):
    prepared = 0

    def prepare_search(self, dim):
        self._require_open()
        self.prepared += 1

    def similar(self, partition, queries, *, floor, k):
        with self._lock:
            self._require_open()
            rows = [r for r in self._entries.values() if r.partition == partition and r.vector is not None]
        if not rows:
            return [[] for _ in queries]
        similarities = np.array(queries) @ np.stack([record.vector for record in rows]).T
        return [[rows[at] for at in np.argsort(-line, kind="stable")[:k]] for line in similarities]
