"""The Postgres stores when something fails: the server, a lock, a pool, a task, a write half-way."""

import asyncio
import contextlib
import os
import random
import signal
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg_pool
import pytest

from mneme import AsyncPostgresStore, CacheClosedError, PostgresStore, SemanticCache, StoreBackendError
from mneme.ports import Counters, Selection, Usage
from mneme.testing import HashEmbedder
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record, ids_of
from servers.postgres import Server
from stores.postgres_schemas import beside, locked, new_schema, wait_for, wait_for_waiting


@pytest.fixture
def address(server_of):
    return server_of("postgres")


@pytest.fixture
def schema():
    return new_schema()


@contextlib.contextmanager
def opened(address, schema, **options):
    store = PostgresStore(address, schema=schema, **options)
    try:
        store.open(FINGERPRINT, DIM)
        yield store
    finally:
        store.close()


@contextlib.asynccontextmanager
async def async_opened(address, schema, **options):
    store = AsyncPostgresStore(address, schema=schema, **options)
    try:
        await store.open(FINGERPRINT, DIM)
        yield store
    finally:
        await store.close()


# --- the server ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server():
    """A server that these tests may stop."""
    with tempfile.TemporaryDirectory(prefix="mneme-postgres-") as home:
        Path(home).chmod(0o755)
        server = Server(Path(home) / "server")
        yield server
        server.stop(signal.SIGQUIT)


@pytest.fixture
def running(server):
    server.start()
    yield server
    server.stop(signal.SIGQUIT)


def test_no_server_is_an_error_of_the_backend_and_names_the_place_but_no_password(server):
    store = PostgresStore(f"{server.address.replace('postgres@', 'postgres:secret@')}", connect_timeout=2)
    for _ in range(2):
        with pytest.raises(StoreBackendError, match="check that the server runs") as caught:
            store.open(FINGERPRINT, DIM)
        assert "secret" not in str(caught.value)
        assert "database postgres" in str(caught.value)
    store.close()


def test_a_store_whose_server_was_away_at_first_can_be_opened_later(server, schema):
    store = PostgresStore(server.address, schema=schema)
    with pytest.raises(StoreBackendError):
        store.open(FINGERPRINT, DIM)
    server.start()
    try:
        assert store.open(FINGERPRINT, DIM).seq == 0
        store.close()
    finally:
        server.stop()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
def test_a_store_outlives_a_stop_of_its_server(running, schema, how):
    with opened(running.address, schema) as store:
        with ThreadPoolExecutor(6) as threads:  # several connections, all of which will be dead
            list(threads.map(lambda n: store.write([a_record(n)]), range(30)))
        running.stop(how)
        for verb in (lambda: store.read([1]), lambda: store.write([a_record(99)]), lambda: store.scan(Selection())):
            with pytest.raises(StoreBackendError, match="could not be used"):
                verb()
        running.start()
        assert store.read([1])[0].id == 1
        (written,) = store.write([a_record(99)])
        assert written.seq == 31
        with ThreadPoolExecutor(6) as threads:
            list(threads.map(lambda n: store.write([a_record(100 + n)]), range(30)))
        assert len(store.scan(Selection())) == 61
        assert store.check() == []


def write_pairs_until_it_fails(store, worker, acknowledged, enough):
    for step in range(100_000):
        base = 200_000 * worker + 2 * step
        try:
            written = store.write([a_record(base), a_record(base + 1)])
        except StoreBackendError:
            return
        acknowledged.append((base, written))
        if len(acknowledged) > 40:
            enough.set()


def test_a_server_that_crashes_among_writers_keeps_what_was_acknowledged(running, schema):
    with opened(running.address, schema) as store:
        for round_ in range(3):
            acknowledged, enough = [], threading.Event()
            with ThreadPoolExecutor(4) as threads:
                writers = [
                    threads.submit(write_pairs_until_it_fails, store, 4 * round_ + worker, acknowledged, enough)
                    for worker in range(4)
                ]
                assert enough.wait(60)
                running.stop(signal.SIGQUIT)
                for writer in writers:
                    writer.result()
            running.start()
            for base, written in acknowledged:
                pair = store.read([a_record(base).key, a_record(base + 1).key])
                assert [(each.id, each.seq) for each in pair] == [(each.id, each.seq) for each in written]
            records = store.scan(Selection(), limit=100_000)
            assert len(records) % 2 == 0  # what was not acknowledged is there whole or not at all
            assert store.check() == []
            (last,) = store.write([a_record(10_000_000)])
            assert last.seq > max(record.seq for record in records)
            store.delete(Selection(refs=[last.id]))


