"""Writing: one entry, many, and making room."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import bare
from harness import Budget, Row, from_pairs, measure, quiet_collector
from workshop import Workshop, answer, items, topic

DIM = 384
HELD = 10_000
"""Entries in the file before the first measured write."""
EVICTED = 1_000
TABLES = ("entries", "facts", "vectors")


@topic("put")
def put(shop: Workshop) -> Iterator[Row]:
    size, count = 500, shop.rounds(9)
    fresh = range(HELD, HELD + size * count)
    queries = [shop.corpus.sentences[number] for number in fresh]
    vectors = shop.corpus.vectors(DIM)[HELD : HELD + size * count]
    rounds = [list(range(start, start + size)) for start in range(0, len(queries), size)]
    floors: list[tuple[str, Sequence[str], Callable[..., list[bare.Rows]], bool, Budget]] = [
        ("bare sqlite3, same tables, a transaction each", bare.CACHE_TABLES, bare.cache_rows, False, Budget(2.0)),
        ("the same with rows made beforehand", bare.CACHE_TABLES, bare.cache_rows, True, Budget()),
        ("bare sqlite3, two plain tables", bare.PLAIN_TABLES, bare.plain_rows, False, Budget()),
    ]
    given = items(queries, vectors)
    for floor, statements, make, beforehand, budget in floors:
        is_plain = statements is bare.PLAIN_TABLES
        source = (
            shop.made("plain-with-vectors", lambda path: _fill_plain(shop, path))
            if is_plain
            else shop.filled(DIM, HELD)
        )
        path, own = shop.copy_of(source), shop.copy_of(shop.filled(DIM, HELD))
        connection = bare.connect(path)
        ready = make(given, HELD + 1) if beforehand else []
        with shop.open(own, DIM) as cache:

            def insert(number: int) -> None:
                rows = ready[number] if beforehand else make([given[number]], HELD + 1 + number)[0]  # noqa: B023 -- used in this turn only
                bare.insert(connection, statements, rows)  # noqa: B023 -- used in this turn only

            def store(number: int) -> bool:
                item = given[number]
                return cache.put(item["query"], item["response"], embedding=item["embedding"])

            yield measure(
                f"put, SQLite, {HELD:,} entries held",
                floor=(floor, insert),
                operation=store,
                rounds=rounds,
                check=lambda results: _all(results, True),
                floor_check=lambda results: _all(results, None),
                budget=budget,
                by_turns=True,
            )
            assert cache.stats().entries == HELD + len(queries)
            assert bare.count(connection, "plain" if is_plain else "entries") == HELD + len(queries)
        connection.close()
        shop.discard(path)
        shop.discard(own)


def _all(results: Sequence[Any], expected: object) -> None:
    assert all(result is expected for result in results)


def _fill_plain(shop: Workshop, path: Path) -> None:
    connection = bare.connect(path)
    connection.executescript(bare.PLAIN_SCHEMA)
    rows = bare.plain_rows(items(shop.stored[:HELD], shop.corpus.vectors(DIM)[:HELD]), 1)
    bare.insert_all(connection, bare.PLAIN_TABLES, rows)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


@topic("put-many")
def put_many(shop: Workshop) -> Iterator[Row]:
    queries, vectors = shop.stored[:HELD], shop.corpus.vectors(DIM)[:HELD]
    given = items(queries, vectors)
    making: list[tuple[float, float]] = []
    inserting: list[tuple[float, float]] = []
    for _ in range(shop.rounds(7)):
        paths, own = [shop.empty(DIM) for _ in range(2)], shop.empty(DIM)
        with shop.open(own, DIM) as cache, quiet_collector():
            floor = _inserted(paths[0], lambda: bare.cache_rows(given, 1))
            took = _took(lambda: cache.put_many(given))
            ready = bare.cache_rows(given, 1)
            making.append((floor, took))
            inserting.append((_inserted(paths[1], lambda: ready), took))  # noqa: B023 -- used at once
            assert cache.stats().entries == HELD
            hit = cache.get(queries[-1])
            assert hit is not None
            assert hit.response == answer(queries[-1])
        for path in (*paths, own):
            shop.discard(path)
    name = f"put_many of {HELD:,}"
    yield from_pairs(name, "bare sqlite3, same tables, one transaction", making, budget=Budget(1.5))
    yield from_pairs(name, "the same with rows made beforehand", inserting)


def _inserted(path: Path, make: Callable[[], list[bare.Rows]]) -> float:
    """Nanoseconds to make these rows and write them to an empty file of the cache."""
    connection = bare.connect(path)
    # As the cache would: the partition of all rows.
    connection.execute("INSERT INTO namespaces (id, name) VALUES (1, 'default')")
    connection.execute("INSERT INTO partitions (id, digest, namespace_id, scope) VALUES (1, x'00', 1, '')")
    took = _took(lambda: bare.insert_all(connection, bare.CACHE_TABLES, make()))
    assert bare.count(connection, "vectors") == HELD
    connection.close()
    return took


def _took(work: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - start


@topic("evict")
def evict(shop: Workshop) -> Iterator[Row]:
    """The first `put` after opening a file that has become too large, less the same `put` where no room is needed."""
    cap = next(cap for cap in range(HELD, 0, -1) if HELD + 1 - cap + cap // 256 == EVICTED)
    source = shop.filled(DIM, HELD)
    query, vector = shop.asked[0], shop.asked_vectors(DIM)[0]
    plain_source = shop.made("plain-with-vectors", lambda path: _fill_plain(shop, path))
    ours: list[tuple[float, float]] = []
    plain: list[tuple[float, float]] = []
    for _ in range(shop.rounds(9)):
        paths = [shop.copy_of(source) for _ in range(3)]
        work = []
        for path, largest in ((paths[0], None), (paths[1], cap)):
            with shop.open(path, DIM, max_entries=largest) as cache, quiet_collector():
                work.append(_took(lambda: cache.put(query, answer(query), embedding=vector)))
                left = HELD + 1 - (0 if largest is None else EVICTED)
                assert cache.stats().entries == left
                assert cache.stats().evictions == HELD + 1 - left
        eviction = max(1.0, work[1] - work[0])
        ours.append((_deletion(paths[2], TABLES), eviction))
        plain_path = shop.copy_of(plain_source)
        plain.append((_deletion(plain_path, ("plain", "plain_vectors")), eviction))
        for path in (*paths, plain_path):
            shop.discard(path)
    name = f"evict {EVICTED:,} of {HELD:,}"
    note = "the put that triggers it, less a put that does not; both on a file just opened"
    yield from_pairs(name, "bare DELETE, same tables, one transaction", ours, budget=Budget(3.0), note=note)
    yield from_pairs(name, "bare DELETE, two plain tables", plain, note=note)


def _deletion(path: Path, tables: Sequence[str]) -> float:
    connection = bare.connect(path)
    ids = list(range(1, EVICTED + 1))  # what was accessed longest ago: all were put at the same time, in this order
    with quiet_collector():
        took = _took(lambda: bare.delete(connection, tables, ids))
    assert bare.count(connection, tables[0]) == HELD - EVICTED
    connection.close()
    return took
