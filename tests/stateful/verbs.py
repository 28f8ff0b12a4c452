"""Every verb of the surface, with what it must answer."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from mneme import NamespaceQuotaExceededError
from stateful.model import gone, normalized
from stateful.walker import Walker
from stateful.world import (
    COSTS,
    DTYPES,
    NAMESPACES,
    OWN_VECTORS,
    PAUSES,
    QUERIES,
    SCOPES,
    TAGS,
    THRESHOLDS,
    TTLS,
    VALUES,
    VECTORS,
    put_options,
)

GET_OR_PUT = st.sampled_from(["get", "put"])


class Verbs(Walker):
    # --- reading -----------------------------------------------------------------------------------------------------

    @rule(query=QUERIES, namespace=NAMESPACES, scope=SCOPES, threshold=THRESHOLDS, own=OWN_VECTORS, pause=PAUSES)
    def get(self, *, query, namespace, scope, threshold, own, pause):
        self.clock.advance(pause)
        found = self.find(query, namespace, scope, threshold, own)
        hit = self.do(
            "get",
            query,
            namespace=namespace,
            scope=scope,
            similarity_threshold=threshold,
            embedding=None if own is None else VECTORS[own],
        )
        self.compare(hit, found)
        self.looked_up([found], namespace)
        if hit is not None:
            self.hits = [*self.hits[-3:], hit]

    @rule(queries=st.lists(QUERIES, max_size=6), namespace=NAMESPACES, scope=SCOPES, threshold=THRESHOLDS)
    def get_many(self, queries, namespace, scope, threshold):
        founds = [self.find(query, namespace, scope, threshold) for query in queries]
        hits = self.do("get_many", queries, namespace=namespace, scope=scope, similarity_threshold=threshold)
        for hit, found in zip(hits, founds, strict=True):
            self.compare(hit, found)
        self.looked_up(founds, namespace)

    # Caps bite, and the order of use matters, only after many plain reads and writes: hence two rules for them.

    @rule(namespace=NAMESPACES, steps=st.lists(st.tuples(GET_OR_PUT, QUERIES, PAUSES), min_size=6, max_size=25))
    def a_busy_while(self, namespace, steps):
        for verb, query, pause in steps:
            if verb == "get":
                self.get(query=query, namespace=namespace, scope=None, threshold=None, own=None, pause=pause)
            else:
                self.values += 1
                value = f"value {self.values}"
                plain = {"scope": None, "ttl": None, "tags": (), "own": None, "cost": 0.5}
                self.put(query=query, value=value, namespace=namespace, pause=pause, **plain)

    @rule(steps=st.lists(st.tuples(GET_OR_PUT, QUERIES, PAUSES), min_size=12, max_size=25))
    def a_very_busy_while(self, steps):
        self.a_busy_while("default", steps)

    @rule(query=QUERIES, namespace=NAMESPACES)
    def bypass(self, query, namespace):
        assert self.do("get", query, namespace=namespace, bypass=True) is None
        self.model.count(namespace, "misses")

    @rule(query=QUERIES, namespace=NAMESPACES, scope=SCOPES, own=OWN_VECTORS, k=st.integers(1, 12))
    def lookup(self, query, namespace, scope, own, k):
        embedding = None if own is None else VECTORS[own]
        hits = self.do("lookup", query, namespace=namespace, scope=scope, embedding=embedding, k=k)
        expected = self.model.nearest((namespace, scope, query), self.vector_of(query, own), k, self.now)
        assert [hit.entry_id for hit in hits] == [row.id for _, row in expected]
        assert [hit.similarity for hit in hits] == pytest.approx([similarity for similarity, _ in expected], abs=1e-6)

    @rule(query=QUERIES, namespace=NAMESPACES, scope=SCOPES, threshold=THRESHOLDS)
    def explain_says_what_get_does(self, query, namespace, scope, threshold):
        found = self.find(query, namespace, scope, threshold)
        told = self.do("explain", query, namespace=namespace, scope=scope, similarity_threshold=threshold, k=20)
        accepted = [candidate.entry_id for candidate in told.candidates if candidate.accepted]
        assert (told.layer, accepted) == (found.layer, [] if found.row is None else [found.row.id])

    # --- writing -----------------------------------------------------------------------------------------------------

    @rule(
        query=QUERIES,
        value=VALUES,
        namespace=NAMESPACES,
        scope=SCOPES,
        ttl=TTLS,
        tags=TAGS,
        own=OWN_VECTORS,
        pause=PAUSES,
        cost=COSTS,
    )
    def put(self, *, query, value, namespace, scope, ttl, tags, own, pause, cost):
        self.clock.advance(pause)
        options = put_options(query, namespace, scope, ttl, tags)
        embedding = None if own is None else VECTORS[own]
        if not self.model.valid(value):
            assert self.do("put", query, value, embedding=embedding, **options) is False
        elif self.embedder.broken and own is None:
            with pytest.raises(RuntimeError, match="broken"):
                self.do("put", query, value, **options)
        else:
            assert self.do("put", query, value, embedding=embedding, cost=cost, **options) is True
            self.was_put(self.row(query, value, namespace, scope, own=own, ttl=ttl, tags=tags, cost=cost))

    @rule(
        items=st.lists(st.tuples(QUERIES, VALUES), max_size=8), namespace=NAMESPACES, scope=SCOPES, ttl=TTLS, tags=TAGS
    )
    def put_many(self, items, namespace, scope, ttl, tags):
        mappings = [
            {"query": query, "response": value, **put_options(query, namespace, scope, ttl, tags)}
            for query, value in items
        ]
        good = [(query, value) for query, value in items if self.model.valid(value)]
        if self.embedder.broken and good:
            with pytest.raises(RuntimeError, match="broken"):
                self.do("put_many", mappings)
            return
        assert self.do("put_many", mappings) == len(good)
        # Of equal queries the last one stays, in the place of the first.
        latest = {normalized(query): (query, value) for query, value in good}
        if latest:
            rows = [self.row(query, value, namespace, scope, ttl=ttl, tags=tags) for query, value in latest.values()]
            self.was_put(*rows)

    @rule(
        query=QUERIES,
        namespace=NAMESPACES,
        scope=SCOPES,
        threshold=THRESHOLDS,
        ttl=TTLS,
        stale=st.sampled_from([None, None, 10]),
        takes=st.sampled_from([0, 1, 2]),
        fails=st.booleans(),
        single_flight=st.sampled_from(["exact", "semantic"]),
    )
    def get_or_compute(self, *, query, namespace, scope, threshold, ttl, stale, takes, fails, single_flight):
        self.values += 1
        value = f"computed {self.values}"
        asked = []

        def compute(query):
            asked.append(query)
            self.clock.advance(takes)
            if fails:
                raise LookupError("no answer")
            return value

        found = self.find(query, namespace, scope, threshold)
        options = {
            "namespace": namespace,
            "scope": scope,
            "similarity_threshold": threshold,
            "ttl": ttl,
            "stale_ttl": stale,
            "stale_on_error": stale is not None,
            "single_flight": single_flight,
        }
        before = self.now
        if found.row is not None:
            assert self.do("get_or_compute", query, compute, **options) == found.row.value
            assert asked == []
            self.looked_up([found], namespace)
            return
        if not fails:
            assert self.do("get_or_compute", query, compute, **options) == value
        elif found.stale is not None and stale is not None:
            assert self.do("get_or_compute", query, compute, **options) == found.stale.value
        else:
            with pytest.raises(LookupError, match="no answer"):
                self.do("get_or_compute", query, compute, **options)
        assert asked == [query]
        self.looked_up([found], namespace)
        if not fails and not self.embedder.broken:
            row = self.row(query, value, namespace, scope, ttl=ttl, stale=stale, seconds=self.now - before)
            self.was_put(row)
        if not fails and self.embedder.broken and (own := self.model.of_query(namespace, scope, query)):
            assert own.value != value  # it could not be embedded, so it was not stored

    @rule(query=QUERIES)
    def a_namespace_with_a_quota_of_nothing_takes_nothing(self, query):
        with pytest.raises(NamespaceQuotaExceededError, match="shut"):
            self.do("put", query, "value", namespace="shut")

    # --- removing ----------------------------------------------------------------------------------------------------

    @rule(query=QUERIES, namespace=NAMESPACES, scope=SCOPES)
    def delete(self, query, namespace, scope):
        row = self.model.of_query(namespace, scope, query)
        assert self.do("delete", query, namespace=namespace, scope=scope) is (row is not None)
        self.model.remove([] if row is None else [row])

    @precondition(lambda self: self.hits)
    @rule(which=st.integers(0, 3))
    def delete_what_was_served(self, which):
        hit = self.hits[which % len(self.hits)]
        row = self.model.of_id(hit.entry_id)
        assert self.do("delete", hit) is (row is not None)
        self.model.remove([] if row is None else [row])

    @rule(
        tags=st.sampled_from([None, ("x",), ("x", "y"), ("z",)]),
        namespace=st.sampled_from([None, "default", "b"]),
        scope=SCOPES,
        older_than=st.sampled_from([None, 1, "7s"]),
    )
    def invalidate(self, tags, namespace, scope, older_than):
        if tags is namespace is scope is older_than is None:
            with pytest.raises(ValueError, match="clear"):
                self.do("invalidate")
            return
        age = 7 if older_than == "7s" else older_than
        rows = [
            row
            for row in self.model.rows.values()
            if (tags is None or set(tags) & set(row.tags))
            and (namespace is None or row.namespace == namespace)
            and (scope is None or (row.scope, row.namespace) == (scope, namespace or "default"))
            and (age is None or row.created < self.now - age)
        ]
        given = {"tags": tags, "namespace": namespace, "scope": scope, "older_than": older_than}
        assert self.do("invalidate", **given) == len(rows)
        self.model.remove(rows)

    @rule(namespace=st.sampled_from([None, "default", "b"]))
    def clear(self, namespace):
        rows = [row for row in self.model.rows.values() if namespace in (None, row.namespace)]
        if namespace is None:
            assert self.do("clear") == len(rows)
        else:
            assert self.do("clear_namespace", namespace) == len(rows)
        self.model.remove(rows)

    @rule(namespace=st.sampled_from([None, "default", "b"]), compact=st.booleans())
    def vacuum(self, namespace, compact):
        rows = self.removable(namespace)
        assert self.do("vacuum", namespace=namespace, compact=compact) == len(rows)
        self.model.expire(rows)

    def removable(self, namespace=None):
        everywhere = namespace is None
        rows = self.model.rows.values()
        return [r for r in rows if (everywhere or r.namespace == namespace) and gone(r.removable, self.now)]

    # --- the world around --------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 4, 5, 6, 30, 61, 4000]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @rule(broken=st.booleans())
    def embedder_breaks_or_recovers(self, broken):
        self.embedder.broken = broken

    @precondition(lambda self: self.picky)
    @rule(strict=st.booleans())
    def validator_changes_its_mind(self, strict):
        self.strict = strict

    @rule(threshold=st.sampled_from([0.0, 0.5, 0.85, 1.0]))
    def set_similarity_threshold(self, threshold):
        self.cache.set_similarity_threshold(threshold)
        self.model.threshold = threshold
        assert self.cache.similarity_threshold == threshold

    @rule(dtype=DTYPES)
    def requantize(self, dtype):
        self.do("requantize", dtype)
        assert self.do("stats").vector_dtype == dtype
