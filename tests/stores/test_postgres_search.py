"""What is special about searching in a Postgres server: how it is prepared, who keeps it right, and what it finds."""

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psycopg_pool
import pytest

import mneme
from mneme import (
    AsyncPostgresStore,
    AsyncSemanticCache,
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
from stores.postgres_schemas import beside, locked, new_schema, wait_for, wait_for_waiting

ANY = -2.0


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


def relations(address, schema):
    with beside(address, schema) as other:
        return {
            name
            for (name,) in other.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace", (schema,)
            ).fetchall()
        }


def nearest(store, partition, *queries, floor=ANY, k=10):
    """The ids of what is found, best first, as the cache would score it."""
    found = store.similar(partition, np.stack(queries), floor=floor, k=k)
    return [
        [record.id for record in sorted(records, key=lambda r: -float(r.vector @ query))][:k]
        for records, query in zip(found, queries, strict=True)
    ]


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


def usable(other):
    """Whether the index is there and can be used."""
    query = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{s}.search_hnsw')"
    return any(valid for (valid,) in other.execute(query).fetchall())


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


# --- who keeps it right ----------------------------------------------------------------------------------------------


def test_who_writes_need_not_know_that_somebody_searches(opened, address, schema):
    """What decides is in the database: a store that was open before, one that never searches, and bare SQL."""
    early, searching = opened(), opened()
    searching.prepare_search(DIM)
    partition = a_record(1).partition
    early.write([a_record(number) for number in range(20)])
    (late,) = opened().write([a_record(1, vector=a_vector(77))])
    assert nearest(searching, partition, a_vector(77), k=1) == [[late.id]]
    early.write([a_record(2, vector=None)])
    early.write([a_record(3, vector=None), a_record(4, vector=a_vector(78)), a_record(4, vector=a_vector(79))])
    assert nearest(searching, partition, a_vector(2), a_vector(3), a_vector(78), floor=0.9999) == [[], [], []]
    assert nearest(searching, partition, a_vector(79), floor=0.9999) == [[5]]
    early.delete(Selection(refs=[5]))
    assert nearest(searching, partition, a_vector(79), floor=0.9999) == [[]]
    with beside(address, schema) as other:
        other.execute("DELETE FROM {s}.vectors WHERE id = 7")
        assert other.value("SELECT count(*) FROM {s}.search_vectors") == 16
    assert nearest(searching, partition, a_vector(6), floor=0.9999) == [[]]
    assert searching.check() == []


def test_a_write_that_fails_leaves_the_copy_as_it_was(opened, address, schema):
    store = opened()
    store.prepare_search(DIM)
    store.write([a_record(1)])
    with beside(address, schema) as other:
        other.execute("ALTER TABLE {s}.search_vectors ADD CONSTRAINT few CHECK (id < 3)")
        with pytest.raises(mneme.MnemeError):
            store.write([a_record(2), a_record(3), a_record(1, vector=a_vector(9))])
        other.execute("ALTER TABLE {s}.search_vectors DROP CONSTRAINT few")
    assert ids_of(store.scan(Selection())) == [1]
    assert nearest(store, a_record(1).partition, a_vector(1), floor=0.9999) == [[1]]
    assert store.check() == []


def test_a_role_that_could_write_before_still_can(opened, address, schema):
    store = opened()
    with beside(address, schema) as other:
        other.execute("CREATE ROLE writer LOGIN")
        other.execute("GRANT USAGE ON SCHEMA {s} TO writer")
        other.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {s} TO writer")
        store.prepare_search(DIM)
        writer = PostgresStore(address.replace("postgres@", "writer@"), schema=schema)
        writer.open(FINGERPRINT, DIM)
        writer.write([a_record(1), a_record(2)])
        writer.delete(Selection(refs=[a_record(2).key]))
        assert nearest(store, a_record(1).partition, a_vector(1), a_vector(2), floor=0.9999) == [[1], []]
        other.execute("GRANT SELECT ON ALL TABLES IN SCHEMA {s} TO writer")
        other.execute("DROP INDEX {s}.search_hnsw")
        writer.prepare_search(DIM)  # the index is its owner's to make
        assert not usable(other)
        assert nearest(writer, a_record(1).partition, a_vector(1)) == [[1]]
        writer.close()
        other.execute("DROP OWNED BY writer")
        other.execute("DROP ROLE writer")


