"""What encryption costs: the same calls of a cache on the same kind of file, without and with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from harness import Row, from_pairs, measure
from workshop import NoEmbedder, Workshop, batches, items, topic

from mneme import SemanticCache, SQLiteStore

DIM = 384
HELD = 10_000
"""Entries in the file before anything is measured."""


@topic("crypto", on_request=True)
def crypto(shop: Workshop) -> Iterator[Row]:
    try:
        from mneme import KeyRing  # noqa: PLC0415 -- an extra

        ring: Any = KeyRing.generate()
        sealed_path = shop.made(f"sealed-{DIM}", lambda path: _fill(shop, path, ring))
    except ImportError as error:
        yield Row.missing("encryption", str(error))
        return
    plain_path = shop.filled(DIM, HELD)

    def open_plain(path: Path) -> SemanticCache:
        return SemanticCache(path, NoEmbedder(DIM), hot_bytes=0, index_options={"path": None})

    def open_sealed(path: Path) -> SemanticCache:
        return _opened(path, ring)

    count, size = shop.rounds(9), 300
    with open_plain(shop.copy_of(plain_path)) as plain, open_sealed(shop.copy_of(sealed_path)) as sealed:
        yield measure(
            "put, encrypted",
            floor=("the same, not encrypted", _putter(plain, shop)),
            operation=_putter(sealed, shop),
            rounds=[list(range(HELD + start, HELD + start + size)) for start in range(0, size * count, size)],
            check=_all_true,
            floor_check=_all_true,
        )
        yield measure(
            "exact hit, cold, no hot layer, encrypted",
            floor=("the same, not encrypted", plain.get),
            operation=sealed.get,
            rounds=[shop.random.sample(shop.stored[:HELD], size) for _ in range(count)],
            check=_all_hits,
            floor_check=_all_hits,
        )
    pairs = [(_took(lambda: open_plain(plain_path)), _took(lambda: open_sealed(sealed_path))) for _ in range(3)]
    yield from_pairs(f"opening, {HELD:,} entries, encrypted", "the same, not encrypted, no saved index", pairs)


def _opened(path: Path, ring: Any) -> SemanticCache:
    from mneme import EncryptedStore  # noqa: PLC0415 -- an extra

    return SemanticCache(embedder=NoEmbedder(DIM), store=EncryptedStore(SQLiteStore(path), ring), hot_bytes=0)


def _fill(shop: Workshop, path: Path, ring: Any) -> None:
    with _opened(path, ring) as cache:
        for batch in batches(items(shop.stored[:HELD], shop.corpus.vectors(DIM)[:HELD])):
            assert cache.put_many(batch) == len(batch)


def _putter(cache: SemanticCache, shop: Workshop) -> Callable[[int], bool]:
    vectors, sentences = shop.corpus.vectors(DIM), shop.corpus.sentences

    def put(number: int) -> bool:
        return cache.put(sentences[number], f"answer {number} " * 20, embedding=vectors[number])

    return put


def _took(make: Callable[[], SemanticCache]) -> float:
    began = time.perf_counter_ns()
    cache = make()
    took = time.perf_counter_ns() - began
    cache.close()
    return took


def _all_true(results: Sequence[Any]) -> None:
    assert all(result is True for result in results)


def _all_hits(results: Sequence[Any]) -> None:
    assert all(result is not None for result in results)
