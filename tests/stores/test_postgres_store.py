"""What is special about the Postgres stores: how they are made and opened, and what they leave on the server."""

import asyncio
import contextlib
import inspect
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import psycopg_pool
import pytest
from hypothesis import given, strategies as st
from psycopg.rows import dict_row

import mneme
from mneme import (
    AsyncPostgresStore,
    CacheClosedError,
    CorruptCacheError,
    EmbedderMismatchError,
    PostgresStore,
    SchemaMigrationError,
    StoreBackendError,
)
from mneme.ports import Counters, MarkedStore, SearchingStore, Selection, Store, SwappingStore, Usage
from mneme.stores import _postgres_rows, _postgres_schema, _postgres_verbs
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record, history, ids_of
from stores.postgres_schemas import beside, new_schema, wait_for


@pytest.fixture
def address(server_of):
    return server_of("postgres")


@pytest.fixture
def schema():
    return new_schema()


@pytest.fixture
def store(address, schema):
    store = PostgresStore(address, schema=schema)
    store.open(FINGERPRINT, DIM)
    yield store
    store.close()


def state(address, schema):
    """Everything in the schema, as text."""
    with beside(address, schema) as other:
        names = other.execute("SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace", (f'"{schema}"',))
        tables = sorted(name for (name,) in names.fetchall())
        held = {}
        for name in tables:
            with contextlib.suppress(psycopg.errors.WrongObjectType):  # an index
                held[name] = other.execute('SELECT t::text FROM "{s}".{t} t ORDER BY 1'.replace("{t}", name)).fetchall()
        return tables, held


# --- construction ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "arguments", "options"),
    [
        (TypeError, (), {}),
        (TypeError, ("postgresql:///",), {"pool": object()}),
        (TypeError, (), {"pool": object()}),
        (TypeError, (7,), {}),
        (ValueError, ("no dsn at all",), {}),
        (ValueError, ("postgresql:///",), {"schema": ""}),
        (ValueError, ("postgresql:///",), {"schema": "x" * 64}),
        (ValueError, ("postgresql:///",), {"schema": "public"}),
        (ValueError, ("postgresql:///",), {"schema": "dollar$"}),
        (ValueError, ("postgresql:///",), {"schema": "pg_mneme"}),
        (TypeError, ("postgresql:///",), {"schema": 7}),
        (ValueError, ("postgresql:///",), {"connect_timeout": 0}),
        (TypeError, ("postgresql:///",), {"statement_timeout": "1s"}),
        (ValueError, ("postgresql:///",), {"statement_timeout": float("nan")}),
        (TypeError, ("postgresql:///",), {"max_size": True}),
        (ValueError, ("postgresql:///",), {"max_size": 0}),
        (ValueError, ("postgresql:///",), {"prepare_threshold": -1}),
    ],
)
@pytest.mark.parametrize("make", [PostgresStore, AsyncPostgresStore])
def test_options_that_do_not_hold_are_refused(make, error, arguments, options):
    with pytest.raises(error):
        make(*arguments, **options)


def test_both_stores_take_the_same_options_and_have_the_same_verbs():
    blocking, asynchronous = (inspect.signature(make).parameters for make in (PostgresStore, AsyncPostgresStore))
    assert [(p.name, p.kind, p.default) for p in blocking.values()] == [
        (p.name, p.kind, p.default) for p in asynchronous.values()
    ]
    promised = {"schema", "exists", *dir(Store), *dir(MarkedStore), *dir(SearchingStore), *dir(SwappingStore)}
    for make in (PostgresStore, AsyncPostgresStore):
        assert {name for name in dir(make) if name[0] != "_"} == {name for name in promised if name[0] != "_"}


def test_making_a_store_connects_to_nothing():
    store = PostgresStore("postgresql://nobody:secret@192.0.2.1/none")
    assert (store.name, store.schema) == ("postgres", "mneme")
    store.close()
    with pytest.raises(CacheClosedError):
        store.open(None, None)


def test_a_store_that_is_not_open_says_so():
    with pytest.raises(CacheClosedError, match="call open first"):
        PostgresStore("postgresql:///").read([1])