def test_a_restart_between_two_verbs_is_not_even_noticed(running, schema):
    with opened(running.address, schema) as store:
        for number in range(3):
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(lambda _: store.read([1, 2]), range(20)))
            running.stop(signal.SIGQUIT)
            running.start()
            assert store.read([1]) in ([None], [store.read([1])[0]])
            (written,) = store.write([a_record(number)])
            assert written.seq == number + 1


async def test_the_asyncio_store_outlives_a_stop_of_its_server(running, schema):
    async with async_opened(running.address, schema) as store:
        await asyncio.gather(*(store.write([a_record(n)]) for n in range(30)))
        running.stop(signal.SIGQUIT)
        for verb in (lambda: store.read([1]), lambda: store.write([a_record(99)]), lambda: store.scan(Selection())):
            with pytest.raises(StoreBackendError, match="could not be used"):
                await verb()
        running.start()
        assert (await store.read([1]))[0].id == 1
        assert (await store.write([a_record(99)]))[0].seq == 31
        assert await store.check() == []


def test_a_cache_goes_on_answering_from_memory_and_heals(running, schema):
    store = PostgresStore(running.address, schema=schema)
    with SemanticCache(store=store, embedder=HashEmbedder()) as cache:
        cache.put("a question", "an answer")
        running.stop(signal.SIGQUIT)
        assert cache.get("a question").response == "an answer"
        assert cache.get_or_compute("another", lambda _: "computed") == "computed"
        with pytest.raises(StoreBackendError):
            cache.put("one more", "lost")
        running.start()
        cache.put("one more", "kept")
        assert cache.get("a question").response == "an answer"
        assert cache.check() == []


@pytest.mark.parametrize("write", [False, True])
def test_connections_that_the_server_ended_while_they_lay_idle_are_replaced(address, schema, write):
    with opened(f"{address}&application_name={schema}", schema) as store:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda n: store.write([a_record(n)]), range(20)))
        with beside(address, schema) as other:
            ended = other.execute(
                "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE application_name = %s",
                (schema,),
            )
            assert ended.fetchone()[0] >= 1
        for number in range(8):
            if write:
                assert len(store.write([a_record(number)])) == 1
            else:
                assert store.read([1])[0].id == 1


def test_the_callers_pool_is_mended_as_well(address, schema):
    with psycopg_pool.ConnectionPool(f"{address}&application_name={schema}", min_size=2, open=True) as pool:
        pool.wait(30)
        store = PostgresStore(pool=pool, schema=schema)
        store.open(FINGERPRINT, DIM)
        with beside(address, schema) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = %s", (schema,)
            )
        for number in range(4):
            assert len(store.write([a_record(number)])) == 1
        store.close()


def test_a_connection_that_dies_in_the_middle_of_a_write_leaves_nothing(address, schema):
    with (
        opened(f"{address}&application_name={schema}", schema) as store,
        locked(address, schema),
        ThreadPoolExecutor(1) as threads,
    ):
        write = threads.submit(store.write, [a_record(1), a_record(2)])
        wait_for_waiting(address, schema)
        with beside(address, schema) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", (schema,)
            )
        with pytest.raises(StoreBackendError, match=r"connection.*whether the change was made is not known"):
            write.result()
    with opened(address, schema) as store:
        assert store.changes(0) == []
        assert [each.seq for each in store.write([a_record(1)])] == [1]


# --- time and room ---------------------------------------------------------------------------------------------------