def test_what_was_made_for_searching_can_be_removed_as_documented(opened, address, schema):
    store = opened()
    before = relations(address, schema)
    store.prepare_search(DIM)
    store.write([a_record(1)])
    page = (Path(__file__).parents[2] / "docs" / "postgres.md").read_text(encoding="utf-8")
    removal = page.split("To undo it")[1].split("```sql")[1].split("```")[0]
    with beside(address, schema) as other:
        other.execute(removal.replace("mneme.", "{s}."))
        assert other.value("SELECT count(*) FROM pg_proc WHERE pronamespace = '{s}'::regnamespace") == 3
    assert relations(address, schema) == before
    store.write([a_record(2)])
    assert store.check() == []
    store.prepare_search(DIM)
    assert nearest(store, a_record(1).partition, a_vector(1), a_vector(2), k=1) == [[1], [2]]


def test_check_says_when_the_copy_is_not_what_it_should_be(opened, address, schema):
    store = opened()
    store.prepare_search(DIM)
    store.write([a_record(number) for number in range(4)])
    with beside(address, schema) as other:
        other.execute("DELETE FROM {s}.search_vectors WHERE id = 1")
        other.execute("UPDATE {s}.search_vectors SET id = 17 WHERE id = 2")
        other.execute("UPDATE {s}.search_vectors SET vector = (SELECT vector FROM {s}.search_vectors WHERE id = 4) "
                      "WHERE id = 3")  # fmt: skip
    assert store.check() == [
        "3 vectors are not what the server searches, or not where it does.",
        "1 vectors are searched by the server and have no entry.",
        "2 partitions are larger or smaller than the server's search takes them to be.",
    ]


# --- finding ---------------------------------------------------------------------------------------------------------


