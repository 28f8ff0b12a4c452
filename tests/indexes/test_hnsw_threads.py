"""Searches beside changes see what was before a change or what is after it, whatever a graph is doing meanwhile."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from indexes.hnsw_graphs import SHAPES, clustered, is_graph, partition_of, scan_up_to
from mneme.indexes import HnswIndex

DIM = 16


@pytest.fixture(autouse=True)
def _threads_take_turns_in_the_middle_of_everything():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def beside(write, *reads):
    """Run *write* once, and each of *reads* again and again until it is done."""
    done = threading.Event()

    def read_on(read):
        count = 0
        while not done.is_set() or not count:
            read()
            count += 1
        return count

    def write_once():
        try:
            write()
        finally:
            done.set()

    with ThreadPoolExecutor(len(reads) + 1) as pool:
        readers = [pool.submit(read_on, read) for read in reads]
        pool.submit(write_once).result()
        assert all(reader.result() for reader in readers)


@pytest.mark.parametrize("scanned", [0, 10**6], ids=["graph", "arrays"])
@pytest.mark.parametrize(("backend", "dtype"), SHAPES)
def test_a_batch_is_seen_whole_or_not_at_all(monkeypatch, backend, dtype, scanned):
    scan_up_to(monkeypatch, scanned)
    index = HnswIndex(backend=backend, ef=1000, m=32, threads=2)
    index.open(DIM, dtype)
    rows = clustered(60, DIM)
    # Every version of the batch turns all rows by the same angle within two dimensions of their own.
    rows = np.concatenate([rows * np.float32(0.8), np.zeros((60, 2), np.float32)], axis=1)
    index.open(DIM + 2, dtype)
    angles = np.linspace(0, np.pi, 12)
    batches = []
    for angle in angles:
        batch = rows.copy()
        batch[:, DIM:] = 0.6 * np.cos(angle), 0.6 * np.sin(angle)
        batches.append(batch)
    pole = np.zeros((1, DIM + 2), np.float32)
    pole[0, DIM] = 1
    index.add(range(60), [b"p"] * 60, batches[0])

    def write():
        for turn in range(100):
            if turn % 3 == 2:
                index.remove(range(60))
            else:
                index.add(range(60), [b"p"] * 60, batches[turn * 7 % 12])

    def read():
        (found,) = index.search(b"p", pole, floor=-2.0, k=100)
        ids = found.ids.tolist()
        assert len(ids) == len(set(ids))
        # All of one version have the same similarity to the pole.
        slack = 1e-5 if found.errors is None else 2 * float(found.errors.max(initial=0)) + 1e-5
        assert np.ptp(found.similarities) <= slack if ids else True
        assert len(ids) in (0, *range(57, 61)), "a part of a batch"

    beside(write, read, read, index.size, index.tombstones, index.memory_bytes)
    index.close()


@pytest.mark.parametrize(("backend", "dtype"), SHAPES)
def test_searches_go_on_while_a_graph_grows_is_rebuilt_and_shrinks(monkeypatch, backend, dtype):
    scan_up_to(monkeypatch, 60)
    index = HnswIndex(backend=backend, ef=40)
    index.open(DIM, dtype)
    rows = clustered(620, DIM)
    kept = rows[:20]
    index.add(range(20), [b"p"] * 20, kept)
    lowest = [0]  # of the ids that come and go, what is below is gone for good
    serving = set()

    def write():
        for at in range(20, 620):
            index.add([at], [b"p"], rows[at : at + 1])
            if at >= 140:
                index.remove([at - 120])
                lowest[0] = at - 120
            serving.add(id(partition_of(index).serving))
        assert is_graph(index)
        index.remove(range(20, 620))
        assert not is_graph(index)

    def read():
        gone = lowest[0]
        answers = index.search(b"p", kept, floor=-2.0, k=5)
        for found in answers:
            ids = found.ids.tolist()
            assert len(ids) == len(set(ids))
            assert not [number for number in ids if 20 <= number <= gone], "a row that was removed before"
        assert sum(at in found.ids for at, found in enumerate(answers)) >= 18

    beside(write, read, read)
    assert len(serving) >= 3
    index.close()


def test_a_row_that_moves_between_partitions_is_never_in_both(monkeypatch):
    scan_up_to(monkeypatch, 0)
    index = HnswIndex(ef=200)
    index.open(DIM, "float32")
    rows = clustered(100, DIM)
    index.add(range(2, 100), [b"a", b"b"] * 49, rows[2:])
    index.add([0], [b"a"], rows[:1])

    def write():
        for turn in range(300):
            index.add([0], [(b"b", b"a")[turn % 2]], rows[:1])

    def read():
        there = [0 in index.search(name, rows[:1], floor=0.99, k=5)[0].ids for name in (b"a", b"b")]
        assert sum(there) <= 2  # it may move between the two searches
        assert index.size() == 99

    beside(write, read, read)
    index.close()


def test_indexes_are_saved_while_they_are_searched_and_changed(tmp_path):
    index = HnswIndex()
    index.open(DIM, "float32")
    rows = clustered(1600, DIM)
    index.add(range(1500), [b"p"] * 1500, rows[:1500])
    path = str(tmp_path / "index")

    def save():
        index.save(path, "stamp")
        again = HnswIndex()
        assert again.load(path, DIM, "float32") == "stamp"
        assert 1500 <= again.size() <= 1600
        assert again.search(b"p", rows[:1], floor=0.99, k=1)[0].ids.tolist() == [0]
        again.close()

    def write():
        for at in range(1500, 1600):
            index.add([at], [b"p"], rows[at : at + 1])

    beside(write, save, lambda: index.search(b"p", rows[:3], floor=0.5, k=3))
    index.close()
