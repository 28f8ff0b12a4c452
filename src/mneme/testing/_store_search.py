"""What a store that searches by itself promises on top: `SearchContract`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import ClassVar, cast

import numpy as np
import pytest

from mneme.ports import Matrix, Record, SearchingStore, Selection, Store, Vector
from mneme.testing._store_suite import DIM, StoreSuite, a_record, a_vector

__all__ = ["SearchContract"]

_ANY = -2.0
_MANY = 1500


def _stacked(*seeds: int) -> Matrix:
    return np.stack([a_vector(seed) for seed in seeds])


class SearchContract(StoreSuite):
    """Subclass it beside `StoreContract`, for a store that has the verbs of `SearchingStore` as well.

    Set `recall` to the share of the best ten that must be found among some thousand; below that size everything must.
    """

    recall: ClassVar[float] = 1.0

    @contextlib.contextmanager
    def searching(self) -> Iterator[Store]:
        with self.opened() as store:
            assert isinstance(store, SearchingStore)
            store.prepare_search(DIM)
            yield store

    @pytest.fixture
    def ready(self) -> Iterator[Store]:
        with self.searching() as store:
            yield store

    @staticmethod
    def found(store: Store, partition: bytes, queries: Matrix, *, floor: float = _ANY, k: int = 10) -> list[list[int]]:
        """The ids of what is found for each query, best first, scored from the vectors that came back."""
        results = cast("SearchingStore", store).similar(partition, queries, floor=floor, k=k)
        assert len(results) == len(queries)
        return [_best(records, query, floor, k) for records, query in zip(results, queries, strict=True)]

    def test_preparing_again_is_harmless(self, ready: Store) -> None:
        ready.write([a_record(1)])
        cast("SearchingStore", ready).prepare_search(DIM)
        assert len(self.found(ready, a_record(1).partition, _stacked(1))[0]) == 1

    def test_nothing_is_found_where_nothing_is(self, ready: Store) -> None:
        assert self.found(ready, b"p" * 16, _stacked(1, 2)) == [[], []]
        ready.write([a_record(1)])
        assert self.found(ready, b"p" * 16, _stacked(1)) == [[]]

    def test_the_whole_record_comes_back(self, ready: Store) -> None:
        record = a_record(1, tags=("a", "b"), metadata='{"k": 1}', expires_at=5.0, removable_at=9.0)
        (written,) = ready.write([record])
        [[found]] = cast("SearchingStore", ready).similar(record.partition, _stacked(1), floor=0.9, k=3)
        assert found.vector is not None
        assert found.vector.dtype == np.float32
        assert np.array_equal(found.vector, a_vector(1))
        expected = record._replace(id=written.id, seq=written.seq, vector=None)
        assert found._replace(vector=None) == expected

    def test_only_the_partition_is_searched(self, ready: Store) -> None:
        near = [a_record(number, scope=str(number % 2), vector=a_vector(7)) for number in range(8)]
        ids = [one.id for one in ready.write(near)]
        assert sorted(self.found(ready, near[0].partition, _stacked(7))[0]) == ids[::2]
        assert sorted(self.found(ready, near[1].partition, _stacked(7))[0]) == ids[1::2]

    def test_what_was_stored_before_the_search_was_prepared_is_found(self) -> None:
        with self.opened() as store:
            if not self.durable:
                return
            (written,) = store.write([a_record(1)])
        with self.searching() as store:
            assert self.found(store, a_record(1).partition, _stacked(1)) == [[written.id]]

    def test_a_write_is_found_at_once_and_a_deletion_no_more(self, ready: Store) -> None:
        partition = a_record(1).partition
        for number in range(5):
            (written,) = ready.write([a_record(number)])
            assert self.found(ready, partition, _stacked(number), floor=0.999, k=1) == [[written.id]]
            ready.delete(Selection(refs=[written.id]))
            assert self.found(ready, partition, _stacked(number), floor=0.999, k=1) == [[]]

    def test_a_replaced_entry_is_found_by_its_new_vector(self, ready: Store) -> None:
        (written,) = ready.write([a_record(1)])
        ready.write([a_record(1, vector=a_vector(2))])
        partition = a_record(1).partition
        assert self.found(ready, partition, _stacked(2), floor=0.999) == [[written.id]]
        assert self.found(ready, partition, _stacked(1), floor=0.999) == [[]]
        ready.write([a_record(1, vector=None)])
        assert self.found(ready, partition, _stacked(2), floor=0.999) == [[]]

    def test_entries_without_a_vector_are_not_found(self, ready: Store) -> None:
        ready.write([a_record(1, vector=None)])
        assert self.found(ready, a_record(1).partition, _stacked(1)) == [[]]

    def test_it_finds_what_a_scan_finds(self, ready: Store) -> None:
        records = [a_record(number, namespace=f"n{number % 3}") for number in range(300)]
        ready.write(records)
        self._compare(ready, range(300, 320), at_least=1.0)

    def test_among_many_it_finds_as_much_as_it_promises(self, ready: Store) -> None:
        ready.write([a_record(number) for number in range(_MANY)])
        ready.delete(Selection(refs=[a_record(number).key for number in range(0, _MANY, 5)]))
        ready.write([a_record(number, vector=a_vector(number + 10_000)) for number in range(1, _MANY, 50)])
        self._compare(ready, range(5000, 5040), at_least=self.recall)

    def _compare(self, store: Store, seeds: Sequence[int], *, at_least: float) -> None:
        """With a scan of every partition: of the best ten how many are found, one by one and many at once."""
        everything = store.scan(Selection(), limit=10_000, vectors=True)
        queries = _stacked(*seeds)
        for partition in {record.partition for record in everything}:
            held = [record for record in everything if record.partition == partition]
            right = [_best(held, query, _ANY, 10) for query in queries]
            together = self.found(store, partition, queries)
            apart = [self.found(store, partition, query[None])[0] for query in queries]
            for found in (together, apart):
                hits = sum(len({*one} & {*other}) for one, other in zip(found, right, strict=True))
                assert hits >= at_least * sum(map(len, right))


def _best(records: Sequence[Record], query: Vector, floor: float, k: int) -> list[int]:
    scored = [
        (-float(np.dot(record.vector.astype(np.float64), query)), record.id)
        for record in records
        if record.vector is not None
    ]
    return [entry_id for negative, entry_id in sorted(scored) if -negative >= floor][:k]
