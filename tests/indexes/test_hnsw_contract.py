"""The HNSW index keeps the contract of all indexes: small partitions to the letter, graphs save that they may miss."""

import pytest

from indexes.hnsw_graphs import LIBRARIES, scan_up_to
from mneme.indexes import HnswIndex
from mneme.testing import IndexContract


class TestFloat32(IndexContract):
    def make_index(self):
        return HnswIndex()


class TestFloat16(TestFloat32):
    dtype = "float16"


class TestInt8(TestFloat32):
    dtype = "int8"


class Graphs(IndexContract):
    """A search that is as wide as the graph finds every row that the graph connects, here practically always all."""

    library = "usearch"
    # They demand that no search among hundreds misses a row. For indexes that may, test_hnsw.py measures the recall and
    # compares what is found with an exact index, and test_hnsw_threads.py searches beside a writer.
    test_searches_beside_a_writer_see_no_half_made_change = None
    test_finds_what_a_full_scan_finds_among_hundreds_of_rows = None

    @pytest.fixture(autouse=True)
    def _graphs_of_everything(self, monkeypatch):
        scan_up_to(monkeypatch, 0)

    def make_index(self):
        return HnswIndex(m=32, ef=2000, backend=self.library, threads=1)  # the same graph every time


class TestGraphsOfFloat32(Graphs):
    pass


class TestGraphsOfFloat16(Graphs):
    dtype = "float16"


class TestGraphsOfInt8(Graphs):
    dtype = "int8"


if "hnswlib" in LIBRARIES:

    class TestGraphsOfHnswlib(Graphs):
        library = "hnswlib"
