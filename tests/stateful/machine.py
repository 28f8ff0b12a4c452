"""A random walk over the whole surface of a cache, each step compared with the model."""

import asyncio
import json
import logging
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mneme import (
    AsyncSemanticCache,
    MemoryStore,
    NamespaceQuotaExceededError,
    SemanticCache,
    SQLiteStore,
    StoreBackendError,
    half_life,
)
from mneme.ports import Selection
from mneme.testing import FakeClock
from stateful.faults import FaultyStore, Vocabulary
from stateful.model import Model, Row, gone, normalized, unit

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
WALK = settings() if THOROUGH else settings(max_examples=60, stateful_step_count=30)

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
PAUSES = st.sampled_from([0, 0, 1, 3])
VALUES = st.sampled_from(["yes", "no", "bad news", "maybe", b"bytes", 17, ["a", {"list": None}]])
THRESHOLDS = st.sampled_from([None, None, 0.0, 0.5, 0.8, 0.95, 1.0])
TTLS = st.sampled_from([None, None, 5, "10s", 60, float("inf")])
TAGS = st.sampled_from([(), ("x",), ("y",), ("x", "y")])
DTYPES = st.sampled_from(["float32", "float16", "int8"])
OWN_VECTORS = st.sampled_from([None, None, None, None, *VECTORS])
KINDS = ("hits_exact", "hits_semantic", "misses", "evictions", "expirations", "seconds_saved")


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