def clustered(number, dim, seed):
    """Unit vectors as embedders make them: in clusters, and near each other within one."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(1).standard_normal((60, dim))
    vectors = centres[random.integers(60, size=number)] + 0.9 * random.standard_normal((number, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def large(server_of):
    """Where one partition holds 1,800 of 3,000 entries, another 1,100, another 100; read only."""
    schema, vectors = "search_large", clustered(3000, 32, seed=2)
    scopes = ["most"] * 1800 + ["some"] * 1100 + ["few"] * 100
    order = np.random.default_rng(3).permutation(3000)
    store = PostgresStore(server_of("postgres"), schema=schema)
    store.open(FINGERPRINT, 32)
    store.prepare_search(32)
    store.write([a_record(int(n), vector=vectors[n], scope=scopes[n]) for n in order])
    records = store.scan(Selection(), limit=5000, vectors=True)
    store.close()
    return schema, records


@pytest.mark.parametrize(
    ("asked", "recall"),
    [
        (("most", 40, 10), 0.95),
        (("most", 1000, 10), None),
        (("some", 5, 1), 0.85),
        (("some", 40, 1), None),
        (("few", 1, 1), None),
    ],
)
def test_a_large_partition_is_searched_by_the_index_and_a_small_one_read(address, large, asked, recall):
    """The share of the best that is found, where the index is asked; what is read is all found."""
    schema, records = large
    scope, ef, k = asked
    scans = "SELECT idx_scan FROM pg_stat_all_indexes WHERE schemaname = %s AND indexrelname = 'search_hnsw'"
    with beside(address) as other:
        before = other.value(scans, (schema,))
        store = PostgresStore(address, schema=schema, search_ef=ef)
        store.open(FINGERPRINT, 32)
        held = [record for record in records if record.scope == scope]
        matrix, hits = np.stack([record.vector for record in held]), 0
        queries = clustered(100, 32, seed=4)
        for query in queries:
            (found,) = nearest(store, held[0].partition, query, k=k)
            assert len(found) == k
            hits += len({held[at].id for at in np.argsort(-(matrix @ query))[:k]} & set(found))
        store.close()
        assert hits >= (recall or 1.0) * k * len(queries)
        # The server processes have told what they did when they are gone.
        wait_for(address, "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'mneme'")
        assert other.value(scans, (schema,)) - before == (0 if recall is None else len(queries))


def test_a_partition_far_from_the_query_is_found_all_the_same(opened):
    """The nearest of all are of another partition: the index alone would give up."""
    store = opened(search_ef=1)
    store.prepare_search(DIM)
    here, there = np.eye(2, DIM, dtype=np.float32)
    near = [a_record(n, scope="near", vector=unit(here + 0.01 * a_vector(n))) for n in range(1000)]
    far = [a_record(n, scope="far", vector=unit(there + 0.01 * a_vector(n))) for n in range(1000, 2000)]
    ids = [one.id for one in store.write([*near, *far])]
    (found,) = nearest(store, far[0].partition, here, k=5)
    right = np.argsort([-float(record.vector @ here) for record in far])[:5]
    assert found == [ids[1000 + at] for at in right]


def unit(vector):
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def test_more_than_there_are_and_many_questions_at_once(opened):
    store = opened()
    store.prepare_search(DIM)
    ids = [one.id for one in store.write([a_record(number) for number in range(12)])]
    found = nearest(store, a_record(0).partition, *[a_vector(number) for number in range(12)], k=5000)
    assert [one[0] for one in found] == ids
    assert all(sorted(one) == ids for one in found)
    assert store.similar(a_record(0).partition, np.empty((0, DIM), np.float32), floor=ANY, k=1) == []


def test_what_is_below_the_floor_does_not_travel(opened):
    store = opened()
    store.prepare_search(DIM)
    store.write([a_record(number) for number in range(300)])
    (found,) = store.similar(a_record(0).partition, a_vector(0)[None], floor=0.999, k=20)
    assert ids_of(found) == [1]


def test_a_search_is_one_statement_on_the_stores_own_connection(opened, monkeypatch):
    store = opened()
    store.prepare_search(DIM)
    store.write([a_record(1)])
    driver, runs = store._verbs._links._driver, []
    for name in ("run", "run_all"):
        verb = getattr(driver, name)

        async def counted(*arguments, verb=verb, name=name):
            runs.append(name)
            return await verb(*arguments)

        monkeypatch.setattr(driver, name, counted)
    nearest(store, a_record(1).partition, a_vector(1))
    nearest(store, a_record(1).partition, a_vector(1), a_vector(2))
    assert runs == ["run", "run_all"]


def test_a_semantic_answer_takes_two_round_trips(address, schema, monkeypatch):
    store = PostgresStore(address, schema=schema)
    with SemanticCache(store=store, embedder=HashEmbedder(), index_backend="store") as cache:
        cache.put("How long is the warranty period?", "two years")
        driver, runs = store._verbs._links._driver, []
        run, run_all = driver.run, driver.run_all

        async def counted(connection, step, prepare):
            runs.append(step[0])
            return await run(connection, step, prepare)

        async def counted_all(connection, steps, prepare):
            runs.append(steps[2][0])
            return await run_all(connection, steps, prepare)

        monkeypatch.setattr(driver, "run", counted)
        monkeypatch.setattr(driver, "run_all", counted_all)
        assert cache.get("How long is the warranty period, then?", similarity_threshold=0.5).layer == "semantic"
        assert runs == [store._verbs._sql.read_key, store._verbs._sql.search_similar]


def test_nothing_of_a_search_stays_in_the_session(address, schema):
    with psycopg_pool.ConnectionPool(address, min_size=1, max_size=1, open=True) as pool:
        store = PostgresStore(pool=pool, schema=schema, search_ef=2)
        store.open(FINGERPRINT, DIM)
        store.prepare_search(DIM)
        store.write([a_record(number) for number in range(900)])
        (found,) = nearest(store, a_record(0).partition, a_vector(0), k=1)
        assert found == [1]
        with pool.connection() as connection:
            names = ("hnsw.ef_search", "hnsw.iterative_scan", "hnsw.max_scan_tuples", "jit", "enable_sort")
            settings = [connection.execute(f"SHOW {name}").fetchone()[0] for name in names]
            assert settings == ["40", "off", "20000", "on", "on"]
        store.close()


@pytest.mark.parametrize("schema", ['Qu"oted', "%s per cent {v} {s}"])
def test_any_name_may_be_the_schema(opened):
    store = opened()
    store.prepare_search(DIM)
    store.write([a_record(1)])
    assert nearest(store, a_record(1).partition, a_vector(1)) == [[1]]
    assert store.check() == []
    assert store.compact() >= 0
    store.delete(Selection())


def test_compact_tidies_the_copy_as_well(opened, address, schema):
    store = opened()
    store.prepare_search(DIM)
    store.write([a_record(number) for number in range(200)])
    store.delete(Selection())
    store.compact()
    with beside(address, schema) as other:
        wait_for(
            address,
            "SELECT vacuum_count > 0 FROM pg_stat_all_tables WHERE schemaname = %s AND relname = 'search_vectors'",
            (schema,),
        )
        assert other.value("SELECT pg_relation_size('{s}.search_vectors')") == 0


# --- the cache over it -----------------------------------------------------------------------------------------------

TOPICS = ("refund", "delivery", "password", "invoice", "opening hours", "warranty")


def queries(number):
    return [f"question {n} about the {TOPICS[n % 6]} of order {n // 6}, please" for n in range(number)]


def outcomes(cache):
    asked = [query.replace("please", word) for query in queries(60) for word in ("please!", "now", "please please")]
    hits = [cache.get(query, similarity_threshold=threshold) for query in asked for threshold in (0.6, 0.8, 0.95)]
    found = [(hit.response, hit.layer, round(hit.similarity, 5), hit.query) if hit else None for hit in hits]
    many = [hit and (hit.response, hit.query) for hit in cache.get_many(asked, similarity_threshold=0.7)]
    looked = [[(each.query, round(each.similarity, 5)) for each in cache.lookup(query, k=5)] for query in asked[::9]]
    return found, many, looked


def test_the_cache_decides_as_with_an_index_in_the_process(address):
    told = []
    for backend in ("store", "numpy"):
        store = PostgresStore(address, schema=new_schema())
        with SemanticCache(store=store, embedder=HashEmbedder(), index_backend=backend) as cache:
            cache.put_many([(query, f"answer {n}") for n, query in enumerate(queries(240))])
            cache.put(queries(7)[6], "another answer")
            cache.put(queries(9)[8], "elsewhere", namespace="other")
            cache.delete(queries(5)[4])
            assert (cache.health().index_backend, cache.check()) == (backend, [])
            told.append(outcomes(cache))
    assert told[0] == told[1]
    assert sum(hit is not None and hit[1] == "semantic" for hit in told[0][0]) > 100


async def test_so_does_the_asyncio_cache(address):
    told = []
    for backend in ("store", "numpy"):
        store = AsyncPostgresStore(address, schema=new_schema())
        async with AsyncSemanticCache(store=store, embedder=HashEmbedder(), index_backend=backend) as cache:
            await cache.put_many([(query, f"answer {n}") for n, query in enumerate(queries(60))])
            hits = await asyncio.gather(
                *(cache.get(query.replace("please", "now"), similarity_threshold=0.6) for query in queries(60))
            )
            told.append([(hit.response, round(hit.similarity, 5)) if hit else None for hit in hits])
    assert told[0] == told[1]
    assert any(told[0])


def test_a_cache_that_does_not_search_keeps_the_search_of_another_right(address, schema):
    store = PostgresStore(address, schema=schema)
    with SemanticCache(store=store, embedder=HashEmbedder(), index_backend="store") as searching:
        searching.put("What are your opening hours?", "nine to five")
        with SemanticCache(store=PostgresStore(address, schema=schema), embedder=HashEmbedder()) as other:
            other.put("How long is the warranty period?", "two years")
            other.delete("What are your opening hours?")
        asked = "How long is the warranty period, then?"
        assert searching.get(asked, similarity_threshold=0.5).response == "two years"
        assert searching.get("What are your opening hours, then?", similarity_threshold=0.5) is None
        searching.close()
