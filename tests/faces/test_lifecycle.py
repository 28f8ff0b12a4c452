"""Making, opening and closing caches; what is refused, and that a refusal leaves nothing behind."""

import asyncio
import contextlib
import io
import os
import sqlite3
import stat

import pytest

from faces.adapter import Compass, Events, direction, mneme_threads
from mneme import (
    AsyncSemanticCache,
    CacheClosedError,
    CorruptCacheError,
    EmbedderMismatchError,
    MemoryStore,
    QuantizationError,
    SchemaMigrationError,
    SemanticCache,
    SQLiteStore,
    StoreBackendError,
)
from mneme.indexes import ExactIndex

# --- arguments of the constructor ------------------------------------------------------------------------------------

REFUSED = {
    "threshold above": ({"similarity_threshold": 1.5}, ValueError, "similarity_threshold.*1.5"),
    "threshold below": ({"similarity_threshold": -0.1}, ValueError, "similarity_threshold.*-0.1"),
    "threshold nan": ({"similarity_threshold": float("nan")}, ValueError, "similarity_threshold.*nan"),
    "threshold text": ({"similarity_threshold": "0.9"}, TypeError, "similarity_threshold.*str"),
    "threshold bool": ({"similarity_threshold": True}, TypeError, "similarity_threshold.*bool"),
    "ttl negative": ({"default_ttl": -1}, ValueError, "default_ttl must be positive, got -1"),
    "ttl text": ({"default_ttl": "soon"}, ValueError, "default_ttl 'soon' is not a duration; write it like '90s'"),
    "ttl list": ({"default_ttl": [1]}, TypeError, "default_ttl must be seconds.*list"),
    "cap zero": ({"max_entries": 0}, ValueError, "max_entries must be at least 1, got 0"),
    "cap float": ({"max_entries": 10.0}, TypeError, "max_entries must be a whole number, not float"),
    "quotas list": ({"namespace_quotas": ["a"]}, TypeError, "namespace_quotas must map"),
    "quota negative": (
        {"namespace_quotas": {"a": -1}},
        ValueError,
        "quota of namespace 'a' must be at least 0, got -1",
    ),
    "quota text": ({"namespace_quotas": {"a": "1"}}, TypeError, "quota of namespace 'a' must be a whole number"),
    "quota name": ({"namespace_quotas": {1: 1}}, TypeError, "namespace must be a str, not int"),
    "confidence_fn": ({"confidence_fn": 0.5}, TypeError, "confidence_fn must be callable, not float"),
    "min_confidence": ({"min_confidence": 2}, ValueError, "min_confidence.*2"),
    "value_eq": ({"value_eq": "=="}, TypeError, "value_eq must be callable, not str"),
    "validator": ({"validator": "x"}, TypeError, "validator must be callable, not str"),
    "hook": ({"metrics_hook": []}, TypeError, "metrics_hook must be callable, not list"),
    "normalize": ({"normalize": "nfc"}, TypeError, "normalize must be True, False or a function, not str"),
    "normalize none": ({"normalize": None}, TypeError, "normalize must be True, False or a function, not NoneType"),
    "codec": ({"codec": object()}, TypeError, "codec must have name, encode, decode, and object lacks"),
    "index name": ({"index_backend": "faiss"}, ValueError, "index_backend must be 'auto', 'numpy'.*'faiss'"),
    "index object": ({"index_backend": object()}, TypeError, "verbs of mneme.Index, and object has not"),
    "index option": ({"index_options": {"m": 16}}, TypeError, "no option 'm'"),
    "hnsw option": ({"index_backend": "hnsw", "index_options": {"ef": 0}}, ValueError, "ef must be at least 1, got 0"),
    "hnsw option name": ({"index_backend": "hnsw", "index_options": {"k": 5}}, TypeError, "no option 'k'; it has M, m"),
    "hnsw option twice": ({"index_backend": "hnsw", "index_options": {"M": 8, "m": 8}}, TypeError, "both 'M' and 'm'"),
    "hnsw backend": (
        {"index_backend": "hnsw", "index_options": {"backend": "faiss"}},
        ValueError,
        "backend must be 'auto', 'usearch' or 'hnswlib', got 'faiss'",
    ),
    "index path": ({"index_options": {"path": 5}}, TypeError, "'path' must be a path, or None not to save it, not int"),
    "dtype": ({"vector_dtype": "int4"}, QuantizationError, "'int4' is unknown; use one of float32, float16, int8"),
    "dtype list": ({"vector_dtype": ["int8"]}, QuantizationError, "use one of float32"),
    "processes": ({"multi_process_mode": "shared"}, ValueError, "'single'.*'mmap-shared', got 'shared'"),
    "stale check": ({"stale_check_interval": -1}, ValueError, "stale_check_interval.*-1"),
    "stale check text": ({"stale_check_interval": "1"}, TypeError, "stale_check_interval must be a number.*str"),
    "hot": ({"hot_bytes": -1}, ValueError, "hot_bytes must be at least 0, got -1"),
    "hot float": ({"hot_bytes": 1e6}, TypeError, "hot_bytes must be a whole number, not float"),
    "query bytes": ({"max_query_bytes": 0}, ValueError, "max_query_bytes must be at least 1, got 0"),
    "response bytes": ({"max_response_bytes": None}, TypeError, "max_response_bytes must be a whole number"),
    "metadata bytes": ({"max_metadata_bytes": "1"}, TypeError, "max_metadata_bytes must be a whole number"),
    "clock": ({"clock": 5}, TypeError, "clock must have now, and int lacks now"),
    "embedder function": ({"embedder": len}, TypeError, r"wrap functions and library objects in as_embedder\(...\)"),
    "embedder text": ({"embedder": "all-MiniLM"}, TypeError, "embedder must have dim, fingerprint and embed"),
    "unknown": ({"treshold": 1}, TypeError, "treshold"),
}