class CacheMachine(RuleBasedStateMachine):
    """Subclasses say which store and which face."""

    Face = OnThreads

    def make_store(self):
        raise NotImplementedError

    # --- set-up ------------------------------------------------------------------------------------------------------

    def __init__(self):
        super().__init__()
        logging.getLogger("mneme").setLevel(logging.CRITICAL)  # thousands of failures on command are no news
        self.clock = FakeClock(1_700_000_000.0)
        self.face = self.Face()
        self.cache = None
        self.hits = []
        self.highest = 0
        self.values = 0

    @initialize(
        words=st.lists(st.sampled_from([*VECTORS, TOO_LONG]), min_size=3, unique=True),
        cap=st.sampled_from([None, 2, 3, 6]),
        quota=st.sampled_from([None, 2]),
        picky=st.booleans(),
        ages=st.booleans(),
        hot_bytes=st.sampled_from([0, 3000, 2**20]),
        dtype=DTYPES,
        default_ttl=st.sampled_from([None, 30]),
    )
    def open(self, *, words, cap, quota, picky, ages, hot_bytes, dtype, default_ttl):
        self.words = words
        self.strict = False
        self.default_ttl = default_ttl
        self.embedder = Vocabulary(VECTORS, TOO_LONG)
        quotas = {} if quota is None else {"b": quota}
        decay = half_life(1 / 60) if ages else lambda similarity, age: similarity

        def valid(value):
            return not (self.strict and isinstance(value, str) and value.startswith("bad"))

        self.picky = picky
        self.options = {
            "clock": self.clock,
            "max_entries": cap,
            "namespace_quotas": {**quotas, "shut": 0},
            "default_ttl": default_ttl,
            "hot_bytes": hot_bytes,
            "vector_dtype": dtype,
            **({"validator": valid} if picky else {}),
            **({"confidence_fn": decay, "min_confidence": 0.45} if ages else {}),
        }
        self.model = Model(
            threshold=0.85,
            cap=cap,
            quotas=quotas,
            valid=valid if picky else lambda value: True,
            confidence=decay,
            least=0.45 if ages else -2.0,
        )
        self._open()

    def _open(self):
        self.store = FaultyStore(self.make_store())
        self.cache = self.face.open(self.store, self.embedder, **self.options)

    def teardown(self):
        if self.cache is not None:
            self.store.calm()
            self.do("close")
        self.face.finish()
        logging.getLogger("mneme").setLevel(logging.NOTSET)

    def do(self, verb, *args, **kwargs):
        return self.face.run(getattr(self.cache, verb)(*args, **kwargs))

    # --- helpers -----------------------------------------------------------------------------------------------------

    @property
    def now(self):
        return self.clock.now()

    def stored(self):
        """What the store holds, beneath the cache and its faults."""
        return {record.id: record for record in self._scan()}

    def _scan(self):
        return self.store.inner.scan(Selection())

    def vector_of(self, query, own=None):
        if own is not None:
            return VECTORS[own]
        return None if self.embedder.broken else VECTORS.get(query)

    def row(self, query, value, namespace, scope, *, own=None, ttl=None, stale=None, tags=(), seconds=0.0):
        life = {None: self.default_ttl, "10s": 10, float("inf"): None}.get(ttl, ttl)
        expires = None if life is None else self.now + life
        vector = self.vector_of(query, own)
        known = self.model.of_query(namespace, scope, query)
        return Row(
            id=0 if known is None else known.id,
            namespace=namespace,
            scope=scope,
            query=query,
            value=value,
            vector=None if vector is None else unit(vector),
            tags=tags,
            created=self.now,
            accessed=self.now,
            expires=expires,
            removable=expires if expires is None or stale is None else expires + stale,
            seconds=seconds,
        )

    def was_put(self, *rows, evicts=True):
        """Follow a write: learn the ids of new rows, which must be new and rising, then evict."""
        ids = {(r.namespace, r.scope, normalized(r.query)): r.id for r in map(_described, self._scan())}
        for row in rows:
            self.model.store(row)
        surplus = self.model.surplus() if evicts else []
        driven_out = [one for step in surplus for one in step]
        fresh = [row for row in rows if row.id == 0 and self.model.rows.get(self._key(row)) is row]
        for row in fresh:
            if row in driven_out:  # evicted in the same breath: nobody saw its id
                continue
            row.id = ids[self._key(row)]
            assert row.id > self.highest
            self.highest = row.id
        for step in surplus:
            self.model.evict(step)

    def _key(self, row):
        return self.model.key(row.namespace, row.scope, row.query)

    def compare(self, hit, found):
        """A hit must be the row that the model found, in every respect."""
        if found.row is None:
            assert hit is None
            return
        row = found.row
        assert hit is not None, f"expected {row}"
        assert (hit.entry_id, hit.layer, hit.response, hit.query) == (row.id, found.layer, row.value, row.query)
        assert type(hit.response) is type(row.value)
        assert hit.similarity == pytest.approx(found.similarity, abs=1e-6)
        assert hit.confidence == pytest.approx(found.confidence, abs=1e-6)
        assert hit.age_seconds == self.now - row.created
        assert (hit.namespace, hit.metadata) == (row.namespace, {"of": row.query} if "x" in row.tags else {})

    def looked_up(self, founds, namespace):
        """Follow what lookups do beside answering."""
        for found in founds:
            if found.row is None:
                self.model.count(namespace, "misses")
            else:
                self.model.served(found.row, found.layer, self.now)
        self.swept(founds)

    def swept(self, founds):
        self.model.expire({row.id: row for found in founds for row in found.expired}.values())
        self.model.remove({row.id: row for found in founds for row in found.refused}.values())

    def find(self, query, namespace, scope, threshold=None, own=None):
        least = self.model.threshold if threshold is None else threshold
        return self.model.find((namespace, scope, query), self.vector_of(query, own), least, self.now)

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

    @rule(
        namespace=NAMESPACES,
        steps=st.lists(st.tuples(st.sampled_from(["get", "put"]), QUERIES, PAUSES), min_size=3, max_size=12),
    )
    def a_busy_while(self, namespace, steps):
        for verb, query, pause in steps:
            if verb == "get":
                self.get(query=query, namespace=namespace, scope=None, threshold=None, own=None, pause=pause)
            else:
                self.values += 1
                value = f"value {self.values}"
                plain = {"scope": None, "ttl": None, "tags": (), "own": None}
                self.put(query=query, value=value, namespace=namespace, pause=pause, **plain)

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
    )
    def put(self, *, query, value, namespace, scope, ttl, tags, own, pause):
        self.clock.advance(pause)
        options = _put_options(query, namespace, scope, ttl, tags)
        embedding = None if own is None else VECTORS[own]
        if not self.model.valid(value):
            assert self.do("put", query, value, embedding=embedding, **options) is False
        elif self.embedder.broken and own is None:
            with pytest.raises(RuntimeError, match="broken"):
                self.do("put", query, value, **options)
        else:
            assert self.do("put", query, value, embedding=embedding, **options) is True
            self.was_put(self.row(query, value, namespace, scope, own=own, ttl=ttl, tags=tags))

    @rule(
        items=st.lists(st.tuples(QUERIES, VALUES), max_size=8), namespace=NAMESPACES, scope=SCOPES, ttl=TTLS, tags=TAGS
    )
    def put_many(self, items, namespace, scope, ttl, tags):
        mappings = [
            {"query": query, "response": value, **_put_options(query, namespace, scope, ttl, tags)}
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

    @rule()
    def clear(self):
        assert self.do("clear") == len(self.model.rows)
        self.model.rows.clear()

    @rule(namespace=NAMESPACES)
    def clear_namespace(self, namespace):
        rows = [row for row in self.model.rows.values() if row.namespace == namespace]
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

    # --- faults ------------------------------------------------------------------------------------------------------

    @rule(query=QUERIES, value=VALUES, namespace=NAMESPACES, tags=TAGS, number=st.integers(1, 6))
    def put_while_the_store_fails(self, query, value, namespace, tags, number):
        if not self.model.valid(value) or self.embedder.broken:
            return
        row = self.row(query, value, namespace, None, tags=tags)
        self.store.spoil(number)
        try:
            assert self.do("put", query, value, **_put_options(query, namespace, None, None, tags)) is True
        except StoreBackendError:
            assert self.store.fired
            return  # nothing was written
        finally:
            self.store.calm()
        held = self.stored()
        self.was_put(row, evicts=False)
        # An eviction that fails is made up for by the next write. Steps that succeeded before it are counted.
        for step in self.model.surplus():
            if any(one.id in held for one in step):
                assert all(one.id in held for one in step), "an eviction is one transaction"
                return
            self.model.evict(step)

    @rule(query=QUERIES, namespace=NAMESPACES, threshold=THRESHOLDS, number=st.integers(1, 5))
    def get_while_the_store_fails(self, query, namespace, threshold, number):
        found = self.find(query, namespace, None, threshold)
        self.store.spoil(number)
        try:
            hit = self.do("get", query, namespace=namespace, similarity_threshold=threshold)
        except StoreBackendError:
            assert self.store.fired
            return  # not counted, nothing removed
        finally:
            self.store.calm()
        self.compare(hit, found)
        held = self.stored()
        found.expired = [row for row in found.expired if row.id not in held]
        found.refused = [row for row in found.refused if row.id not in held]
        self.looked_up([found], namespace)

    @rule(query=QUERIES, namespace=NAMESPACES, number=st.integers(1, 5))
    def a_computed_value_is_returned_though_the_store_fails(self, query, namespace, number):
        self.values += 1
        value = f"computed {self.values}"
        found = self.find(query, namespace, None)
        if found.row is not None or found.expired or found.refused or self.model.surplus() or self.embedder.broken:
            return  # the other rules see to these
        row = self.row(query, value, namespace, None)
        self.store.spoil(number)
        try:
            assert self.do("get_or_compute", query, lambda _: value, namespace=namespace) == value
        except StoreBackendError:
            assert self.store.fired  # it could not even look
            return
        finally:
            self.store.calm()
        self.looked_up([found], namespace)
        held = [record for record in self._scan() if record.payload == value.encode()]
        if held:
            self.was_put(row, evicts=False)
            for step in self.model.surplus():
                if not any(one.id in self.stored() for one in step):
                    self.model.evict(step)
        elif self.model.cap is None and not self.model.quotas:
            assert self.model.of_query(namespace, None, query) is None or row.id

    @rule(namespace=NAMESPACES, number=st.integers(1, 3))
    def vacuum_while_the_store_fails(self, namespace, number):
        rows = self.removable(namespace)
        self.store.spoil(number)
        try:
            assert self.do("vacuum", namespace=namespace) == len(rows)
        except StoreBackendError:
            if any(row.id in self.stored() for row in rows):
                assert all(row.id in self.stored() for row in rows)
                return
        finally:
            self.store.calm()
        self.model.expire(rows)

    @rule(query=QUERIES, namespace=NAMESPACES)
    def a_failing_store_deletes_nothing(self, query, namespace):
        for verb, args in (
            ("delete", (query,)),
            ("clear_namespace", (namespace,)),
            ("clear", ()),
            ("requantize", ("int8",)),
        ):
            self.store.spoil(1)
            with pytest.raises(StoreBackendError, match="as the test told it to"):
                self.do(verb, *args)
            self.store.calm()

    @rule(query=QUERIES, value=VALUES, namespace=NAMESPACES, ttl=TTLS)
    def a_put_that_is_interrupted_after_its_write_is_found_by_the_next_verb(self, query, value, namespace, ttl):
        if not self.model.valid(value) or self.embedder.broken:
            return
        row = self.row(query, value, namespace, None, ttl=ttl)
        self.store.spoil(1, after=True)
        with pytest.raises(RuntimeError, match="interrupted"):
            self.do("put", query, value, namespace=namespace, ttl=ttl)
        self.store.calm()
        self.was_put(row, evicts=False)

    @rule(query=QUERIES, namespace=NAMESPACES, scope=SCOPES)
    def a_delete_that_is_interrupted_afterwards_is_believed(self, query, namespace, scope):
        row = self.model.of_query(namespace, scope, query)
        self.store.spoil(1, after=True)
        with pytest.raises(RuntimeError, match="interrupted"):
            self.do("delete", query, namespace=namespace, scope=scope)
        self.store.calm()
        self.model.remove([] if row is None else [row])

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def cache_and_model_agree(self):
        if self.cache is None:
            return
        assert self.do("check") == []
        for namespace in ("default", "b", None):
            rows = [row for row in self.model.rows.values() if namespace in (None, row.namespace)]
            stats = self.do("stats", namespace)
            assert stats.entries == len(rows)
            for kind in KINDS:
                names = ("default", "b") if namespace is None else (namespace,)
                expected = sum(self.model.counters[name, kind] for name in names)
                assert getattr(stats, kind) == expected, (namespace, kind)
        assert self.do("list_namespaces") == sorted({row.namespace for row in self.model.rows.values()})
        listed = [_listed(entry) for entry in self.do("entries")]
        rows = sorted(self.model.rows.values(), key=lambda row: row.id)
        assert listed == [_listed_row(row) for row in rows]
        health = self.do("health")
        assert health.healthy
        assert health.entries == len(rows)


def _put_options(query, namespace, scope, ttl, tags):
    return {
        "namespace": namespace,
        "scope": scope,
        "ttl": ttl,
        "tags": tags,
        "metadata": {"of": query} if "x" in tags else None,
    }


def _described(record):
    return Row(
        id=record.id,
        namespace=record.namespace,
        scope=json.loads(record.scope) if record.scope else None,
        query=record.query,
        value=None,
        vector=None,
        tags=(),
        created=0,
        accessed=0,
        expires=None,
        removable=None,
    )


def _listed(entry):
    return entry.entry_id, entry.namespace, entry.scope, entry.query, entry.response, entry.tags, entry.expires_at


def _listed_row(row):
    return row.id, row.namespace, row.scope, row.query, row.value, row.tags, row.expires


class OnMemory(CacheMachine):
    def make_store(self):
        return MemoryStore()


class OnSQLite(CacheMachine):
    """May be closed and opened again."""

    def __init__(self):
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()

    def make_store(self):
        return SQLiteStore(Path(self.directory.name) / "cache.db")

    def teardown(self):
        super().teardown()
        self.directory.cleanup()

    @rule(dtype=DTYPES)
    def close_and_open_again(self, dtype):
        self.do("close")
        self.options["vector_dtype"] = dtype
        self._open()
        self.model.threshold = 0.85
