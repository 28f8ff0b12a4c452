"""What every `Index` promises, as a suite that a backend author subclasses. Needs pytest and Hypothesis.

A backend may return more than it was asked for where it reports errors; scored again from float32 vectors, the best of
it must be what a full scan finds.
"""

from __future__ import annotations

import contextlib
import math
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from mneme.errors import CacheClosedError, QuantizationError
from mneme.ports import Index, VectorDType
from mneme.testing._index_model import Model, check, similarity, some_vectors, unit

__all__ = ["IndexContract"]

_SETTINGS = settings(
    deadline=None,
    # One suite runs in several subclasses, and a busy machine is no reason to fail.
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)
_NAMES = (b"one", b"two", b"")
_UNUSED = b"never added to"
_IDS = st.integers(0, 19) | st.sampled_from([2**62, -1])
_WHICH = st.integers(0, 2**16)
_FLOORS = st.sampled_from([-5.0, -1.0, 0.0, 1.0]) | st.floats(-1, 1, allow_nan=False)
_ADD = st.tuples(st.just("add"), st.lists(st.tuples(_IDS, st.sampled_from(_NAMES), _WHICH), max_size=12))
_REMOVE = st.tuples(st.just("remove"), st.lists(_IDS, max_size=8))
_SEARCH = st.tuples(
    st.just("search"),
    st.tuples(
        st.sampled_from((*_NAMES, _UNUSED)),
        st.lists(_WHICH, max_size=4),
        _FLOORS | st.tuples(_WHICH, st.booleans()),  # or: at the similarity of this row, or just above it
        st.integers(1, 30),
    ),
)


