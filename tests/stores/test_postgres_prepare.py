"""Preparing a Postgres schema for searching, on servers that can and that cannot."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import mneme
from mneme import (
    AsyncPostgresStore,
    EmbedderDimensionError,
    IndexBackendUnavailableError,
    PostgresStore,
    SchemaMigrationError,
    SemanticCache,
    StoreBackendError,
)
from mneme.ports import Selection
from mneme.stores import _postgres_search
from mneme.testing import HashEmbedder
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record, a_vector, ids_of
from stores.postgres_schemas import (
    ANY,
    beside,
    locked,
    nearest,
    new_schema,
    relations,
    usable,
    wait_for_waiting,
)


@pytest.fixture
def address(server_of):
    return server_of("postgres")


@pytest.fixture
def schema():
    return new_schema()


@pytest.fixture
def opened(address, schema):
    """Makes stores on the schema, bound to the contract's embedder, and closes them."""
    stores = []

    def make(dim=DIM, **options):
        store = PostgresStore(address, **{"schema": schema, **options})
        stores.append(store)
        store.open(FINGERPRINT, dim)
        return store

    yield make
    for store in stores:
        store.close()


# --- preparing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (ValueError, {"search_type": "bit"}),
        (ValueError, {"search_m": 1}),
        (TypeError, {"search_m": 16.0}),
        (ValueError, {"search_m": 40}),  # more than half of ef_construction
        (ValueError, {"search_ef_construction": 1001}),
        (ValueError, {"search_ef": 0}),
        (ValueError, {"search_ef": 1001}),
    ],
)
@pytest.mark.parametrize("make", [PostgresStore, AsyncPostgresStore])
def test_options_that_do_not_hold_are_refused(make, error, options):
    with pytest.raises(error):
        make("postgresql:///", **options)


def test_the_index_is_made_as_the_options_say_and_kept(opened, address, schema):
    definition = "SELECT indexdef FROM pg_indexes WHERE schemaname = %s AND indexname = 'search_hnsw'"
    opened(search_type="vector", search_m=7, search_ef_construction=33).prepare_search(DIM)
    with beside(address) as other:
        made = other.value(definition, (schema,))
        assert all(word in made for word in ("vector_ip_ops", "m='7'", "ef_construction='33'"))
        store = opened()
        store.prepare_search(DIM)
        assert other.value(definition, (schema,)) == made
    (written,) = store.write([a_record(1)])
    assert nearest(store, a_record(1).partition, a_vector(1)) == [[written.id]]


def test_every_vector_is_copied_as_exactly_as_the_type_can_hold(opened, address, schema):
    """Down to the smallest; and what no unit vector has stops no write."""
    store = opened(search_type="vector")
    store.prepare_search(DIM)
    odd = np.array([-1.0, 0.0, -0.0, 1e-30, -1e-45, 0.1, 1 / 3, -3e-8], np.float32)
    (written,) = store.write([a_record(1, vector=odd)])
    store.write([a_record(2, vector=np.array([np.inf, np.nan, 3e38, 1.0, 0, 0, 0, 0], np.float32))])
    with beside(address, schema) as other:
        other.execute("SET search_path = public")
        kept, other_kept = (
            other.value("SELECT vector::real[] FROM {s}.search_vectors WHERE id = %s", (number,)) for number in (1, 2)
        )
    assert np.array_equal(np.array(kept, np.float32)[[0, 3, 5, 6, 7]], odd[[0, 3, 5, 6, 7]])
    assert np.abs(np.array(kept)[[1, 2, 4]]).max() < 1e-37
    assert other_kept == [0, 0, 0, 1, 0, 0, 0, 0]
    store.delete(Selection())
    assert written.id == 1


def test_what_was_there_before_is_copied_in_pieces_and_goes_on_after_a_stop(opened, address, schema, monkeypatch):
    store = opened()
    records = [a_record(number, scope=str(number % 2), vector=None if number % 9 == 0 else a_vector(number))
               for number in range(40)]  # fmt: skip
    store.write(records)
    monkeypatch.setattr(_postgres_search, "_CHUNK", 7)
    with beside(address, schema) as other:
        calls = []
        transact = store._verbs._links.transact

        async def breaking(steps, *, write):
            calls.append(steps)
            if len(calls) == 3:
                raise StoreBackendError("the connection broke")
            return await transact(steps, write=write)

        monkeypatch.setattr(store._verbs._links, "transact", breaking)
        with pytest.raises(StoreBackendError):
            store.prepare_search(DIM)
        assert other.value("SELECT count(*) FROM {s}.search_vectors") == 14
        assert store.check() == []  # what was not copied yet is not missing
        # Others write meanwhile: what is copied already, what is not, and what is new.
        writer = opened()
        writer.write([a_record(1, vector=a_vector(101)), a_record(38, vector=a_vector(138)), a_record(50)])
        writer.delete(Selection(refs=[a_record(2).key, a_record(37).key]))
        assert other.value("SELECT filled FROM {s}.search") < 40
        store.prepare_search(DIM)
        assert other.value("SELECT count(*) FROM {s}.search_vectors") == other.value("SELECT count(*) FROM {s}.vectors")
    assert store.check() == []
    for scope in ("0", "1"):
        partition = a_record(0, scope=scope).partition
        stored = [r for r in store.scan(Selection(partition=partition), vectors=True) if r.vector is not None]
        for seed in (1, 38, 101, 138, 50):
            right = sorted(stored, key=lambda r, seed=seed: -float(r.vector @ a_vector(seed)))
            assert nearest(store, partition, a_vector(seed)) == [ids_of(right[:10])]


