"""The search by falling bound finds what a scan of everything finds, whatever the vectors and the pieces are like."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from indexes import made
from indexes.pieces import bases, cut, learnt
from indexes.small import SEARCH, small
from mneme.indexes._view import View

DTYPES = {
    "float32": ["float32"],
    "float16": ["float16"],
    "int8": ["int8"],
    "mixed": ["float32", "int8", "float32", "float16"],
}
FLOORS = (-5.0, -1.0, -0.9999, -0.2, 0.0, 0.5, 0.85, 0.9999, 1.0, 1.5)

_KNOBS = st.fixed_dictionaries(
    {
        "_MANY": st.sampled_from([0, 3, 1024]),
        "_FIRST": st.sampled_from([1, 256]),
        "_SAMPLED": st.sampled_from([4, 256]),
        "_KINDS": st.sampled_from([1, 8]),
        "_FEW": st.sampled_from([1, 4, 512]),
        "_GROWTH": st.sampled_from([2, 8]),
        "_PROBED": st.sampled_from([1, 3, 96]),
        "_SCORED_AT_ONCE": st.sampled_from([1, 5, 256]),
        "_PRODUCTS_AT_ONCE": st.sampled_from([1, 150, 2**24]),
        "_GATHERED": st.sampled_from([0.0, 0.5, 2.0]),
        "_HOPELESS": st.sampled_from([0.02, 0.5, 1.0]),
        "_DOUBTFUL": st.sampled_from([0.0, 0.25, 1.0]),
        "_WORTH_PICKING": st.sampled_from([0.02, 0.5, 1.0]),
        "_LARGE": st.sampled_from([0, 2**17]),
        "_STALLED": st.sampled_from([0.0, 4e-3]),
    }
)


def _floor(data, rows, asked):
    """One of the usual, or the similarity of a row with a query, or just above it."""
    score = float(made.similarities(rows[:1], asked[0])[0])
    return data.draw(st.sampled_from([*FLOORS, score, float(np.nextafter(score, 2.0))]), label="floor")


def _check(held, asked, floor, k):
    found = held.search(asked, floor, k)
    assert len(found) == len(asked)
    for query, one in zip(asked, found, strict=True):
        scores = made.similarities(held.rows, query)
        made.check(one, held.ids, scores, floor, k)
        (alone,) = held.search(query[None], floor, k)
        made.check(alone, held.ids, scores, floor, k)


# --- what is found ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=120)
@given(
    data=st.data(),
    family=st.sampled_from(made.FAMILIES),
    dim=st.sampled_from([1, 2, 5, 48]),
    count=st.integers(1, 120),
    stretched=st.booleans(),
    gone=st.sampled_from([0.0, 0.2, 0.9]),
    full=st.sampled_from([1, 7, 40, 200]),
    k=st.integers(1, 130),
    knobs=_KNOBS,
    seed=st.integers(0, 2**32 - 1),
)
def test_a_search_finds_what_a_scan_finds(*, dtype, data, family, dim, count, stretched, gone, full, k, knobs, seed):
    rng = np.random.default_rng(seed)
    rows = made.vectors(family, rng, count, dim, stretched=stretched)
    chosen = [None, *bases(rng, rows)]
    chosen = chosen if data.draw(st.booleans(), label="all bases") else [chosen[data.draw(st.integers(0, 4))]]
    held = cut(rng, rows, DTYPES[dtype], full=full, chosen=chosen, gone=gone)
    asked = made.queries(rng, rows, 4)
    with small(**knobs):
        _check(held, asked, _floor(data, rows, asked), k)


@pytest.mark.parametrize("family", made.FAMILIES)
@pytest.mark.parametrize(("dim", "count"), [(5, 2500), (48, 5000), (384, 1500)])
def test_a_search_of_thousands_finds_what_a_scan_finds(family, dim, count):
    rng = np.random.default_rng(dim)
    rows = made.vectors(family, rng, count, dim)
    asked = made.queries(rng, rows, 5)
    basis = learnt(rows[:1024])
    for dtypes, full, gone in (
        (["float32"], 4096, 0.0),
        (["float32"], 700, 0.2),
        (["float16"], 700, 0.0),
        (["int8"], 700, 0.2),
        (["int8", "float32"], 1000, 0.2),
    ):
        held = cut(rng, rows, dtypes, full=full, chosen=[basis], gone=gone)
        scores = [made.similarities(held.rows, query) for query in asked]
        for floor, k in ((-1.0, 8), (-1.0, count + 1), (0.5, 1), (0.85, 40), (0.9999, 3), (1.0, 1)):
            for true, one in zip(scores, held.search(asked, floor, k), strict=True):
                made.check(one, held.ids, true, floor, k)


@given(
    family=st.sampled_from(made.FAMILIES),
    floor=st.sampled_from(FLOORS),
    k=st.integers(1, 80),
    seed=st.integers(0, 2**32 - 1),
)
def test_an_answer_does_not_depend_on_how_rows_are_cut_ordered_and_sketched(family, floor, k, seed):
    rng = np.random.default_rng(seed)
    rows = made.vectors(family, rng, 80, 24, stretched=True)
    asked = made.queries(rng, rows, 3)
    answers = []
    with small(**SEARCH):
        for full, chosen in ((80, [None]), (80, bases(rng, rows)), (9, bases(rng, rows)), (9, [None, learnt(rows)])):
            order = rng.permutation(80)
            held = cut(rng, rows[order], ["float32"], full=full, chosen=chosen, ids=order)
            answers.append([(one.ids.tolist(), one.similarities.tolist()) for one in held.search(asked, floor, k)])
    assert all(answer == answers[0] for answer in answers)


# --- at the ends -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("sign", [1, -1])
def test_rows_whose_lengths_barely_pass_for_one_tie_at_one_and_at_minus_one(dtype, sign):
    rng = np.random.default_rng(0)
    direction = made.unit(rng.standard_normal(48))
    for longer in (slice(0, 150), slice(150, 300), slice(0, 300, 2)):
        rows = np.repeat(direction, 300, axis=0)
        rows[longer] *= np.float32(1.0009)
        if sign == 1:
            rows[:20] = made.unit(rng.standard_normal((20, 48)))
        for chosen in ([None], [learnt(rows)]):
            held = cut(rng, rows, [dtype], full=50, chosen=chosen, ids=rng.permutation(300))
            for query in (direction * np.float32(1.0009), direction):
                with small(**SEARCH):
                    for k in (1, 7, 300):
                        _check(held, sign * query, -1.0, k)


def test_among_thousands_at_the_bar_the_lowest_ids_win():
    rng = np.random.default_rng(0)
    rows = np.concatenate([np.repeat(made.unit(rng.standard_normal((2, 16))), 1500, axis=0), made.unit(np.eye(16))])
    basis = learnt(rows)
    for chosen in ([None], [basis], [None, basis]):
        held = cut(rng, rows, ["float32"], full=400, chosen=chosen, gone=0.1)
        for k in (1, 5, 600, 2000):
            _check(held, np.stack([rows[0], rows[1500], -rows[0]]), -1.0, k)


def test_of_rows_that_differ_in_the_last_bits_the_best_are_found_and_told_apart():
    rng = np.random.default_rng(0)
    rows = made.unit(made.unit(rng.standard_normal(64)) + 1e-7 * rng.standard_normal((2000, 64)))
    held = cut(rng, rows, ["float32"], full=500, chosen=[learnt(rows)])
    asked = made.unit(rows[:1] + 0.5 * made.unit(rng.standard_normal(64)))
    scores = np.unique(made.similarities(rows, asked[0]))
    assert len(scores) > 3
    for floor in scores.astype(np.float64)[1:-1]:
        for edge in (floor, np.nextafter(floor, 2)):
            _check(held, asked, float(edge), 7)
            _check(held, asked, float(edge), 2000)


@pytest.mark.parametrize("dtype", DTYPES)
def test_where_every_row_is_gone_nothing_is_found(dtype):
    rng = np.random.default_rng(0)
    rows = made.vectors("falling", rng, 60, 16)
    held = cut(rng, rows, DTYPES[dtype], full=20, chosen=[None, learnt(rows)], gone=1.0)
    for name, piece in enumerate(held.pieces):
        held.pieces[name] = piece._replace(gone=np.arange(len(piece.ids)))
    held.publish()
    held.ids, held.rows = held.ids[:0], held.rows[:0]
    for floor in (-1.0, 0.5):
        _check(held, rows[:3], floor, 5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_errors_are_given_where_a_row_is_inexact_and_only_there(dtype):
    rng = np.random.default_rng(0)
    rows = made.vectors("falling", rng, 60, 16)
    held = cut(rng, rows, DTYPES[dtype], full=10, chosen=[None, learnt(rows)])
    exact = all(piece.columns[0].dtype == np.float32 for piece in held.pieces)
    assert exact == (dtype == "float32")
    for floor in (0.5, 1.5):
        for found in held.search(rows[:2], floor, 3):
            assert (found.errors is None) == exact


# --- what is read ----------------------------------------------------------------------------------------------------


@pytest.fixture
def read(monkeypatch):
    """What is read while a test runs: rows by their bounds, and rows plainly."""
    counts = {"chosen": 0, "plain": 0}
    estimates, products = View.estimates, View.products

    def counted_estimates(self, positions, query, coded):
        counts["chosen"] += len(positions)
        return estimates(self, positions, query, coded)

    def counted_products(self, queries, coded, *, sketched):
        for start, errors, made_ones in products(self, queries, coded, sketched=sketched):
            counts["plain"] += made_ones.size
            yield start, errors, made_ones

    monkeypatch.setattr(View, "estimates", counted_estimates)
    monkeypatch.setattr(View, "products", counted_products)
    return counts


def _across(rows):
    """The direction that the rows have least of."""
    return np.linalg.eigh(rows.T @ rows)[1][:, :1].T.astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_where_few_directions_hold_most_of_the_energy_few_rows_are_read(read, dtype):
    rng = np.random.default_rng(0)
    rows = made.vectors("falling", rng, 20_000, 96)
    held = cut(rng, rows, [dtype], full=4096, chosen=[None], gone=0.0)
    held.sketch(learnt(rows[:1024]))
    near = made.unit(rows[:20] + 0.05 * rng.standard_normal((20, 96)))
    for floor, k, share in ((0.9, 1, 0.01), (-1.0, 1, 0.05), (-1.0, 10, 0.1)):
        read.update(chosen=0, plain=0)
        held.search(near, floor, k)
        assert read["plain"] == 0
        assert 0 < read["chosen"] < share * 20 * 20_000


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_where_bounds_tell_nothing_every_row_is_read_once_and_few_of_them_before(read, dtype):
    rng = np.random.default_rng(0)
    rows = made.vectors("isotropic", rng, 20_000, 96)
    held = cut(rng, rows, [dtype], full=4096, chosen=[None])
    held.sketch(learnt(rows[:1024]))
    asked = made.queries(rng, rows, 10)
    _check(held, asked, -1.0, 8)
    read.update(chosen=0, plain=0)
    held.search(asked, -1.0, 8)
    assert read["plain"] == 10 * 20_000
    assert read["chosen"] <= 10 * 600


def test_a_floor_that_nothing_reaches_spares_reading_any_row(read):
    rng = np.random.default_rng(0)
    rows = made.vectors("two clusters", rng, 4000, 96)
    held = cut(rng, rows, ["float32"], full=1000, chosen=[None])
    held.sketch(learnt(rows[:1024]))
    away = _across(rows)
    (found,) = held.search(away, 0.9, 5)
    assert not len(found.ids)
    assert read == {"chosen": 0, "plain": 0}


def test_rows_that_wait_for_their_sketches_are_read_plainly_and_no_others(read):
    rng = np.random.default_rng(0)
    rows = made.vectors("falling", rng, 4000, 96)
    held = cut(rng, rows, ["float32"], full=1000, chosen=[None])
    held.sketch(learnt(rows[:1024]), less=130)
    held.search(rows[:1], 0.99, 5)
    assert read["plain"] == 130
    assert 0 < read["chosen"] < 400


def test_a_query_that_bounds_help_is_not_read_plainly_beside_one_that_they_do_not(read):
    rng = np.random.default_rng(0)
    rows = made.vectors("falling", rng, 8000, 96)
    held = cut(rng, rows, ["float32"], full=1000, chosen=[None])
    held.sketch(learnt(rows[:1024]))
    away = _across(rows)
    asked = np.concatenate([rows[:1], away, rows[1:2]])
    found = held.search(asked, -1.0, 3)
    assert read["plain"] == 8000
    assert [one.ids[0] for one in found[::2]] == [held.ids[0], held.ids[1]]
    made.check(found[1], held.ids, made.similarities(held.rows, away[0]), -1.0, 3)
