"""What a store promises that can change over to another embedder: `ReembeddingContract`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import pytest

from mneme.errors import EmbedderDimensionError, EmbedderMismatchError, ReembeddingError
from mneme.ports import Matrix, ReembeddingStore, Selection, Unstaged, Vector
from mneme.testing._store_suite import DIM, FINGERPRINT, StoreSuite, a_record

__all__ = ["ReembeddingContract"]

NEXT, NEXT_DIM = "the-next-embedder", 12


def _new(number: int) -> Vector:
    vector = np.zeros(NEXT_DIM, np.float32)
    vector[number % NEXT_DIM] = 1.0
    return vector


def _old(count: int) -> Matrix:
    return np.stack([vector for number in range(count) if (vector := a_record(number).vector) is not None])


def _number(entry: Unstaged) -> int:
    return int(entry.query.split()[-1])


def _stage(store: ReembeddingStore, entries: Sequence[Unstaged]) -> None:
    store.stage(entries, [_new(_number(entry)) for entry in entries])


class ReembeddingContract(StoreSuite):
    """Subclass it beside `StoreContract`, for a store that has the verbs of `ReembeddingStore` as well."""

    @contextlib.contextmanager
    def begun(self, count: int = 5) -> Iterator[tuple[Any, Any]]:
        """A store with entries that is to change over: as a store, and as a `ReembeddingStore`."""
        with self.opened() as store:
            assert isinstance(store, ReembeddingStore)
            store.write([a_record(number) for number in range(count)])
            assert store.begin_reembedding(NEXT, NEXT_DIM) == count
            yield store, store

    def test_every_entry_lacks_a_vector_until_it_is_given_one(self) -> None:
        with self.begun() as (store, reembedding):
            found = reembedding.unstaged()
            records = store.scan(Selection())
            assert found == [Unstaged(r.id, r.seq, r.namespace, r.query) for r in records]
            assert reembedding.unstaged(limit=2) == found[:2]
            _stage(reembedding, found[1:3])
            assert reembedding.unstaged() == [found[0], *found[3:]]
            assert reembedding.begin_reembedding(NEXT, NEXT_DIM) == 3
            block = reembedding.staged()
            assert block.ids.tolist() == [one.id for one in found[1:3]]
            assert block.partitions == [record.partition for record in records[1:3]]
            assert np.array_equal(block.vectors, [_new(1), _new(2)])
            assert reembedding.staged(after=found[1].id).ids.tolist() == [found[2].id]
            assert reembedding.staged(limit=1).ids.tolist() == [found[1].id]

    def test_the_old_vectors_serve_until_the_change_and_the_new_ones_after_it(self) -> None:
        with self.begun() as (store, reembedding):
            _stage(reembedding, reembedding.unstaged())
            records = store.scan(Selection())
            assert np.array_equal(store.vectors().vectors, _old(5))
            seq = store.open(None, None).seq
            assert reembedding.switch_embedder() is True
            info = store.open(NEXT, NEXT_DIM)
            assert (info.fingerprint, info.dim, info.seq) == (NEXT, NEXT_DIM, seq)
            changed = store.scan(Selection(), vectors=True)
            assert [r._replace(vector=None) for r in changed] == records
            assert all(np.array_equal(r.vector, _new(n)) for n, r in enumerate(changed))
            block = store.vectors()
            assert np.array_equal(block.vectors, [_new(n) for n in range(5)])
            reembedding.end_reembedding()
            store.write([a_record(9, vector=_new(9))])
            [record] = store.read([a_record(9).key], vectors=True)
            assert np.array_equal(record.vector, _new(9))

    def test_there_is_no_change_while_an_entry_lacks_a_vector(self) -> None:
        with self.begun() as (store, reembedding):
            _stage(reembedding, reembedding.unstaged()[:-1])
            assert reembedding.switch_embedder() is False
            assert store.open(FINGERPRINT, DIM).fingerprint == FINGERPRINT
            _stage(reembedding, reembedding.unstaged())
            assert reembedding.switch_embedder() is True
            store.open(NEXT, NEXT_DIM)

    def test_what_is_written_meanwhile_lacks_one_again(self) -> None:
        with self.begun() as (store, reembedding):
            _stage(reembedding, reembedding.unstaged())
            store.write([a_record(7)])
            store.write([a_record(1, payload=b"replaced"), a_record(8), a_record(2)])
            assert sorted(map(_number, reembedding.unstaged())) == [1, 2, 7, 8]
            assert sorted(reembedding.staged().ids.tolist()) == [
                record.id for record in store.read([a_record(n).key for n in (0, 3, 4)])
            ]
            assert reembedding.switch_embedder() is False
            store.delete(Selection(refs=[a_record(n).key for n in (2, 3, 8)]))
            assert sorted(map(_number, reembedding.unstaged())) == [1, 7]
            assert len(reembedding.staged().ids) == 2
            _stage(reembedding, reembedding.unstaged())
            assert reembedding.switch_embedder() is True
            store.open(NEXT, NEXT_DIM)
            assert len(store.vectors().ids) == 4

    def test_a_vector_for_an_earlier_write_or_for_something_deleted_is_passed_over(self) -> None:
        with self.begun() as (store, reembedding):
            before = reembedding.unstaged()
            store.write([a_record(0, payload=b"replaced")])
            store.delete(Selection(refs=[a_record(1).key]))
            _stage(reembedding, before)
            assert list(map(_number, reembedding.unstaged())) == [0]
            assert len(reembedding.staged().ids) == 3

    def test_an_entry_may_have_none(self) -> None:
        with self.begun(2) as (store, reembedding):
            reembedding.stage(reembedding.unstaged(), [None, _new(1)])
            assert reembedding.switch_embedder() is True
            store.open(NEXT, NEXT_DIM)
            assert [r.vector is None for r in store.scan(Selection(), vectors=True)] == [True, False]

    def test_a_vector_of_another_dimension_is_refused_and_none_is_kept(self) -> None:
        with self.begun(2) as (_, reembedding):
            with pytest.raises(EmbedderDimensionError):
                reembedding.stage(reembedding.unstaged(), [_new(0), np.ones(DIM, np.float32)])
            assert len(reembedding.unstaged()) == 2

    def test_beginning_with_another_embedder_forgets_what_was_taken_in(self) -> None:
        with self.begun(2) as (_, reembedding):
            _stage(reembedding, reembedding.unstaged())
            assert reembedding.begin_reembedding("a third", DIM) == 2
            assert len(reembedding.staged().ids) == 0

    def test_it_can_be_given_up(self) -> None:
        with self.begun(2) as (store, reembedding):
            _stage(reembedding, reembedding.unstaged())
            reembedding.end_reembedding()
            reembedding.end_reembedding()
            attempts: list[Callable[[], object]] = [
                reembedding.unstaged,
                lambda: reembedding.stage([], []),
                reembedding.staged,
                reembedding.switch_embedder,
            ]
            for attempt in attempts:
                with pytest.raises(ReembeddingError):
                    attempt()
            assert len(store.vectors().ids) == 2
            assert reembedding.begin_reembedding(NEXT, NEXT_DIM) == 2

    def test_after_the_change_vectors_are_refused_until_it_is_opened_for_the_new_embedder(self) -> None:
        with self.begun(2) as (store, reembedding):
            marked: Any = store if hasattr(store, "marked") else None
            if marked is not None:
                marked.mark("of an index of old vectors")
            _stage(reembedding, reembedding.unstaged())
            reembedding.switch_embedder()
            attempts: list[Callable[[], object]] = [
                lambda: store.changes(0),
                store.vectors,
                lambda: store.read([1], vectors=True),
                lambda: store.read([1, 2], vectors=True),
                lambda: store.scan(Selection(), vectors=True),
                lambda: store.write([a_record(3)]),
                lambda: store.write([a_record(3), a_record(0)]),
                lambda: store.open(FINGERPRINT, DIM),
            ]
            if marked is not None:
                attempts += [marked.marked, lambda: marked.mark("again")]
            for attempt in attempts:
                with pytest.raises(EmbedderMismatchError):
                    attempt()
            assert [record.query for record in store.scan(Selection())] == ["question 0", "question 1"]
            store.open(NEXT, NEXT_DIM)
            assert len(store.changes(0)) == 2
            if marked is not None:
                assert marked.marked() is None

    def test_an_empty_store_changes_over_at_once(self) -> None:
        with self.begun(0) as (store, reembedding):
            assert reembedding.unstaged() == []
            assert reembedding.switch_embedder() is True
            assert store.open(NEXT, NEXT_DIM).dim == NEXT_DIM

    def test_it_can_be_done_again(self) -> None:
        with self.begun(3) as (store, reembedding):
            _stage(reembedding, reembedding.unstaged())
            reembedding.switch_embedder()
            store.open(NEXT, NEXT_DIM)
            reembedding.begin_reembedding(FINGERPRINT, DIM)
            entries = reembedding.unstaged()
            reembedding.stage(entries, [a_record(_number(entry)).vector for entry in entries])
            assert reembedding.switch_embedder() is True
            store.open(FINGERPRINT, DIM)
            assert np.array_equal(store.vectors().vectors, _old(3))

    def test_what_was_taken_in_outlasts_the_store_object(self) -> None:
        if not self.durable:
            return
        with self.begun(4) as (_, reembedding):
            _stage(reembedding, reembedding.unstaged()[:3])
        with self.opened() as store:
            again = cast("ReembeddingStore", store)
            assert again.begin_reembedding(NEXT, NEXT_DIM) == 1
            _stage(again, again.unstaged())
        with self.opened(None, None) as store:
            again = cast("ReembeddingStore", store)
            again.begin_reembedding(NEXT, NEXT_DIM)
            assert again.switch_embedder() is True
        with self.opened(NEXT, NEXT_DIM) as store:
            assert len(store.vectors().ids) == 4

    def test_two_stores_of_one_place_know_of_each_other(self) -> None:
        if not self.durable:
            return
        with self.begun(2) as (store, reembedding), self.opened() as other:
            _stage(reembedding, reembedding.unstaged())
            other.write([a_record(5)])
            assert reembedding.switch_embedder() is False
            _stage(reembedding, reembedding.unstaged())
            assert reembedding.switch_embedder() is True
            with pytest.raises(ReembeddingError):
                reembedding.unstaged()
            with pytest.raises(EmbedderMismatchError):
                other.changes(0)
            with pytest.raises(EmbedderMismatchError):
                other.write([a_record(6)])
            assert len(other.delete(Selection(refs=[a_record(5).key]))) == 1
            store.open(NEXT, NEXT_DIM)
            assert len(store.vectors().ids) == 2