def test_without_the_driver_everything_else_works_and_the_store_names_the_extra():
    code = """
import sys
import mneme
assert not {"psycopg", "psycopg_pool"} & set(sys.modules)
sys.modules["psycopg"] = None
from mneme import *
from mneme.stores import *
for make in (PostgresStore, AsyncPostgresStore):
    try:
        make("postgresql:///")
    except ImportError as error:
        assert f"{make.__name__} needs psycopg: pip install 'mneme-cache[postgres]'" in str(error), error
    else:
        raise AssertionError
"""
    environment = os.environ | {"PYTHONPATH": str(Path(mneme.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("schema", ['Qu"oted', "with space", "%s per cent %", "ünïcode", "select"])
def test_any_name_may_be_the_schema(address, schema):
    store = PostgresStore(address, schema=schema)
    store.open(FINGERPRINT, DIM)
    (written,) = store.write([a_record(1, tags=("t",))])
    assert ids_of(store.scan(Selection(tags=["t"]))) == [written.id]
    assert store.check() == []
    assert store.compact() >= 0
    assert len(store.delete(Selection())) == 1
    store.close()
    assert "entries" in state(address, schema.replace('"', '""'))[0]


# --- the caller's own pool -------------------------------------------------------------------------------------------


def test_the_callers_pool_is_used_as_it_is_and_stays_open(address, schema):
    options = {"row_factory": dict_row, "cursor_factory": psycopg.ClientCursor}
    with psycopg_pool.ConnectionPool(address, kwargs=options, min_size=1, max_size=2, open=True) as pool:
        store = PostgresStore(pool=pool, schema=schema)
        store.open(FINGERPRINT, DIM)
        (written,) = store.write([a_record(1)])
        assert store.read([a_record(1).key])[0].id == written.id
        assert store.read([1, 2])[1] is None
        assert store.compact() >= 0
        store.close()
        with pytest.raises(CacheClosedError):
            store.read([1])
        with pool.connection() as connection:
            assert not connection.autocommit
            assert connection.execute("SELECT 1 AS one").fetchone() == {"one": 1}
            prepared, locks, timeout, path = (
                connection.execute(f"SELECT {what} AS it").fetchone()["it"]
                for what in (
                    "(SELECT count(*) FROM pg_prepared_statements)",
                    "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')",
                    "current_setting('statement_timeout')",
                    "current_setting('search_path')",
                )
            )
        # Nothing of the store's is left in the session, which a pooler would give to somebody else.
        assert (prepared, locks, timeout, path) == (0, 0, "0", '"$user", public')
        assert pool.get_stats()["pool_size"] == pool.get_stats()["pool_available"]


async def test_the_callers_asyncio_pool_is_used_as_it_is_and_stays_open(address, schema):
    async with psycopg_pool.AsyncConnectionPool(address, min_size=1, max_size=2, open=False) as pool:
        store = AsyncPostgresStore(pool=pool, schema=schema)
        await store.open(FINGERPRINT, DIM)
        await store.write([a_record(1)])
        assert (await store.read([a_record(1).key]))[0].query == "question 1"
        await store.close()
        async with pool.connection() as connection:
            assert not connection.autocommit
            cursor = await connection.execute("SELECT 1")
            assert await cursor.fetchone() == (1,)


def test_a_pool_that_its_owner_closed_is_an_error_of_the_backend(address, schema):
    with psycopg_pool.ConnectionPool(address, min_size=1, open=True) as pool:
        store = PostgresStore(pool=pool, schema=schema)
        store.open(FINGERPRINT, DIM)
    with pytest.raises(StoreBackendError, match="its pool was closed"):
        store.read([1])
    store.close()


def test_defaults_of_the_role_do_not_reach_the_transactions(address, schema):
    settings = {"default_transaction_isolation": "serializable", "default_transaction_read_only": "on"}
    options = "%20".join(f"-c%20{name}%3D{value}" for name, value in settings.items())
    store = PostgresStore(f"{address}&options={options}", schema=schema)
    store.open(FINGERPRINT, DIM)
    with ThreadPoolExecutor(4) as threads:  # one that waited for another would fail to serialise
        list(threads.map(lambda n: store.write([a_record(n)]), range(40)))
    assert len(store.scan(Selection())) == 40
    store.close()


def test_commits_wait_for_the_disk_even_if_the_role_says_not_to(address, schema):
    with beside(address, schema) as other:
        other.execute("CREATE TABLE public.seen (setting text)")
        store = PostgresStore(f"{address}&options=-c%20synchronous_commit%3Doff", schema=schema)
        store.open(FINGERPRINT, DIM)
        other.execute(
            "CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN INSERT INTO public.seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END$$"
        )
        other.execute("CREATE TRIGGER note AFTER INSERT ON {s}.entries EXECUTE FUNCTION public.note()")
        store.write([a_record(1)])
        store.close()
        assert other.execute("SELECT setting FROM public.seen").fetchall() == [("on",)]
        other.execute("DROP SCHEMA {s} CASCADE")
        other.execute("DROP FUNCTION public.note")
        other.execute("DROP TABLE public.seen")


# --- opening ---------------------------------------------------------------------------------------------------------


def test_an_empty_schema_is_used_and_a_missing_one_made(address, schema):
    with beside(address, schema) as other:
        other.execute("CREATE SCHEMA {s}")
    store = PostgresStore(address, schema=schema)
    assert store.open(None, None).seq == 0
    store.close()
    assert set(state(address, schema)[0]) >= _postgres_schema.TABLES


@pytest.mark.parametrize(
    "foreign",
    [
        "CREATE TABLE {0}.users (name text); INSERT INTO {0}.users VALUES ('ann')",
        "CREATE VIEW {0}.meta AS SELECT 1 AS one",
        "CREATE TABLE {0}.meta (application text, version int); INSERT INTO {0}.meta VALUES ('other', 1)",
        "CREATE TABLE {0}.meta (application text, version int)",
    ],
)
def test_a_schema_that_is_not_ours_is_refused_and_left_as_it_was(address, schema, foreign):
    with beside(address, schema) as other:
        other.execute("CREATE SCHEMA {s}")
        other.execute(foreign.format(schema))
    before = state(address, schema)
    store = PostgresStore(address, schema=schema)
    for _ in range(2):
        with pytest.raises(CorruptCacheError, match=schema):
            store.open(FINGERPRINT, DIM)
    store.close()
    assert state(address, schema) == before


def test_a_newer_schema_is_refused_and_left_as_it_was(store, address, schema):
    store.write([a_record(1)])
    with beside(address, schema) as other:
        other.execute("UPDATE {s}.meta SET version = 99")
    before = state(address, schema)
    again = PostgresStore(address, schema=schema)
    with pytest.raises(SchemaMigrationError, match="99"):
        again.open(FINGERPRINT, DIM)
    again.close()
    assert state(address, schema) == before


def test_a_schema_with_a_table_missing_is_damaged(store, address, schema):
    with beside(address, schema) as other:
        other.execute("DROP TABLE {s}.vectors")
    again = PostgresStore(address, schema=schema)
    with pytest.raises(CorruptCacheError, match="vectors is missing"):
        again.open(FINGERPRINT, DIM)
    again.close()
    with beside(address, schema) as other:
        other.execute("DROP FUNCTION {s}.read_key")
    for verb in (store.vectors, lambda: store.read([a_record(1).key])):
        with pytest.raises(StoreBackendError, match="removed by something else"):
            verb()


def test_migrations_run_in_order_and_once(store, address, schema, monkeypatch):
    steps = (*_postgres_schema.MIGRATIONS, ("ALTER TABLE {s}.meta ADD COLUMN extra text DEFAULT 'new'",))
    monkeypatch.setattr(_postgres_verbs, "MIGRATIONS", steps)
    store.write([a_record(1)])
    for _ in range(2):
        newer = PostgresStore(address, schema=schema)
        assert newer.open(FINGERPRINT, DIM).schema_version == len(steps)
        assert newer.read([1])[0].query == "question 1"
        newer.close()
    monkeypatch.undo()
    older = PostgresStore(address, schema=schema)
    with pytest.raises(SchemaMigrationError):
        older.open(FINGERPRINT, DIM)
    older.close()


def test_an_opening_that_fails_leaves_no_pool_and_can_be_done_again(store, address, schema):
    again = PostgresStore(address, schema=schema)
    for _ in range(2):
        with pytest.raises(EmbedderMismatchError):
            again.open("another", DIM)
        assert sum("mneme" in thread.name for thread in threading.enumerate()) == 2  # of the fixture's store
    with pytest.raises(CacheClosedError, match="call open first"):
        again.read([1])
    assert again.open(FINGERPRINT, DIM).dim == DIM
    again.close()


def test_a_migration_that_fails_leaves_nothing(address, schema, monkeypatch):
    steps = (*_postgres_schema.MIGRATIONS, ("CREATE TABLE {s}.more (id int)", "SELECT 1 / 0"))
    monkeypatch.setattr(_postgres_verbs, "MIGRATIONS", steps)
    store = PostgresStore(address, schema=schema)
    with pytest.raises(StoreBackendError, match="division by zero"):
        store.open(FINGERPRINT, DIM)
    store.close()
    with beside(address, schema) as other:
        assert other.execute("SELECT to_regnamespace(%s)", (schema,)).fetchone() == (None,)


def test_of_those_who_open_at_once_one_makes_the_schema_and_one_embedder_wins(address, schema):
    stores = [PostgresStore(address, schema=schema) for _ in range(8)]
    together = threading.Barrier(8)

    def bind(number):
        together.wait(timeout=60)
        try:
            return stores[number].open(f"embedder {number % 2}", DIM).fingerprint
        except EmbedderMismatchError:
            return None

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(bind, range(8)))
    winners = {outcome for outcome in outcomes if outcome is not None}
    assert len(winners) == 1
    assert outcomes.count(None) == 4
    for store in stores:
        store.close()


def test_two_threads_that_open_one_store_make_one_pool(address, schema):
    store = PostgresStore(address, schema=schema)
    with ThreadPoolExecutor(4) as threads:
        infos = list(threads.map(lambda _: store.open(FINGERPRINT, DIM), range(4)))
    assert len(set(infos)) == 1
    assert sorted(t.name for t in threading.enumerate() if "mneme" in t.name) == ["mneme-scheduler", "mneme-worker-0"]
    store.close()


async def test_two_tasks_that_open_one_store_make_one_pool(address, schema):
    store = AsyncPostgresStore(address, schema=schema)
    infos = await asyncio.gather(*(store.open(FINGERPRINT, DIM) for _ in range(4)))
    assert len(set(infos)) == 1
    assert sum("mneme" in task.get_name() for task in asyncio.all_tasks()) == 2
    await store.close()


def test_a_user_without_rights_is_told_what_to_grant(store, address, schema):
    with beside(address, schema) as other:
        other.execute("CREATE ROLE reader LOGIN")
        other.execute("GRANT USAGE ON SCHEMA {s} TO reader")
        other.execute("GRANT SELECT ON ALL TABLES IN SCHEMA {s} TO reader")
    for name in (schema, new_schema()):
        reader = PostgresStore(address.replace("postgres@", "reader@"), schema=name)
        with pytest.raises(StoreBackendError, match=r"permission denied.*grant"):
            reader.open(None, None)
        reader.close()
    with beside(address, schema) as other:
        other.execute("DROP OWNED BY reader")
        other.execute("DROP ROLE reader")


def test_a_database_in_another_encoding_is_refused(address, schema):
    with beside(address, schema) as other:
        other.execute("CREATE DATABASE old ENCODING 'LATIN1' TEMPLATE template0")
    store = PostgresStore(address.replace("/postgres?", "/old?"), schema=schema)
    with pytest.raises(StoreBackendError, match="LATIN1"):
        store.open(None, None)
    store.close()


# --- what is stored --------------------------------------------------------------------------------------------------


@given(st.text(st.sampled_from("a0e\0\x1a\x1b")), st.text(st.sampled_from("a0e\0\x1a\x1b")))
def test_texts_with_characters_that_postgres_has_not_come_back(one, other):
    assert _postgres_rows.told(_postgres_rows.held(one)) == one
    assert "\0" not in _postgres_rows.held(one)
    assert (_postgres_rows.held(one) == _postgres_rows.held(other)) == (one == other)


def test_the_mark_is_remembered(store, address, schema):
    assert isinstance(store, MarkedStore)
    assert store.marked() is None
    store.mark("one \0")
    store.mark("two \0")
    assert store.marked() == "two \0"
    assert store.open(None, None).seq == 0
    again = PostgresStore(address, schema=schema)
    again.open(None, None)
    assert again.marked() == "two \0"
    again.close()


def test_a_batch_of_many_statements_is_one_transaction(store):
    """Duplicates may lie in different statements; large payloads travel one by one."""
    records = [a_record(number % 9000, query=f"q{number}") for number in range(10_000)]
    records += [a_record(9000 + number, payload=bytes(5 * 2**20)) for number in range(4)]
    written = store.write(records)
    assert [each.seq for each in written] == list(range(1, 10_005))
    assert [each.replaced for each in written] == [9000 <= number < 10_000 for number in range(10_004)]
    assert [each.id for each in written[9000:10_000]] == [each.id for each in written[:1000]]
    assert [each.query for each in store.read([1, 1000, 1001])] == ["q9000", "q9999", "q1000"]
    assert [len(each.payload) for each in store.read([each.id for each in written[-4:]])] == [5 * 2**20] * 4
    assert store.check() == []


def test_deletions_are_forgotten_after_a_while_and_readers_are_told(store, monkeypatch):
    monkeypatch.setattr(_postgres_verbs, "HISTORY", 20)
    for number in range(50):
        (written,) = store.write([a_record(number)])
        store.delete(Selection(refs=[written.id]))
    assert [each.seq for each in store.changes(80)] == list(range(82, 101, 2))
    assert store.changes(79) is None
    assert store.changes(0) is None
    assert store.changes(-5) is None
    assert store.changes(2**70) == []
    assert store.check() == []


def test_plans_that_were_made_while_there_was_nothing_do_not_read_everything(address, schema):
    """The server keeps the plans of functions; it was empty when they were made."""
    with psycopg_pool.ConnectionPool(
        address, min_size=1, max_size=1, open=True
    ) as pool:  # one session, one set of plans

        def rows_read():
            with pool.connection() as connection:
                connection.execute("SELECT pg_stat_force_next_flush()")
            with pool.connection() as connection:
                count = "SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = %s AND relname <> 'meta'"
                return connection.execute(count, (schema,)).fetchone()[0]

        store = PostgresStore(pool=pool, schema=schema)
        store.open(FINGERPRINT, DIM)
        for number in range(20):
            store.read([a_record(number).key])
            store.read([number, number + 1])
            store.write([a_record(number)])
        store.write([a_record(number, scope=str(number)) for number in range(3000)])
        before = rows_read()
        for number in range(0, 3000, 100):
            assert store.read([a_record(number).key])[0] is not None
            assert None not in store.read([a_record(number).key, a_record(number + 1).key])
            store.write([a_record(number)])
        assert rows_read() - before < 3000
        store.close()


def test_no_connection_outlives_the_store(address, schema):
    store = PostgresStore(f"{address}&application_name={schema}", schema=schema)
    store.open(FINGERPRINT, DIM)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: store.write([a_record(n)]), range(64)))
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    with beside(address) as other:
        assert 1 <= other.value(count, (schema,)) <= 8
    store.close()
    wait_for(address, count.replace("count(*)", "count(*) = 0"), (schema,))


