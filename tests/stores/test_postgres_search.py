"""Searching in a Postgres server: who keeps it right, and what it finds."""

from pathlib import Path

import numpy as np
import psycopg_pool
import pytest

import mneme
from mneme import (
    PostgresStore,
)
from mneme.ports import Selection
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record, a_vector, ids_of
from stores.postgres_schemas import (
    ANY,
    beside,
    nearest,
    new_schema,
    relations,
    usable,
    wait_for,
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
    assert sorted(nearest(store, a_record(0).partition, a_vector(0), k=2**70)[0]) == ids
    assert store.similar(a_record(0).partition, np.empty((0, DIM), np.float32), floor=ANY, k=1) == []


@pytest.mark.parametrize("kind", ["halfvec", "vector"])
def test_what_rounding_cannot_tell_apart_is_answered_in_the_right_order(opened, kind):
    """Sixty entries that are nearer to each other than half precision can tell, and the best of them all the same."""
    store = opened(search_type=kind)
    store.prepare_search(DIM)
    near = [unit(a_vector(0) + 0.0001 * a_vector(number)) for number in range(60)]
    ids = [one.id for one in store.write([a_record(number, vector=vector) for number, vector in enumerate(near)])]
    for seed in range(100, 120):
        query = a_vector(seed)
        right = np.argsort([-float(np.dot(vector.astype(float), query)) for vector in near])[:3]
        assert nearest(store, a_record(0).partition, query, k=3) == [[ids[at] for at in right]]


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
