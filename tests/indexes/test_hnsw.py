"""What is special to the HNSW index: recall, dead weight and its removal, equal vectors, options."""

import sys
from types import ModuleType

import numpy as np
import pytest

from indexes.hnsw_graphs import (
    LIBRARIES,
    SHAPES,
    best,
    clustered,
    decided,
    is_graph,
    near,
    partition_of,
    recall,
    scan_up_to,
    units,
)
from mneme import SemanticCache
from mneme.errors import IndexBackendUnavailableError, QuantizationError
from mneme.indexes import ExactIndex, HnswIndex
from mneme.testing import HashEmbedder


@pytest.fixture
def opened():
    indexes = []

    def make(dim, dtype="float32", backend="usearch", **options):
        # On several threads a graph comes out another one each time, and what it misses with it.
        index = HnswIndex(backend=backend, **{"threads": 1, **options})
        index.open(dim, dtype)
        indexes.append(index)
        return index

    yield make
    for index in indexes:
        index.close()


def fill(index, rows, start=0, name=b"p"):
    index.add(range(start, start + len(rows)), [name] * len(rows), rows)
    return dict(enumerate(rows, start))


# --- recall ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("backend", "dtype"), SHAPES)
def test_nearly_all_of_the_best_are_found(opened, backend, dtype):
    index = opened(48, dtype, backend)
    rows = clustered(4000, 48)
    held = fill(index, rows)
    assert is_graph(index)
    queries = near(clustered(100, 48, seed=0), seed=5)
    assert recall(index, held, queries) >= 0.97
    # A match that a cache would serve is found almost without exception.
    close = near(rows[:200], seed=6, distance=0.4)
    answers = index.search(b"p", close, floor=0.85, k=1)
    expected = [best(held, query, 1, 0.85) for query in close]
    assert sum(map(bool, expected)) > 150
    found = [decided(matches, held, query, 1, 0.85) for matches, query in zip(answers, close, strict=True)]
    assert sum(map(list.__eq__, found, expected)) >= 198


@pytest.mark.parametrize(("backend", "dtype"), SHAPES)
def test_what_is_found_is_what_an_exact_index_says_of_it(opened, backend, dtype):
    rows = clustered(3000, 40)
    index = opened(40, dtype, backend)
    exact = ExactIndex()
    exact.open(40, "float32")
    for each in (index, exact):
        fill(each, rows)
    for query in near(rows[:30], seed=1):
        for floor in (0.9, 0.3, -0.2):
            (found,) = index.search(b"p", query[None], floor=floor, k=8)
            (truth,) = exact.search(b"p", query[None], floor=floor, k=3000)
            scores = dict(zip(truth.ids.tolist(), truth.similarities.tolist(), strict=True))
            if found.errors is None:
                assert [scores[number] for number in found.ids.tolist()] == found.similarities.tolist()
                assert (found.similarities >= floor).all()
                assert len(found.ids) <= 8
            else:
                bounds = found.similarities + found.errors
                assert (bounds >= floor).all()
                assert (np.diff(bounds) <= 0).all()
                for number, similarity, error in zip(*(part.tolist() for part in found), strict=True):
                    assert abs(scores.get(number, floor) - similarity) <= error or number not in scores
    exact.close()


def test_a_wider_search_finds_more(opened):
    rows = units(3000, 64)  # without structure: the hardest for a graph
    queries = units(60, 64, seed=1)
    recalls = []
    for ef in (8, 64, 512):
        index = opened(64, ef=ef)
        recalls.append(recall(index, fill(index, rows), queries))
    assert recalls[0] < recalls[1] < recalls[2]
    assert recalls[2] > 0.99


def test_as_many_are_found_as_asked_for(opened):
    index = opened(16)
    rows = clustered(2500, 16)
    fill(index, rows)
    for k in (1, 64, 65, 700):
        assert len(index.search(b"p", rows[:1], floor=-2.0, k=k)[0].ids) == k
    assert len(index.search(b"p", rows[:1], floor=-2.0, k=10**6)[0].ids) >= 2490


def test_negative_floors_reach_the_far_side(opened):
    index = opened(8, ef=3000)
    rows = units(2000, 8)
    held = fill(index, rows)
    for floor in (-0.3, -0.9, -1.0, -5.0):
        (found,) = index.search(b"p", rows[:1], floor=floor, k=2000)
        expected = best(held, rows[0], 2000, floor)
        assert found.similarities.min() >= floor
        assert len(set(expected) - set(found.ids.tolist())) <= 2


# --- small partitions and large ones ---------------------------------------------------------------------------------


