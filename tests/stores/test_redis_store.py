"""What is special about the Redis stores: how they are made, many of them on the same data, and other people's data."""

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest
import redis
import redis.asyncio

import mneme
from mneme import AsyncSemanticCache, CorruptCacheError, EmbedderMismatchError, SchemaMigrationError, SemanticCache
from mneme.errors import StoreBackendError
from mneme.ports import Counters, MarkedStore, Selection, Usage
from mneme.stores import AsyncRedisStore, RedisStore, _redis_verbs
from mneme.testing import AsyncTwin, HashEmbedder
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record, history
from stores.redis_servers import a_prefix, connected, opened, running


@pytest.fixture
def url(server_of):
    return server_of("redis")


@pytest.fixture
def prefix():
    return a_prefix()


@pytest.fixture
def raw(url):
    with connected(url) as client:
        yield client


# --- how they are made -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"decode_responses": True}, {"protocol": 3}, {"max_connections": 1}])
def test_a_clients_settings_make_no_difference_and_it_stays_open(url, prefix, options):
    with redis.Redis.from_url(url, **options) as client:
        with opened(client=client, prefix=prefix) as store:
            [written] = store.write([a_record(1, payload=bytes(range(256)))])
            found = store.read([written.id], vectors=True)[0]
            assert found.payload == bytes(range(256))
            assert store.check() == []
        assert client.ping()


async def test_an_asyncio_client_stays_open_too(url, prefix):
    async with redis.asyncio.Redis.from_url(url, decode_responses=True) as client:
        store = AsyncRedisStore(client=client, prefix=prefix)
        await store.open(FINGERPRINT, DIM)
        await store.write([a_record(1)])
        assert (await store.read([a_record(1).key]))[0].query == "question 1"
        await store.mark("a mark")
        assert await store.marked() == "a mark"
        await store.close()
        assert await client.ping()


def test_a_unix_socket_will_do(tmp_path):
    path = tmp_path / "socket"
    with running(tmp_path, "--unixsocket", str(path)), opened(f"unix://{path}?db=3") as store:
        assert store.write([a_record(1)])[0].seq == 1
        assert str(path) in store._own._link.where


def test_nothing_is_connected_before_open():
    RedisStore("redis://127.0.0.1:1").close()


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ([], {}, TypeError, "pass a URL, .*, and not"),
        (["redis://x"], {"client": object()}, TypeError, "pass a URL, .*, and not"),
        ([b"redis://x"], {}, TypeError, "url must be a str"),
        (["http://x"], {}, ValueError, "redis://"),
        ([], {"client": object()}, TypeError, "not builtins.object"),
        (["redis://x"], {"prefix": 3}, TypeError, "prefix must be a str"),
        (["redis://x"], {"prefix": " "}, ValueError, "prefix must be"),
        (["redis://x"], {"prefix": "a{b}"}, ValueError, "without braces"),
        (["redis://x"], {"timeout": True}, TypeError, "timeout must be a number"),
        (["redis://x"], {"timeout": 0}, ValueError, "timeout must be above 0"),
        (["redis://x"], {"max_connections": 1.5}, TypeError, "max_connections must be an int"),
        (["redis://x"], {"max_connections": 0}, ValueError, "at least 1"),
    ],
)
@pytest.mark.parametrize("kind", [RedisStore, AsyncRedisStore])
def test_wrong_arguments_are_refused(kind, arguments, options, error, words):
    with pytest.raises(error, match=words):
        kind(*arguments, **options)


async def test_a_client_of_the_other_face_is_refused(url):
    async with redis.asyncio.Redis.from_url(url) as asynchronous:
        with pytest.raises(TypeError, match=r"redis\.Redis or redis\.cluster"):
            RedisStore(client=asynchronous)
    with connected(url) as blocking, pytest.raises(TypeError, match=r"redis\.asyncio\.Redis or"):
        AsyncRedisStore(client=blocking)


@pytest.mark.parametrize("kind", [RedisStore, AsyncRedisStore])
def test_a_missing_driver_is_named_with_its_extra(kind, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "redis"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"mneme-cache\[redis\]"):
        kind("redis://127.0.0.1")


