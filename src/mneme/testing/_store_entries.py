"""A part of the store contract: reading and writing entries."""

from __future__ import annotations

import numpy as np
import pytest

from mneme.errors import EmbedderDimensionError
from mneme.ports import Ref, Selection, Store, Usage
from mneme.testing._store_suite import DIM, StoreSuite, a_record, a_vector, assert_same, history, ids_of

__all__ = ["StoreEntries"]


class StoreEntries(StoreSuite):
    """Reading and writing entries."""

    def test_a_record_comes_back_as_it_was_written(self, store: Store) -> None:
        records = [
            a_record(1),
            a_record(
                2,
                namespace="other",
                scope='{"model":"m"}',
                codec="json",
                metadata='{"source": "test"}',
                tags=("b", "a"),
                expires_at=5000.5,
                removable_at=6000.25,
                compute_seconds=0.125,
                cost=0.0625,
            ),
            a_record(3, vector=None, payload=b""),
            a_record(4, cost=3.5e-4),
        ]
        for record, written in zip(records, store.write(records), strict=True):
            assert_same(store.read([record.key], vectors=True)[0], record, written.id, written.seq)
            assert_same(store.read([written.id], vectors=True)[0], record, written.id, written.seq)

    def test_reading_keeps_the_order_and_says_none_for_what_is_missing(self, store: Store) -> None:
        first, second = store.write([a_record(1), a_record(2)])
        refs: list[Ref] = [second.id, b"\0" * 32, a_record(1).key, 0, -1, 999, 2**70, first.id, second.id]
        found = store.read(refs)
        assert [None if each is None else each.id for each in found] == [
            second.id, None, first.id, None, None, None, None, first.id, second.id
        ]  # fmt: skip
        assert store.read([2**70]) == [None]
        assert store.read([b"\0" * 32]) == [None]
        assert store.read([]) == []

    def test_vectors_are_read_only_when_asked_for(self, store: Store) -> None:
        (written,) = store.write([a_record(1)])
        refs_of_one: list[list[Ref]] = [[written.id], [written.id, a_record(1).key]]
        for refs in refs_of_one:
            assert all(each is not None and each.vector is None for each in store.read(refs))
            assert all(each is not None and each.vector is not None for each in store.read(refs, vectors=True))
        assert [each.vector for each in store.scan(Selection())] == [None]

    def test_expired_records_are_read_like_any_other(self, store: Store) -> None:
        store.write([a_record(1, expires_at=0.0, removable_at=0.0)])
        assert store.read([a_record(1).key])[0] is not None

    def test_text_and_bytes_are_opaque(self, store: Store) -> None:
        text = "NUL \0 inside, \u00e9\u4e16\U0001f600, 'quotes' \" % _ \\ \r\n; -- "
        record = a_record(
            1,
            namespace=text,
            scope=text,
            query=text,
            payload=bytes(range(256)),
            codec=text,
            metadata=text,
            tags=(text, "NUL ", "a\0b", "a"),
        )
        (written,) = store.write([record])
        assert_same(store.read([record.key], vectors=True)[0], record, written.id, written.seq)
        size = len(record.payload) + 2 * len(text.encode())
        assert [(each.namespace, each.payload_bytes) for each in store.summary()] == [(text, size)]
        for tag in record.tags:
            assert ids_of(store.scan(Selection(tags=[tag]))) == [written.id]
        assert store.scan(Selection(tags=["NUL"])) == []
        assert store.scan(Selection(namespace="NUL ")) == []
        assert ids_of(store.delete(Selection(namespace=text, tags=["a\0b"]))) == [written.id]

    def test_large_payloads_come_back_whole(self, store: Store) -> None:
        record = a_record(1, payload=bytes(range(256)) * 8192, query="q" * 30_000)
        (written,) = store.write([record])
        assert_same(store.read([written.id], vectors=True)[0], record, written.id, written.seq)

    def test_an_equal_key_replaces_and_keeps_the_id(self, store: Store) -> None:
        old = a_record(1, tags=("old", "both"), expires_at=1.0, removable_at=2.0, accessed_at=1.0)
        new = a_record(1, query="new", tags=("both", "new"), payload=b"new", created_at=9.0, vector=a_vector(99))
        (first,) = store.write([old])
        store.record(Usage({first.id: 4000.0}, {}))
        (second,) = store.write([new])
        assert (first.replaced, second.replaced) == (False, True)
        assert second.id == first.id
        assert second.seq > first.seq
        assert_same(store.read([old.key], vectors=True)[0], new, second.id, second.seq)
        assert len(store.scan(Selection())) == 1
        assert store.scan(Selection(tags=["old"])) == []
        assert store.scan(Selection(removable_by=1e9)) == []
        assert np.array_equal(store.vectors().vectors, [a_vector(99)])

    def test_a_replacement_may_add_or_drop_the_vector(self, store: Store) -> None:
        (written,) = store.write([a_record(1)])
        store.write([a_record(1, vector=None)])
        assert len(store.vectors().ids) == 0
        store.write([a_record(1)])
        assert store.vectors().ids.tolist() == [written.id]

    def test_a_key_that_occurs_twice_is_written_twice(self, store: Store) -> None:
        records = [a_record(1, query="first", tags=("x",)), a_record(2), a_record(1, query="second", vector=None)]
        written = store.write(records)
        assert [each.replaced for each in written] == [False, False, True]
        assert written[0].id == written[2].id != written[1].id
        assert written[0].seq < written[1].seq < written[2].seq
        assert_same(store.read([records[0].key], vectors=True)[0], records[2], written[2].id, written[2].seq)
        assert store.scan(Selection(tags=["x"])) == []
        again = store.write(records)
        assert [(each.id, each.replaced) for each in again] == [(each.id, True) for each in written]

    def test_ids_and_numbers_in_records_to_write_are_ignored(self, store: Store) -> None:
        (written,) = store.write([a_record(1)._replace(id=777, seq=888)])
        found = store.read([a_record(1).key])[0]
        assert found is not None
        assert (found.id, found.seq) == (written.id, written.seq)

    def test_sequence_numbers_rise_over_writes_and_deletions(self, store: Store) -> None:
        numbers = [each.seq for each in store.write([a_record(number) for number in range(5)])]
        store.delete(Selection(refs=[a_record(4).key]))
        numbers.append(history(store, 0)[-1].seq)
        numbers.extend(each.seq for each in store.write([a_record(0), a_record(9)]))
        assert numbers == sorted(set(numbers))
        assert min(numbers) > 0

    def test_a_vector_of_another_dimension_is_refused_and_nothing_is_written(self, store: Store) -> None:
        for wrong in (np.ones(DIM + 1, np.float32), np.ones((1, DIM), np.float32)):
            with pytest.raises(EmbedderDimensionError):
                store.write([a_record(1), a_record(2, vector=wrong)])
        assert history(store, 0) == []

    def test_empty_batches_do_nothing(self, store: Store) -> None:
        assert store.write([]) == []
        assert store.read([]) == []
        assert store.delete(Selection(refs=[])) == []
        assert store.delete(Selection(tags=[])) == []
        store.record(Usage({}, {}))
        assert history(store, 0) == []

    def test_large_batches_are_one_call(self, store: Store) -> None:
        records = [a_record(number, namespace=f"n{number % 7}", tags=(f"t{number % 3}",)) for number in range(5000)]
        written = store.write(records)
        assert len({each.id for each in written}) == len({each.seq for each in written}) == 5000
        refs: list[Ref] = [
            record.key if position % 2 else written[position].id for position, record in enumerate(records)
        ]
        assert [each and each.id for each in store.read(refs)] == [each.id for each in written]
        assert sum(each.entries for each in store.summary()) == 5000
        block = store.vectors(limit=10_000)
        assert np.array_equal(
            block.vectors, np.stack([record.vector for record in records if record.vector is not None])
        )
        assert len(store.delete(Selection(refs=refs[:4990]))) == 4990
        assert ids_of(store.scan(Selection())) == [each.id for each in written[4990:]]

    def test_nothing_is_shared_with_the_caller(self, store: Store) -> None:
        vector = a_vector(1)
        records = [a_record(1, vector=vector)]
        (written,) = store.write(records)
        vector[:] = 0
        records.clear()
        for found in (store.read([written.id], vectors=True), store.scan(Selection(), vectors=True)):
            assert found[0] is not None
            assert found[0].vector is not None
            assert np.array_equal(found[0].vector, a_vector(1))
            if found[0].vector.flags.writeable:
                found[0].vector[:] = 0
            found.clear()
        block = store.vectors()
        if block.vectors.flags.writeable:
            block.vectors[:] = 0
        assert_same(store.read([written.id], vectors=True)[0], a_record(1), written.id, written.seq)