class IndexContract:
    """Subclass it, set `dtype`, and give `make_index`; pytest does the rest.

    Example:
        class TestMyIndex(IndexContract):
            def make_index(self):
                return MyIndex()
    """

    dtype: ClassVar[VectorDType] = "float32"

    def make_index(self) -> Index:
        """A new index, not yet opened."""
        raise NotImplementedError("make_index must return a new Index")

    @contextlib.contextmanager
    def opened(self, dim: int) -> Iterator[Index]:
        """An index of this dimension, closed in the end."""
        index = self.make_index()
        index.open(dim, self.dtype)
        try:
            yield index
        finally:
            index.close()

    def test_is_an_index_even_before_it_is_opened(self) -> None:
        index = self.make_index()
        assert isinstance(index, Index)
        assert index.name
        index.close()

    def test_begins_empty(self) -> None:
        with self.opened(3) as index:
            assert index.dtype == self.dtype
            assert index.size() == index.tombstones() == 0
            assert index.memory_bytes() >= 0
            assert index.remove([1, 2]) == 0
            index.add([], [], np.empty((0, 3), np.float32))
            assert index.size() == 0

    def test_a_partition_without_vectors_gives_an_empty_match_for_each_query(self) -> None:
        with self.opened(3) as index:
            index.add([1], [b"one"], unit([1, 0, 0]))
            answers = index.search(_UNUSED, unit(np.eye(3)), floor=-1.0, k=5)
            assert len(answers) == 3
            for found in answers:
                check(found, {}, unit([1, 0, 0])[0], -1.0, 5)
            assert index.search(b"one", np.empty((0, 3), np.float32), floor=-1.0, k=5) == []

    @_SETTINGS
    @given(
        dim=st.integers(1, 64),
        seed=st.integers(0, 2**32 - 1),
        count=st.integers(1, 24),
        actions=st.lists(_ADD | _REMOVE | _SEARCH, min_size=1, max_size=14),
    )
    def test_finds_what_a_full_scan_finds(
        self, dim: int, seed: int, count: int, actions: Sequence[tuple[str, Any]]
    ) -> None:
        with self.opened(dim) as index:
            model = Model(index, some_vectors(dim, count, seed))
            for verb, wanted in actions:
                getattr(model, verb)(wanted)
                assert index.size() == len(model.held)
            for name in _NAMES:
                model.search((name, [0, 1], -1.0, 30))

    @_SETTINGS
    @given(dim=st.integers(1, 64), seed=st.integers(0, 2**32 - 1), floor=_FLOORS, k=st.integers(1, 400))
    @example(dim=44, seed=44, floor=0.09049822356613002, k=76)  # a row as float16 that just does not reach the floor
    def test_finds_what_a_full_scan_finds_among_hundreds_of_rows(
        self, dim: int, seed: int, floor: float, k: int
    ) -> None:
        rng = np.random.default_rng(seed)
        with self.opened(dim) as index:
            model = Model(index, some_vectors(dim, 60, seed))
            for start in range(0, 300, 100):
                ids = rng.permutation(np.arange(start, start + 100)).tolist()
                model.add([(number, _NAMES[0], int(rng.integers(60))) for number in ids])
            model.remove(rng.choice(300, 120, replace=False).tolist())
            model.search((_NAMES[0], [0, 1, 2], floor, k))

    @_SETTINGS
    @given(dim=st.integers(1, 64), seed=st.integers(0, 2**32 - 1), floor=_FLOORS)
    def test_an_answer_does_not_depend_on_what_else_is_asked(self, dim: int, seed: int, floor: float) -> None:
        with self.opened(dim) as index:
            pool = some_vectors(dim, 40, seed)
            index.add(range(40), [b"one"] * 40, pool)
            for query, found in zip(pool[:8], index.search(b"one", pool[:8], floor=floor, k=7), strict=True):
                (alone,) = index.search(b"one", query[None, :], floor=floor, k=7)
                if found.errors is None:
                    assert found.ids.tolist() == alone.ids.tolist()
                    assert found.similarities.tolist() == alone.similarities.tolist()
                for answer in (found, alone):
                    check(answer, dict(enumerate(pool)), query, floor, 7)

    def test_ties_are_broken_by_rising_id_at_the_edge_too(self) -> None:
        with self.opened(4) as index:
            ids = [9, 3, 7, 1, 8, 2]
            index.add(ids, [b"one"] * 6, unit([[1, 2, 3, 4]] * 6))
            (found,) = index.search(b"one", unit([1, 2, 3, 4]), floor=0.5, k=4)
            assert found.ids.tolist()[:4] == [1, 2, 3, 7]

    def test_a_row_at_the_floor_is_found_and_one_just_below_is_not(self) -> None:
        rows = unit(np.random.default_rng(3).standard_normal((50, 24)))
        with self.opened(24) as index:
            index.add(range(50), [b"one"] * 50, rows)
            for row in rows:
                at = float(similarity(row, rows[0]))
                for floor in (math.nextafter(at, -2.0), at, math.nextafter(at, 2.0)):
                    (found,) = index.search(b"one", rows[:1], floor=floor, k=50)
                    check(found, dict(enumerate(rows)), rows[0], floor, 50)

    def test_an_id_added_again_moves_to_the_new_vector_and_partition(self) -> None:
        with self.opened(2) as index:
            index.add([1, 1], [b"one", b"one"], unit(np.eye(2)))
            assert index.size() == 1
            (found,) = index.search(b"one", unit([0, 1]), floor=0.9, k=1)
            assert found.ids.tolist() == [1]
            index.add([1], [b"two"], unit([1, 0]))
            assert index.size() == 1
            assert not len(index.search(b"one", unit([0, 1]), floor=-1.0, k=1)[0].ids)
            assert index.search(b"two", unit([1, 0]), floor=0.9, k=1)[0].ids.tolist() == [1]

    def test_shares_no_array_with_its_caller(self) -> None:
        with self.opened(2) as index:
            vectors = unit([[1, 0], [0.6, 0.8]])
            query = vectors[:1].copy()
            index.add([1, 2], [b"one", b"one"], vectors)
            vectors[:] = 0
            (first,) = index.search(b"one", query, floor=-1.0, k=2)
            before = first.ids.copy(), first.similarities.copy()
            first.ids[:] = -7
            first.similarities[:] = -7
            (second,) = index.search(b"one", query, floor=-1.0, k=2)
            assert second.ids.tolist() == before[0].tolist()
            assert second.similarities.tolist() == before[1].tolist()

    def test_accepts_arrays_that_are_not_contiguous(self) -> None:
        with self.opened(3) as index:
            rows = some_vectors(3, 12, 5)
            index.add(range(6), [b"one"] * 6, rows[::2])
            (found,) = index.search(b"one", np.asfortranarray(rows)[3:4], floor=-1.0, k=6)
            check(found, dict(enumerate(rows[::2])), rows[3], -1.0, 6)

    @pytest.mark.parametrize(
        "vectors",
        [
            unit(np.eye(3)),  # one row too many
            unit([[1, 0], [0, 1]]),  # the wrong dimension
            unit(np.eye(3))[:2].astype(np.float64),
            unit([1, 0, 0])[0],  # no batch
            np.array([[1, 0, 0], [math.nan, 0, 1]], np.float32),
            np.array([[1, 0, 0], [0, -math.inf, 1]], np.float32),
        ],
        ids=["count", "dimension", "dtype", "shape", "nan", "infinite"],
    )
    def test_refuses_vectors_that_it_cannot_hold_and_stays_as_it_was(self, vectors: Any) -> None:
        with self.opened(3) as index:
            index.add([1], [b"one"], unit([0, 1, 0]))
            with pytest.raises(ValueError, match=r"\w"):
                index.add([1, 2], [b"two", b"two"], vectors)
            assert index.size() == 1
            assert index.search(b"one", unit([0, 1, 0]), floor=0.9, k=1)[0].ids.tolist() == [1]
            assert not len(index.search(b"two", unit([0, 1, 0]), floor=-1.0, k=1)[0].ids)

    def test_refuses_queries_that_mean_nothing(self) -> None:
        with self.opened(3) as index:
            index.add([1], [b"one"], unit([0, 1, 0]))
            good = unit([0, 1, 0])
            refused: list[Any] = [good[0], good[:, :2], good.astype(np.float64), good * np.float32(math.nan)]
            for queries in refused:
                with pytest.raises(ValueError, match=r"\w"):
                    index.search(b"one", queries, floor=0.5, k=1)
            for floor, k in ((0.5, 0), (0.5, -1), (math.nan, 1)):
                with pytest.raises(ValueError, match=r"\w"):
                    index.search(b"one", good, floor=floor, k=k)

    def test_refuses_a_dtype_or_dimension_that_it_does_not_know(self) -> None:
        index = self.make_index()
        with pytest.raises(QuantizationError, match="bfloat8"):
            index.open(3, "bfloat8")  # type: ignore[arg-type]  # the point of the test
        with pytest.raises(ValueError, match="0"):
            index.open(0, self.dtype)
        index.close()

    def test_opened_again_it_starts_empty(self) -> None:
        with self.opened(3) as index:
            index.add([1], [b"one"], unit([0, 1, 0]))
            index.open(2, self.dtype)
            assert index.size() == 0
            assert not len(index.search(b"one", unit([0, 1]), floor=-1.0, k=1)[0].ids)
            index.add([1], [b"one"], unit([0, 1]))
            assert index.size() == 1

    def test_closed_it_refuses_every_verb_but_close(self) -> None:
        index = self.make_index()
        index.open(2, self.dtype)
        index.close()
        index.close()
        for call in (
            index.size,
            index.tombstones,
            index.memory_bytes,
            lambda: index.remove([1]),
            lambda: index.add([1], [b"one"], unit([0, 1])),
            lambda: index.search(b"one", unit([0, 1]), floor=0.5, k=1),
        ):
            with pytest.raises(CacheClosedError):
                call()

    def test_searches_beside_a_writer_see_no_half_made_change(self) -> None:
        """Rows that stay or are replaced are always found, and every id with a vector that it has had."""
        dim, each, versions = 32, 120, 4
        rng = np.random.default_rng(11)
        vectors = unit(rng.standard_normal((4 * each * versions, dim))).reshape(4 * each, versions, dim)
        staying, replaced, moving, coming = (np.arange(each) + each * kind for kind in range(4))
        vectors[staying] = vectors[staying][:, :1]
        query = unit(rng.standard_normal(dim))
        truths = vectors.astype(np.float64) @ query[0].astype(np.float64)
        always = set(staying.tolist()) | set(replaced.tolist())
        done = threading.Event()

        def write() -> None:
            try:
                for turn in range(150):
                    for kind, name in ((replaced, b"one"), (moving, _NAMES[turn % 2]), (coming, b"one")):
                        ids = rng.permutation(kind)[: 1 + turn % 3 if turn % 4 else each]
                        index.add(ids.tolist(), [name] * len(ids), vectors[ids, rng.integers(versions, size=len(ids))])
                    index.remove(rng.choice(coming, 3).tolist())
            finally:
                done.set()

        def read() -> int:
            searches = 0
            while not done.is_set() or not searches:
                (found,) = index.search(b"one", query, floor=-2.0, k=4 * each)
                searches += 1
                ids = found.ids.tolist()
                assert len(ids) == len(set(ids)), "an id was found twice"
                assert always <= set(ids), "a row that was there all the time was not found"
                allowed = 1e-6 if found.errors is None else found.errors + 1e-6
                gaps = np.abs(truths[found.ids] - found.similarities[:, None]).min(axis=1)
                assert (gaps <= allowed).all(), "an id was found with a vector that it never had"
            return searches

        interval = sys.getswitchinterval()
        with self.opened(dim) as index, ThreadPoolExecutor(4) as pool:
            index.add(range(4 * each), [b"one"] * 4 * each, vectors[:, 0])
            sys.setswitchinterval(1e-6)  # threads take turns in the middle of everything
            try:
                readers = [pool.submit(read) for _ in range(3)]
                writer = pool.submit(write)
                assert all(reader.result() for reader in readers)
                writer.result()
            finally:
                done.set()
                sys.setswitchinterval(interval)
