"""What is special to the exact index: its memory, its snapshots, and numbers that do not depend on the batch."""

import contextlib
import itertools
import threading

import numpy as np
import pytest

from indexes.small import PIECES, small
from mneme.indexes import ExactIndex, HnswIndex, _basis, _quantise, _search
from mneme.indexes._partition import Partition
from mneme.indexes._piece import COPIED, GrowingPiece
from mneme.indexes._view import View


def _units(count, dim, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def opened():
    indexes = []

    def make(dim, dtype="float32"):
        index = ExactIndex()
        index.open(dim, dtype)
        indexes.append(index)
        return index

    yield make
    for index in indexes:
        index.close()


def _found(index, partition, query, k=10**6):
    (found,) = index.search(partition, query.reshape(1, -1), floor=-1.0, k=k)
    return dict(zip(found.ids.tolist(), found.similarities.tolist(), strict=True))


# --- memory ----------------------------------------------------------------------------------------------------------


def _copies(monkeypatch):
    """How many rows every copy of arrays moves, from here on."""
    copied = []
    resize, some = GrowingPiece._resize, GrowingPiece.some

    def watched(piece, capacity):
        copied.append(len(piece))
        resize(piece, capacity)

    def watched_some(piece, count):
        ids, columns = some(piece, count)
        copied.append(len(ids))
        return ids, columns

    monkeypatch.setattr(GrowingPiece, "_resize", watched)
    monkeypatch.setattr(GrowingPiece, "some", watched_some)
    return copied


_ROW_BYTES = {"float32": 4 * 96 + 12, "float16": 2 * 96 + 16, "int8": 96 + 20}


@pytest.mark.parametrize(("dtype", "row_bytes"), _ROW_BYTES.items())
def test_a_bulk_load_takes_what_its_rows_take(opened, dtype, row_bytes):
    index = opened(96, dtype)
    index.add(range(5000), [b"p"] * 5000, _units(5000, 96))
    held = sum(piece.nbytes for piece in index._contents._partitions[b"p"].pieces)
    assert held == 5000 * row_bytes
    assert 5000 * row_bytes < index.memory_bytes() < 5000 * (row_bytes + 250)


def test_memory_is_given_back_when_most_rows_are_removed(opened):
    index = opened(64)
    before = index.memory_bytes()
    index.add(range(20_000), [b"p"] * 20_000, _units(20_000, 64))
    full = index.memory_bytes()
    assert index.remove(range(100, 20_000)) == 19_900
    assert index.memory_bytes() < full / 20
    assert sorted(_found(index, b"p", _units(1, 64))) == list(range(100))
    index.remove(range(100))
    assert index.memory_bytes() < before + 1000


def test_an_emptied_partition_disappears_and_may_come_back(opened):
    index = opened(3)
    index.add([1, 2], [b"a", b"b"], _units(2, 3))
    index.remove([1])
    assert list(index._contents._partitions) == [b"b"]
    index.add([2], [b"a"], _units(1, 3))
    _found(index, b"a", _units(1, 3))
    assert list(index._contents._partitions) == [b"a"]
    assert list(_found(index, b"a", _units(1, 3))) == [2]


def test_a_thousand_partitions_of_a_hundred_rows_take_what_they_hold(opened):
    index = opened(16)
    names = [b"%d" % number for number in range(1000)]
    rows = _units(1000, 16)
    for turn in range(100):  # one row each at a time: every partition grows by itself
        index.add(range(turn * 1000, turn * 1000 + 1000), names, rows)
    held = sum(piece.nbytes for piece in index._contents._pieces.values())
    assert held <= 1.5 * 100_000 * (16 * 4 + 8)
    assert len(index._contents._pieces) == 1000
    assert len(_found(index, names[7], rows[0])) == 100


def test_a_partition_that_grows_row_by_row_copies_each_row_twice_and_never_many_at_once(opened, monkeypatch):
    copied = _copies(monkeypatch)
    index = opened(2)
    row = _units(1, 2)
    for number in range(5 * COPIED):
        index.add([number], [b"p"], row)
    assert index.size() == 5 * COPIED
    assert len(index._contents._partitions[b"p"].pieces) <= 4  # each has as much room as all before it
    assert sum(copied) <= 2 * 5 * COPIED
    assert max(copied) <= COPIED
    copied.clear()
    for number in range(5 * COPIED):
        assert index.remove([number]) == 1
    assert 0 < sum(copied) <= 2 * 5 * COPIED
    assert max(copied) <= COPIED
    assert index._contents._pieces == {}


@pytest.mark.parametrize("order", ["first", "every other", "random"])
def test_a_piece_that_has_lost_most_of_its_rows_is_emptied_by_and_by(opened, order):
    index = opened(8)
    rows = _units(6000, 8)
    index.add(range(6000), [b"p"] * 6000, rows)
    full = index.memory_bytes()
    chosen = {
        "first": range(5500),
        "every other": [*range(0, 6000, 2), *range(1, 5000, 2)],
        "random": np.random.default_rng(0).permutation(6000)[:5500],
    }[order]
    left = dict(enumerate(rows))
    for number in map(int, chosen):
        index.remove([number])
        del left[number]
        if number % 500 == 0 and len(left) > 1:
            some = list(left)[:: max(1, len(left) // 5)]
            found = index.search(b"p", rows[some], floor=0.9999, k=1)
            assert [one.ids.tolist() for one in found] == [[number] for number in some]
    assert sorted(_found(index, b"p", rows[0])) == sorted(left)
    assert index.memory_bytes() < full / 4


def test_replacing_every_row_over_and_over_needs_twice_the_room_at_the_most(opened):
    index = opened(8)
    for seed in range(20):
        index.add(range(100), [b"p"] * 100, _units(100, 8, seed))
        pieces = index._contents._partitions[b"p"].pieces
        assert sum(len(piece) for piece in pieces) <= 2 * 100
    assert index.size() == 100
    assert _found(index, b"p", _units(100, 8, 19)[5], k=1) == {5: pytest.approx(1, abs=1e-6)}


def test_rows_that_are_gone_but_still_lie_in_a_piece_are_counted(opened):
    index = opened(8)
    index.add(range(100), [b"p"] * 100, _units(100, 8))
    index.remove(range(10))
    index.add([10, 11], [b"p", b"q"], _units(2, 8, 1))
    assert index.tombstones() == 12
    index.remove(range(100))
    assert index.tombstones() == index.size() == 0


def test_opening_again_forgets_everything_and_takes_another_dtype(opened):
    index = opened(8)
    index.add(range(100), [b"p"] * 100, _units(100, 8))
    index.open(8, "int8")
    assert (index.size(), index.dtype) == (0, "int8")
    assert not _found(index, b"p", _units(1, 8))


# --- snapshots -------------------------------------------------------------------------------------------------------


def test_a_search_under_way_sees_nothing_of_what_changes(opened):
    index = opened(4)
    rows = _units(COPIED + 50, 4)
    index.add(range(10), [b"p"] * 10, rows[:10])
    pieces = index._contents._partitions[b"p"].snapshot.view.pieces  # what a search takes when it begins
    before = [(piece.ids.copy(), piece.columns[0].copy(), piece.gone.copy()) for piece in pieces]
    index.add(range(10, COPIED + 50), [b"p"] * (COPIED + 40), rows[10:])
    index.add(range(5), [b"p"] * 5, -rows[:5])
    index.remove(range(5, 9))
    index.add([9], [b"q"], rows[:1])
    for piece, (ids, held, gone) in zip(pieces, before, strict=True):
        assert np.array_equal(piece.ids, ids)
        assert np.array_equal(piece.columns[0], held)
        assert np.array_equal(piece.gone, gone)
    assert set(_found(index, b"p", rows[0])) == {*range(5), *range(10, COPIED + 50)}


def test_a_search_waits_for_no_change(opened):
    index = opened(4)
    rows = _units(20, 4)
    index.add(range(10), [b"p"] * 10, rows[:10])
    index.add([10], [b"p"], rows[10:11])
    with index._contents._changing:  # a change that takes its time
        assert len(_found(index, b"p", rows[0])) == 11
        assert not _found(index, b"nobody", rows[0])


def test_plain_scans_of_many_rows_take_turns_and_those_of_few_need_none(opened, monkeypatch):
    index = opened(64)
    index.add(range(3001), [b"large"] * 3000 + [b"small"], _units(3001, 64))
    turns = index._contents._turns = threading.Semaphore(1)
    free = []
    products = View.products

    def watched(view, queries, coded, *, sketched):
        free.append(turns._value)
        return products(view, queries, coded, sketched=sketched)

    monkeypatch.setattr(View, "products", watched)
    _found(index, b"large", _units(1, 64), k=1)
    _found(index, b"small", _units(1, 64), k=1)
    assert free == [0, 1]
    with turns:
        _found(index, b"small", _units(1, 64), k=1)
    assert free == [0, 1, 0]


def test_rows_added_one_by_one_are_found_at_once_and_shared_with_nobody(opened):
    index = opened(8)
    rows = _units(600, 8)
    for at, row in enumerate(rows):
        given = row[None].copy()
        index.add([at], [b"a" if at % 3 else b"b"], given)
        given[:] = -given
        if at % 97 == 0:
            assert at in _found(index, b"a" if at % 3 else b"b", rows[at : at + 1], k=1)
    assert index.size() == 600
    for at in (0, 1, 255, 256, 599):
        assert list(_found(index, b"a" if at % 3 else b"b", rows[at : at + 1], k=1)) == [at]
    assert index.remove(range(0, 600, 2)) == 300
    assert index.size() == 300


class _Table(dict):
    """A table of ids; what is done to it can be made to fail."""

    def update(self, *given):
        super().update(*given)


_STEPS = {
    "rows are added": (GrowingPiece, "extend"),
    "rows are removed": (GrowingPiece, "remove"),
    "ids are read": (GrowingPiece, "ids_from"),
    "a snapshot is prepared": (Partition, "prepared"),
    "the table is filled": (_Table, "update"),
}


def _failing_at(monkeypatch, step, position, error):
    """Let the call of this step fail that comes at this position from now on; the calls."""
    where, verb = step
    original = getattr(where, verb)
    calls = []

    def failing(self, *args):
        calls.append(args)
        if len(calls) == position:
            raise error
        return original(self, *args)

    monkeypatch.setattr(where, verb, failing)
    return calls


def _with_waiting_rows(opened):
    """An index with rows in two partitions, and in each of two one that waits."""
    index = opened(4)
    index._contents._places = _Table()
    index.add([1, 2, 5], [b"a", b"a", b"b"], _units(3, 4))
    index.add([6], [b"b"], _units(1, 4, 6))
    index.add([7], [b"d"], _units(1, 4, 7))
    return index


def _held(index):
    return {name: _found(index, name, _units(1, 4)) for name in (b"a", b"b", b"c", b"d")}


_GIVEN = ([1, 3, 4, 5], [b"b", b"a", b"c", b"c"], _units(4, 4, seed=1))
_AFTER = {b"a": [2, 3], b"b": [1, 6], b"c": [4, 5], b"d": [7]}


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("step", list(_STEPS))
def test_what_fails_half_way_has_changed_nothing_and_can_be_repeated(opened, monkeypatch, step, error):
    for position in itertools.count(1):
        index = _with_waiting_rows(opened)
        before = _held(index)
        calls = _failing_at(monkeypatch, _STEPS[step], position, error)
        with contextlib.suppress(error):
            index.add(*_GIVEN)
        monkeypatch.undo()
        if len(calls) < position:
            break
        assert _held(index) == before
        assert index.size() == 5
        index.add(*_GIVEN)
        assert {name: sorted(found) for name, found in _held(index).items()} == _AFTER
        assert index.remove(range(1, 9)) == 7
        assert not any(_held(index).values())
    assert position > 1


def test_what_is_interrupted_while_it_is_shown_is_done(opened, monkeypatch):
    for position in itertools.count(1):
        index = _with_waiting_rows(opened)
        calls = _failing_at(monkeypatch, (Partition, "show"), position, KeyboardInterrupt)
        with contextlib.suppress(KeyboardInterrupt):
            index.add(*_GIVEN)
        monkeypatch.undo()
        if len(calls) < position:
            break
        index.add(*_GIVEN)
        assert {name: sorted(found) for name, found in _held(index).items()} == _AFTER
        assert index.remove(range(1, 9)) == 7
    assert position > 4


def test_rows_wait_for_longer_where_there_is_no_memory_to_add_them_together(opened, monkeypatch):
    index = opened(8)
    rows = _units(300, 8)
    with monkeypatch.context() as patch:
        calls = _failing_at(patch, (Partition, "prepared"), 1, MemoryError)
        for number in range(256):
            index.add([number], [b"p"], rows[number : number + 1])
    assert calls
    assert index.size() == len(_found(index, b"p", rows[0])) == 256
    index.add([256], [b"p"], rows[256:257])
    assert sorted(_found(index, b"p", rows[0])) == list(range(257))


def test_an_index_is_saved_without_the_sketches_that_there_is_no_memory_for(opened, monkeypatch, tmp_path):
    with small(**PIECES):
        index = opened(8)
        index.add(range(200), [b"p"] * 200, _units(200, 8))
        index.remove(range(0, 200, 3))
        with monkeypatch.context() as patch:
            refused = []
            patch.setattr(GrowingPiece, "sketch", lambda *given: _no_memory(refused))
            index.add(range(300, 400), [b"p"] * 100, _units(100, 8, 1))
            index.save(str(tmp_path / "index"), "stamp")
        assert refused
        found = _found(index, b"p", _units(1, 8))
        index.load(str(tmp_path / "index"), 8, "float32")
        assert _found(index, b"p", _units(1, 8)).keys() == found.keys()


def _no_memory(refused):
    refused.append(True)
    raise MemoryError


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_similarities_do_not_depend_on_the_batch_or_on_how_it_is_cut(opened, monkeypatch):
    index = opened(384)
    rows = _units(1500, 384)
    near = rows + 0.02 * _units(1500, 384, seed=1)
    queries = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)[:40]
    index.add(range(1500), [b"p"] * 1500, rows)

    def answers(size):
        return [
            (found.ids.tolist(), found.similarities.tolist())
            for start in range(0, 40, size)
            for found in index.search(b"p", queries[start : start + size], floor=0.0, k=20)
        ]

    alone = answers(1)
    assert answers(40) == answers(7) == alone
    monkeypatch.setattr(_search, "_PRODUCTS_AT_ONCE", 4000)
    assert answers(40) == alone


def test_among_thousands_of_equal_vectors_the_lowest_ids_win(opened, monkeypatch):
    monkeypatch.setattr(_quantise, "_BLOCK_NUMBERS", 4000)
    index = opened(8)
    ids = np.random.default_rng(0).permutation(3000).tolist()
    index.add(ids, [b"p"] * 3000, np.repeat(_units(1, 8), 3000, axis=0))
    assert list(_found(index, b"p", _units(1, 8), k=5)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_a_quantised_search_returns_few_rows_that_cannot_win(opened, dtype):
    index = opened(128, dtype)
    rows = _units(2000, 128)
    index.add(range(2000), [b"p"] * 2000, rows)
    (found,) = index.search(b"p", rows[:1], floor=0.85, k=5)
    assert found.ids.tolist() == [0]
    (found,) = index.search(b"p", rows[:1], floor=-1.0, k=5)
    assert 5 <= len(found.ids) <= 15


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [ExactIndex, HnswIndex])
def test_a_kernel_that_raises_a_flag_for_nothing_warns_nobody(monkeypatch, make):
    class Flagging:
        """NumPy with products that tell of an invalid value, as some of BLAS do now and then."""

        def __getattr__(self, name):
            return getattr(np, name)

        def matmul(self, *args, **options):
            assert np.isnan(np.float32(np.inf) - np.float32(np.inf))
            return np.matmul(*args, **options)

    index = make()
    index.open(8, "float32")
    for module in (_quantise, _basis):
        monkeypatch.setattr(module, "np", Flagging())
    monkeypatch.setattr(_quantise, "_FEW_NUMBERS", 0)
    with small(**PIECES), pytest.warns(RuntimeWarning, match="invalid value"):
        _quantise.np.matmul(_units(2, 8), _units(1, 8)[0])
    with small(**PIECES):
        index.add(range(300), [b"p"] * 300, _units(300, 8))
        assert _found(index, b"p", _units(300, 8)[7], k=1) == {7: pytest.approx(1, abs=1e-6)}


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_a_row_whose_error_just_does_not_reach_the_floor_is_not_returned(opened, dtype):
    index = opened(8, dtype)
    index.add([1], [b"p"], _units(1, 8))
    query = _units(1, 8, 5)
    (anyhow,) = index.search(b"p", query, floor=-1.0, k=1)
    reached = float((anyhow.similarities + anyhow.errors)[0])
    for floor, ids in ((reached, [1]), (float(np.nextafter(reached, 2)), [])):
        (found,) = index.search(b"p", query, floor=floor, k=1)
        assert found.ids.tolist() == ids


def test_an_index_that_was_not_opened_says_so():
    with pytest.raises(RuntimeError, match="call open"):
        ExactIndex().size()


def test_what_is_no_unit_vector_is_named_with_its_row(opened):
    index = opened(2)
    for row, message in (
        ([0, 0], "row 1 has length 0"),
        ([3, 4], "row 1 has length 5"),
        ([np.nan, 0], "row 1 holds NaN"),
        ([3e38, 3e38], "row 1 has length"),
    ):
        with pytest.raises(ValueError, match=message):
            index.add([1, 2], [b"p", b"p"], np.array([[1, 0], row], np.float32))
    with pytest.raises(ValueError, match=r"float32 of shape \(n, 2\), not float64 of shape \(1, 3\)"):
        index.add([1], [b"p"], np.ones((1, 3)))
    assert index.size() == 0


def test_wrong_types_are_named(opened):
    index = opened(2)
    good = np.array([[1, 0]], np.float32)
    with pytest.raises(TypeError, match="not str: 'p'"):
        index.add([1], ["p"], good)
    with pytest.raises(TypeError, match="float"):
        index.add([1.5], [b"p"], good)
    with pytest.raises(TypeError, match="not list"):
        index.add([1], [b"p"], [[1.0, 0.0]])
    with pytest.raises(TypeError):
        index.remove(["1"])
    assert index.size() == 0