def test_an_index_that_was_broken_off_is_made_anew(opened, address, schema):
    store = opened()
    store.write([a_record(number) for number in range(50)])
    store.prepare_search(DIM)
    with beside(address, schema) as other:
        assert usable(other)
        for break_it in (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{s}.search_hnsw'::regclass",
            "DROP INDEX {s}.search_hnsw",
        ):
            other.execute(break_it)
            assert len(nearest(store, a_record(1).partition, a_vector(1))[0]) == 10
            store.prepare_search(DIM)
            assert usable(other)


def test_while_somebody_makes_the_index_the_others_search_without(opened, address, schema):
    store = opened(search_ef=1)
    store.write([a_record(number) for number in range(700)])
    store.prepare_search(DIM)
    with beside(address, schema) as other:
        other.execute("DROP INDEX {s}.search_hnsw")
        with locked(address, schema, "LOCK TABLE {s}.search_vectors IN SHARE UPDATE EXCLUSIVE MODE"):
            store.prepare_search(DIM)
            assert not usable(other)
            for number in range(20):
                assert nearest(store, a_record(1).partition, a_vector(number), k=1) == [[number + 1]]
        store.prepare_search(DIM)
        assert usable(other)


def test_writers_go_on_while_the_index_is_made(opened, address, schema):
    """Which waits for whoever is reading: here, for longer than the writes take."""
    store, writer = opened(), opened()
    store.write([a_record(number) for number in range(50)])
    with beside(address, schema) as reader, ThreadPoolExecutor(1) as threads:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM {s}.meta")
        preparing = threads.submit(store.prepare_search, DIM)
        wait_for_waiting(address, "CREATE INDEX CONCURRENTLY")
        writer.write([a_record(number) for number in range(40, 60)])
        writer.delete(Selection(refs=[1]))
        assert nearest(writer, a_record(1).partition, a_vector(55), k=1) == [[written_id(writer, 55)]]
        reader.execute("COMMIT")
        preparing.result()
        assert usable(reader)
    assert store.check() == []


def written_id(store, number):
    return store.read([a_record(number).key])[0].id


_PREPARER = f"""
import sys
sys.path.insert(0, {str(Path(mneme.__file__).parents[1])!r})
from mneme import PostgresStore
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record
store = PostgresStore(sys.argv[1], schema=sys.argv[2])
store.open(FINGERPRINT, DIM)
print("opened", flush=True)
sys.stdin.readline()
store.prepare_search(DIM)
number = int(sys.argv[3])
(written,) = store.write([a_record(number)])
[[found]] = store.similar(a_record(number).partition, a_record(number).vector[None], floor=0.9999, k=1)
assert found.id == written.id
store.close()
"""


