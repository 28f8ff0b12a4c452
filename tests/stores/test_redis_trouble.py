"""What the Redis stores do when the server is slow, full, restricted, gone or back again, and when answers are lost."""

import asyncio
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from mneme import AsyncSemanticCache, CacheClosedError, SemanticCache
from mneme.errors import StoreBackendError
from mneme.ports import Counters, Selection, Usage
from mneme.stores import AsyncRedisStore, RedisStore
from mneme.testing import AsyncTwin, HashEmbedder
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record, history, ids_of
from servers.proxy import Proxy
from stores.redis_servers import a_prefix, connected, opened, running


@pytest.fixture
def url(server_of):
    return server_of("redis")


@pytest.fixture
def prefix():
    return a_prefix()


@pytest.fixture
def proxy(url):
    with Proxy(int(url.rpartition(":")[2].partition("/")[0])) as proxy:
        yield proxy


def through(proxy):
    return f"redis://127.0.0.1:{proxy.port}/0"


def await_no_connection(client):
    """The server notices a closed connection when it gets round to it."""
    while connections(client):
        pass


def connections(client):
    return [each for each in client.client_list() if not each["cmd"].startswith("client")]


# --- answers that are lost -------------------------------------------------------------------------------------------


def test_a_change_whose_answer_is_lost_is_made_once_and_told_all_the_same(url, prefix, proxy):
    with opened(through(proxy), prefix=prefix) as store, opened(url, prefix=prefix) as other:
        one, two = store.write([a_record(1), a_record(2)])
        store.record(Usage({one.id: 5.0}, {"main": Counters(misses=1)}))  # every script is known to the server now
        assert ids_of(store.delete(Selection(refs=[two.id]))) == [two.id]
        store.mark("one")

        proxy.cut = 1
        written = store.write([a_record(1), a_record(3)])
        assert proxy.cut == 0
        assert [(each.id, each.seq, each.replaced) for each in written] == [(one.id, 4, True), (5, 5, False)]
        proxy.cut = 1
        store.record(Usage({one.id: 6.0}, {"main": Counters(misses=1)}))
        assert [each.counters.misses for each in other.summary()] == [2]
        proxy.cut = 1
        assert [(each.id, each.seq, each.namespace) for each in store.delete(Selection(refs=[one.id]))] == [
            (one.id, 6, "main")
        ]
        proxy.cut = 1
        store.mark("two")
        assert proxy.cut == 0
        assert other.marked() == "two"
        assert other.open(None, None).seq == 6
        assert other.check() == []


def test_a_read_whose_answer_is_lost_is_asked_for_again(prefix, proxy):
    with opened(through(proxy), prefix=prefix) as store:
        store.write([a_record(1)])
        store.read([a_record(1).key])
        proxy.cut = 1
        assert store.read([a_record(1).key])[0].query == "question 1"
        proxy.cut = 2
        with pytest.raises(StoreBackendError, match="check that the server runs") as caught:
            store.read([a_record(1).key])
        assert "not known" not in str(caught.value)
        assert store.read([a_record(1).key])[0].query == "question 1"


def test_a_change_that_stays_unanswered_is_told_and_never_made_later(prefix, proxy):
    with opened(through(proxy), prefix=prefix) as store:
        store.write([a_record(1)])
        proxy.cut = 2
        with pytest.raises(StoreBackendError, match="whether the change was made is not known"):
            store.write([a_record(2)])
        [written] = store.write([a_record(3)])
        assert [each.seq for each in history(store, 0)] == [1, 2, 3]  # it had been made, and once
        assert written.seq == 3
        assert store.check() == []
        store._own._number -= 2  # as if it arrived now
        with pytest.raises(StoreBackendError, match="too late"):
            store.write([a_record(2)])
        assert store.open(None, None).seq == 3


def test_a_lost_answer_that_was_too_long_to_keep_is_told(prefix, proxy):
    with opened(through(proxy), prefix=prefix) as store:
        store.write([a_record(number, vector=None) for number in range(20_000)])
        store.delete(Selection(refs=[1]))
        proxy.cut = 1
        with pytest.raises(StoreBackendError, match="the change was made"):
            store.delete(Selection())
        assert store.scan(Selection()) == []
        assert len(history(store, 20_000, limit=20_000)) == 20_000


def test_scripts_that_the_server_forgot_are_sent_again(url, prefix):
    with opened(url, prefix=prefix) as store, connected(url) as raw:
        store.write([a_record(1)])
        raw.script_flush()
        assert store.read([a_record(1).key])[0] is not None
        raw.script_flush()
        assert store.write([a_record(2)])[0].seq == 2