@pytest.mark.parametrize(("options", "error", "says"), REFUSED.values(), ids=REFUSED)
def test_an_argument_that_does_not_hold_is_refused_and_nothing_is_left_behind(face, tmp_path, options, error, says):
    with pytest.raises(error, match=says):
        face.cls(tmp_path / "cache.db", **{"embedder": Compass(), **options})
    assert list(tmp_path.iterdir()) == []
    assert mneme_threads() == []


def test_exactly_one_of_path_and_store_must_be_given(face, cache_path):
    for arguments in ({}, {"path": cache_path, "store": MemoryStore()}):
        with pytest.raises(TypeError, match=r"pass a path, .* or store=, and not"):
            face.cls(embedder=Compass(), **arguments)


@pytest.mark.parametrize("store", ["cache.db", {}, SQLiteStore, object()])
def test_what_has_not_the_verbs_of_a_store_is_refused(face, store):
    with pytest.raises(TypeError, match=r"store must have the verbs of mneme\.Store|SQLiteStore is a class; call it"):
        face.cls(store=store, embedder=Compass())


@pytest.mark.parametrize("path", [5, 5.0, b"cache.db", ["cache.db"], True])
def test_a_path_that_is_none_is_a_type_error(face, path):
    with pytest.raises(TypeError, match="path"):
        face.cls(path, Compass())


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_a_path_that_names_no_file_is_a_value_error(face, path):
    with pytest.raises(ValueError, match="path must name a file"):
        face.cls(path, Compass())


def test_async_ports_are_refused_by_the_blocking_face():
    class Awaited(Compass):
        async def embed(self, text):
            return direction(0)

    class AwaitedStore(MemoryStore):
        async def read(self, refs, *, vectors=False):
            return []

    with pytest.raises(TypeError, match=r"Awaited is awaited; wrap it in to_sync_embedder\(...\)"):
        SemanticCache(":memory:", Awaited())
    with pytest.raises(TypeError, match="AwaitedStore is awaited; use it with AsyncSemanticCache"):
        SemanticCache(store=AwaitedStore(), embedder=Compass(), guards=())


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_file_is_made_for_its_owner_only_and_found_again(open_cache, cache_path):
    cache = open_cache(str(cache_path))
    cache.put("rain @0", "water")
    if os.name == "posix":
        for path in cache_path.parent.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    cache.close()
    again = open_cache(cache_path)
    assert again.get("rain @0").layer == "exact"
    assert again.get("mist @1").response == "water"


def test_another_embedders_file_is_refused_untouched(face, open_cache, cache_path):
    cache = open_cache(cache_path)
    cache.put("rain @0", "water")
    cache.close()
    before = cache_path.read_bytes()
    other, wider = Compass("compass-2"), Compass()
    wider.dim = 64
    for embedder in (other, wider):
        with pytest.raises(EmbedderMismatchError, match=r"compass-1.*dim 32"):
            face.open(cache_path, embedder)
    assert cache_path.read_bytes() == before
    assert open_cache(cache_path).get("rain @0").response == "water"


