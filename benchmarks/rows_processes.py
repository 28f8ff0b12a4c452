"""Processes that share a file: what each of several gets done, by mode, beside one process alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from data import ROOT
from harness import Row, from_pairs
from workshop import NoEmbedder, Workshop, batches, items, topic

from mneme import SemanticCache

DIM, ENTRIES, CALLS = 384, 10_000, 2_000
COUNTS = (1, 2, 4, 8)
MODES = ("single", "stale-tolerant", "mmap-shared")

# Of a hundred lookups ninety are equal to one of a thousand warm queries, eight similar, and two are puts.
WORKER = """
import json, sys, time
from random import Random
import numpy as np
from mneme import SemanticCache

class Given:
    dim, fingerprint = int(sys.argv[3]), sys.argv[4]
    def embed(self, text):
        raise AssertionError(text)

path, mode, calls, who = sys.argv[1], sys.argv[2], int(sys.argv[5]), int(sys.argv[6])
draw = Random(who)
with np.load(path + ".npz") as held:
    queries, vectors = held["queries"].tolist(), held["vectors"]
with SemanticCache(path, Given(), multi_process_mode=mode, similarity_threshold=0.999, guards=()) as cache:
    warm = list(range(1000))
    for number in warm:
        cache.get(queries[number])
    print("ready", flush=True)
    sys.stdin.readline()
    start = time.perf_counter_ns()
    for call in range(calls):
        number, kind = draw.choice(warm), draw.random()
        if kind < 0.90:
            hit = cache.get(queries[number])
        elif kind < 0.98:
            hit = cache.get("in other words " + queries[number], embedding=vectors[number])
        else:
            hit = cache.put(f"new {who} {call}", "answer", embedding=vectors[number] + draw.random())
        assert hit
    print(json.dumps(time.perf_counter_ns() - start), flush=True)
"""


@topic("processes")
def processes(shop: Workshop) -> Iterator[Row]:
    import numpy as np  # noqa: PLC0415 -- only to hand the data to the workers

    queries, vectors = shop.stored[:ENTRIES], shop.corpus.vectors(DIM)[:ENTRIES]
    source = shop.new_path()
    with SemanticCache(source, NoEmbedder(DIM)) as cache:
        for batch in batches(items(queries, vectors), 1000):
            cache.put_many(batch)
    alone: dict[int, float] = {}
    for mode in MODES:
        for count in COUNTS:
            if mode == "single" and count > 1:
                continue  # one process is what it is for
            pairs = []
            for number in range(shop.rounds(3)):
                path = shop.copy_of(source)
                np.savez(f"{path}.npz", queries=np.array(queries), vectors=vectors)
                taken = _run(path, mode, count)
                if mode == "single":
                    alone[number] = taken
                pairs.append((alone[number], taken))
                shop.discard(path)
                Path(f"{path}.npz").unlink()
            name = f"{CALLS:,} calls of each of {count} processes, {mode}"
            cores = os.cpu_count() or 1
            note = f"{cores} cores: {max(1.0, count / cores):g}x is what sharing them makes" if count > 1 else ""
            yield from_pairs(name, "one process, single", pairs, note=note)


def _run(path: Path, mode: str, count: int) -> float:
    """How long the slowest of them takes, in nanoseconds."""
    given = NoEmbedder(DIM)
    workers = [
        subprocess.Popen(  # noqa: S603 -- our own code
            [sys.executable, "-c", WORKER, str(path), mode, str(DIM), given.fingerprint, str(CALLS), str(who)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
        for who in range(count)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        taken = []
        for worker in workers:
            assert worker.stdout is not None
            taken.append(float(json.loads(worker.stdout.readline())))
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    return max(taken)