def test_the_driver_is_not_imported_before_a_store_is_made():
    script = (
        "import sys, mneme.stores; from mneme import AsyncRedisStore, RedisStore; assert 'redis' not in sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(mneme.__file__).parents[1])}
    subprocess.run([sys.executable, "-W", "error", "-c", script], env=environment, check=True)


def test_both_remember_a_mark(url, prefix):
    with opened(url, prefix=prefix) as store:
        assert isinstance(store, MarkedStore)
        assert store.marked() is None
        store.mark("one")
        store.mark("zw\u00f6lf")
        assert history(store, 0) == []
    with opened(url, prefix=prefix) as store:
        assert store.marked() == "zw\u00f6lf"
        assert store.compact() == 0


# --- several stores on the same data ---------------------------------------------------------------------------------


def test_stores_with_other_prefixes_do_not_see_each_other(url, prefix):
    with opened(url, prefix=prefix) as one, opened(url, prefix=prefix + "0", fingerprint="other", dim=3) as other:
        one.write([a_record(1)])
        assert other.scan(Selection()) == []
        assert other.open(None, None).fingerprint == "other"


def test_one_store_follows_what_another_does(url, prefix):
    with opened(url, prefix=prefix) as one, opened(url, prefix=prefix) as other:
        a, b = one.write([a_record(1), a_record(2)])
        [again] = other.write([a_record(1, query="new")])
        assert (again.id, again.replaced) == (a.id, True)
        other.delete(Selection(refs=[b.id]))
        changes = history(one, b.seq)
        assert [(each.id, each.deleted) for each in changes] == [(a.id, False), (b.id, True)]
        assert one.read([a_record(1).key])[0].query == "new"
        other.record(Usage({a.id: 77.0}, {"main": Counters(misses=2)}))
        one.record(Usage({}, {"main": Counters(misses=1)}))
        assert one.read([a.id])[0].accessed_at == 77.0
        assert one.summary() == other.summary()
        assert one.summary()[0].counters.misses == 3


def test_whoever_sees_a_number_sees_everything_below_it(url, prefix):
    """Two write and delete at once; one follows. Replaying what it was told must give what there is."""
    done = threading.Event()

    def write(store, worker):
        numbers = []
        for step in range(60):
            batch = [a_record(100 * worker + (step + n) % 20, query=f"{worker} {step}") for n in range(3)]
            numbers += [each.seq for each in store.write(batch)]
            if step % 5 == 4:
                numbers += [each.seq for each in store.delete(Selection(refs=[batch[0].key, batch[1].key]))]
        return numbers

    def follow(store):
        seen, alive, numbers = 0, {}, []
        while True:
            last_round = done.is_set()
            while changes := history(store, seen, limit=7):
                for change in changes:
                    assert change.seq > seen
                    seen = change.seq
                    numbers.append(seen)
                    if change.deleted:
                        alive.pop(change.id, None)
                    else:
                        alive[change.id] = change.seq
            if last_round:
                return alive, numbers

    with opened(url, prefix=prefix) as one, opened(url, prefix=prefix) as other, opened(url, prefix=prefix) as reader:
        with ThreadPoolExecutor(3) as pool:
            follower = pool.submit(follow, reader)
            try:
                writers = [pool.submit(write, store, worker) for worker, store in enumerate((one, other))]
                written = [writer.result() for writer in writers]
            finally:
                done.set()
            alive, numbers = follower.result()
        assert all(numbers == sorted(numbers) for numbers in written)
        everything = sorted(written[0] + written[1])
        assert everything == list(range(1, len(everything) + 1))
        assert alive == {record.id: record.seq for record in reader.scan(Selection())}
        assert set(numbers) <= set(everything)
        assert reader.check() == []


WRITER = """
import sys
from mneme import RedisStore
from mneme.ports import Counters, Selection, Usage
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record
url, prefix, worker = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = RedisStore(url, prefix=prefix)
store.open(FINGERPRINT, DIM)
numbers = []
for step in range(50):
    # Half of the keys are those of the other processes too.
    written = store.write([a_record(1000 * worker + step), a_record(step, query=f"{worker}")])
    store.record(Usage({written[0].id: 1.0}, {"main": Counters(hits_exact=1)}))
    numbers += [each.seq for each in written]
store.close()
print(*numbers)
"""


def test_four_processes_write_at_once(url, prefix):
    environment = os.environ | {"PYTHONPATH": str(Path(mneme.__file__).parents[1])}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", WRITER, url, prefix, str(worker)],
            env=environment,
            stdout=subprocess.PIPE,
        )
        for worker in range(1, 5)
    ]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    numbers = [[int(word) for word in output.split()] for output in outputs]
    assert all(each == sorted(each) for each in numbers)
    assert sorted(chain.from_iterable(numbers)) == list(range(1, 401))
    with opened(url, prefix=prefix) as store:
        assert len(store.scan(Selection())) == 250
        assert store.summary()[0].counters.hits_exact == 200
        assert store.check() == []