# --- a server that is stopped ----------------------------------------------------------------------------------------


def test_a_server_that_comes_back_is_used_again(tmp_path):
    with running(tmp_path, "--appendonly", "yes") as server, opened(server.url, timeout=30) as store:
        [first] = store.write([a_record(1)])
        server.stop()
        for verb in (
            lambda: store.read([a_record(1).key]),
            lambda: store.write([a_record(2)]),
            lambda: store.scan(Selection()),
            lambda: store.open(None, None),
        ):
            with pytest.raises(StoreBackendError, match="check that the server runs"):
                verb()
        server.start()
        assert store.read([a_record(1).key])[0].id == first.id
        [second] = store.write([a_record(2)])
        assert second.seq > first.seq
        server.stop(kill=True)
        server.start()
        assert ids_of(store.scan(Selection())) == [first.id, second.id]
        assert store.check() == []


def test_data_that_are_gone_are_never_taken_for_those_that_were(tmp_path):
    """The server keeps nothing: after a restart everyone begins anew, and no id means what it does not mean."""
    with running(tmp_path) as server, opened(server.url) as store, opened(server.url) as other:
        first = store.write([a_record(number) for number in range(5)])[-1]
        server.stop()
        server.start()
        assert other.read([a_record(1).key]) == [None]  # it never heard of anything, and makes the data anew
        [low] = other.write([a_record(7)])
        assert low.id <= first.id

        assert store.read([low.id]) == [None]  # until it knows that memory follows, an id from before means nothing
        assert store.read([a_record(7).key])[0].id == low.id
        with pytest.raises(StoreBackendError, match="began anew"):
            store.delete(Selection())
        [second] = store.write([a_record(2)])
        assert second.seq > first.seq + 1
        assert store.changes(first.seq) is None
        assert store.changes(first.seq) != []
        assert store.read([low.id])[0].query == "question 7"
        assert ids_of(store.delete(Selection(refs=[low.id]))) == [low.id]
        assert other.open(None, None).fingerprint == FINGERPRINT
        assert other.check() == []


def test_changes_that_the_server_lost_are_noticed(tmp_path):
    """What the latest numbers meant is forgotten; they are given out again, and those who knew them begin anew."""
    with running(tmp_path) as server, opened(server.url) as store, opened(server.url) as other:
        store.write([a_record(1)])
        with connected(server.url) as raw:
            raw.save()
        [lost] = store.write([a_record(2)])
        assert ids_of(history(other, 0)) == [1, lost.id]
        server.stop(kill=True)
        server.start()
        with opened(server.url) as newcomer:
            [again] = newcomer.write([a_record(3)])
        assert again.id == lost.id
        for each in (store, other):
            assert each.read([lost.id]) == [None]
            assert each.changes(lost.seq) is None
            assert each.read([lost.id])[0].query == "question 3"
        assert store.write([a_record(4)])[0].seq > lost.seq
        assert store.check() == []


def test_a_cache_survives_a_server_that_lost_everything(tmp_path):
    with running(tmp_path) as server, SemanticCache(store=RedisStore(server.url), embedder=HashEmbedder()) as cache:
        cache.put("how do I reset my password", "like this")
        cache.put("what is the weather", "rain")
        server.stop()
        with pytest.raises(StoreBackendError):
            cache.put("what was the other question again", "another answer")
        assert cache.get("how do I reset my password").response == "like this"  # from memory
        server.start()
        assert not cache.delete("what is the weather")  # since the failed put memory asks first, and finds nothing left
        assert cache.get("what is the weather") is None
        assert cache.get("how do I reset my password please") is None
        cache.put("what was the other question again", "another answer")
        assert cache.get("what was the other question again please").response == "another answer"
        assert cache.stats().entries == 1
        assert cache.check() == []


def test_a_cache_knows_in_the_end_what_became_of_a_change_without_an_answer(prefix, proxy):
    with SemanticCache(store=RedisStore(through(proxy), prefix=prefix), embedder=HashEmbedder()) as cache:
        cache.put("how do I reset my password", "like this")
        proxy.cut = 2
        with pytest.raises(StoreBackendError, match="not known"):
            cache.put("how do I reset my password", "like that")
        assert cache.get("how do I reset my password").response == "like that"
        assert cache.stats().entries == 1
        assert cache.check() == []