def test_a_writer_waits_no_longer_than_it_was_told(address, schema):
    with opened(address, schema, statement_timeout=0.2) as store:
        store.write([a_record(1)])
        with locked(address, schema):
            for verb in (
                lambda: store.write([a_record(2)]),
                lambda: store.delete(Selection()),
                lambda: store.record(Usage({}, {"main": Counters(misses=1)})),
                lambda: store.mark("no"),
                lambda: store.open(None, None),
            ):
                with pytest.raises(StoreBackendError, match=r"statement_timeout.*nothing was changed"):
                    verb()
            assert store.read([1])[0].id == 1  # readers wait for nobody
            assert len(store.changes(0)) == 1
        assert [each.seq for each in store.write([a_record(2)])] == [2]
        assert store.check() == []


def test_a_reader_waits_no_longer_than_it_was_told(address, schema):
    """A lock that mneme never takes. The single statement of an exact read is ended from this side."""
    with opened(f"{address}&application_name={schema}", schema, statement_timeout=0.1) as store:
        store.write([a_record(1)])
        with locked(address, schema, "LOCK TABLE {s}.entries"):
            for verb in (lambda: store.scan(Selection()), lambda: store.read([1, 2]), lambda: store.read([1])):
                with pytest.raises(StoreBackendError, match="time"):
                    verb()
        assert store.read([1])[0].id == 1
        # Nothing goes on waiting in the server.
        idle = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = %s AND state <> 'idle'"
        wait_for(address, idle, (schema,))


def test_a_reader_on_the_callers_pool_waits_no_longer_than_it_was_told(address, schema):
    with psycopg_pool.ConnectionPool(address, min_size=1, open=True) as pool:
        store = PostgresStore(pool=pool, schema=schema, statement_timeout=0.1)
        store.open(FINGERPRINT, DIM)
        with locked(address, schema, "LOCK TABLE {s}.entries"):
            for verb in (lambda: store.read([1]), lambda: store.scan(Selection())):
                with pytest.raises(StoreBackendError, match="statement_timeout"):
                    verb()
        assert store.read([1]) == [None]
        store.close()


async def test_an_asyncio_reader_waits_no_longer_than_it_was_told(address, schema):
    async with async_opened(address, schema, statement_timeout=0.1) as store:
        await store.write([a_record(1)])
        with locked(address, schema, "LOCK TABLE {s}.entries"):
            for verb in (lambda: store.scan(Selection()), lambda: store.read([1])):
                with pytest.raises(StoreBackendError, match="time"):
                    await verb()
        assert (await store.read([1]))[0].id == 1


def test_when_all_connections_are_in_use_the_wait_for_one_is_bounded(address, schema):
    with opened(address, schema, max_size=1, connect_timeout=0.2) as store, ThreadPoolExecutor(1) as threads:
        with locked(address, schema):
            write = threads.submit(store.write, [a_record(1)])
            wait_for_waiting(address, schema)
            with pytest.raises(StoreBackendError, match="raise max_size"):
                store.read([1])
        assert write.result()[0].seq == 1
        assert store.read([1])[0].id == 1


def test_why_no_connection_can_be_made_is_said_with_the_remedy(address):
    with beside(address) as other:
        other.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 0")
        for wrong, remedy in (
            (address.replace("postgres@", "few@"), "max_connections"),
            (address.replace("postgres@", "nobody@"), "check user, password"),
            (address.replace("/postgres?", "/nowhere?"), "create the database"),
        ):
            with pytest.raises(StoreBackendError, match=remedy):
                PostgresStore(wrong).open(None, None)
        other.execute("DROP ROLE few")


# --- half-way --------------------------------------------------------------------------------------------------------


def test_a_write_that_fails_on_this_side_half_way_leaves_nothing(address, schema):
    with opened(address, schema) as store:
        store.write([a_record(0)])
        records = [*(a_record(number) for number in range(1, 3000)), a_record(3000, query="\ud800")]
        with pytest.raises(UnicodeEncodeError):
            store.write(records)
        assert len(store.changes(0)) == 1
        assert [each.seq for each in store.write([a_record(1)])] == [2]
        assert store.check() == []


async def test_a_write_that_fails_on_the_server_half_way_leaves_nothing(address, schema):
    async with async_opened(address, schema) as store:
        with beside(address, schema) as other:
            other.execute("ALTER TABLE {s}.vectors ADD CHECK (id <> 2500)")
        with pytest.raises(Exception, match="check constraint"):
            await store.write([a_record(number) for number in range(3000)])
        assert await store.changes(0) == []
        with beside(address, schema) as other:
            other.execute("ALTER TABLE {s}.vectors DROP CONSTRAINT vectors_id_check")
        written = await store.write([a_record(number) for number in range(3000)])
        assert written[-1].seq == 3000
        assert await store.check() == []