def test_of_two_openers_with_other_embedders_one_wins(url, prefix):
    ready = threading.Barrier(8)

    def open_it(number):
        store = RedisStore(url, prefix=prefix)
        try:
            ready.wait()
            return store.open(f"embedder {number}", 10 + number).fingerprint
        except EmbedderMismatchError:
            return None
        finally:
            store.close()

    with ThreadPoolExecutor(8) as pool:
        won = [name for name in pool.map(open_it, range(8)) if name is not None]
    assert len(won) == 1
    with opened(url, prefix=prefix, fingerprint=None, dim=None) as store:
        assert store.open(None, None).fingerprint == won[0]


def test_a_fork_takes_a_name_of_its_own(url, prefix):
    with opened(url, prefix=prefix) as store:
        [first] = store.write([a_record(1)])
        verbs = store._own
        name = verbs._scripts.write.by_digest
        verbs._pid, verbs._number = -1, 0  # as it is in a child: its first change would have the number of ours
        [second] = store.write([a_record(2)])
        assert second.seq == first.seq + 1
        assert verbs._scripts.write.by_digest != name


async def test_many_tasks_share_a_store(url, prefix):
    store = AsyncRedisStore(url, prefix=prefix, max_connections=3)
    await store.open(FINGERPRINT, DIM)
    try:
        written = await asyncio.gather(*[store.write([a_record(number)]) for number in range(50)])
        assert sorted(each.seq for [each] in written) == list(range(1, 51))
        found = await asyncio.gather(*[store.read([a_record(number).key]) for number in range(50)])
        assert all(record is not None for [record] in found)
    finally:
        await store.close()


# --- size ------------------------------------------------------------------------------------------------------------


def test_a_big_batch_is_one_change(url, prefix):
    records = [a_record(number, namespace=f"n{number % 3}", tags=(f"t{number % 5}",)) for number in range(20_000)]
    with opened(url, prefix=prefix) as store:
        written = store.write(records)
        assert [each.seq for each in written] == list(range(1, 20_001))
        assert [each.replaced for each in store.write(records[:3000])] == [True] * 3000
        assert len(store.delete(Selection(tags=["t0", "t1"], namespace="n1"))) == 2667
        assert store.check() == []
        removed = store.delete(Selection())
        assert len(removed) == 20_000 - 2667
        assert [each.seq for each in removed] == list(range(removed[0].seq, removed[0].seq + len(removed)))
        assert len(history(store, 0, limit=30_000)) == 20_000
        assert history(store, removed[1499].seq, limit=2)[0].seq == removed[1500].seq
        assert store.check() == []


def test_more_than_a_command_can_carry_is_refused_before_it_is_sent(url, prefix, monkeypatch):
    monkeypatch.setattr(_redis_verbs, "_MOST_RECORDS", 3)
    with opened(url, prefix=prefix) as store:
        with pytest.raises(StoreBackendError, match="several calls"):
            store.write([a_record(number) for number in range(4)])
        assert history(store, 0) == []