# --- check -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE {0}.entries SET key = 'short' WHERE id = 2",
        "UPDATE {0}.entries SET seq = 0 WHERE id = 2",
        "UPDATE {0}.tombstones SET seq = (SELECT max(seq) FROM {0}.entries)",
        "UPDATE {0}.meta SET seq = 2",
        "UPDATE {0}.tombstones SET id = 2",
        "UPDATE {0}.tombstones SET id = 100",
        "UPDATE {0}.meta SET forgotten = 7",
        "DELETE FROM {0}.facts WHERE id = 2",
        "DELETE FROM {0}.entries WHERE id = 2",
        "UPDATE {0}.facts SET partition_id = partition_id + 1 WHERE id = 2",
        "UPDATE {0}.facts SET namespace_id = namespace_id + 1 WHERE id = 2",
        "DELETE FROM {0}.partitions",
        "UPDATE {0}.namespaces SET name = name || 'x'",
        "INSERT INTO {0}.vectors SELECT 99, partition_id, vector FROM {0}.vectors WHERE id = 2",
        "UPDATE {0}.vectors SET partition_id = 99 WHERE id = 2",
        "UPDATE {0}.vectors SET vector = 'short' WHERE id = 2",
        "UPDATE {0}.vectors SET vector = decode(repeat('00', 32), 'hex') WHERE id = 2",
        "UPDATE {0}.vectors SET vector = decode(repeat('ff', 32), 'hex') WHERE id = 2",
    ],
)
def test_check_finds_every_broken_invariant(store, address, schema, damage):
    store.write([a_record(0, tags=("t",)), a_record(1), a_record(2, namespace="other"), a_record(3)])
    store.write([a_record(0, tags=("t", "u")), a_record(2, namespace="other")])
    store.delete(Selection(refs=[4]))
    assert store.check() == []
    with beside(address, schema) as other:
        assert other.execute(damage.format(schema)).rowcount >= 1
    assert store.check()


def test_a_violated_constraint_is_damage(store, address, schema):
    """A schema restored to an earlier state, with the numbers of a later one in it."""
    store.write([a_record(number) for number in range(3)])
    store.record(Usage({}, {"main": Counters(misses=1)}))
    with beside(address, schema) as other:
        other.execute("UPDATE {s}.meta SET seq = 0")
    with pytest.raises(CorruptCacheError, match="is damaged"):
        store.write([a_record(7)])
    assert history(store, 2) == history(store, 0)[2:]


def test_partitions_that_went_away_with_a_restored_schema_are_found_out(store, address, schema):
    store.write([a_record(0), a_record(1)])
    with beside(address, schema) as other:
        other.execute("TRUNCATE {s}.entries, {s}.facts, {s}.vectors, {s}.partitions")
    with pytest.raises(CorruptCacheError):
        store.write([a_record(2), a_record(3)])
    written = store.write([a_record(2), a_record(3)])
    assert store.read([written[0].id])[0].namespace == "main"