def test_ctrl_c_ends_a_write_that_waits_and_leaves_nothing(address, schema):
    with opened(address, schema) as store:
        with locked(address, schema):
            interrupter = threading.Thread(
                target=lambda: (wait_for_waiting(address, schema), os.kill(os.getpid(), signal.SIGINT))
            )
            interrupter.start()
            with pytest.raises(KeyboardInterrupt):
                store.write([a_record(1)])
            interrupter.join()
        assert store.changes(0) == []
        assert store.write([a_record(1)])[0].seq == 1


async def test_a_cancelled_write_that_waits_leaves_nothing_and_a_usable_store(address, schema):
    async with async_opened(address, schema, max_size=2) as store:
        for _ in range(5):
            with locked(address, schema):
                write = asyncio.create_task(store.write([a_record(1)]))
                await asyncio.to_thread(wait_for_waiting, address, schema)
                write.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await write
        assert await store.changes(0) == []
        assert (await store.write([a_record(1)]))[0].seq == 1
        assert await store.check() == []


async def test_verbs_cancelled_anywhere_happen_whole_or_not_at_all(address, schema):
    chance = random.Random(7)
    async with async_opened(address, schema, max_size=3) as store:

        async def one(number):
            await store.write([a_record(2 * number), a_record(2 * number + 1)])
            await store.read([a_record(number).key])
            await store.scan(Selection(namespace="main"), limit=3)

        for number in range(60):
            tasks = [asyncio.create_task(one(4 * number + part)) for part in range(4)]
            for _ in range(chance.randrange(40)):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        alive = {each.key for each in await store.scan(Selection(), limit=1000)}
        for number in range(240):
            assert (a_record(2 * number).key in alive) == (a_record(2 * number + 1).key in alive)
        assert await store.check() == []
        # Every connection of the pool is still to be had.
        pages = await asyncio.gather(*(store.scan(Selection(), limit=1) for _ in range(30)))
        assert len(pages) == 30


async def test_an_opening_that_is_cancelled_leaves_nothing(address, schema):
    async with async_opened(address, schema):
        pass
    again = AsyncPostgresStore(address, schema=schema)
    with locked(address, schema):
        opening = asyncio.create_task(again.open(FINGERPRINT, DIM))
        await asyncio.to_thread(wait_for_waiting, address, schema)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    assert not any("mneme" in task.get_name() for task in asyncio.all_tasks())
    assert (await again.open(FINGERPRINT, DIM)).seq == 0
    await again.close()


# --- processes -------------------------------------------------------------------------------------------------------


def test_a_forked_child_is_refused_and_the_parent_is_not_disturbed(address, schema):
    with opened(address, schema) as store:
        store.write([a_record(1)])
        reading, writing = os.pipe()
        child = _fork()
        if child == 0:
            said = b"nothing"
            try:
                for call in (lambda: store.read([1]), lambda: store.write([a_record(2)]), store.summary):
                    try:
                        call()
                        said = b"worked"
                        break
                    except StoreBackendError:
                        said = b"refused"
                store.close()
                os.write(writing, said)
            finally:
                os._exit(0)
        os.close(writing)
        os.waitpid(child, 0)
        assert os.read(reading, 100) == b"refused"
        os.close(reading)
        assert ids_of(store.write([a_record(2)])) == [2]
        assert store.check() == []


def _fork():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, which is the point here
        return os.fork()


def test_closing_ends_verbs_that_wait_with_closed_errors(address, schema):
    with opened(address, schema, max_size=1, connect_timeout=30) as store, ThreadPoolExecutor(2) as threads:
        with locked(address, schema):
            write = threads.submit(store.write, [a_record(1)])
            wait_for_waiting(address, schema)
            read = threads.submit(store.read, [1])
            store.close()
            with pytest.raises(CacheClosedError):
                read.result(timeout=60)
        assert write.result(timeout=60)[0].seq == 1  # it had begun, and was finished
