"""`mneme plan`: what memory, disk and time a cache of some size will take."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import click
import numpy as np

from mneme import SemanticCache
from mneme.cli import _options as options, _plan_stores as stores, _show as show
from mneme.cli._command import Command
from mneme.cli._out import Column, Out
from mneme.ports import Vector, VectorDType

_SAMPLE = 2000
"""Entries that the size of the database is measured with."""
_SKETCHED_FROM = 2**20
"""Numbers in a partition from which its rows have sketches, in the exact index."""
_HELD: dict[VectorDType, tuple[int, int]] = {"float32": (4, 0), "float16": (2, 4), "int8": (1, 8)}
"""Bytes of a number, and of the error and the scale that go with a row."""
_WIDENED = 2
"""How many times longer than a scan of float32 rows one takes that has to widen them first, as was measured."""
_ID, _TABLE = 12, 80
"""Bytes of a row's id with its mark, and of its place in the table of ids."""
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
_DIRECTIONS = 38
_KEPT_BESIDE = 2
"""Numbers in a sketch, but for the directions, which are a quarter of the dimensions at the most."""


def as_number(_: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A whole number, or one with k, m or b behind it."""
    if value is None:
        return None
    matched = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmb]?)", value.strip().lower())
    number = 0 if matched is None else round(float(matched[1]) * _UNITS[matched[2]])
    if number < 1:
        raise click.BadParameter(f"{value!r} is no number; write 250000, 250k, 10m or 1.5b", param=param)
    return number


def as_prices(_: click.Context, param: click.Parameter, value: str | None) -> stores.Prices | None:
    """Three numbers."""
    if value is None:
        return None
    try:
        reads, writes, storage = (float(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(
            f"{value!r} are not three prices with commas between them, such as 0.125,0.625,0.25", param=param
        ) from error
    if not all(0 <= price < math.inf for price in (reads, writes, storage)):
        raise click.BadParameter(f"{value!r}: a price is 0 or more", param=param)
    return stores.Prices(reads, writes, storage)


@dataclass(frozen=True)
class Plan:
    """What one dtype takes, for all entries."""

    vector_dtype: str
    memory_bytes: int
    """Of the index, while the cache fills for the first time."""
    saved_index_bytes: int
    """Of the file it opens from later: mapped, so memory that the system may take back."""
    database_bytes: int
    """Of the store, wherever it is."""
    lookup_bytes: int
    """That a semantic lookup in one namespace and scope reads, where sketches tell."""
    lookup_seconds: float
    """What reading them takes on this machine."""
    scan_seconds: float
    """What reading all of the index takes: the worst case."""


@click.command(
    cls=Command,
    short_help="Say what memory, disk and time so many entries take.",
    epilog="""\b
Examples:
  mneme plan --entries 10m --dim 768
  mneme plan --entries 200k --dim 384 --partitions 1k --response-bytes 4k
  mneme plan --entries 1m --dim 384 --store redis
  mneme plan --entries 1m --dim 384 --store dynamodb --gets 5m --puts 1m \\
      --prices 0.125,0.625,0.25    (what your region asks)""",
)
@click.option("--entries", required=True, metavar="NUMBER", callback=as_number, help="How many: 250000, 250k, 10m.")
@click.option("--dim", required=True, metavar="NUMBER", callback=as_number, help="Dimensions of the embedder.")
@click.option(
    "--partitions",
    default="1",
    show_default=True,
    metavar="NUMBER",
    callback=as_number,
    help="Namespaces and scopes that the entries are spread over.",
)
@click.option(
    "--query-bytes",
    default="80",
    show_default=True,
    metavar="NUMBER",
    callback=as_number,
    help="Of a query, on average.",
)
@click.option(
    "--response-bytes",
    default="1k",
    show_default=True,
    metavar="NUMBER",
    callback=as_number,
    help="Of a response, on average.",
)
@click.option(
    "--store",
    type=click.Choice(stores.STORES),
    metavar="STORE",
    default="sqlite",
    show_default=True,
    help="Where the entries lie: sqlite, memory, postgres, redis or dynamodb.",
)
@click.option(
    "--gets", metavar="NUMBER", callback=as_number, help="DynamoDB: gets a month that memory does not answer."
)
@click.option("--puts", metavar="NUMBER", callback=as_number, help="DynamoDB: entries put a month.")
@click.option(
    "--prices",
    metavar="R,W,G",
    callback=as_prices,
    help="DynamoDB: of a million read units, a million write units, a GB-month.",
)
@options.json_option
def plan(
    *,
    entries: int,
    dim: int,
    partitions: int,
    query_bytes: int,
    response_bytes: int,
    store: str,
    gets: int | None,
    puts: int | None,
    prices: stores.Prices | None,
    as_json: bool,
) -> None:
    """Say what memory, disk and time a cache of a certain size will take.

    Memory and the saved index are reckoned, a SQLite file is measured with a small cache in a temporary directory,
    other stores are reckoned from what was measured on servers, and times are what reading so many bytes takes on this
    machine.
    """
    if store != "dynamodb" and any(given is not None for given in (gets, puts, prices)):
        raise click.UsageError("--gets, --puts and --prices go with --store dynamodb")
    if prices is not None and (gets is None or puts is None):
        raise click.UsageError("--prices needs --gets and --puts, of a month")
    out = Out(as_json=as_json)
    stored = _stored_bytes(store, entries, dim, query_bytes, response_bytes)
    plans = list(_plans(entries, dim, partitions, stored))
    searching = stores.searching_bytes(store, dim)
    units = stores.units_of(stored // entries) if store == "dynamodb" else None
    cost = None if units is None or prices is None else stores.month(units, stored, gets or 0, puts or 0, prices)
    out.document(
        {
            "entries": entries,
            "dim": dim,
            "partitions": partitions,
            "query_bytes": query_bytes,
            "response_bytes": response_bytes,
            "store": store,
            "entry_bytes": stored // entries,
            "server_search_bytes": None if searching is None else searching * entries,
            "request_units": None if units is None else asdict(units),
            "month": cost,
            "plans": [asdict(one) for one in plans],
        }
    )
    titles = ("memory", "saved index", "database", "lookup", "worst case")
    out.table(
        [Column("vector_dtype"), *(Column(title, right=True) for title in titles)],
        [
            (
                one.vector_dtype,
                *map(show.size, (one.memory_bytes, one.saved_index_bytes, one.database_bytes)),
                *map(show.span, (one.lookup_seconds, one.scan_seconds)),
            )
            for one in plans
        ],
    )
    out.hint("memory: of the exact index while it fills; opened again it maps the saved index instead")
    out.facts(dict(_facts(entries, stored, searching, units, cost)))
    out.hint("lookup: of the largest namespace and scope, beside the embedder; worst case: where sketches tell nothing")


def _facts(
    entries: int, stored: int, searching: int | None, units: stores.Units | None, cost: float | None
) -> Iterator[tuple[str, str]]:
    yield "an entry", f"{show.size(stored // entries)} in the store"
    if searching is not None:
        told = f"{show.size(searching * entries)} more in the server, and no index in the process"
        yield "index_backend='store'", told
    if units is not None:
        yield "a get", f"{units.exact_hit} read units (exact), {units.semantic_hit} (semantic), {units.miss} (a miss)"
        yield "a put", f"{units.put} write units by itself, {units.put_in_batch} in a large batch"
        formula = (
            f"gets x {units.semantic_hit} read units + puts x {units.put} write units + {show.size(stored)} stored"
        )
        yield "a month", f"{formula}, at the most" + ("" if cost is None else f": {cost:,.2f}")


class _Noise:
    """An embedder that is never called."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.fingerprint = "noise"

    def embed(self, text: str) -> Vector:
        raise NotImplementedError(text)


def _stored_bytes(store: str, entries: int, dim: int, query_bytes: int, response_bytes: int) -> int:
    if store == "sqlite":
        return round(_database_bytes(dim, query_bytes, response_bytes) * entries / _SAMPLE)
    return stores.entry_bytes(store, dim, query_bytes + response_bytes) * entries


def _plans(entries: int, dim: int, partitions: int, database: int) -> Iterator[Plan]:
    rows = -(-entries // partitions)
    sketch = 4 * (min(_DIRECTIONS, max(1, dim // 4)) + _KEPT_BESIDE) if rows * dim >= _SKETCHED_FROM else 0
    bandwidth = _bytes_a_second()
    for dtype, (number, beside) in _HELD.items():
        held, saved = dim * number + beside, dim + _HELD["int8"][1] if sketch else dim * number + beside
        lookup = rows * (sketch or held)
        yield Plan(
            dtype,
            entries * (held + _ID + _TABLE + sketch),
            entries * (saved + _ID + sketch),
            database,
            lookup,
            lookup / bandwidth,
            rows * (4 * dim * (1 if dtype == "float32" else _WIDENED) + sketch) / bandwidth,
        )


def _database_bytes(dim: int, query_bytes: int, response_bytes: int) -> int:
    with tempfile.TemporaryDirectory(prefix="mneme-plan-") as directory:
        path = Path(directory, "plan.db")
        with SemanticCache(path, _Noise(dim), index_options={"path": None}) as cache:
            cache.put_many(_items(dim, query_bytes, response_bytes))
            cache.compact()
        return path.stat().st_size


def _items(dim: int, query_bytes: int, response_bytes: int) -> Iterator[dict[str, object]]:
    random = np.random.default_rng(0)
    for number in range(_SAMPLE):
        yield {
            "query": f"{number:0{query_bytes}d}",
            "response": "x" * response_bytes,
            "embedding": random.standard_normal(dim, dtype=np.float32),
        }


def _bytes_a_second() -> float:
    """How fast this machine multiplies a matrix that does not fit into its caches."""
    matrix = np.ones((2**15, 512), np.float32)
    taken = []
    for _ in range(5):
        began = perf_counter()
        np.matmul(matrix, matrix[0])
        taken.append(perf_counter() - began)
    return matrix.nbytes / min(taken)
