"""Indexes find vectors near a query within one partition. All follow `mneme.ports.Index`; see ARCHITECTURE.md."""

from __future__ import annotations

import importlib
import typing

from mneme.indexes.exact import ExactIndex

if typing.TYPE_CHECKING:
    from mneme.indexes.hnsw import HnswIndex

__all__ = ["ExactIndex", "HnswIndex"]


def __getattr__(name: str) -> typing.Any:
    if name != "HnswIndex":  # loaded when first asked for: most caches never do
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = importlib.import_module("mneme.indexes.hnsw").HnswIndex
    return value


def __dir__() -> list[str]:
    return __all__
