"""A graph of the library hnswlib: float32 only, built from source, and searched by several threads at once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, TypeVar

import hnswlib
import numpy as np

from mneme.indexes._hnsw_base import Base, Found, Nodes, Rows, Settings
from mneme.ports import VectorDType

__all__ = ["HnswlibBase"]

T = TypeVar("T")

_ROOM = 1024  # nodes at first
_NODE_BYTES = 300
"""Of a node, beyond its row and neighbours: the table of labels, a lock, room to grow. Measured."""


class HnswlibBase:
    """A `Base`. The library needs to be told how many nodes there will be, and reads and writes files only."""

    name: ClassVar[str] = "hnswlib"
    dtypes: ClassVar[tuple[str, ...]] = ("float32",)

    def __init__(self, dim: int, dtype: VectorDType, settings: Settings) -> None:  # noqa: ARG002 -- it knows one
        self._dim = dim
        self._settings = settings
        self._index = hnswlib.Index("ip", dim)
        self._index.init_index(_ROOM, M=settings.m, ef_construction=settings.ef_construction)
        self._index.set_ef(1)  # a search is as wide as the number of nodes that it asks for

    @classmethod
    def load(cls, data: bytes | memoryview, dim: int, dtype: VectorDType, settings: Settings) -> Base:
        made = cls(dim, dtype, settings)
        loaded = hnswlib.Index("ip", dim)

        def read(file: Path) -> None:
            file.write_bytes(data)
            loaded.load_index(str(file))

        _with_a_file(read)
        if loaded.index_file_size() != len(data):
            raise ValueError(f"it does not hold vectors of {dim} numbers")
        loaded.set_ef(1)
        made._index = loaded
        return made

    def add(self, first: int, rows: Rows, threads: int) -> None:
        needed, room = first + len(rows), self._index.get_max_elements()
        if needed > room:
            self._index.resize_index(max(needed, room + room // 2))
        self._index.add_items(rows, np.arange(first, needed), num_threads=threads)

    def search(self, queries: Rows, count: int) -> list[Found]:
        return [self._search(query, count) for query in queries]

    def rows(self, nodes: Nodes) -> Rows:
        held: Rows = np.asarray(self._index.get_items(nodes, return_type="numpy"), np.float32)
        return held

    def nbytes(self) -> int:
        per_node = 4 * self._dim + 8 * self._settings.m + 12
        return int(self._index.get_current_count()) * (per_node + _NODE_BYTES)

    def dump(self) -> bytes | bytearray:
        def read_back(file: Path) -> bytes:
            self._index.save_index(str(file))
            return file.read_bytes()

        return _with_a_file(read_back)

    def _search(self, query: Rows, count: int) -> Found:
        wanted = count
        while True:
            try:
                nodes, distances = self._index.knn_query(query, wanted, num_threads=1)
            except RuntimeError:  # noqa: PERF203 -- fewer can be reached, and it cannot say how many
                if wanted == 1:
                    raise
                wanted //= 2
            else:
                return nodes[0].astype(np.int64), 1 - distances[0]


def _with_a_file(use: Callable[[Path], T]) -> T:
    with tempfile.TemporaryDirectory(prefix="mneme-") as folder:  # for its owner alone
        return use(Path(folder) / "graph")
