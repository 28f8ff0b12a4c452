"""What a walk is made of: a vocabulary, what may be drawn, and the two faces."""

import asyncio

from hypothesis import strategies as st

from mneme import AsyncSemanticCache, SemanticCache

TOO_LONG = "everything there is to know about France, its history and its cheese"
VECTORS = {
    "Capital of France": [1, 0, 0, 0],
    "capital  of france ": [0.9, 0.1, 0.1, 0],  # an equal query by another vector
    "the French capital": [3, 0, 0, 0],  # the same direction: a tie at every similarity
    "France's capital?": [0.96, 0.28, 0, 0],
    "Paris?": [0.8, 0.6, 0, 0],  # three that are equally far from the first
    "Seine?": [0.8, 0, 0.6, 0],
    "Louvre?": [0.8, 0, 0, 0.6],
    "rain": [0, 1, 0, 0],
    "drizzle": [0, 0.96, 0.28, 0],
    "drought": [0, -1, 0, 0],
    "snow": [0.5, 0.5, 0.5, 0.5],
    "sleet": [0.5, 0.5, 0.5, -0.5],
    "storm": [0, 0, 0, 1],
}
NAMESPACES = st.sampled_from(["default", "b"])
SCOPES = st.sampled_from([None, None, None, "model-1"])
# Each walk knows a few words only, so that it comes back to the same entries.
QUERIES = st.runner().flatmap(lambda machine: st.sampled_from(machine.words))
PAUSES = st.sampled_from([0, 1, 3])
VALUES = st.sampled_from(["yes", "no", "bad news", "maybe", b"bytes", 17, ["a", {"list": None}]])
THRESHOLDS = st.sampled_from([None, None, 0.0, 0.5, 0.8, 0.95, 1.0])
TTLS = st.sampled_from([None, None, 5, "10s", 60, float("inf")])
COSTS = st.sampled_from([0, 0.25, 3.0])  # sums of them are exact
TAGS = st.sampled_from([(), ("x",), ("y",), ("x", "y")])
DTYPES = st.sampled_from(["float32", "float16", "int8"])
OWN_VECTORS = st.sampled_from([None, None, None, None, *VECTORS])
KINDS = ("hits_exact", "hits_semantic", "misses", "evictions", "expirations", "seconds_saved", "cost_saved")


class OnThreads:
    """Calls the blocking face."""

    def open(self, store, embedder, **options):
        return SemanticCache(embedder=embedder, store=store, **options)

    def run(self, result):
        return result

    def finish(self):
        pass


class OnTasks:
    """Calls the awaited face, one verb at a time."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()

    def open(self, store, embedder, **options):
        return AsyncSemanticCache(embedder=embedder, store=store, **options)

    def run(self, result):
        return self.loop.run_until_complete(result)

    def finish(self):
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


def put_options(query, namespace, scope, ttl, tags):
    return {
        "namespace": namespace,
        "scope": scope,
        "ttl": ttl,
        "tags": tags,
        "metadata": {"of": query} if "x" in tags else None,
    }