def test_processes_that_prepare_at_once_help_each_other(opened, address, schema):
    store = opened()
    store.write([a_record(number) for number in range(700)])
    command = [sys.executable, "-W", "error", "-c", _PREPARER, address, schema]
    preparers = [
        subprocess.Popen([*command, str(1000 + number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(3)
    ]
    for preparer in preparers:
        assert preparer.stdout.readline() == "opened\n"
    for preparer in preparers:
        preparer.stdin.write("go\n")
        preparer.stdin.flush()
    for preparer in preparers:
        preparer.communicate(timeout=100)
        assert preparer.returncode == 0
    with beside(address, schema) as other:
        assert other.value("SELECT count(*) FROM {s}.search_vectors") == 703
        assert usable(other)
    assert store.check() == []


def test_stores_in_several_schemas_install_the_extension_once(address):
    with beside(address) as other:
        other.execute("CREATE DATABASE without_extension")
        try:
            elsewhere = address.replace("/postgres?", "/without_extension?")
            stores = [PostgresStore(elsewhere, schema=new_schema()) for _ in range(4)]
            for store in stores:
                store.open(FINGERPRINT, DIM)
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(lambda store: store.prepare_search(DIM), stores))
            for store in stores:
                store.write([a_record(1)])
                assert nearest(store, a_record(1).partition, a_vector(1)) == [[1]]
                store.close()
        finally:
            other.execute("DROP DATABASE without_extension WITH (FORCE)")


def test_another_dimension_is_refused(opened, address, schema):
    store = opened()
    before = relations(address, schema)
    with pytest.raises(EmbedderDimensionError, match=f"with {DIM} dimensions, not 9"):
        store.prepare_search(9)
    assert relations(address, schema) == before
    store.prepare_search(DIM)
    with pytest.raises(EmbedderDimensionError, match=f"with {DIM} dimensions, not 9"):
        store.prepare_search(9)
    unbound = PostgresStore(address, schema=new_schema())
    unbound.open(None, None)
    with pytest.raises(EmbedderDimensionError, match="bound to no embedder yet"):
        unbound.prepare_search(DIM)
    unbound.close()


@pytest.mark.parametrize(
    ("dim", "kind", "remedy"),
    [(2001, "vector", "'halfvec' takes 4000"), (4001, "vector", "'auto'"), (4001, "halfvec", "'auto'")],
)
def test_more_dimensions_than_an_index_takes_are_refused(opened, dim, kind, remedy):
    store = opened(dim, search_type=kind)
    for _ in range(2):
        with pytest.raises(IndexBackendUnavailableError, match=remedy):
            store.prepare_search(dim)


def test_as_many_dimensions_as_an_index_takes_are_searched(opened):
    store = opened(4000)
    store.prepare_search(4000)
    vectors = np.eye(3, 4000, dtype=np.float32)
    store.write([a_record(number, vector=vector) for number, vector in enumerate(vectors)])
    assert nearest(store, a_record(0).partition, vectors[1], k=1) == [[2]]
    assert store.check() == []


# --- servers that cannot ---------------------------------------------------------------------------------------------


def refuses(store, address, schema, words):
    """The search is refused, nothing was altered, and without it everything goes on."""
    before = relations(address, schema)
    for _ in range(2):
        with pytest.raises(IndexBackendUnavailableError, match=words):
            store.prepare_search(DIM)
    assert relations(address, schema) == before
    (written,) = store.write([a_record(1)])
    assert store.read([a_record(1).key])[0].id == written.id
    assert store.check() == []


def test_a_server_without_the_extension_is_told_what_to_install(opened, address, schema, monkeypatch):
    monkeypatch.setattr(_postgres_search, "_EXTENSION", "vector_of_another_name")
    refuses(opened(), address, schema, "install it there .*postgresql-NN-pgvector")
    store = PostgresStore(address, schema=new_schema())
    with pytest.raises(IndexBackendUnavailableError):
        SemanticCache(store=store, embedder=HashEmbedder(), index_backend="store")


def test_an_extension_that_is_too_old_is_refused(opened, address, schema, monkeypatch):
    monkeypatch.setattr(_postgres_search, "_OLDEST", (99, 0))
    refuses(opened(), address, schema, "0.8 or newer is needed")


def test_a_user_who_may_not_install_it_is_told_who_may(address, schema):
    with beside(address, schema) as other:
        other.execute("CREATE DATABASE for_users")
        other.execute("CREATE ROLE plain LOGIN")
        other.execute("GRANT CREATE ON DATABASE for_users TO plain")
    elsewhere = address.replace("/postgres?", "/for_users?")
    store = PostgresStore(elsewhere.replace("postgres@", "plain@"), schema=schema)
    store.open(FINGERPRINT, DIM)
    refuses(store, elsewhere, schema, "let an administrator run CREATE EXTENSION vector")
    with beside(elsewhere) as other:
        other.execute('CREATE SCHEMA "the ""extensions"""')
        other.execute('GRANT USAGE ON SCHEMA "the ""extensions""" TO plain')
        other.execute('CREATE EXTENSION vector WITH SCHEMA "the ""extensions"""')  # wherever it lies
    store.prepare_search(DIM)
    assert nearest(store, a_record(1).partition, a_vector(1)) == [[1]]
    assert store.check() == []
    store.close()
    with beside(address) as other:
        other.execute("DROP DATABASE for_users WITH (FORCE)")
        other.execute("DROP ROLE plain")


def test_what_a_newer_mneme_prepared_is_left_to_it(opened, address, schema):
    store = opened()
    store.prepare_search(DIM)
    with beside(address, schema) as other:
        other.execute("UPDATE {s}.search SET version = 99")
    with pytest.raises(SchemaMigrationError, match="upgrade mneme"):
        store.prepare_search(DIM)
    store.write([a_record(1)])  # which its triggers follow


def test_a_schema_that_was_not_prepared_cannot_be_searched(opened):
    with pytest.raises(StoreBackendError, match="search_similar"):
        opened().similar(b"p" * 16, a_vector(1)[None], floor=ANY, k=1)
