"""Exact hits: from the hot layer, from the file, and on the async face."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import bare
from harness import Budget, Row, from_pairs, measure, quiet_collector
from workshop import Workshop, answer, topic

from mneme import AsyncSemanticCache, Hit, SemanticCache

WARM = 10_000
"""Entries that are asked for again and again in the rows about hot ones."""
TASKS = 100

SELECT_PLAIN = (
    "SELECT key, query, payload, codec, metadata, tags, created_at, accessed_at, expires_at, compute_seconds, id "
    "FROM plain WHERE key = ?"
)
SELECT_OURS = (
    "SELECT e.key, e.partition_id, e.query, e.payload, e.codec, e.metadata, e.tags, f.created_at, f.accessed_at, "
    "e.expires_at, f.removable_at, e.compute_seconds, e.id, e.seq FROM entries e CROSS JOIN facts f ON f.id = e.id "
    "WHERE e.key = ?"
)


def _all_exact(cache: SemanticCache) -> Callable[[Sequence[Any]], None]:
    """A check that every result is an exact hit with the right response, and that the cache counted it."""
    before = cache.stats().hits_exact

    def check(results: Sequence[Hit | None]) -> None:
        nonlocal before
        assert all(hit is not None and hit.layer == "exact" and hit.response == answer(hit.query) for hit in results)
        after = cache.stats().hits_exact
        assert after - before == len(results), "the cache counted another number of exact hits"
        before = after

    return check


def _all_hits(results: Sequence[Hit]) -> None:
    assert all(hit.response == answer(hit.query) for hit in results)


def _dictionary(queries: Sequence[str]) -> Callable[[str], Hit]:
    """The least that a cache could do: normalise, look up, build a `Hit`."""
    table = {
        " ".join(query.split()).casefold(): (answer(query), query, number) for number, query in enumerate(queries, 1)
    }

    def floor(query: str) -> Hit:
        response, stored, entry_id = table[" ".join(query.split()).casefold()]
        return Hit(response, 1.0, 1.0, 0.0, "exact", "default", {}, stored, entry_id)

    return floor


@topic("exact-hot")
def hot(shop: Workshop) -> Iterator[Row]:
    with shop.open(shop.filled(384), None) as cache:
        warm = shop.random.sample(shop.stored, WARM)
        for query in warm:
            assert cache.get(query) is not None
        store = cache._core.store  # noqa: SLF001 -- to see that a hot hit does not go there
        reads = _counted(store)
        yield measure(
            f"exact hit, hot ({shop.entries:,} entries)",
            floor=("normalise, dict lookup, build a Hit", _dictionary(shop.stored)),
            operation=cache.get,
            rounds=[[shop.random.choice(warm) for _ in range(5_000)] for _ in range(shop.rounds(15))],
            check=_all_exact(cache),
            floor_check=_all_hits,
            budget=Budget(2.5, 4.0),
        )
        assert not reads, "a hot hit read the store"


def _counted(store: Any) -> list[object]:
    """A list that grows with every read of the store."""
    reads: list[object] = []
    read = store.read

    async def counting(*arguments: Any, **options: Any) -> Any:
        reads.append(arguments)
        return await read(*arguments, **options)

    store.read = counting
    return reads


@topic("exact-cold")
def cold(shop: Workshop) -> Iterator[Row]:
    path = shop.filled(384)
    plain = shop.made("plain", lambda path: _fill_plain(path, shop.stored))
    keys = {query: bare.key_of(query) for query in shop.stored}
    size, count = 2_000, shop.rounds(9)

    def rounds() -> Iterator[list[str]]:
        order = shop.random.sample(shop.stored, min(len(shop.stored), size * count))
        for number in range(count):
            chosen = order[number * size : (number + 1) * size]
            if chosen:
                yield chosen

    def select(connection: sqlite3.Connection, statement: str, by: dict[str, bytes]) -> Callable[[str], Any]:
        execute = connection.execute
        return lambda query: execute(statement, (by[query],)).fetchone()

    flat, ours = bare.connect(plain), bare.connect(path)
    own_keys: dict[str, bytes] = dict(ours.execute("SELECT query, key FROM entries").fetchall())
    own = ("SELECT of the same row by its key", select(ours, SELECT_OURS, own_keys))
    table = ("SELECT by key from one plain table", select(flat, SELECT_PLAIN, keys))
    for name, floor, options, budget in (
        ("exact hit, cold, and hot from then on", own, {}, Budget(2.5)),
        ("exact hit, cold, and hot from then on", table, {}, Budget()),
        ("exact hit, cold, no hot layer", own, {"hot_bytes": 0}, Budget(2.5)),
    ):
        with shop.open(path, None, **options) as cache:
            yield measure(
                name,
                floor=floor,
                operation=cache.get,
                rounds=rounds(),  # no entry comes twice
                check=_all_exact(cache),
                floor_check=_all_rows,
                budget=budget,
            )
    flat.close()
    ours.close()


def _all_rows(results: Sequence[tuple[Any, ...] | None]) -> None:
    assert all(row is not None and len(row) > 10 for row in results)


def _fill_plain(path: Path, queries: Sequence[str]) -> None:
    connection = bare.connect(path)
    connection.executescript(bare.PLAIN_SCHEMA)
    bare.insert_all(
        connection,
        bare.PLAIN_TABLES[:1],
        bare.plain_rows([{"query": query, "response": answer(query)} for query in queries], 1),
    )
    assert bare.count(connection, "plain") == len(queries)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


@topic("async")
def on_tasks(shop: Workshop) -> Iterator[Row]:
    warm = shop.random.sample(shop.stored, WARM)
    each = 200
    lists = [[shop.random.choice(warm) for _ in range(each)] for _ in range(TASKS)]
    count = shop.rounds(15)
    total = TASKS * each

    async def run(cache: AsyncSemanticCache, blocking: SemanticCache) -> Iterator[tuple[float, float]]:
        for query in warm:
            assert await cache.get(query) is not None
            assert blocking.get(query) is not None
        before = (await cache.stats()).hits_exact, blocking.stats().hits_exact
        threads = threading.active_count()
        with quiet_collector():
            pairs = [await _one_round(cache, blocking, lists) for _ in range(count)]
        after = (await cache.stats()).hits_exact, blocking.stats().hits_exact
        assert [b - a for a, b in zip(before, after, strict=True)] == [count * total] * 2
        assert threading.active_count() == threads, "an exact hit from memory started a thread"
        return ((first / total, second / total) for first, second in pairs)

    async def both() -> list[tuple[float, float]]:
        path = shop.filled(384)
        async with AsyncSemanticCache(shop.copy_of(path)) as cache:
            with shop.open(path, None) as blocking:
                return list(await run(cache, blocking))

    yield from_pairs(
        f"exact hit, hot, async, {TASKS} tasks",
        "the same on the blocking face",
        asyncio.run(both()),
        budget=Budget(1 / 0.6),
        note="time for each hit; the budget stands for 60 % of the throughput",
    )


async def _one_round(
    cache: AsyncSemanticCache, blocking: SemanticCache, lists: Sequence[Sequence[str]]
) -> tuple[int, int]:
    async def task(queries: Sequence[str]) -> None:
        for query in queries:
            await cache.get(query)

    start = time.perf_counter_ns()
    for queries in lists:
        for query in queries:
            blocking.get(query)
    middle = time.perf_counter_ns()
    await asyncio.gather(*[task(queries) for queries in lists])
    return middle - start, time.perf_counter_ns() - middle
