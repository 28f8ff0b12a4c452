"""A cache all of whose ports can be made to fail, and what must hold of it whatever failed."""

from faces.adapter import Compass, assert_sound
from mneme import SQLiteStore
from mneme.indexes import ExactIndex
from mneme.testing import FakeClock, Faults, FlakyIndex, FlakyStore

START = 1_700_000_000.0


class FlakyCompass(Compass):
    def __init__(self, faults):
        super().__init__()
        self.faults = faults

    def embed(self, text):
        return self.faults.around("embedder.embed", lambda: super(FlakyCompass, self).embed(text))

    def embed_many(self, texts):
        return self.faults.around("embedder.embed_many", lambda: super(FlakyCompass, self).embed_many(texts))


class Bench:
    """A cache all of whose ports can be made to fail, and what it is known to hold."""

    def __init__(self, face, store, **options):
        self.face = face
        self.faults = Faults()
        self.clock = FakeClock(START)
        self.store = store
        self.options = {
            "store": FlakyStore(store, self.faults),
            "embedder": FlakyCompass(self.faults),
            "index_backend": FlakyIndex(ExactIndex(), self.faults),
            "clock": self.clock,
            **options,
        }
        self.cache = None
        self.known = {}
        """Queries, in the default namespace, and the responses acknowledged for them."""
        self.dead = set()
        """Queries that must not be answered even while they are stored."""

    def open(self):
        self.cache = self.face.open(**self.options)

    def put(self, query, response, **options):
        assert self.cache.put(query, response, **options)
        self.known[query] = response
        self.clock.advance(1)

    def state(self):
        """What is stored: queries and responses."""
        return {entry.query: entry.response for entry in self.cache.entries(limit=1000)}

    def verify(self, allowed):
        """Everything but the fault is as it should be, and what is stored is one of *allowed*."""
        state = self.state()
        assert state in allowed
        assert self.cache.stats().entries == len(state)
        assert_sound(self.cache)
        health = self.cache.health()
        assert health.healthy
        assert (health.entries, health.namespaces) == (len(state), len(state) > 0)
        for query in {query for known in allowed for query in known}:
            hit = self.cache.get(query, similarity_threshold=1.0)
            near = self.cache.get(nearby(query), similarity_threshold=0.999)
            alive = query in state and query not in self.dead
            assert response(hit) == ((state[query], "exact") if alive else None)
            assert response(near) == ((state[query], "semantic") if alive and "@long" not in query else None)
        # Writing goes on, and what is written now is found on both layers.
        assert self.cache.put("afterwards @200", "new")
        assert self.cache.get(nearby("afterwards @200")).response == "new"
        assert self.cache.delete("afterwards @200")
        assert self.cache.get(nearby("afterwards @200")) is None
        assert_sound(self.cache)

    def counted(self):
        """How many lookups were counted."""
        stats = self.cache.stats()
        return stats.hits_exact + stats.hits_semantic + stats.misses

    def verify_again(self, path, *, counters):
        """What is in the file is what the cache held when it was closed."""
        with self.face.open(store=SQLiteStore(path), embedder=Compass(), clock=self.clock) as cache:
            assert {entry.query: entry.response for entry in cache.entries(limit=1000)} == self.left[0]
            assert_sound(cache)
            assert not counters or totals(cache) == self.left[1]


def totals(cache):
    stats = cache.stats()
    return stats.hits_exact, stats.hits_semantic, stats.misses, stats.evictions, stats.expirations


def nearby(query):
    """Another query that means the same: less than a degree aside."""
    text, degrees = query.split(" @")
    if degrees == "long":
        return f"that is {text} @long"
    return f"{text}, that is @{float(degrees) + 0.5}"


def response(hit):
    return None if hit is None else (hit.response, hit.layer)
