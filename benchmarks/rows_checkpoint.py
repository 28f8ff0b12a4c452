"""What it costs to move a whole cache: into an archive, and out of it into a new file."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness import Row, from_pairs, quiet_collector
from workshop import NoEmbedder, Workshop, batches, items, topic

from mneme import SemanticCache

DIM = 384
HELD = 10_000


@topic("checkpoint", on_request=True)
def checkpoint(shop: Workshop) -> Iterator[Row]:
    path = shop.filled(DIM, HELD)
    with SemanticCache(path, NoEmbedder(DIM)) as cache:
        cache.compact()  # so that a copy has nothing to copy but the file
    archive = shop.new_path()
    whole = items(shop.stored[:HELD], shop.corpus.vectors(DIM)[:HELD])
    loads, into_memory = [], []
    with SemanticCache(path, NoEmbedder(DIM)) as cache:
        dumps = [
            (_took(lambda: _copy(path, shop.new_path())), _took(lambda: cache.dumps(archive)))
            for _ in range(shop.rounds(7))
        ]
    for _ in range(shop.rounds(7)):
        floor = _took(lambda: _put(whole, shop.new_path()))
        loads.append((floor, _took(lambda: _load(archive, shop.new_path()))))
        into_memory.append((floor, _took(lambda: _load(archive, ":memory:"))))
    size = f"{HELD:,} x {DIM}, SQLite"
    share = archive.stat().st_size / path.stat().st_size
    yield from_pairs(f"dumps, {size}", "copy the file, fsync", dumps)
    yield from_pairs(f"loads into a new file, {size}", "open a new file, put_many of the same", loads)
    yield from_pairs("loads into memory", "the same", into_memory)
    yield Row.share("an archive's size", "the SQLite file", share, f"{archive.stat().st_size:,} bytes")


def _copy(path: Path, to: Path) -> None:
    shutil.copyfile(path, to)
    with to.open("rb") as file:
        os.fsync(file.fileno())


def _put(whole: list[dict[str, object]], path: Path) -> None:
    with SemanticCache(path, NoEmbedder(DIM)) as cache:
        for batch in batches(whole):
            cache.put_many(batch)


def _load(archive: Path, path: Path | str) -> None:
    with SemanticCache.loads(archive, path, NoEmbedder(DIM)) as cache:
        assert cache.stats().entries == HELD


def _took(work: Callable[[], object]) -> float:
    with quiet_collector():
        began = time.perf_counter_ns()
        work()
        return float(time.perf_counter_ns() - began)