def test_a_killed_server_has_all_of_a_batch_or_nothing(tmp_path):
    with running(tmp_path, "--appendonly", "yes") as server, ThreadPoolExecutor(1) as pool:
        for number in range(5):
            written = threading.Semaphore(0)

            def write(number=number, written=written):
                acknowledged = []
                try:
                    with opened(server.url, prefix=f"round {number}") as store:
                        while True:
                            start = 40 * len(acknowledged)
                            records = [a_record(start + n, tags=("a", f"{n}")) for n in range(40)]
                            acknowledged.append(store.write(records))
                            store.delete(Selection(tags=["7"]))
                            written.release()
                except StoreBackendError:
                    return acknowledged

            writer = pool.submit(write)
            for _ in range(3 + 7 * number):
                written.acquire()
            server.stop(kill=True)
            acknowledged = writer.result()
            server.start()
            with opened(server.url, prefix=f"round {number}") as store:
                batches, tagged = divmod(len(store.scan(Selection(), limit=100_000)), 39)
                assert batches - len(acknowledged) in {0, 1}
                assert tagged in {0, 1}  # the kill came between the write and the deletion
                assert store.check() == []


# --- a server that does not answer -----------------------------------------------------------------------------------


def test_a_refused_connection_is_told():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and nobody listens
        store = RedisStore(f"redis://:secret@127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(StoreBackendError, match="check that the server runs") as caught:
            store.open(FINGERPRINT, DIM)
        assert "secret" not in str(caught.value)
        store.close()


def test_waiting_for_an_answer_ends():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = RedisStore(f"redis://127.0.0.1:{silent.getsockname()[1]}", timeout=0.05)
        with pytest.raises(StoreBackendError, match="raise timeout"):
            store.open(FINGERPRINT, DIM)
        store.close()


async def test_awaiting_an_answer_ends():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = AsyncRedisStore(f"redis://127.0.0.1:{silent.getsockname()[1]}", timeout=0.05)
        with pytest.raises(StoreBackendError, match="raise timeout"):
            await store.open(FINGERPRINT, DIM)
        await store.close()


def test_waiting_for_a_connection_ends(url, prefix):
    with opened(url, prefix=prefix, max_connections=1, timeout=0.05) as store:
        pools = store._own._link._pools
        taken = pools.take()
        with pytest.raises(StoreBackendError, match="raise max_connections"):
            store.write([a_record(1)])
        pools.give(taken, usable=True)
        assert store.write([a_record(1)])[0].seq == 1


async def test_awaiting_a_connection_ends(url, prefix):
    store = AsyncRedisStore(url, prefix=prefix, max_connections=1, timeout=0.05)
    await store.open(FINGERPRINT, DIM)
    pools = store._link._pools
    taken = await pools.take()
    with pytest.raises(StoreBackendError, match="raise max_connections"):
        await store.write([a_record(1)])
    await pools.give(taken, usable=True)
    assert (await store.write([a_record(1)]))[0].seq == 1
    await store.close()


def test_closing_does_not_wait_for_ever(tmp_path):
    with running(tmp_path) as server:
        store = RedisStore(server.url, timeout=0.05)
        store.open(FINGERPRINT, DIM)
        taken = store._own._link._pools.take()
        store._own._link._busy += 1  # someone is at work, and does not come back
        store.close()
        assert taken[1]._sock is None
        with pytest.raises(CacheClosedError):
            store.read([1])


# --- cancellation ----------------------------------------------------------------------------------------------------


async def test_a_cancelled_verb_leaves_a_usable_store(tmp_path):
    with running(tmp_path) as server, connected(server.url) as raw:
        store = AsyncRedisStore(server.url, max_connections=2)
        await store.open(FINGERPRINT, DIM)
        await store.write([a_record(1)])
        for verb in (lambda: store.write([a_record(2)]), lambda: store.read([a_record(1).key])):
            os.kill(server._process.pid, signal.SIGSTOP)
            task = asyncio.create_task(verb())
            for _ in range(30):  # until it waits for the answer
                await asyncio.sleep(0)
            assert store._link._busy
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert store._link._busy == 0
            os.kill(server._process.pid, signal.SIGCONT)
            assert (await store.read([a_record(1).key, a_record(9).key]))[1] is None
        [written] = await store.write([a_record(3)])
        assert (await store.read([written.id]))[0].query == "question 3"
        assert await store.check() == []
        await store.close()
        await_no_connection(raw)


async def test_cancelling_many_at_once_loses_no_connection(url, prefix):
    store = AsyncRedisStore(url, prefix=prefix, max_connections=3)
    await store.open(FINGERPRINT, DIM)
    for turns in range(12):
        tasks = [asyncio.create_task(store.write([a_record(number)])) for number in range(6)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*[store.read([a_record(number).key]) for number in range(20)])
    assert await store.check() == []
    await store.close()


async def test_an_async_cache_survives_cancelled_callers(url, prefix):
    store = AsyncRedisStore(url, prefix=prefix)
    async with AsyncSemanticCache(store=store, embedder=AsyncTwin(HashEmbedder())) as cache:
        await cache.put("a first question", "an answer")
        tasks = [asyncio.create_task(cache.put(f"question {number}", "an answer")) for number in range(10)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await cache.check() == []
        assert (await cache.stats()).entries >= 6


# --- connections -----------------------------------------------------------------------------------------------------


def test_no_connection_is_left_behind(tmp_path):
    with running(tmp_path) as server, connected(server.url) as raw:
        with opened(server.url, max_connections=4) as store:
            for number in range(20):
                store.write([a_record(number)])
                with pytest.raises(StoreBackendError):
                    RedisStore(server.url.replace("/0", "/99")).open(None, None)
            assert 1 <= len(connections(raw)) <= 4
            for each in connections(raw):
                raw.client_kill(each["addr"])
            assert store.read([a_record(1).key])[0] is not None
            assert store.write([a_record(21)])[0].replaced is False
        await_no_connection(raw)


# --- a server that refuses -------------------------------------------------------------------------------------------


def test_a_full_server_takes_nothing_and_gives_everything(tmp_path):
    with running(tmp_path) as server, connected(server.url) as raw, opened(server.url) as store:
        store.write([a_record(1)])
        raw.config_set("maxmemory", "1mb")
        for change in (
            lambda: store.write([a_record(2, payload=b"x" * 100_000), a_record(3)]),
            lambda: store.record(Usage({1: 5.0}, {"main": Counters(misses=1)})),
        ):
            with pytest.raises(StoreBackendError, match="maxmemory"):
                change()
        assert ids_of(store.scan(Selection())) == [1]
        assert store.check() == []
        raw.config_set("maxmemory", "0")
        assert store.write([a_record(2)])[0].seq == 2


def read_for_ever(store):
    while True:
        store.read([a_record(1).key])


def test_a_server_that_is_busy_says_so(tmp_path):
    with running(tmp_path) as server, connected(server.url) as raw, opened(server.url) as store:
        store.write([a_record(1)])
        raw.config_set("lua-time-limit", "1")
        with connected(server.url) as busy, ThreadPoolExecutor(1) as pool:
            endless = pool.submit(busy.eval, "while true do end", 0)
            try:
                with pytest.raises(StoreBackendError, match="busy with another script"):
                    read_for_ever(store)  # until the script runs
            finally:
                raw.execute_command("SCRIPT", "KILL")
            with pytest.raises(redis.ResponseError):
                endless.result()
        assert store.read([a_record(1).key])[0] is not None


def test_a_server_that_may_drop_any_key_is_refused(tmp_path):
    with running(tmp_path, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru") as server:
        with pytest.raises(StoreBackendError, match="allkeys-lru"), opened(server.url):
            pass
        with connected(server.url) as raw:
            assert raw.dbsize() == 0
            raw.config_set("maxmemory-policy", "volatile-lru")
        with opened(server.url) as store:
            assert store.check() == []


def test_a_replica_is_named_as_such(tmp_path):
    with running(tmp_path) as server, connected(server.url) as raw, opened(server.url) as store:
        store.write([a_record(1)])
        raw.replicaof("127.0.0.1", "1")
        with pytest.raises(StoreBackendError, match="connect to the primary"):
            store.write([a_record(2)])
        raw.replicaof("NO", "ONE")
        assert store.write([a_record(2)])[0].seq == 2


def test_the_documented_permissions_are_enough(tmp_path):
    allowed = ["+@read", "+@write", "+@scripting", "+info", "-keys", "-flushall", "-flushdb"]
    with running(tmp_path) as server, connected(server.url) as raw:
        raw.execute_command("ACL", "SETUSER", "cache", "on", ">word", "~{mneme}:*", "resetchannels", *allowed)
        url = server.url.replace("redis://", "redis://cache:word@")
        with opened(url) as store:
            store.write([a_record(1, tags=("a",)), a_record(2)])
            store.record(Usage({1: 5.0}, {"main": Counters(misses=1)}))
            store.delete(Selection(refs=[1]))
            assert store.check() == []
        with pytest.raises(StoreBackendError, match="grant the user"), opened(url, prefix="other"):
            pass
        with pytest.raises(StoreBackendError, match="check the user"), opened(url.replace("word", "wrong")):
            pass
