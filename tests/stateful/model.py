"""What a cache is, as simply as it can be said: a dictionary of rows, and a linear scan over their vectors."""

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

RESOLUTION = 1e-6


@dataclass
class Row:
    id: int
    namespace: str
    scope: str | None
    query: str
    value: object
    vector: np.ndarray | None
    tags: tuple
    created: float
    accessed: float
    expires: float | None
    removable: float | None
    seconds: float = 0.0
    cost: float = 0.0


@dataclass
class Found:
    """What a lookup must come to."""

    row: Row | None = None
    layer: str | None = None
    similarity: float = 1.0
    confidence: float = 1.0
    stale: Row | None = None
    expired: list = field(default_factory=list)
    refused: list = field(default_factory=list)


def normalized(query):
    return " ".join(query.split()).casefold()


def unit(vector):
    """The direction of a vector in float32, as every store keeps it."""
    exact = np.asarray(vector, np.float64)
    return (exact / np.linalg.norm(exact)).astype(np.float32).astype(np.float64)


def gone(moment, now):
    return moment is not None and now >= moment


class Model:
    def __init__(self, *, threshold, cap, quotas, valid, confidence, least):
        self.rows = {}
        self.threshold = threshold
        self.cap = cap
        self.quotas = quotas
        self.valid = valid
        self.confidence = confidence
        self.least = least
        self.counters = Counter()
        """By namespace and kind."""

    # --- looking -----------------------------------------------------------------------------------------------------

    def key(self, namespace, scope, query):
        return namespace, scope, normalized(query)

    def of_query(self, namespace, scope, query):
        return self.rows.get(self.key(namespace, scope, query))

    def of_id(self, entry_id):
        return next((row for row in self.rows.values() if row.id == entry_id), None)

    def ranked(self, namespace, scope, vector):
        """Every row of a partition that has a vector, nearest first, ties by rising id."""
        if vector is None:
            return []
        near = [
            (float(np.float32(np.clip(row.vector @ unit(vector), -1, 1))), row)
            for row in self.rows.values()
            if (row.namespace, row.scope) == (namespace, scope) and row.vector is not None
        ]
        return sorted(near, key=lambda pair: (-pair[0], pair[1].id))

    def find(self, ask, vector, threshold, now):
        namespace, scope, _ = ask
        found = Found()
        exact = self.of_query(*ask)
        if exact is not None and self._answers(exact, 1.0, "exact", found, now):
            return found
        for similarity, row in self.ranked(namespace, scope, vector):
            if similarity < threshold - RESOLUTION:
                break
            if self._answers(row, similarity, "semantic", found, now):
                break
        return found

    def _answers(self, row, similarity, layer, found, now):
        if gone(row.removable, now):
            found.expired.append(row)
        elif not self.valid(row.value):
            found.refused.append(row)
        elif (confidence := self.confidence(similarity, max(0.0, now - row.created))) < self.least:
            pass
        elif gone(row.expires, now):
            found.stale = found.stale or row
        else:
            found.row, found.layer, found.similarity, found.confidence = row, layer, similarity, confidence
            return True
        return False

    def nearest(self, ask, vector, k, now):
        namespace, scope, _ = ask
        exact = self.of_query(*ask)
        ranked = [pair for pair in self.ranked(namespace, scope, vector) if pair[1] is not exact]
        if exact is not None:
            ranked.insert(0, (1.0, exact))
        return [pair for pair in ranked if not gone(pair[1].expires, now) and self.valid(pair[1].value)][:k]

    # --- changing ----------------------------------------------------------------------------------------------------

    def count(self, namespace, kind, number=1):
        self.counters[namespace, kind] += number

    def served(self, row, layer, now):
        row.accessed = now
        self.count(row.namespace, f"hits_{layer}")
        self.count(row.namespace, "seconds_saved", row.seconds)
        self.count(row.namespace, "cost_saved", row.cost)

    def store(self, row):
        self.rows[self.key(row.namespace, row.scope, row.query)] = row

    def remove(self, rows):
        for row in list(rows):
            self.rows.pop(self.key(row.namespace, row.scope, row.query), None)

    def expire(self, rows):
        for row in rows:
            self.count(row.namespace, "expirations")
        self.remove(rows)

    def surplus(self):
        """What the caps drive out: for each cap that is exceeded, quotas first, the rows used longest ago."""
        # A row that was just put does not know its id yet: it will be the highest, and `sorted` keeps the order of two.
        left = sorted(self.rows.values(), key=lambda row: (row.accessed, row.id or math.inf))
        steps = []
        for namespace, quota in self.quotas.items():
            mine = [row for row in left if row.namespace == namespace]
            steps.append(mine[: max(0, len(mine) - quota)])
            left = [row for row in left if row not in steps[-1]]
        if self.cap is not None:
            steps.append(left[: max(0, len(left) - self.cap)])
        return [step for step in steps if step]

    def evict(self, rows):
        for row in rows:
            self.count(row.namespace, "evictions")
        self.remove(rows)