def text(path):
    path.write_text("not a database, but long enough to look like one" * 100)


def foreign(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE somebody (elses TEXT)")
    connection.close()


def damaged(path):
    with SemanticCache(path, Compass(), guards=()) as cache:
        cache.put_many([(f"q{number}", "a" * 500) for number in range(50)])
    content = bytearray(path.read_bytes())
    content[100:4096] = b"\xff" * 3996
    path.write_bytes(content)


def newer(path):
    SemanticCache(path, Compass(), guards=()).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (text, CorruptCacheError),
        (foreign, CorruptCacheError),
        (damaged, CorruptCacheError),
        (newer, SchemaMigrationError),
    ],
)
def test_a_file_that_is_not_fit_is_refused_untouched(face, cache_path, make, error):
    make(cache_path)
    before = cache_path.read_bytes()
    with pytest.raises(error, match=r"cache\.db"):
        face.open(cache_path, Compass())
    assert cache_path.read_bytes() == before
    assert [path.name for path in cache_path.parent.iterdir()] == ["cache.db"]


def test_a_directory_that_is_not_there_is_a_store_error(face, tmp_path):
    with pytest.raises(StoreBackendError, match="nowhere"):
        face.open(tmp_path / "nowhere" / "cache.db", Compass())
    assert list(tmp_path.iterdir()) == []


