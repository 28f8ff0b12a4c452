"""A graph of the library usearch, which comes in wheels and holds float32, float16 and int8."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from usearch.index import Index, Matches

from mneme.indexes._hnsw_base import Base, Found, Nodes, Rows, Settings
from mneme.ports import VectorDType

__all__ = ["UsearchBase"]

_SCALARS = {"float32": "f32", "float16": "f16", "int8": "i8"}

_NODE_BYTES = 250
"""Of a node, beyond what it takes in a file: tables of keys, and what the allocator rounds up. Measured."""

# Its `remove` is not used. The next row added would take over the removed node, and does not get new neighbours that
# are as good: recall fell from 0.98 to 0.92 while the rows were replaced twice. A dead node that stays does no harm.


class UsearchBase:
    """A `Base`. The library lets one search at a time into a graph, so that searches of one partition take turns."""

    name: ClassVar[str] = "usearch"
    dtypes: ClassVar[tuple[str, ...]] = tuple(_SCALARS)

    def __init__(self, dim: int, dtype: VectorDType, settings: Settings) -> None:
        self._index: Any = Index(
            ndim=dim,
            # Codes of int8 have a scale each, which the cosine does not see.
            metric="cos" if dtype == "int8" else "ip",
            dtype=_SCALARS[dtype],
            connectivity=settings.m,
            expansion_add=settings.ef_construction,
            expansion_search=1,  # a search is as wide as the number of nodes that it asks for
        )

    @classmethod
    def load(cls, data: bytes | memoryview, dim: int, dtype: VectorDType, settings: Settings) -> Base:
        made = cls(dim, dtype, settings)
        made._index.load(data)
        if made._index.ndim != dim or str(made._index.dtype).lower().rpartition(".")[2] != _SCALARS[dtype]:
            raise ValueError(f"it holds {made._index.ndim} numbers of {made._index.dtype}")
        made._index.expansion_search = 1
        return made

    def add(self, first: int, rows: Rows, threads: int) -> None:
        self._index.add(np.arange(first, first + len(rows), dtype=np.uint64), rows, threads=threads)

    def search(self, queries: Rows, count: int) -> list[Found]:
        found = self._index.search(queries, count, threads=1)
        if isinstance(found, Matches):
            return [_found(found)]
        return [_found(found[number]) for number in range(len(found))]

    def rows(self, nodes: Nodes) -> Rows:
        held: Rows = np.stack(self._index.get(nodes.astype(np.uint64)))
        return held

    def nbytes(self) -> int:
        return int(self._index.serialized_length) + _NODE_BYTES * len(self._index)

    def dump(self) -> bytes | bytearray:
        data: bytearray = self._index.save()
        return data


def _found(matches: Matches) -> Found:
    return matches.keys.astype(np.int64), 1 - matches.distances
