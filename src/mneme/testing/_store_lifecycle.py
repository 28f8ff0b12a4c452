"""A part of the store contract: opening, reopening and closing."""

from __future__ import annotations

import pytest

from mneme.errors import CacheClosedError, EmbedderDimensionError, EmbedderMismatchError
from mneme.ports import Counters, Selection, Store, Usage
from mneme.testing._store_suite import DIM, FINGERPRINT, StoreSuite, a_record, assert_same, history, ids_of

__all__ = ["StoreLifecycle"]


class StoreLifecycle(StoreSuite):
    """Opening, reopening and closing."""

    def test_it_is_a_store_with_a_short_name(self, store: Store) -> None:
        assert isinstance(store, Store)
        assert store.name == store.name.lower() != ""

    def test_a_new_store_is_empty(self, store: Store) -> None:
        assert store.read([1, a_record(1).key]) == [None, None]
        assert store.scan(Selection()) == []
        assert store.delete(Selection()) == []
        assert history(store, 0) == []
        assert store.summary() == []
        block = store.vectors()
        assert (len(block.ids), len(block.partitions), block.vectors.shape) == (0, 0, (0, DIM))

    def test_open_says_what_it_found(self) -> None:
        store = self.make_store()
        try:
            info = store.open(FINGERPRINT, DIM)
            assert (info.fingerprint, info.dim, info.seq) == (FINGERPRINT, DIM, 0)
            assert info.schema_version >= 1
        finally:
            store.close()

    def test_a_store_opened_without_an_embedder_is_bound_to_none(self) -> None:
        with self.opened(None, None) as store:
            record = a_record(1, vector=None)
            (written,) = store.write([record])
            assert_same(store.read([written.id], vectors=True)[0], record, written.id, written.seq)
            assert len(store.vectors().ids) == 0

    def test_an_unbound_store_refuses_vectors(self) -> None:
        with self.opened(None, None) as store:
            with pytest.raises(EmbedderDimensionError):
                store.write([a_record(1, vector=None), a_record(2)])
            assert store.scan(Selection()) == []

    def test_a_fingerprint_without_a_dimension_is_refused(self) -> None:
        store = self.make_store()
        try:
            with pytest.raises(ValueError, match="dim"):
                store.open(FINGERPRINT, None)
            with pytest.raises(ValueError, match="dim"):
                store.open(None, DIM)
        finally:
            store.close()

    def test_what_was_written_outlives_the_store_if_it_is_durable(self) -> None:
        record = a_record(1, tags=("a",), metadata='{"k": 1}')
        with self.opened() as store:
            first, second = store.write([record, a_record(2)])
            store.delete(Selection(refs=[second.id]))
            store.record(Usage({first.id: 9000.0}, {"main": Counters(misses=2, seconds_saved=1.5, cost_saved=0.25)}))
        with self.opened() as store:
            if not self.durable:
                assert history(store, 0) == []
                return
            found = store.read([first.id], vectors=True)[0]
            assert_same(found, record._replace(accessed_at=9000.0), first.id, first.seq)
            assert ids_of(history(store, 0)) == [first.id, second.id]
            assert [each.counters for each in store.summary()] == [
                Counters(misses=2, seconds_saved=1.5, cost_saved=0.25)
            ]

    def test_ids_and_sequence_numbers_go_on_after_the_last_entry_was_deleted(self) -> None:
        with self.opened() as store:
            (first,) = store.write([a_record(1)])
            store.delete(Selection())
            highest = history(store, 0)[-1].seq
            assert highest > first.seq
            (second,) = store.write([a_record(1)])
            assert second.id > first.id
            assert second.seq > highest
            store.delete(Selection())
            highest = history(store, 0)[-1].seq
        if self.durable:
            with self.opened() as store:
                (third,) = store.write([a_record(1)])
                assert third.id > second.id
                assert third.seq > highest

    def test_a_durable_store_knows_its_embedder(self) -> None:
        with self.opened() as store:
            store.write([a_record(1)])
        if not self.durable:
            return
        with self.opened(None, None) as store:
            assert len(store.vectors().ids) == 1
            store.write([a_record(2)])
        for fingerprint, dim in (("another", DIM), (FINGERPRINT, DIM + 1)):
            store = self.make_store()
            try:
                with pytest.raises(EmbedderMismatchError, match=FINGERPRINT):
                    store.open(fingerprint, dim)
            finally:
                store.close()
        with self.opened() as store:
            assert store.vectors().vectors.shape == (2, DIM)

    def test_closing_twice_is_harmless(self) -> None:
        store = self.make_store()
        store.open(FINGERPRINT, DIM)
        store.close()
        store.close()

    def test_a_store_that_was_never_opened_can_be_closed(self) -> None:
        self.make_store().close()

    def test_every_verb_but_close_refuses_a_closed_store(self) -> None:
        store = self.make_store()
        store.open(FINGERPRINT, DIM)
        store.write([a_record(1)])
        store.close()
        for call in (
            lambda: store.open(FINGERPRINT, DIM),
            lambda: store.read([1]),
            lambda: store.read([1, 2]),
            lambda: store.write([a_record(2)]),
            lambda: store.write([]),
            lambda: store.delete(Selection()),
            lambda: store.record(Usage({1: 1.0}, {})),
            lambda: store.scan(Selection()),
            store.vectors,
            lambda: history(store, 0),
            store.summary,
            store.check,
            store.compact,
        ):
            with pytest.raises(CacheClosedError):
                call()