def test_an_empty_store_leaves_little_behind(url, prefix, raw):
    with opened(url, prefix=prefix) as store:
        store.write([a_record(number, tags=("t",), removable_at=5.0) for number in range(10)])
        store.write([a_record(1)])
        store.delete(Selection(refs=[a_record(1).key]))
        store.delete(Selection())
        names = {key.decode().rpartition(":")[2] for key in raw.scan_iter(f"{{{prefix}}}:*") if b"answer" not in key}
        assert names == {"meta", "deletions"}
        [answer] = raw.scan_iter(f"{{{prefix}}}:answer*")
        assert 0 < raw.ttl(answer) <= 600


def test_deletions_are_forgotten_in_the_end(url, prefix, monkeypatch):
    monkeypatch.setattr(_redis_verbs, "HISTORY", 20)
    with opened(url, prefix=prefix) as store:
        for number in range(50):
            [written] = store.write([a_record(number)])
            store.delete(Selection(refs=[written.id]))
        latest = written.seq + 1
        assert [change.seq for change in history(store, latest - 20)] == list(range(latest - 18, latest + 1, 2))
        assert store.changes(0) is None
        assert history(store, latest) == []
        assert store.check() == []
    with opened(url, prefix=prefix) as store:
        assert store.changes(latest - 21) is None


# --- other people's data ---------------------------------------------------------------------------------------------


def everything(raw, prefix):
    return {key: raw.dump(key) for key in raw.scan_iter(f"{{{prefix}}}:*")}


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda raw, tag: raw.set(tag + "meta", "mine"), CorruptCacheError),
        (lambda raw, tag: raw.hset(tag + "meta", "a", "b"), CorruptCacheError),
        (lambda raw, tag: raw.hset(tag + "meta", mapping={"what": "mneme", "version": "1"}), CorruptCacheError),
        (lambda raw, tag: raw.hset(tag + "meta", mapping={"what": "mneme", "version": "x"}), CorruptCacheError),
        (lambda raw, tag: raw.hset(tag + "meta", mapping={"what": "mneme", "version": "3"}), SchemaMigrationError),
        (lambda raw, tag: raw.hset(tag + "bodies", "a", "b"), CorruptCacheError),
        (lambda raw, tag: raw.lpush(tag + "tags", "a"), CorruptCacheError),
    ],
)
def test_what_is_not_ours_is_refused_and_not_altered(url, prefix, raw, spoil, error):
    spoil(raw, f"{{{prefix}}}:")
    before = everything(raw, prefix)
    store = RedisStore(url, prefix=prefix)
    try:
        with pytest.raises(error, match="not altered"):
            store.open(FINGERPRINT, DIM)
    finally:
        store.close()
    assert everything(raw, prefix) == before


