"""`reembed` from every store to every store, on real servers and both faces, ended early and resumed; and old files."""

import gzip
from pathlib import Path

import pytest

from checkpoints.conftest import STORES, make_store  # noqa: F401 -- a fixture
from mneme import (
    AsyncPostgresStore,
    AsyncRedisStore,
    DecryptionError,
    EncryptedStore,
    KeyRing,
    SemanticCache,
    SQLiteStore,
)
from mneme._rules.vectors import unit_vector
from mneme.ports import Counters, Selection
from mneme.testing import HashEmbedder
from mneme.tools.migrate import areembed, reembed

OLD, NEW = HashEmbedder(16), HashEmbedder(24)
pytestmark = pytest.mark.timeout(400)


class StoppedError(Exception):
    pass


def stop_at(done):
    def progress(now):
        if now.done >= done:
            raise StoppedError

    return progress


def fill(store, clock):
    """Entries of every kind, of which some were used, replaced and deleted. The cache stays open."""
    cache = SemanticCache(store=store, embedder=OLD, clock=clock)
    for n in range(10):
        cache.put(f"question number {n}", f"answer {n}", tags=["t"], metadata={"n": n}, ttl=3600 if n % 2 else None)
        clock.advance(1)
    cache.put("scoped", {"a": [1, None]}, namespace="shop", scope={"s": 1}, cost=0.5)
    cache.put("question number 1", "replaced")
    cache.delete("question number 2")
    cache.get("question number 3")
    cache.get("nowhere to be found")
    cache.put("a rejected question", 1)
    cache.reject(("a rejected question", "another question"))
    cache._core.next_check = -1.0
    return cache


def rows(store):
    """All that a store holds but ids, sequence numbers and vectors, and the counters."""
    records = [r for r in store.scan(Selection(), limit=10_000) if r.namespace != "mneme:reembedding"]
    counters = {part.namespace: part.counters for part in store.summary() if part.counters != Counters()}
    return {r.key: r._replace(id=0, seq=0) for r in records}, counters


def vectors(store):
    found = store.scan(Selection(), limit=10_000, vectors=True)
    return {r.key: r.vector.tobytes() for r in found if r.vector is not None}


@pytest.mark.parametrize("target", STORES)
@pytest.mark.parametrize("source", STORES)
def test_from_any_store_to_any_store(source, target, make_store, clock):  # noqa: F811 -- a fixture
    full, empty = make_store(source), make_store(target)
    fill(full, clock)
    before = vectors(full)
    with pytest.raises(StoppedError):
        reembed(full, empty, NEW, batch_size=3, progress=stop_at(5), clock=clock)
    report = reembed(full, empty, NEW, batch_size=3, clock=clock)
    assert report.entries == 11
    assert 0 < report.embedded < 11
    assert rows(empty) == rows(full)
    assert vectors(full) == before
    queries = {r.key: r.query for r in full.scan(Selection(), limit=10_000)}
    assert vectors(empty) == {key: unit_vector(NEW.embed(queries[key]), NEW.dim).tobytes() for key in before}
    with SemanticCache(store=empty, embedder=NEW, clock=clock) as cache:
        assert cache.get("question number 7!", similarity_threshold=0.9).response == "answer 7"
        assert cache.check() == []


@pytest.mark.parametrize("kind", ["postgres", "redis"])
async def test_async_stores_are_awaited(kind, make_store, server_of, clock):  # noqa: F811 -- a fixture
    full = make_store("sqlite")
    fill(full, clock)
    place = f"reembedded_{kind}"
    if kind == "postgres":
        target = AsyncPostgresStore(server_of("postgres"), schema=place)
    else:
        target = AsyncRedisStore(server_of("redis"), prefix=place)
    try:
        assert (await areembed(full, target, NEW, batch_size=3, concurrency=2, clock=clock)).embedded == 11
        with pytest.raises(TypeError, match="cannot take in other vectors"):
            await areembed(target, target, OLD)
        assert sum(part.entries for part in await target.summary() if part.namespace in {"default", "shop"}) == 11
    finally:
        await target.close()


@pytest.mark.parametrize("version", [2, 3])
def test_a_file_of_a_version_that_knew_nothing_of_it_changes_over(tmp_path, version):
    path = tmp_path / "old.db"
    golden = Path(__file__).parents[1] / "golden" / f"sqlite-{version}.db.gz"
    path.write_bytes(gzip.decompress(golden.read_bytes()))
    store = SQLiteStore(path)
    assert store.open("mneme-testing-hash-1;dim=16", 16).schema_version > version
    store.close()
    with SemanticCache(path, OLD, similarity_threshold=0.9) as cache:
        assert cache.check() == []
        assert cache.get("question number 6!", namespace="other").response == "answer 6"
        assert cache.get("question number 7!").response == "answer 7"
        assert cache.reembed(NEW).embedded == 12
        assert cache.get("question number 7!").response == "answer 7"
        assert cache.check() == []


def test_sealed_entries_are_opened_with_their_keys_and_never_embedded_as_they_are(tmp_path, clock):
    path, ring = tmp_path / "sealed.db", KeyRing.generate("k")
    with SemanticCache(store=EncryptedStore(SQLiteStore(path), ring), embedder=OLD, clock=clock) as cache:
        cache.put("a question", "an answer")
        with pytest.raises(TypeError, match="cannot take in other vectors"):
            cache.reembed(NEW)
    for target in (path, tmp_path / "new.db"):
        with pytest.raises(DecryptionError, match="EncryptedStore"):
            reembed(path, target, NEW)
    with SemanticCache(path) as cache, pytest.raises(DecryptionError, match="EncryptedStore"):
        cache.reembed(NEW)
    source, target = EncryptedStore(SQLiteStore(path), ring), EncryptedStore(SQLiteStore(tmp_path / "new.db"), ring)
    assert reembed(source, target, NEW).embedded == 1
    source.close()
    with SemanticCache(store=target, embedder=NEW, clock=clock) as cache:
        assert cache.get("a question!", similarity_threshold=0.8).response == "an answer"
        assert cache.check() == []
