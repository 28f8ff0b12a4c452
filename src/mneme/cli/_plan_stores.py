"""What entries take in each kind of store, and what DynamoDB bills for them: formulas that fit what was measured.

`benchmarks/store_sizes.py` measures it on the servers; docs/cli.md says how near the formulas come.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["STORES", "Prices", "Units", "entry_bytes", "month", "searching_bytes", "units_of"]

STORES = ("sqlite", "memory", "postgres", "redis", "dynamodb")

_IN_ROW = 500
"""Dimensions from which Postgres moves a vector out of its row, where less of each page is used."""
_READ_UNIT, _WRITE_UNIT = 4096, 1024
_COMMIT = 4
"""Write units of a transaction of two small items."""
_GB = 2**30


def entry_bytes(store: str, dim: int, text: int) -> int:
    """What an entry with so many bytes of query and response takes in a store other than SQLite, which is measured."""
    vector = 4 * dim
    if store == "memory":
        return 580 + vector + text
    if store == "postgres":
        return round(230 + (1.08 if dim <= _IN_ROW else 1.38) * vector + 1.35 * text)
    if store == "redis":
        return 810 + vector + text
    return 300 + vector + text  # of it 100 that DynamoDB adds to each item


def searching_bytes(store: str, dim: int) -> int | None:
    """What an entry takes besides where the server searches; `None` for a store that cannot."""
    if store == "postgres":
        return round(5.4 * dim)
    if store == "redis":
        return round(300 + 11.2 * dim)
    return None


@dataclass(frozen=True)
class Units:
    """Request units of DynamoDB, on demand, for one call that memory does not answer."""

    exact_hit: int
    semantic_hit: int
    miss: int
    put: int
    put_in_batch: int


def units_of(size: int) -> Units:
    """Units for entries of *size* bytes: consistent reads of the head and the entry, and a commit for each write."""
    read, write = math.ceil(size / _READ_UNIT), math.ceil(size / _WRITE_UNIT)
    return Units(exact_hit=1 + read, semantic_hit=2 + read, miss=1, put=write + _COMMIT, put_in_batch=write)


@dataclass(frozen=True)
class Prices:
    """Of a million read units, a million write units, and a gigabyte stored for a month, in any currency."""

    reads: float
    writes: float
    storage: float


def month(units: Units, stored: int, gets: int, puts: int, prices: Prices) -> float:
    """What a month costs at the most: as if each get were a semantic hit, and each put one by itself."""
    requests = gets * units.semantic_hit * prices.reads + puts * units.put * prices.writes
    return requests / 1e6 + stored / _GB * prices.storage
