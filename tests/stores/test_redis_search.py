"""What is special about searching in a Redis server: how it is prepared, who keeps it right, and what it finds."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import redis.cluster

from mneme import (
    AsyncRedisStore,
    AsyncSemanticCache,
    EmbedderDimensionError,
    IndexBackendUnavailableError,
    RedisStore,
    SchemaMigrationError,
    SemanticCache,
    StoreBackendError,
)
from mneme.ports import SearchingStore, Selection
from mneme.stores import _redis_verbs
from mneme.testing import HashEmbedder
from mneme.testing._store_suite import DIM, a_record, a_vector
from servers import redis as plain_servers, redis_search
from stores.redis_servers import a_prefix, connected, opened

PARTITION = a_record(0).partition


@pytest.fixture
def url(server_of):
    return server_of("redis_search")


@pytest.fixture
def prefix():
    return a_prefix()


@pytest.fixture
def raw(url):
    with connected(url) as client:
        yield client


@pytest.fixture
def store(url, prefix):
    with opened(url, prefix=prefix) as one:
        yield one


@pytest.fixture
def beside(url, prefix):
    """Another store of the same data, that never asks for searching."""
    with opened(url, prefix=prefix) as one:
        yield one


def nearest(store, *queries, partition=PARTITION, floor=-2.0, k=10):
    """The ids of what is found, best first, as the cache would score it."""
    found = store.similar(partition, np.stack(queries), floor=floor, k=k)
    return [
        [record.id for record in sorted(records, key=lambda r: -float(r.vector @ query))]
        for records, query in zip(found, queries, strict=True)
    ]


def index_of(raw, prefix):
    info = raw.execute_command("FT.INFO", f"{{{prefix}}}:search")
    return dict(zip(info[::2], info[1::2], strict=True))


def everything(raw):
    return {key: raw.dump(key) for key in raw.scan_iter("*")}


def all_is_right(store, raw, prefix):
    vectors = len(store.vectors(limit=10_000).ids)
    assert store.check() == []
    assert index_of(raw, prefix)[b"num_docs"] == vectors
    assert sum(1 for _ in raw.scan_iter(f"{{{prefix}}}:search:*", count=1000)) == vectors


# --- preparing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (ValueError, {"search_type": "tree"}),
        (ValueError, {"search_m": 1}),
        (TypeError, {"search_m": 16.0}),
        (ValueError, {"search_ef_construction": 5000}),
        (ValueError, {"search_ef": 0}),
    ],
)
@pytest.mark.parametrize("make", [RedisStore, AsyncRedisStore])
def test_options_that_do_not_hold_are_refused(make, error, options):
    with pytest.raises(error, match="search_"):
        make("redis://localhost", **options)


def test_the_index_is_made_as_the_options_say_and_kept(url, prefix, raw):
    with opened(url, prefix=prefix, search_m=7, search_ef_construction=33) as store:
        store.prepare_search(DIM)
    with opened(url, prefix=prefix, search_type="flat") as store:
        store.prepare_search(DIM)
        store.write([a_record(1)])
        store.delete(Selection())  # which makes the index anew
        [attribute] = [each for each in index_of(raw, prefix)[b"attributes"] if b"VECTOR" in each]
        assert attribute[6:] == [b"algorithm", b"HNSW", b"data_type", b"FLOAT32", b"dim", DIM,
                                 b"distance_metric", b"IP", b"M", 7, b"ef_construction", 33]  # fmt: skip


def test_what_was_there_before_is_described_in_pieces_and_goes_on_after_a_stop(store, beside, raw, prefix, monkeypatch):
    store.write([a_record(number, vector=a_vector(number) if number % 3 else None) for number in range(50)])
    monkeypatch.setattr(_redis_verbs, "CHUNK", 7)
    change, calls = store._own._change, []

    async def breaking(name, words):
        calls.append(name)
        if len(calls) == 4:
            raise StoreBackendError("the connection broke")
        return await change(name, words)

    monkeypatch.setattr(store._own, "_change", breaking)
    with pytest.raises(StoreBackendError, match="broke"):
        store.prepare_search(DIM)
    beside.write([a_record(40), a_record(60), a_record(1, vector=a_vector(99)), a_record(2, vector=None)])
    beside.delete(Selection(refs=[a_record(4).key, a_record(43).key]))
    assert beside.check() == []
    # Whoever searches sees to it that all is there.
    assert nearest(beside, a_vector(40), a_vector(99), k=1) == [[41], [2]]
    all_is_right(store, raw, prefix)
    assert calls == ["prepare"] * 4
    store.prepare_search(DIM)
    assert calls == ["prepare"] * 5


def test_many_may_prepare_at_once_while_others_write(url, prefix, store, raw, monkeypatch):
    store.write([a_record(number) for number in range(100)])
    monkeypatch.setattr(_redis_verbs, "CHUNK", 5)

    def one(number):
        with opened(url, prefix=prefix) as other:
            if number % 2:
                other.prepare_search(DIM)
                return nearest(other, a_vector(3), k=1)
            for written in range(number * 50, number * 50 + 100):
                other.write([a_record(written)])
            return None

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(one, range(6)))
    assert found[1::2] == [[[4]]] * 3
    all_is_right(store, raw, prefix)


def test_another_dimension_is_refused(store, url):
    with pytest.raises(EmbedderDimensionError, match="holds dim 8"):
        store.prepare_search(DIM + 1)
    with (
        opened(url, prefix=a_prefix(), fingerprint=None, dim=None) as unbound,
        pytest.raises(EmbedderDimensionError, match="open it with a fingerprint"),
    ):
        unbound.prepare_search(DIM)
    assert store.open(None, None).schema_version == 1
    store.prepare_search(DIM)
    with pytest.raises(EmbedderDimensionError):
        store.similar(PARTITION, np.ones((1, DIM + 1), np.float32), floor=0.0, k=1)
    assert store.similar(PARTITION, np.ones((0, DIM), np.float32), floor=0.0, k=1) == []
    assert store.similar(PARTITION, np.ones((2, DIM), np.float32), floor=0.0, k=0) == [[], []]


# --- servers that cannot ---------------------------------------------------------------------------------------------


def test_a_server_without_the_engine_says_so_and_the_store_goes_on(server_of, prefix):
    url = server_of("redis")
    with connected(url) as raw, opened(url, prefix=prefix) as store:
        assert isinstance(store, SearchingStore)
        store.write([a_record(1)])
        before = everything(raw)
        for search in (lambda: store.prepare_search(DIM), lambda: nearest(store, a_vector(1))):
            with pytest.raises(IndexBackendUnavailableError, match="Redis 8 has built in"):
                search()
        assert everything(raw) == before
        store.write([a_record(1), a_record(2)])
        store.delete(Selection(refs=[1]))
        assert store.check() == []
        assert store.open(None, None).schema_version == 1
    with pytest.raises(IndexBackendUnavailableError):
        SemanticCache(store=RedisStore(url, prefix=prefix + "c"), embedder=HashEmbedder(), index_backend="store")


def test_prepared_data_on_a_server_that_lost_the_engine_are_written_as_ever(server_of, prefix):
    url = server_of("redis")
    with connected(url) as raw, opened(url, prefix=prefix) as store:
        raw.hset(f"{{{prefix}}}:meta", mapping={"search": f"HNSW {DIM} 16 100", "version": "2"})
        store.write([a_record(1), a_record(2), a_record(3)])
        store.write([a_record(1, vector=None), a_record(2, vector=a_vector(9))])
        store.delete(Selection(refs=[a_record(3).key]))
        assert raw.hget(f"{{{prefix}}}:search:2", "v") == a_vector(9).tobytes()
        assert list(raw.scan_iter(f"{{{prefix}}}:search:*")) == [f"{{{prefix}}}:search:2".encode()]
        assert store.check() == []
        with pytest.raises(IndexBackendUnavailableError):
            nearest(store, a_vector(9))
        store.delete(Selection())
        assert list(raw.scan_iter(f"{{{prefix}}}:search*")) == []
        store.write([a_record(4)])
        assert store.check() == []


def test_the_engine_serves_the_first_database_alone(url, prefix):
    with (
        opened(url[:-1] + "1", prefix=prefix) as store,
        pytest.raises(IndexBackendUnavailableError, match=r"db != 0.*its database 0"),
    ):
        store.prepare_search(DIM)


def test_a_cluster_is_refused(tmp_path):
    server = redis_search.Server(tmp_path / "server", "--cluster-enabled", "yes").start()
    try:
        with connected(server.url) as node:
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while node.cluster("INFO")["cluster_state"] != "ok":
                pass
        with redis.cluster.RedisCluster(host="127.0.0.1", port=server.port) as client, opened(client=client) as store:
            store.write([a_record(1)])
            with pytest.raises(IndexBackendUnavailableError, match="this is a cluster"):
                store.prepare_search(DIM)
            assert store.check() == []
    finally:
        server.stop(kill=True)


def test_a_user_needs_a_few_commands_more(url, raw):
    prefix = "permitted"
    allowed = ["+@read", "+@write", "+@scripting", "+info", "-keys", "-flushall", "-flushdb"]
    try:
        raw.execute_command("ACL", "SETUSER", "searcher", "on", ">word", "~{permitted}:*", "resetchannels", *allowed)
        with opened(url.replace("//", "//searcher:word@"), prefix=prefix) as store:
            commands = ("ft.create", "ft.info", "ft.search", "ft.dropindex")
            raw.execute_command("ACL", "SETUSER", "searcher", *["-" + command for command in commands])
            with pytest.raises(IndexBackendUnavailableError, match=r"commands FT\.\*"):
                store.prepare_search(DIM)
            raw.execute_command("ACL", "SETUSER", "searcher", "+ft.create", "+ft.info", "+ft.dropindex")
            with pytest.raises(IndexBackendUnavailableError, match=r"commands FT\.\*"):
                store.prepare_search(DIM)
            assert f"{{{prefix}}}:search".encode() not in raw.execute_command("FT._LIST")
            assert store.open(None, None).schema_version == 1
            raw.execute_command("ACL", "SETUSER", "searcher", "-ft.create", "-ft.info", "-ft.dropindex")
            with opened(url, prefix=prefix) as other:
                other.prepare_search(DIM)
                store.write([a_record(1), a_record(2)])
                assert nearest(other, a_vector(1), k=1) == [[1]]
                store.delete(Selection())
                store.write([a_record(3)])
                assert nearest(other, a_vector(1)) == [[5]]
                all_is_right(other, raw, prefix)
            raw.execute_command("ACL", "SETUSER", "searcher", *["+" + command for command in commands])
            store.prepare_search(DIM)
            assert nearest(store, a_vector(1)) == [[5]]
            store.delete(Selection())
            all_is_right(store, raw, prefix)
    finally:
        raw.execute_command("ACL", "DELUSER", "searcher")


# --- who keeps it right ----------------------------------------------------------------------------------------------


def test_whoever_writes_keeps_the_documents_right(store, beside, raw, prefix):
    beside.write([a_record(number) for number in range(10)])
    store.prepare_search(DIM)
    beside.write([a_record(1, vector=a_vector(50)), a_record(2, vector=None), a_record(3), a_record(20)])
    twice = [a_record(21, vector=a_vector(60)), a_record(21, vector=None), a_record(22, vector=None), a_record(22)]
    beside.write(twice)
    all_is_right(store, raw, prefix)
    assert nearest(store, a_vector(50), a_vector(60), floor=0.999) == [[2], []]
    assert nearest(store, a_vector(2), a_vector(22), floor=0.999) == [[], [17]]
    beside.delete(Selection(refs=[a_record(5).key, a_record(2).key]))
    all_is_right(store, raw, prefix)
    beside.delete(Selection())
    all_is_right(store, raw, prefix)
    assert nearest(store, a_vector(1)) == [[]]
    moved = a_record(30, namespace="other")
    [written] = beside.write([moved])
    beside.write([moved._replace(namespace="main", partition=PARTITION)])
    assert nearest(store, a_vector(30)) == [[written.id]]
    assert nearest(store, a_vector(30), partition=moved.partition) == [[]]
    all_is_right(store, raw, prefix)


def test_an_entry_written_again_with_its_vector_is_not_indexed_anew(store, raw, prefix):
    store.prepare_search(DIM)
    store.write([a_record(1)])
    highest = index_of(raw, prefix)[b"max_doc_id"]
    store.write([a_record(1, payload=b"another")])
    assert index_of(raw, prefix)[b"max_doc_id"] == highest
    [[found]] = store.similar(PARTITION, np.stack([a_vector(1)]), floor=0.9, k=1)
    assert found.payload == b"another"


def test_an_older_mneme_is_stopped_as_it_would_leave_the_documents_behind(store, url, prefix, raw, monkeypatch):
    with opened(url, prefix=prefix) as new:
        with monkeypatch.context() as older:
            older.setattr(_redis_verbs, "SCHEMA_VERSION", 1)
            store.write([a_record(1)])  # it is open, and of the older one
        new.prepare_search(DIM)
        before = everything(raw)
        monkeypatch.setattr(_redis_verbs, "SCHEMA_VERSION", 1)
        with pytest.raises(SchemaMigrationError, match="newer version"):
            store.write([a_record(2)])
        with pytest.raises(SchemaMigrationError, match="newer version"), opened(url, prefix=prefix):
            pass
        assert everything(raw) == before


def test_preparing_is_not_felt_by_those_that_are_open(store, beside):
    beside.write([a_record(1), a_record(2)])
    store.prepare_search(DIM)
    assert [removed.id for removed in beside.delete(Selection(refs=[1]))] == [1]
    assert beside.read([1, 2])[1].id == 2
    assert [change.seq for change in beside.changes(0)] == [2, 3]
    assert beside.open(None, None).seq == 3


def test_check_tells_of_documents_that_are_wrong(store, raw, prefix):
    store.prepare_search(DIM)
    store.write([a_record(number) for number in range(1, 6)])
    raw.delete(f"{{{prefix}}}:search:1")
    raw.hset(f"{{{prefix}}}:search:2", "v", a_vector(9).tobytes())
    raw.hset(f"{{{prefix}}}:search:3", "p", "0" * 32)
    assert store.check() == ["3 entries are missing from search."]


# --- when something breaks -------------------------------------------------------------------------------------------


def test_an_index_that_was_removed_is_made_anew(store, raw, prefix):
    store.prepare_search(DIM)
    store.write([a_record(number) for number in range(20)])
    raw.execute_command("FT.DROPINDEX", f"{{{prefix}}}:search")
    assert nearest(store, a_vector(7), k=1) == [[8]]
    all_is_right(store, raw, prefix)


def test_an_index_that_other_data_left_behind_is_not_taken_over(store, raw, url, prefix):
    store.prepare_search(DIM)
    store.write([a_record(1)])
    raw.delete(*[key for key in raw.scan_iter(f"{{{prefix}}}:*") if b"search" not in key])
    with opened(url, prefix=prefix, dim=3, search_type="flat") as other:
        other.prepare_search(3)
        [written] = other.write([a_record(1, vector=np.array([0, 1, 0], np.float32))])
        assert nearest(other, np.array([0, 1, 0], np.float32)) == [[written.id]]
        all_is_right(other, raw, prefix)


@pytest.mark.parametrize("options", [[], ["--appendonly", "yes"]], ids=["forgetful", "keeping"])
def test_a_server_that_was_restarted_is_searched_again(tmp_path, options):
    server = redis_search.Server(tmp_path / "server", *options).start()
    try:
        with opened(server.url) as store, connected(server.url) as raw:
            store.prepare_search(DIM)
            store.write([a_record(number) for number in range(20)])
            server.stop()
            server.start()
            found = nearest(store, a_vector(7), k=1)
            assert not options or store.scan(Selection())[7].id == 8
            [written] = store.write([a_record(7)])
            while index_of(raw, "mneme")[b"indexing"]:
                pass
            assert nearest(store, a_vector(7), k=1) == [[written.id]]
            assert found in ([[]], [[written.id]])
            all_is_right(store, raw, "mneme")
            raw.flushall()
            [written] = store.write([a_record(7)])
            assert nearest(store, a_vector(7)) == [[written.id]]
            all_is_right(store, raw, "mneme")
    finally:
        server.stop(kill=True)


# --- what it finds ---------------------------------------------------------------------------------------------------


def likely(count, dim=64, seed=0):
    """Vectors as texts have them: by topics, with a few directions that hold most of it."""
    draw = np.random.default_rng(seed)
    topics = draw.standard_normal((count // 8, 12))
    vectors = topics[draw.integers(0, len(topics), count)] + 0.5 * draw.standard_normal((count, 12))
    vectors = vectors @ draw.standard_normal((12, dim)) + 1.5 * draw.standard_normal((count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def found_of_ten(store, vectors, ids, queries, partition):
    """The share of the true best ten that is found, and of the best ones."""
    true = np.argsort(-(vectors @ queries.T), axis=0)[:10].T
    found = nearest(store, *queries, partition=partition)
    hits = [len({ids[row] for row in rows} & set(mine)) for rows, mine in zip(true, found, strict=True)]
    return sum(hits) / true.size, sum(ids[rows[0]] in mine for rows, mine in zip(true, found, strict=True)) / len(true)


def test_a_large_partition_is_searched_by_the_graph_and_a_small_one_beside_it_whole(url, prefix):
    vectors, queries = likely(6000), likely(50, seed=1)
    with opened(url, prefix=prefix, dim=64) as store:
        store.prepare_search(64)
        records = [
            a_record(number, namespace="large" if number % 40 else "small", vector=vector)
            for number, vector in enumerate(vectors)
        ]
        ids = [written.id for start in range(0, 6000, 500) for written in store.write(records[start : start + 500])]
        for name, ten, best in (("large", 0.97, 0.98), ("small", 1.0, 1.0)):
            rows = [n for n, record in enumerate(records) if record.namespace == name]
            partition = records[rows[0]].partition
            share = found_of_ten(store, vectors[rows], [ids[row] for row in rows], queries, partition)
            assert share >= (ten, best), name


def asked(store):
    """Counts what goes to the server."""
    link, sent = store._own._link, []
    ask = link.ask

    async def counted(connection, data):
        sent.append(data)
        return await ask(connection, data)

    link.ask = counted
    return sent


def test_a_semantic_answer_takes_two_round_trips(url, prefix):
    store = RedisStore(url, prefix=prefix)
    sent = asked(store)
    with SemanticCache(store=store, embedder=HashEmbedder(), index_backend="store") as cache:
        cache.put_many([("How long does delivery take?", "two days"), ("Where is my parcel?", "on its way")])
        cache.get("warm")
        sent.clear()
        hit = cache.get("How long does the delivery take?", similarity_threshold=0.7)
        assert (hit.response, hit.layer, cache.stats().index_memory_bytes) == ("two days", "semantic", 0)
        del sent[2:]  # `stats` asks as well
        cache.get_many(["How long does delivery take then?", "Where is my small parcel?"], similarity_threshold=0.7)
        assert len(sent) == 4


WORDS = ("refund", "parcel", "late", "size", "colour", "return", "invoice", "email", "cancel", "voucher")


def test_it_decides_as_an_index_in_the_process_does(url, prefix):
    draw = np.random.default_rng(5)
    texts = [" ".join(draw.choice(WORDS, 5)) for _ in range(400)]

    def answers(backend, **options):
        store = RedisStore(url, prefix=prefix + backend, **options)
        with SemanticCache(store=store, embedder=HashEmbedder(), index_backend=backend) as cache:
            for part in range(2):
                cache.put_many([(text, text.upper()) for text in texts[part:200:2]], namespace=f"n{part}")
            cache.delete(texts[6], namespace="n0")
            cache.put(texts[8], "another", namespace="n0")
            hits = [
                cache.get(text, namespace=f"n{part}", similarity_threshold=threshold)
                for text in texts
                for part in range(2)
                for threshold in (0.7, 0.9)
            ]
            nearby = [[(h.query, h.similarity) for h in cache.lookup(text, k=5, namespace="n1")] for text in texts[:50]]
            assert cache.check() == []
            return [hit and (hit.response, hit.similarity, hit.layer, hit.query) for hit in hits], nearby

    assert answers("store") == answers("numpy")


def test_another_process_that_does_not_search_is_found(url, prefix):
    async def main():
        searching = AsyncRedisStore(url, prefix=prefix)
        async with AsyncSemanticCache(store=searching, embedder=HashEmbedder(), index_backend="store") as cache:
            await cache.put("first question", "first")
            with SemanticCache(store=RedisStore(url, prefix=prefix), embedder=HashEmbedder()) as other:
                other.put("How long does delivery take?", "two days")
                other.delete("first question")
            hit = await cache.get("How long does the delivery take?", similarity_threshold=0.7)
            assert hit.response == "two days"
            assert (await cache.check()) == []
            assert (await searching.check()) == []

    asyncio.run(main())


def test_valkey_searches_with_the_module(tmp_path):
    server = plain_servers.Server(tmp_path / "server", "--loadmodule", redis_search.module()).start()
    try:
        with opened(server.url) as store, connected(server.url) as raw:
            store.write([a_record(number) for number in range(50)])
            store.prepare_search(DIM)
            store.delete(Selection(refs=[3]))
            assert nearest(store, a_vector(7), a_vector(2), floor=0.999) == [[8], []]
            all_is_right(store, raw, "mneme")
    finally:
        server.stop(kill=True)