def test_a_partition_becomes_a_graph_as_it_grows_and_arrays_again_as_it_shrinks(opened, monkeypatch):
    scan_up_to(monkeypatch, 100)
    index = opened(16)
    rows = units(400, 16)
    for at, row in enumerate(rows):
        index.add([at], [b"p"], row[None])
        assert index.size() == at + 1
        (found,) = index.search(b"p", rows[: at + 1][-1:], floor=0.999, k=1)
        assert found.ids.tolist() == [at]
        if at < 100:
            assert not is_graph(index)
    assert is_graph(index)
    index.remove(range(60, 400))
    assert index.size() == 60
    assert is_graph(index)
    index.remove(range(40, 60))
    assert not is_graph(index)
    assert index.tombstones() == 0
    (found,) = index.search(b"p", rows[:1], floor=-2.0, k=100)
    assert sorted(found.ids.tolist()) == list(range(40))


def test_what_was_removed_from_a_small_partition_does_not_stay_in_its_spare_room(opened):
    index = opened(8)
    fill(index, clustered(12, 8))
    index.remove([3, 11])
    rows = partition_of(index).serving._columns[0]
    assert len(rows) >= 12
    assert np.abs(rows[:10]).max(axis=1).all()
    assert not rows[10:12].any()
    assert index.tombstones() == 0


def test_each_partition_has_its_own_rows(opened):
    index = opened(24)
    rows = clustered(4500, 24)
    index.add(range(4500), [b"a", b"b", b"c"] * 1500, rows)
    for number, name in enumerate((b"a", b"b", b"c")):
        assert is_graph(index, name)
        held = {at: rows[at] for at in range(number, 4500, 3)}
        assert recall(index, held, rows[:40], name=name) > 0.97
    index.remove(range(0, 4500, 3))
    assert b"a" not in index._contents._partitions
    assert not len(index.search(b"a", rows[:1], floor=-2.0, k=1)[0].ids)


def test_a_thousand_small_partitions_take_what_they_hold(opened):
    index = opened(16)
    rows = units(20, 16)
    for number in range(1000):
        index.add(range(20 * number, 20 * number + 20), [b"%d" % number] * 20, rows)
    assert index.memory_bytes() < 1000 * (20 * (16 * 4 + 300) + 4000)
    assert len(index.search(b"7", rows[:1], floor=-2.0, k=100)[0].ids) == 20


@pytest.mark.parametrize(("backend", "dtype"), SHAPES)
def test_memory_is_told_and_given_back(opened, backend, dtype):
    index = opened(64, dtype, backend)
    empty = index.memory_bytes()
    fill(index, units(2000, 64))
    bytes_each = {"float32": 256, "float16": 128, "int8": 64}[dtype]
    assert 2000 * bytes_each < index.memory_bytes() < 2000 * (bytes_each + 1000)
    index.remove(range(2000))
    assert index.memory_bytes() <= empty + 1000 + sys.getsizeof(dict.fromkeys(range(2000)))


# --- removal, replacement, rebuilding --------------------------------------------------------------------------------


@pytest.mark.parametrize(("backend", "dtype"), SHAPES)
def test_what_was_removed_or_replaced_is_never_found_again(opened, backend, dtype):
    index = opened(32, dtype, backend)
    rows = clustered(2000, 32)
    held = fill(index, rows)
    assert index.remove([*range(0, 2000, 4), 5000, 0]) == 500
    for number in range(0, 2000, 4):
        del held[number]
    replaced = list(range(1, 2000, 4))
    index.add(replaced, [b"p"] * 500, -rows[replaced])
    held |= dict(zip(replaced, -rows[replaced], strict=True))
    assert index.size() == len(held) == 1500
    assert index.tombstones() == 1000
    # The nearest of these queries died, or has another vector now.
    assert recall(index, held, rows[:200]) > 0.97
    for number in replaced[:50]:
        (found,) = index.search(b"p", -rows[number : number + 1], floor=0.99, k=3)
        assert number in found.ids.tolist()


@pytest.mark.parametrize("backend", LIBRARIES)
def test_a_graph_with_too_much_dead_weight_is_rebuilt_bit_by_bit(opened, backend):
    index = opened(24, backend=backend)
    rows = clustered(5000, 24)
    held = fill(index, rows[:2400])
    first = partition_of(index).serving
    most = 0
    for at in range(2400, 5000):  # the oldest gives way to the newest, as in a cache at its cap
        index.add([at], [b"p"], rows[at : at + 1])
        index.remove([at - 2400])
        held[at] = rows[at]
        del held[at - 2400]
        most = max(most, index.tombstones())
        if at % 400 == 0:
            assert index.size() == 2400
            assert recall(index, held, near(rows[at - 40 : at], seed=at)) > 0.97
    assert partition_of(index).serving is not first
    assert 1200 < most <= 2400
    assert index.tombstones() < 1300
    assert recall(index, held, near(rows[4000:4100], seed=1)) > 0.97


