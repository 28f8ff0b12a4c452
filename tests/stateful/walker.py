"""The state of a walk, what follows from each step, and what must hold after it."""

import json
import logging

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from mneme import half_life
from mneme.ports import Selection
from mneme.testing import FakeClock
from stateful.faults import FaultyStore, Vocabulary
from stateful.model import Model, Row, normalized, unit
from stateful.world import DTYPES, KINDS, TOO_LONG, VECTORS, OnThreads


class Walker(RuleBasedStateMachine):
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
        words=st.lists(st.sampled_from([*VECTORS, TOO_LONG]), min_size=3, max_size=8, unique=True),
        cap=st.sampled_from([None, 2, 3, 6]),
        quota=st.sampled_from([None, 2]),
        picky=st.booleans(),
        ages=st.booleans(),
        hot_bytes=st.sampled_from([0, 3000, 2**20]),
        dtype=DTYPES,
        default_ttl=st.sampled_from([None, 30]),
        lenient=st.booleans(),
    )
    def open(self, *, words, cap, quota, picky, ages, hot_bytes, dtype, default_ttl, lenient):
        self.words = words
        self.strict = False
        self.default_ttl = default_ttl
        self.embedder = Vocabulary(VECTORS, TOO_LONG)
        quotas = {} if quota is None else {"b": quota}
        decay = half_life(1 / 60) if ages else lambda similarity, age: similarity

        def valid(value):
            return not (self.strict and isinstance(value, str) and value.startswith("bad"))

        self.picky = picky
        self.lenient = lenient
        self.options = {
            "clock": self.clock,
            "max_entries": cap,
            "namespace_quotas": {**quotas, "shut": 0},
            "default_ttl": default_ttl,
            "hot_bytes": hot_bytes,
            "vector_dtype": dtype,
            "on_store_error": "miss" if lenient else "raise",
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

    def row(self, query, value, namespace, scope, *, own=None, ttl=None, stale=None, tags=(), seconds=0.0, cost=0.0):
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
            cost=cost,
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