def test_a_change_that_cannot_be_made_whole_is_not_begun(url, prefix, raw):
    with opened(url, prefix=prefix) as store:
        store.write([a_record(1, tags=("t",)), a_record(2)])
        raw.rename(f"{{{prefix}}}:tags", f"{{{prefix}}}:aside")
        raw.set(f"{{{prefix}}}:tags", "mine")
        before = everything(raw, prefix)
        for change in (
            lambda: store.write([a_record(1), a_record(3, tags=("t",))]),
            lambda: store.delete(Selection()),
            lambda: store.record(Usage({1: 5.0}, {"main": Counters(misses=1)})),
        ):
            with pytest.raises(CorruptCacheError, match="something else wrote to its keys"):
                change()
        with pytest.raises(CorruptCacheError, match="something else wrote to its keys"):
            store.scan(Selection(tags=["t"]))
        assert everything(raw, prefix) == before
        raw.rename(f"{{{prefix}}}:aside", f"{{{prefix}}}:tags")
        assert store.check() == []


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda raw, tag, record: raw.hdel(tag + "bodies", record.key), "have no body"),
        (lambda raw, tag, record: raw.hset(tag + "bodies", record.key, b"short"), "have no body"),
        (lambda raw, tag, record: raw.hset(tag + "bodies", record.key, (1).to_bytes(8, "big")), "cannot be read"),
        (lambda raw, tag, record: raw.hset(tag + "heads", (1).to_bytes(8, "big"), b"x"), "have no head"),
        (lambda raw, tag, record: raw.hdel(tag + "heads", (1).to_bytes(8, "big")), "have no head"),
        (lambda raw, tag, record: raw.hset(tag + "vectors", (1).to_bytes(8, "big"), b"x"), "another dimension"),
        (lambda raw, tag, record: raw.hset(tag + "vectors", (1).to_bytes(8, "big"), bytes(4 * DIM)), "unit length"),
        (lambda raw, tag, record: raw.delete(tag + "accessed"), "missing from accessed"),
        (lambda raw, tag, record: raw.delete(tag + "places"), "missing from places"),
        (lambda raw, tag, record: raw.delete(tag + "namespaces"), "missing from namespaces"),
        (lambda raw, tag, record: raw.delete(tag + "tags"), "missing from tags"),
        (lambda raw, tag, record: raw.delete(tag + "rewritten"), "missing from rewritten"),
        (lambda raw, tag, record: raw.zadd(tag + "tags", {b"t" * 24: 0}), "3 of tags, where the entries make 2"),
        (lambda raw, tag, record: raw.hset(tag + "meta", "seq", "2"), "above that of the store"),
        (lambda raw, tag, record: raw.zadd(tag + "deletions", {b"x" * 9: 0}), "runs of deletions are damaged"),
        (
            lambda raw, tag, record: raw.zadd(
                tag + "deletions", {(3).to_bytes(8, "big") + (1).to_bytes(8, "big") + bytes(32): 0}
            ),
            "both alive and deleted",
        ),
    ],
)
def test_check_finds_what_is_wrong(url, prefix, raw, damage, sentence):
    with opened(url, prefix=prefix) as store:
        record = a_record(1, tags=("a", "b"), removable_at=9.0)
        store.write([record, a_record(2)])
        store.write([a_record(2)])
        store.write([a_record(3)])
        store.delete(Selection(refs=[a_record(3).key]))
        assert store.check() == []
        damage(raw, f"{{{prefix}}}:", record)
        assert any(sentence in line for line in store.check()), store.check()


def test_a_damaged_entry_is_told_of_when_it_is_read(url, prefix, raw):
    with opened(url, prefix=prefix) as store:
        store.write([a_record(1)])
        raw.hset(f"{{{prefix}}}:bodies", a_record(1).key, (1).to_bytes(8, "big") + b"too short")
        with pytest.raises(CorruptCacheError, match="cannot be read"):
            store.read([a_record(1).key])
        raw.hset(f"{{{prefix}}}:vectors", (1).to_bytes(8, "big"), b"x")
        with pytest.raises(CorruptCacheError, match="dimension"):
            store.vectors()


# --- under a cache ---------------------------------------------------------------------------------------------------


def test_a_cache_lives_on_it(url, prefix):
    with SemanticCache(store=RedisStore(url, prefix=prefix), embedder=HashEmbedder(), hot_bytes=0) as cache:
        cache.put("how do I reset my password", "like this", tags=["help"], metadata={"source": 1})
        cache.put("what is the weather", "rain", namespace="other", ttl=60)
        assert cache.get("How do I reset my  password").layer == "exact"
        assert cache.get("how do i reset my password please").layer == "semantic"
        assert cache.health().store_backend == "redis"
        assert cache.check() == []
    with SemanticCache(store=RedisStore(url, prefix=prefix), embedder=HashEmbedder()) as cache:
        assert cache.get("how do I reset my password").metadata == {"source": 1}
        assert cache.get("how do i reset my password please").response == "like this"
        assert cache.stats().entries == 2
        assert cache.delete("how do I reset my password")
        assert cache.get("how do i reset my password please") is None
        assert cache.clear() == 1


async def test_an_async_cache_lives_on_it(url, prefix):
    def cache():
        return AsyncSemanticCache(store=AsyncRedisStore(url, prefix=prefix), embedder=AsyncTwin(HashEmbedder()))

    async with cache() as first:
        await first.put_many([(f"question number {n}", f"answer {n}") for n in range(20)])
        assert (await first.get("question number 7")).layer == "exact"
    async with cache() as second:
        assert (await second.get("Question number 7")).response == "answer 7"
        assert (await second.get("question number 7 please")).layer == "semantic"
        assert await second.delete("question number 7")
        assert await second.get("question number 7") is None
        assert (await second.stats()).entries == 19
