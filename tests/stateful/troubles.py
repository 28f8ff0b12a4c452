"""Stores that fail before they did anything, and writes that are interrupted once they are done."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from mneme import StoreBackendError
from stateful.verbs import Verbs
from stateful.world import NAMESPACES, QUERIES, SCOPES, TAGS, THRESHOLDS, TTLS, VALUES, put_options


class Troubles(Verbs):
    @rule(query=QUERIES, value=VALUES, namespace=NAMESPACES, tags=TAGS, number=st.integers(1, 6))
    def put_while_the_store_fails(self, query, value, namespace, tags, number):
        if not self.model.valid(value) or self.embedder.broken:
            return
        row = self.row(query, value, namespace, None, tags=tags)
        self.store.spoil(number)
        try:
            stored = self.do("put", query, value, **put_options(query, namespace, None, None, tags))
            if not stored:
                assert self.lenient
                assert self.store.fired
                return
        except StoreBackendError:
            assert not self.lenient
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
            assert not self.lenient
            assert self.store.fired
            return  # not counted, nothing removed
        finally:
            fired = self.store.fired
            self.store.calm()
        if self.lenient and fired and hit is None:
            found.row = None  # a miss like any other, and counted
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
        assert self.do("get_or_compute", query, lambda _: value, namespace=namespace) == value
        self.store.calm()
        self.looked_up([found], namespace)
        held = [record for record in self._scan() if record.payload == value.encode()]
        if held:
            self.was_put(row, evicts=False)
            for step in self.model.surplus():
                if not any(one.id in self.stored() for one in step):
                    self.model.evict(step)

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
