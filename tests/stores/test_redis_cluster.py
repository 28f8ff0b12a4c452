"""The Redis stores on a cluster, of one node: all slots are there, and keys of different slots are refused together."""

import asyncio
import contextlib

import pytest
import redis.asyncio
import redis.cluster

from mneme.errors import StoreBackendError
from mneme.ports import Selection
from mneme.stores import AsyncRedisStore, RedisStore
from mneme.testing import StoreContract
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record, history
from servers.redis import Server
from stores.redis_servers import a_prefix, connected


@contextlib.contextmanager
def clustered(directory):
    """A node that serves every slot."""
    server = Server(directory, "--cluster-enabled", "yes").start()
    try:
        with connected(server.url) as node:
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            await_cluster(node)
        yield server
    finally:
        server.stop()


def await_cluster(node):
    while b"cluster_state:ok" not in node.execute_command("CLUSTER", "INFO", NEVER_DECODE=True):
        pass


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Host and port of a node that serves every slot."""
    with clustered(tmp_path_factory.mktemp("cluster")) as server:
        yield {"host": "127.0.0.1", "port": server.port}


class TestRedisStoreOnACluster(StoreContract):
    @pytest.fixture(autouse=True)
    def on_a_cluster(self, cluster):
        self.prefix = a_prefix()
        with redis.cluster.RedisCluster(**cluster) as self.client:
            yield

    def make_store(self):
        return RedisStore(client=self.client, prefix=self.prefix)


async def test_an_asyncio_cluster_client_will_do(cluster):
    prefix = a_prefix()
    async with redis.asyncio.RedisCluster(**cluster) as client:
        store = AsyncRedisStore(client=client, prefix=prefix)
        await store.open(FINGERPRINT, DIM)
        written = await asyncio.gather(*[store.write([a_record(number)]) for number in range(20)])
        assert sorted(each.seq for [each] in written) == list(range(1, 21))
        found = await asyncio.gather(*[store.read([a_record(number).key]) for number in range(20)])
        assert all(record is not None for [record] in found)
        assert len(await store.delete(Selection(namespace="main"))) == 20
        assert await store.check() == []

        await store.close()
        assert await client.ping(target_nodes="all")  # it is the caller's

        store = AsyncRedisStore(client=client, prefix=prefix)
        await store.open(FINGERPRINT, DIM)
        with connected(f"redis://127.0.0.1:{cluster['port']}") as node:
            for each in node.client_list():
                if each["cmd"] == "evalsha":
                    node.client_kill(each["addr"])
        assert (await store.write([a_record(1)]))[0].seq == 41
        await store.close()


async def test_a_cancelled_verb_leaves_the_cluster_client_usable(cluster):
    async with redis.asyncio.RedisCluster(**cluster) as client:
        store = AsyncRedisStore(client=client, prefix=a_prefix())
        await store.open(FINGERPRINT, DIM)
        for turns in range(10):
            task = asyncio.create_task(store.write([a_record(turns)]))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await store.write([a_record(99)])
        assert await store.check() == []
        await store.close()


def test_keys_that_moved_are_looked_for_and_keys_that_are_nowhere_are_told(cluster):
    prefix = a_prefix()
    with connected(f"redis://127.0.0.1:{cluster['port']}") as node, redis.cluster.RedisCluster(**cluster) as client:
        store = RedisStore(client=client, prefix=prefix)
        store.open(FINGERPRINT, DIM)
        store.write([a_record(1)])
        slot = node.execute_command("CLUSTER", "KEYSLOT", f"{{{prefix}}}:meta")
        node.execute_command("CLUSTER", "DELSLOTS", slot)
        with pytest.raises(StoreBackendError, match="the cluster is not complete"):
            store.write([a_record(2)])
        node.execute_command("CLUSTER", "ADDSLOTS", slot)
        await_cluster(node)
        assert store.write([a_record(2)])[0].seq == 2
        assert len(history(store, 0)) == 2
        store.close()


async def test_a_cluster_that_is_gone_is_told_and_used_again(tmp_path):
    with clustered(tmp_path / "own") as server:
        address = {"host": "127.0.0.1", "port": server.port}
        async with redis.asyncio.RedisCluster(**address) as late:
            with redis.cluster.RedisCluster(**address) as client:
                store = RedisStore(client=client)
                store.open(FINGERPRINT, DIM)
                store.write([a_record(1)])
                server.stop()
                with pytest.raises(StoreBackendError, match="check that the server runs"):
                    store.read([1])
                with pytest.raises(StoreBackendError, match="check that the server runs"):
                    store.write([a_record(2)])
                awaited = AsyncRedisStore(client=late)
                with pytest.raises(StoreBackendError, match="check that the server runs"):
                    await awaited.open(FINGERPRINT, DIM)
                server.start()
                with connected(server.url) as node:
                    await_cluster(node)
                [written] = store.write([a_record(2)])
                assert written.seq > 1
                assert (await awaited.open(FINGERPRINT, DIM)).seq == written.seq
                await awaited.close()
                store.close()
