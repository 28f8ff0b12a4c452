"""Quantised rows know how far they are from the vectors they stand for."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from mneme._rules.similarity import product_error, score
from mneme.errors import QuantizationError
from mneme.indexes import _quantise
from mneme.indexes._quantise import checked_dtype, encode, estimate


def _units(count, dim, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _decoded(columns):
    rows = columns[0].astype(np.float64)
    return rows * columns[2].astype(np.float64)[:, None] if len(columns) == 3 else rows


@pytest.mark.parametrize("dtype", ["float16", "int8"])
@given(dim=st.integers(1, 200), count=st.integers(0, 20), seed=st.integers(0, 2**32 - 1), spread=st.integers(0, 12))
def test_no_row_is_further_from_its_vector_than_its_error_says(dtype, dim, count, seed, spread):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, dim)) * 10.0 ** -rng.integers(0, spread + 1, (count, dim))
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    columns = encode(vectors, dtype)
    distances = np.linalg.norm(vectors.astype(np.float64) - _decoded(columns), axis=1)
    assert columns[1].dtype == np.float32
    assert (distances <= columns[1]).all()
    assert (columns[1] <= distances * (1 + 1e-5) + 1e-9).all()


def test_float32_is_passed_through():
    vectors = _units(3, 4)
    (rows,) = encode(vectors, "float32")
    assert rows is vectors


def test_int8_uses_its_whole_range_and_not_more():
    vectors = _units(500, 7)
    codes = encode(vectors, "int8")[0]
    assert codes.dtype == np.int8
    assert (np.abs(codes.astype(int)).max(axis=1) == 127).all()


def test_int8_holds_a_vector_of_one_component_almost_exactly():
    _, errors, _ = encode(np.eye(5, dtype=np.float32), "int8")
    assert errors.max() < 1e-6


def test_a_row_of_zeros_has_no_error_to_speak_of():
    rows, errors, scales = encode(np.zeros((2, 3), np.float32), "int8")
    assert not rows.any()
    assert (errors < 1e-30).all()
    assert np.isfinite(scales).all()


def test_every_finite_float16_iswidened_exactly():
    numbers = np.arange(2**16, dtype=np.uint16).view(np.float16)
    numbers = numbers[np.isfinite(numbers)]
    out = np.empty((1, len(numbers)), np.float32)
    _quantise.widen(numbers[None, :], out)
    np.testing.assert_array_equal(out[0], numbers.astype(np.float32))
    np.testing.assert_array_equal(np.signbit(out[0]), np.signbit(numbers))


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("queries", [1, 5])
@pytest.mark.parametrize("numbers", [1, 300, 2**18])
def test_estimates_are_products_with_the_decoded_rows_whatever_the_block(monkeypatch, dtype, queries, numbers):
    monkeypatch.setattr(_quantise, "_BLOCK_NUMBERS", numbers)
    vectors, asked = _units(101, 96), _units(queries, 96, seed=1)
    columns = encode(vectors, dtype)
    expected = asked.astype(np.float64) @ _decoded(columns).T
    found = estimate(columns, asked)
    assert found.dtype == np.float32
    assert found.shape == (queries, 101)
    assert np.abs(found - expected).max() <= product_error(96)


def test_an_unknown_dtype_is_named_together_with_the_known_ones():
    assert checked_dtype("int8") == "int8"
    with pytest.raises(QuantizationError, match="'float64' is unknown; use one of float32, float16, int8"):
        checked_dtype("float64")


@given(dim=st.integers(1, 400), count=st.integers(1, 50), seed=st.integers(0, 2**32 - 1))
def test_the_score_of_a_row_depends_on_that_row_alone(dim, count, seed):
    rows, query = _units(count, dim, seed), _units(1, dim, seed + 1)[0]
    together = score(rows, query)
    assert together.dtype == np.float32
    for layout in (np.asfortranarray(rows), np.repeat(rows, 2, axis=0)[::2], rows[:, ::-1].copy()[:, ::-1]):
        assert score(layout, query).tolist() == together.tolist()
    assert [float(score(row[None, :], query)[0]) for row in rows] == together.tolist()
    products = (rows @ query, np.asfortranarray(rows) @ query, (np.vstack([query] * 9) @ rows.T)[0])
    for product in products:
        assert np.abs(product - together).max() <= product_error(dim)


def test_a_score_lies_between_minus_one_and_one():
    rows = _units(300, 384)
    for row in rows:
        assert score(np.stack([row, -row]), row).tolist() == pytest.approx([1, -1], abs=1e-6)
        assert np.abs(score(np.stack([row, -row]), row)).max() <= 1
    assert score(np.empty((0, 384), np.float32), rows[0]).shape == (0,)
