"""A part of the store contract: vectors, changes, usage and compaction."""

from __future__ import annotations

import numpy as np

from mneme.ports import Counters, Selection, Store, Usage
from mneme.testing._store_suite import DIM, StoreSuite, a_record, history

__all__ = ["StoreHistory"]


class StoreHistory(StoreSuite):
    """Vectors, changes, usage and compaction."""

    def test_vectors_come_in_order_of_id_with_their_partitions(self, store: Store) -> None:
        ids = self.fill(store)
        letters = "abcdf"  # "e" has none
        block = store.vectors()
        assert block.ids.dtype == np.int64
        assert block.vectors.dtype == np.float32
        assert block.vectors.flags.c_contiguous
        assert block.ids.tolist() == [ids[letter] for letter in letters]
        records = store.scan(Selection(refs=block.ids.tolist()), vectors=True)
        assert list(block.partitions) == [record.partition for record in records]
        assert np.array_equal(block.vectors, [record.vector for record in records if record.vector is not None])

    def test_vectors_can_be_paged(self, store: Store) -> None:
        ids = self.fill(store)
        block = store.vectors(after=ids["b"], limit=2)
        assert block.ids.tolist() == [ids["c"], ids["d"]]
        assert store.vectors(after=ids["d"]).ids.tolist() == [ids["f"]]
        assert store.vectors(after=ids["f"]).vectors.shape == (0, DIM)

    def test_changes_are_each_latest_write_and_every_deletion(self, store: Store) -> None:
        a, b, c = store.write([a_record(1), a_record(2), a_record(3)])
        (a2,) = store.write([a_record(1)])
        store.delete(Selection(refs=[b.id]))
        changes = history(store, 0)
        assert changes == sorted(changes)
        assert [(each.id, each.deleted) for each in changes] == [(c.id, False), (a.id, False), (b.id, True)]
        assert [each.seq for each in changes[:2]] == [c.seq, a2.seq]
        assert changes[2].key == a_record(2).key
        assert history(store, a2.seq) == changes[2:]
        assert history(store, c.seq - 1, limit=2) == changes[:2]
        assert history(store, changes[-1].seq) == []

    def test_a_key_written_again_after_its_deletion_is_a_new_entry(self, store: Store) -> None:
        (first,) = store.write([a_record(1)])
        store.delete(Selection(refs=[first.id]))
        (second,) = store.write([a_record(1)])
        assert not second.replaced
        assert second.id != first.id
        assert [(each.id, each.deleted) for each in history(store, 0)] == [(first.id, True), (second.id, False)]

    def test_access_times_are_recorded_without_a_sequence_number(self, store: Store) -> None:
        written = store.write([a_record(1), a_record(2)])
        before = history(store, 0)
        store.record(Usage({written[0].id: 7000.5}, {}))
        assert [each and each.accessed_at for each in store.read([w.id for w in written])] == [7000.5, 2002.0]
        assert history(store, 0) == before

    def test_access_times_of_entries_that_are_gone_are_passed_over(self, store: Store) -> None:
        a, b = store.write([a_record(1), a_record(2)])
        store.delete(Selection(refs=[a.id]))
        store.record(Usage({a.id: 1.0, b.id: 2.0, 999: 3.0, 2**70: 4.0, -1: 5.0}, {}))
        assert [(each.id, each.accessed_at) for each in store.scan(Selection())] == [(b.id, 2.0)]

    def test_counters_add_up_and_survive_the_entries(self, store: Store) -> None:
        one = Counters(1, 2, 3, 4, 5, 0.5, 0.25)
        store.record(Usage({}, {"main": one, "empty": one}))
        store.write([a_record(1)])
        store.record(Usage({}, {"main": one}))
        store.delete(Selection())
        assert [(each.namespace, each.entries, each.counters) for each in store.summary()] == [
            ("empty", 0, one),
            ("main", 0, one + one),
        ]

    def test_the_summary_is_by_namespace_in_order_of_name(self, store: Store) -> None:
        store.write([a_record(1, namespace="b", metadata="{}"), a_record(2, namespace="a"), a_record(3, namespace="b")])
        store.write([a_record(4, namespace="gone")])
        store.delete(Selection(namespace="gone"))
        summary = store.summary()
        assert [(each.namespace, each.entries, each.oldest_created_at) for each in summary] == [
            ("a", 1, 1002.0),
            ("b", 2, 1001.0),
        ]
        expected = [len(b"answer 1question 1{}") + len(b"answer 3question 3"), len(b"answer 2question 2")]
        assert [each.payload_bytes for each in summary] == expected[::-1]
        assert {each.counters for each in summary} == {Counters()}

    def test_compacting_loses_nothing(self, store: Store) -> None:
        store.write([a_record(number, payload=b"x" * 10_000) for number in range(200)])
        store.delete(Selection(refs=[a_record(number).key for number in range(150)]))
        before, changes = store.scan(Selection()), history(store, 0)
        assert store.compact() >= 0
        assert store.scan(Selection()) == before
        assert history(store, 0) == changes
        assert len(store.vectors().ids) == 50