def test_no_change_does_more_than_its_share_of_a_rebuild(opened):
    index = opened(16)
    rows = clustered(3000, 16)
    fill(index, rows)
    index.remove(range(1200))  # more than a third is dead weight
    partition = partition_of(index)
    waiting = [len(partition._waiting)]
    assert waiting == [1800]
    for at in range(1200, 1300):
        index.add([at + 10_000], [b"p"], rows[at - 1000 : at - 999])
        waiting.append(len(partition._waiting))
        index.remove([at])
        waiting.append(len(partition._waiting))
    assert set(np.diff(waiting).tolist()) == {-2}
    index.remove(range(1300, 1700))
    assert len(partition._waiting) == waiting[-1] - 16
    while partition._coming is not None:
        index.add([at + 20_000], [b"p"], rows[at % 1200 : at % 1200 + 1])
        at += 1
    assert index.tombstones() < 500
    (found,) = index.search(b"p", rows[1750:1751], floor=0.999, k=1)
    assert found.ids.tolist() == [1750]


def test_where_many_died_close_together_the_living_are_found(opened):
    index = opened(16, ef=16)
    rows = clustered(3000, 16)
    centre = rows[:1]
    crowd = near(np.repeat(centre, 800, axis=0), seed=2, distance=0.05)
    held = fill(index, rows) | fill(index, crowd, start=5000)
    index.remove(range(5000, 5800))
    for number in range(5000, 5800):
        del held[number]
    assert index.tombstones() == 800
    assert recall(index, held, centre, k=5) == 1


# --- equal vectors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("backend", "dtype"), SHAPES)
def test_rows_with_the_same_vector_share_a_node(opened, backend, dtype):
    index = opened(24, dtype, backend)
    rows = clustered(1500, 24)
    fill(index, rows)
    nodes = partition_of(index).serving._size
    for copy in range(1, 200):
        index.add([10_000 * copy + at for at in range(3)], [b"p"] * 3, rows[:3])
    assert partition_of(index).serving._size == nodes
    assert index.size() == 1500 + 3 * 199
    (found,) = index.search(b"p", rows[:1], floor=0.999, k=5)
    assert found.ids.tolist()[:5] == [0, 10_000, 20_000, 30_000, 40_000]
    index.remove([0, 20_000])
    (found,) = index.search(b"p", rows[:1], floor=0.999, k=3)
    assert found.ids.tolist()[:3] == [10_000, 30_000, 40_000]
    index.remove(10_000 * copy for copy in range(1, 200))
    assert not len(index.search(b"p", rows[:1], floor=0.9999, k=3)[0].ids)
    assert index.tombstones() == 1


def test_many_copies_of_some_do_not_hide_the_others(opened):
    index = opened(24)
    rows = clustered(2000, 24)
    held = fill(index, rows)
    for copy in range(1, 100):
        ids = [100_000 * copy + at for at in range(30)]
        index.add(ids, [b"p"] * 30, rows[:30])
    answers = index.search(b"p", rows[30:], floor=0.999, k=1)
    assert sum(at not in found.ids for at, found in enumerate(answers, 30)) <= 2
    assert len(held) + 30 * 99 == index.size()


def test_a_vector_that_comes_back_takes_its_dead_node(opened):
    index = opened(24)
    rows = clustered(1500, 24)
    fill(index, rows)
    for turn in range(50):  # as an entry that expires and is put again, under a new id
        index.remove([7 + 10_000 * turn])
        assert index.tombstones() == 1
        index.add([7 + 10_000 * (turn + 1)], [b"p"], rows[7:8])
        assert index.tombstones() == 0
    index.add([0, 1, 2], [b"p"] * 3, rows[:3])  # the same again
    assert index.tombstones() == 0
    (found,) = index.search(b"p", rows[7:8], floor=0.999, k=2)
    assert found.ids.tolist() == [500_007]


def test_among_many_equal_vectors_the_lowest_ids_win(opened, monkeypatch):
    scan_up_to(monkeypatch, 0)
    index = opened(8)
    ids = np.random.default_rng(0).permutation(3000).tolist()
    index.add(ids, [b"p"] * 3000, np.repeat(units(1, 8), 3000, axis=0))
    assert index.search(b"p", units(1, 8), floor=-1.0, k=5)[0].ids.tolist() == [0, 1, 2, 3, 4]


def test_ids_are_any_64_bits(opened):
    index = opened(16)
    rows = units(1500, 16)
    ids = [-(2**63), 2**63 - 1, -1, 0, *range(10**15, 10**15 + 1496)]
    index.add(ids, [b"p"] * 1500, rows)
    assert is_graph(index)
    for at in (0, 1, 2, 3, 700):
        assert index.search(b"p", rows[at : at + 1], floor=0.999, k=1)[0].ids.tolist() == [ids[at]]


