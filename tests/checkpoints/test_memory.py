"""An archive is written and read in pieces: what is in it need not fit into memory."""

import os
import tracemalloc

from mneme import SemanticCache

COUNT, SIZE = 2500, 20_000
MOST = 25_000_000
"""Bytes of memory at any moment: half of what is in the cache. A batch is 8 MiB, and is there twice for a moment."""


def peak_of(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_neither_way_holds_everything_at_once(tmp_path):
    archive = tmp_path / "a.mneme"
    with SemanticCache(tmp_path / "cache.db", hot_bytes=0) as cache:
        for start in range(0, COUNT, 100):
            cache.put_many([(f"query {number}", os.urandom(SIZE)) for number in range(start, start + 100)])
        assert peak_of(lambda: cache.dumps(archive)) < MOST
    assert archive.stat().st_size > COUNT * SIZE
    loading = peak_of(lambda: SemanticCache.loads(archive, tmp_path / "new.db", hot_bytes=0).close())
    assert loading < MOST