def test_a_cache_in_memory_is_one(open_cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache = open_cache(":memory:")
    cache.put("rain @0", "water")
    assert cache.get("mist @1").response == "water"
    assert cache.health().store_backend == "memory"
    assert list(tmp_path.iterdir()) == []


# --- without an embedder ---------------------------------------------------------------------------------------------


def test_without_an_embedder_there_is_an_exact_layer(open_cache, make_store, events):
    cache = open_cache(store=make_store(), embedder=None)
    assert cache.put("Rain", "water")
    assert cache.get("rain").layer == "exact"
    assert cache.get("sun") is None
    assert events.of("miss")[-1]["reason"] == "no_embedder"
    assert cache.put_many([("a", "1"), ("b", "2")]) == 2
    assert [hit and hit.response for hit in cache.get_many(["a", "x", "b"])] == ["1", None, "2"]
    assert cache.get_or_compute("c", lambda query: "3") == "3"
    assert [hit.response for hit in cache.lookup("a")] == ["1"]
    assert cache.stats().embedder_fingerprint is None
    assert cache.health().index_backend == "none"
    assert cache.health().healthy
    assert cache.delete("a")
    cache.requantize("int8")
    with pytest.raises(TypeError, match="embedding= needs a cache with an embedder"):
        cache.put("x", "y", embedding=direction(0))
    with pytest.raises(TypeError, match="embedding= needs a cache with an embedder"):
        cache.get("x", embedding=direction(0))


def test_a_file_filled_with_an_embedder_can_be_read_and_cleaned_without_one_but_not_written(open_cache, cache_path):
    cache = open_cache(cache_path)
    cache.put("rain @0", "water", ttl=5)
    cache.put("sun @90", "hot")
    cache.close()
    plain = open_cache(cache_path, embedder=None)
    assert plain.get("sun @90").response == "hot"
    assert plain.get("mist @1") is None
    assert plain.stats().embedder_fingerprint == "compass-1"
    with pytest.raises(EmbedderMismatchError, match=r"compass-1.*open it with that embedder to write"):
        plain.put("snow", "cold")
    assert plain.get_or_compute("snow", lambda query: "cold") == "cold"
    assert plain.delete("rain @0")
    plain.close()
    again = open_cache(cache_path)
    assert [entry.query for entry in again.entries()] == ["sun @90"]
    assert again.get("mist @1") is None
    assert again.get("warm @91").response == "hot"


def test_a_file_begun_without_an_embedder_can_be_gone_on_with_one(open_cache, cache_path):
    plain = open_cache(cache_path, embedder=None)
    plain.put("rain @0", "water")
    plain.close()
    cache = open_cache(cache_path)
    assert cache.get("rain @0").response == "water"
    assert cache.get("mist @1") is None
    cache.put("rain @0", "water")
    assert cache.get("mist @1").response == "water"


# --- closing ---------------------------------------------------------------------------------------------------------

VERBS = {
    "get": lambda cache: cache.get("q"),
    "get_many": lambda cache: cache.get_many(["q"]),
    "lookup": lambda cache: cache.lookup("q"),
    "explain": lambda cache: cache.explain("q"),
    "entries": lambda cache: cache.entries(),
    "put": lambda cache: cache.put("q", "a"),
    "put_many": lambda cache: cache.put_many([("q", "a")]),
    "get_or_compute": lambda cache: cache.get_or_compute("q", lambda query: pytest.fail("was computed")),
    "delete": lambda cache: cache.delete("q"),
    "invalidate": lambda cache: cache.invalidate(tags=["t"]),
    "clear": lambda cache: cache.clear(),
    "clear_namespace": lambda cache: cache.clear_namespace("default"),
    "vacuum": lambda cache: cache.vacuum(),
    "compact": lambda cache: cache.compact(),
    "list_namespaces": lambda cache: cache.list_namespaces(),
    "stats": lambda cache: cache.stats(),
    "health": lambda cache: cache.health(),
    "check": lambda cache: cache.check(),
    "dumps": lambda cache: cache.dumps(io.BytesIO()),
    "confirm": lambda cache: cache.confirm(("q", "p")),
    "reject": lambda cache: cache.reject(("q", "p")),
    "forget": lambda cache: cache.forget(namespace="default"),
    "reembed": lambda cache: cache.reembed(Compass("another")),
    "repair": lambda cache: cache.repair(),
    "reset_alarm": lambda cache: cache.reset_alarm(),
    "watch": lambda cache: cache.watch(),
    "requantize": lambda cache: cache.requantize("int8"),
    "certificate": lambda cache: cache.certificate(),
    "use_certificate": lambda cache: cache.use_certificate(None),
    "drop_certificate": lambda cache: cache.drop_certificate(),
    "set_similarity_threshold": lambda cache: cache.set_similarity_threshold(0.5),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_after_closing_every_verb_says_that_the_cache_is_closed(cache, verb):
    cache.put("q", "a")
    assert cache.get("q")
    cache.close()
    with pytest.raises(CacheClosedError, match="closed; open a new one"):
        verb(cache)
    cache.close()


def test_the_table_of_verbs_lacks_none(face):
    public = {name for name in dir(face.cls) if not name.startswith("_")}
    assert public - set(VERBS) == {"close", "has_embedder", "loads", "memoize", "similarity_threshold"}


def test_a_context_closes_whatever_happens(face, cache_path):
    cache = face.open(cache_path, Compass())
    with contextlib.suppress(LookupError), cache:
        cache.put("rain @0", "water")
        raise LookupError
    with pytest.raises(CacheClosedError):
        cache.get("rain @0")
    with face.open(cache_path, Compass()) as again:
        assert again.get("rain @0").response == "water"
    assert mneme_threads() == []


def test_a_closed_cache_cannot_be_entered_again():
    async def main():
        cache = AsyncSemanticCache(":memory:", Compass(), guards=())
        async with cache:
            await cache.put("rain @0", "water")
        with pytest.raises(CacheClosedError):
            async with cache:
                pass

    asyncio.run(main())


def test_a_store_belongs_to_one_cache_and_is_closed_with_it(open_cache, make_store):
    store = make_store()
    cache = open_cache(store=store)
    cache.put("rain @0", "water")
    cache.close()
    with pytest.raises(CacheClosedError):
        store.read([1])


def test_two_caches_share_nothing(open_cache):
    one, other = open_cache(":memory:"), open_cache(":memory:")
    one.put("rain @0", "water")
    assert other.get("rain @0") is None
    other.set_similarity_threshold(0.1)
    assert one.similarity_threshold == 0.85


def test_an_index_of_the_callers_is_used(open_cache):
    index = ExactIndex()
    cache = open_cache(index_backend=index)
    cache.put("rain @0", "water")
    assert index.size() == 1
    cache.requantize("float16")
    assert (index.size(), index.dtype) == (1, "float16")
    assert cache.get("mist @1").response == "water"


def test_opening_fills_the_index_and_reads_no_more_than_it_must(open_cache, cache_path):
    cache = open_cache(cache_path)
    cache.put_many([(f"q @{number / 30}", str(number)) for number in range(9000)])
    cache.close()
    again = open_cache(cache_path)
    assert again._core.index._port.size() == 9000
    assert again.get("p @299.96", similarity_threshold=0.99).response == "8999"
    assert again.get("p @0", similarity_threshold=0.9999).response == "0"


def test_a_hook_hears_nothing_of_opening_and_closing(open_cache, cache_path):
    events = Events()
    open_cache(cache_path, metrics_hook=events).close()
    assert events == []