# --- a failing library -----------------------------------------------------------------------------------------------


def test_an_add_that_fails_half_way_changes_nothing_and_can_be_repeated(opened, monkeypatch):
    index = opened(16, threads=1)
    rows = clustered(2000, 16)
    held = fill(index, rows[:1500])
    base = partition_of(index).serving._base
    add, calls = base.add, []

    def failing(first, some, threads):
        calls.append(len(some))
        if len(calls) == 3:
            add(first, some[:2], threads)
            raise MemoryError
        add(first, some, threads)

    monkeypatch.setattr(base, "add", failing)
    with pytest.raises(MemoryError):
        index.add([*range(1500, 1600), 0], [b"p"] * 101, rows[1500:1601])
    assert index.size() == 1500
    assert recall(index, held, rows[:50]) > 0.97
    dead = index.tombstones()
    assert 0 < dead <= 24
    monkeypatch.undo()
    index.add(range(1500, 2000), [b"p"] * 500, rows[1500:])
    held |= dict(enumerate(rows[1500:], 1500))
    assert index.size() == 2000
    assert recall(index, held, rows[1480:1580]) > 0.97


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"m": 1}, ValueError, "m must be 2 to 1000, got 1"),
        ({"m": 16.0}, TypeError, "m must be a whole number, not float"),
        ({"ef": 0}, ValueError, "ef must be at least 1, got 0"),
        ({"ef": True}, TypeError, "ef must be a whole number, not bool"),
        ({"ef_construction": 0}, ValueError, "ef_construction must be at least 1"),
        ({"threads": -1}, ValueError, "threads must be at least 0"),
        ({"backend": "faiss"}, ValueError, "'usearch' or 'hnswlib', got 'faiss'"),
    ],
)
def test_an_option_that_does_not_hold_is_refused(options, error, says):
    with pytest.raises(error, match=says):
        HnswIndex(**options)


def test_options_reach_the_library(opened):
    index = opened(8, m=24, ef_construction=77, ef=5)
    fill(index, units(1100, 8))
    base = partition_of(index).serving._base._index
    assert (base.connectivity, base.expansion_add, base.expansion_search) == (24, 77, 1)
    assert index.name == "hnsw"
    assert index.backend == "usearch"


@pytest.mark.parametrize("backend", ["auto", "usearch", "hnswlib"])
def test_without_the_library_the_error_names_the_extra(monkeypatch, backend):
    for name in ("usearch", "usearch.index", "hnswlib", "mneme.indexes._hnsw_usearch", "mneme.indexes._hnsw_hnswlib"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(IndexBackendUnavailableError, match=r'pip install "mneme-cache\[hnsw\]"'):
        HnswIndex(backend=backend)


def test_hnswlib_says_that_it_holds_float32_only(monkeypatch):
    if "hnswlib" not in LIBRARIES:
        monkeypatch.setitem(sys.modules, "hnswlib", ModuleType("hnswlib"))
        monkeypatch.setitem(sys.modules, "mneme.indexes._hnsw_hnswlib", None)  # so that it is forgotten in the end
        del sys.modules["mneme.indexes._hnsw_hnswlib"]
    index = HnswIndex(backend="hnswlib")
    with pytest.raises(QuantizationError, match=r"hnswlib holds float32 only, not 'int8'; .* install usearch"):
        index.open(4, "int8")
    index.close()


# --- in a cache ------------------------------------------------------------------------------------------------------


def test_a_cache_uses_it_by_name(monkeypatch):
    scan_up_to(monkeypatch, 20)
    options = {"M": 8, "ef_construction": 50, "ef": 32}
    with SemanticCache(":memory:", HashEmbedder(dim=32), index_backend="hnsw", index_options=options) as cache:
        cache.put_many([(f"question {number}", f"answer {number}") for number in range(100)])
        assert cache.health().index_backend == "hnsw"
        assert cache.lookup("question 7", k=1)[0].response == "answer 7"
        cache.requantize("int8")
        assert cache.lookup("question 8", k=1)[0].response == "answer 8"
        assert cache.stats().vector_dtype == "int8"
        cache.clear()
        assert cache.lookup("question 7", k=1) == []


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"efc": 5}, TypeError, "no option 'efc'; it has M, m, ef_construction, ef, backend, threads"),
        ({"M": 8, "m": 8}, TypeError, "both 'M' and 'm'"),
        ({"M": 0}, ValueError, "m must be 2 to 1000, got 0"),
        ({"backend": "faiss"}, ValueError, "got 'faiss'"),
    ],
)
def test_an_option_that_a_cache_passes_on_is_refused_when_it_is_made(options, error, says):
    with pytest.raises(error, match=says):
        SemanticCache(":memory:", HashEmbedder(dim=4), index_backend="hnsw", index_options=options)
