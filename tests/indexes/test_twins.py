"""Equal vectors have equal marks, and of equals the first by id are kept."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from indexes import made
from mneme.indexes._twins import first_of_twins, held_as, marks_of


@pytest.mark.parametrize("dim", [1, 2, 7, 384])
def test_the_mark_of_a_row_depends_on_the_row_alone(dim):
    rows = made.unit(np.random.default_rng(1).standard_normal((50, dim)))
    marks = marks_of(rows)
    assert marks.dtype == np.uint32
    order = np.random.default_rng(2).permutation(50)
    assert np.array_equal(marks_of(rows[order]), marks[order])
    assert np.array_equal(marks_of(rows[3:4]), marks[3:4])
    assert np.array_equal(marks_of(np.asfortranarray(rows)), marks)


def test_rows_of_the_same_numbers_in_other_places_have_other_marks():
    rows = np.eye(512, dtype=np.float32)
    assert len(set(marks_of(rows).tolist())) == 512
    assert len(set(marks_of(np.vstack([rows, -rows])).tolist())) == 1024


def test_a_change_in_any_one_bit_changes_the_mark():
    row = made.unit(np.random.default_rng(3).standard_normal((1, 24)))
    bits = np.repeat(row.view(np.uint32), 24 * 32, axis=0)
    bits[np.arange(24 * 32), np.arange(24 * 32) // 32] ^= np.uint32(1) << (np.arange(24 * 32) % 32).astype(np.uint32)
    assert marks_of(row)[0] not in marks_of(bits.view(np.float32)).tolist()


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_marks_are_those_of_the_vectors_whatever_they_are_held_as(dtype):
    rows = made.unit(np.random.default_rng(4).standard_normal((20, 16)))
    assert np.array_equal(held_as(rows, dtype)[-1], marks_of(rows))


@given(
    kinds=st.lists(st.integers(0, 20), max_size=80),
    k=st.integers(1, 6),
    seed=st.integers(0, 2**16),
)
def test_nothing_that_may_be_among_the_first_k_is_dropped_and_of_few_kinds_nothing_else_is_kept(kinds, k, seed):
    marks = np.array(kinds, np.uint32)
    ids = np.random.default_rng(seed).permutation(len(kinds)).astype(np.int64)
    kept = first_of_twins(ids, marks, k)
    wanted = {
        place for place in range(len(kinds)) if np.count_nonzero((marks == marks[place]) & (ids < ids[place])) < k
    }
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert wanted <= set(kept.tolist())
    if len(set(kinds)) <= 8 and len(kinds) > k:
        assert wanted == set(kept.tolist())


@pytest.mark.parametrize("period", [1, 2, 3, 4, 8])
def test_no_kind_is_overlooked_because_of_a_regular_order(period):
    marks = (np.arange(24_000) % period).astype(np.uint32)
    ids = np.arange(24_000)[::-1]
    assert first_of_twins(ids, marks, 2).tolist() == list(range(24_000 - 2 * period, 24_000))
