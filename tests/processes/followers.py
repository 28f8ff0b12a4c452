"""Processes that write to one store and follow each other. Each notes what it did and saw, and when. Outside pytest."""

import json
import os
import random
import select
import sys
import time

from mneme import PostgresStore, RedisStore, SemanticCache, SQLiteStore
from mneme._engine import saved
from mneme.testing import HashEmbedder

INTERVALS = {"stale-tolerant": 0.05, "mmap-shared": 0.0}
"""How old by its mode what a process serves may be."""
OWNED = 12


class MovableClock:
    """Wall time, which can be moved forward."""

    def __init__(self):
        self.ahead = 0.0

    def now(self):
        return time.time() + self.ahead


def queries_of(writer):
    """The queries of one writer, and of nobody else: what became of each is known from its own notes."""
    return [f"question {n} of writer {writer} concerning matter{n}by{writer}" for n in range(OWNED)]


def nearby(query):
    return f"{query}?"


class Notes:
    """Lines in a file that survive the death of the process."""

    def __init__(self, path):
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def add(self, *words):
        os.write(self._file, (json.dumps(words) + "\n").encode())


def say(word):
    os.write(1, (word + "\n").encode())


def told_to_finish():
    readable, _, _ = select.select([sys.stdin], [], [], 0)
    return bool(readable)


def store_at(where):
    """The store that an address means, or a path."""
    if where.startswith("redis:"):
        return RedisStore(where, prefix="followers", timeout=60.0)
    if where.startswith("postgresql:"):
        return PostgresStore(where, schema="followers", statement_timeout=60.0)
    return SQLiteStore(where, busy_timeout=60.0)


def opened(where, clock, mode):
    saved._WORTH_SAVING = 8  # so that the index is saved and taken over many times
    return SemanticCache(
        store=store_at(where),
        embedder=HashEmbedder(),
        clock=clock,
        multi_process_mode=mode,
        stale_check_interval=INTERVALS[mode],
    )


def write(path, where, mode, writer, seed, *, first, number):
    """Put, replace and delete its own queries, and read those of all; versions are counted from *first*."""
    draw, notes, clock = random.Random(seed), Notes(f"{path}.writer{writer}"), MovableClock()
    mine = queries_of(writer)
    with opened(where, clock, mode) as cache:
        say("opened")
        version = first
        while version < first + number:
            chosen = draw.sample(mine, draw.choice([1, 1, 1, 4]))
            versions = {query: version + position for position, query in enumerate(chosen)}
            version += len(chosen)
            kind = draw.choice(["put", "put", "delete"])
            for query, one in versions.items():
                notes.add("begin", query, one, kind, time.monotonic())
            if kind == "put":
                cache.put_many((query, [one, "x" * draw.randrange(2000)]) for query, one in versions.items())
            else:
                for query in chosen:
                    cache.delete(query)
            done = time.monotonic()
            for query, one in versions.items():
                notes.add("done", query, one, kind, done)
            look(cache, notes, draw.choice(mine))
        say("done")
        agree(cache, clock)


def read(path, where, mode, reader, seed, *, writers):
    """Look for everybody's queries until told to finish."""
    draw, notes, clock = random.Random(seed), Notes(f"{path}.reader{reader}"), MovableClock()
    everything = [query for writer in range(writers) for query in queries_of(writer)]
    with opened(where, clock, mode) as cache:
        say("opened")
        while not told_to_finish():
            look(cache, notes, draw.choice(everything), near=draw.random() < 0.3)
        agree(cache, clock)


def look(cache, notes, query, *, near=False):
    before = time.monotonic()
    hit = cache.get(nearby(query), similarity_threshold=0.99) if near else cache.get(query, similarity_threshold=1.0)
    after = time.monotonic()
    notes.add("saw", query, None if hit is None else hit.response[0], before, after)


def agree(cache, clock):
    """When all are done: say what this process believes."""
    sys.stdin.readline()
    clock.ahead += max(INTERVALS.values())
    cache.get("what nobody ever asked")
    believed = {entry.query: entry.response[0] for entry in cache.entries(limit=10_000)}
    found = {}
    for query in believed:
        exact, near = cache.get(query), cache.get(nearby(query), similarity_threshold=0.99)
        found[query] = [exact and exact.response[0], near and near.response[0]]
    told = {"entries": cache.stats().entries, "found": found, "problems": cache.check()}
    told["healthy"] = cache.health().healthy
    say(json.dumps(told))
