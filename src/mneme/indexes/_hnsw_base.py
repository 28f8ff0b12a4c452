"""What the HNSW index needs of a graph library, and which library that is. A library is imported when it is used."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from mneme.errors import IndexBackendUnavailableError
from mneme.ports import Vector, VectorDType

__all__ = ["BACKENDS", "Base", "BaseMaker", "Found", "Nodes", "Rows", "Settings", "base_maker"]

BACKENDS = ("usearch", "hnswlib")
"""In the order in which they are looked for: the first comes in wheels, for every platform, and holds three dtypes. The
other one is faster in float32; docs/hnsw.md says by how much, and why it does not come first."""

_INSTALL = 'pip install "mneme-cache[hnsw]"'

Nodes: TypeAlias = npt.NDArray[np.int64]
"""Numbers of nodes, counted from 0 in the order in which they were added."""

Rows: TypeAlias = npt.NDArray[Any]
"""Vectors as they are held, shape `(n, dim)`: float32, float16, or int8 without their scales."""

Found: TypeAlias = tuple[Nodes, Vector]
"""Nodes, and roughly how similar each is to the query."""


class Settings(NamedTuple):
    """What the user chose."""

    m: int
    ef_construction: int
    ef: int
    threads: int


class Base(Protocol):
    """One graph. Nothing is ever removed from it: what no longer counts is passed over by the caller.

    Reading from several threads at once is safe; adding needs the graph to itself.
    """

    def add(self, first: int, rows: Rows, threads: int) -> None:
        """Add nodes with the numbers *first*, *first* + 1 and so on."""
        ...

    def search(self, queries: Rows, count: int) -> list[Found]:
        """For each query, held like the rows, about the nearest *count* nodes: fewer only if no more can be reached."""
        ...

    def rows(self, nodes: Nodes) -> Rows:
        """The vectors of these nodes, as they were added."""
        ...

    def nbytes(self) -> int:
        """Memory held, within a few per cent."""
        ...

    def dump(self) -> bytes | bytearray:
        """Everything, for `BaseMaker.load`."""
        ...


class BaseMaker(Protocol):
    """The class of a library's graphs."""

    name: str
    dtypes: tuple[str, ...]

    def __call__(self, dim: int, dtype: VectorDType, settings: Settings) -> Base:
        """An empty graph."""
        ...

    def load(self, data: bytes | memoryview, dim: int, dtype: VectorDType, settings: Settings) -> Base:
        """A graph that was dumped. Raises any `Exception` for what is none, or not of this shape."""
        ...


def base_maker(backend: str) -> BaseMaker:
    """The library of this name; with "auto" the first that is installed.

    Raises:
        IndexBackendUnavailableError: It is not installed, or cannot be loaded.
    """
    failures = []
    for name in BACKENDS if backend == "auto" else (backend,):
        try:
            return _load(name)
        except ImportError as error:  # noqa: PERF203 -- at most two rounds
            failures.append(f"{name}: {error}")
    raise IndexBackendUnavailableError(f"the hnsw index cannot be loaded ({'; '.join(failures)}); run: {_INSTALL}")


def _load(name: str) -> BaseMaker:
    if name == "usearch":
        from mneme.indexes._hnsw_usearch import UsearchBase  # noqa: PLC0415 -- an extra, loaded when used

        return UsearchBase
    from mneme.indexes._hnsw_hnswlib import HnswlibBase  # noqa: PLC0415 -- an extra, loaded when used

    return HnswlibBase
