"""Products by the library of the extra `fast`: of exact integers, and of a query that is coded within a bound."""

import sys
import types

import numpy as np
import pytest

from indexes import made
from mneme._rules.similarity import score
from mneme.indexes import ExactIndex, _fast
from mneme.indexes._quantise import encode

PARTITION = b"p" * 16


@pytest.fixture
def numkong():
    return pytest.importorskip("numkong")


@pytest.fixture
def found_anew():
    """The library is looked for again, in the test and after it."""
    _fast.kernels.cache_clear()
    yield
    _fast.kernels.cache_clear()


def decoded(coded):
    return (254 * coded.codes[0].astype(np.float64) + coded.codes[1]) * np.float64(coded.step)


@pytest.mark.usefixtures("numkong")
@pytest.mark.parametrize("dim", [1, 2, 3, 16, 96, 384, 768, 3072])
@pytest.mark.parametrize("family", made.FAMILIES)
def test_a_coded_query_is_no_further_off_than_is_said(family, dim):
    rng = np.random.default_rng(dim)
    for query in made.vectors(family, rng, 50, dim, stretched=True):
        off = np.linalg.norm(query - decoded(_fast.code(query)))
        assert off <= _fast.coding_error(dim)


@pytest.mark.usefixtures("numkong")
def test_the_worst_query_is_no_further_off_than_is_said():
    """One number as long as may be, and the others half-way between two steps."""
    dim = 4096
    for offset in (0.5, 0.4999, 0.5001):
        query = np.full(dim, offset / (508 * 127), np.float32)
        query[0] = 1.0
        off = np.linalg.norm(query - decoded(_fast.code(query)))
        assert 0.4 * _fast.coding_error(dim) < off <= _fast.coding_error(dim)


@pytest.mark.usefixtures("numkong")
@pytest.mark.parametrize("dim", [1, 7, 64, 65, 383, 768, 4099])
def test_products_are_those_of_integers(dim):
    rng = np.random.default_rng(dim)
    rows = rng.integers(-127, 128, (300, dim)).astype(np.int8)
    rows[0], rows[1] = 127, -127
    query = _fast.Coded(rng.choice([-127, 127, 0], (2, dim)).astype(np.int8), np.float32(2**-10))
    exact = rows.astype(np.int64) @ (254 * query.codes[0].astype(np.int64) + query.codes[1])
    assert _fast.multiply(rows, query).tolist() == (exact * 2.0**-10).astype(np.float32).tolist()
    assert _fast.multiply(rows[:0], query).tolist() == []


@pytest.mark.usefixtures("numkong")
@pytest.mark.parametrize("family", made.FAMILIES)
@pytest.mark.parametrize("count", [200, 3_000])  # multiplied whole, and by bounds
def test_every_estimate_is_as_near_as_is_said_and_nothing_is_missing(family, count):
    rng = np.random.default_rng(1)
    rows = made.vectors(family, rng, count, 384, stretched=True)
    index = ExactIndex()
    index.open(384, "int8")
    index.add(range(count), [PARTITION] * count, rows)
    for query in made.queries(rng, rows, 4):
        scores = score(rows, query).astype(np.float64)
        for floor, k in ((-2.0, count), (-2.0, 5), (0.85, 5)):
            [matches] = index.search(PARTITION, query[None], floor=floor, k=k)
            off = np.abs(matches.similarities - scores[matches.ids])
            assert (off <= matches.errors).all()
            right = [number for number in np.lexsort((np.arange(count), -scores))[:k] if scores[number] >= floor]
            assert set(right) <= set(matches.ids.tolist())


def test_without_the_library_queries_are_not_coded(monkeypatch, found_anew):
    monkeypatch.setitem(sys.modules, "numkong", None)
    assert _fast.kernels() is None
    assert _fast.coding_error(384) == 0.0
    rng = np.random.default_rng(2)
    rows = made.vectors("isotropic", rng, 300, 384)
    index = ExactIndex()
    index.open(384, "int8")
    index.add(range(300), [PARTITION] * 300, rows)
    [matches] = index.search(PARTITION, rows[7:8], floor=0.9, k=1)
    assert matches.ids.tolist() == [7]
    # As it says of a row that it holds: its error twice rounded, and nothing for a query.
    assert matches.errors[0] < 1.002 * encode(rows[7:8], "int8")[1][0] + 1e-4


@pytest.mark.parametrize(
    "cdist",
    [
        pytest.param(
            lambda rows, codes, _: np.clip(rows.astype(int) @ codes.T.astype(int), -(2**15), 2**15), id="saturates"
        ),
        pytest.param(lambda *_: 1 / 0, id="fails"),
    ],
)
def test_a_library_that_gets_products_wrong_is_not_used(monkeypatch, found_anew, cdist):
    monkeypatch.setitem(sys.modules, "numkong", types.SimpleNamespace(cdist=cdist))
    assert _fast.kernels() is None


@pytest.mark.usefixtures("numkong")
def test_more_dimensions_than_a_product_has_room_for_are_not_multiplied_so():
    assert _fast.coding_error(133_000) > 0
    assert _fast.coding_error(134_000) == 0.0
