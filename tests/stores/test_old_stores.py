"""What stores of earlier versions hold is there after an upgrade. The files in `old` were made by those versions."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from mneme import PostgresStore, SQLiteStore
from mneme.ports import Counters, Selection, Usage
from mneme.stores._dynamodb_rows import Content, record_of as record_of_item
from mneme.stores._redis_rows import encoded, record_of as record_of_bytes
from mneme.stores._sqlite_schema import MIGRATIONS
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record, a_vector, assert_same
from stores.postgres_schemas import beside, new_schema

OLD = Path(__file__).with_name("old")


@pytest.fixture
def address(server_of):
    return server_of("postgres")


def test_a_file_from_before_costs_is_brought_up_to_date(tmp_path):
    path = tmp_path / "cache.db"
    connection = sqlite3.connect(path)
    connection.executescript((OLD / "sqlite-2.sql").read_text(encoding="utf-8"))
    connection.close()
    store = SQLiteStore(path)
    assert store.open(FINGERPRINT, DIM).schema_version == len(MIGRATIONS)
    first = a_record(1, tags=("old",), compute_seconds=0.5, accessed_at=5000.0)
    for record, entry_id in ((first, 1), (a_record(2), 2)):
        assert_same(store.read([record.key], vectors=True)[0], record, entry_id, entry_id)
    store.record(Usage({}, {"main": Counters(cost_saved=0.5)}))
    assert [part.counters for part in store.summary()] == [Counters(1, 2, 3, 4, 5, 6.5, 0.5)]
    store.write([a_record(2, cost=0.25)])
    assert [record.cost for record in store.scan(Selection())] == [0.0, 0.25]
    assert store.check() == []
    store.close()


def test_a_schema_from_before_costs_is_brought_up_to_date(address):
    schema = new_schema()
    with beside(address, schema) as other:
        other.execute("CREATE SCHEMA {s}")
        other.connection.execute((OLD / "postgres-1.sql").read_text(encoding="utf-8").replace("{s}", schema))
        other.execute("UPDATE {s}.meta SET seq = 1, fingerprint = %s, dim = %s", (FINGERPRINT, DIM))
        record = a_record(1)
        old = (record.key, record.partition, "main", "", record.query, record.payload, "str", "", [], 1001.0, 2001.0)
        vector = np.asarray(record.vector, "<f4").tobytes()
        blanks = ", ".join(["%s"] * len(old))
        other.execute(
            f"SELECT {{s}}.write_one({blanks}, NULL, NULL, 0.5, 10, %s)",
            (*old, vector),
        )
    store = PostgresStore(address, schema=schema)
    store.open(FINGERPRINT, DIM)
    assert_same(store.read([record.key], vectors=True)[0], record._replace(compute_seconds=0.5), 2, 2)
    store.write([a_record(2, cost=0.25), a_record(3, cost=0.5)])
    store.write([a_record(1, cost=4.0)])
    assert [each.cost for each in store.scan(Selection())] == [4.0, 0.25, 0.5]
    assert store.check() == []
    store.close()


def test_a_schema_that_was_prepared_for_searching_before_costs_is_brought_up_to_date(address):
    schema = new_schema()
    store = PostgresStore(address, schema=schema)
    store.open(FINGERPRINT, DIM)
    store.write([a_record(1, cost=0.25)])
    store.prepare_search(DIM)
    with beside(address, schema) as other:
        other.execute("UPDATE {s}.search SET version = 1")
        other.execute("DROP FUNCTION {s}.search_similar")
        other.execute(
            "CREATE FUNCTION {s}.search_similar (bytea, float8[], float8, int8, int4) RETURNS TABLE (key bytea)"
            "LANGUAGE sql AS 'SELECT NULL::bytea'"
        )
    for _ in range(2):
        store.prepare_search(DIM)
        [[found]] = store.similar(a_record(1).partition, a_vector(1)[None], floor=0.5, k=1)
        assert (found.id, found.cost) == (1, 0.25)
    store.close()


@pytest.mark.parametrize(("tags", "cost"), [((), 0.0), (("a",), 0.0), ((), 0.5), (("a", "b"), 0.5)])
def test_the_bytes_of_entries_without_a_cost_are_what_they_were_on_redis(tags, cost):
    record = a_record(1, tags=tags, cost=cost)
    head, body, _ = encoded(record)
    found = record_of_bytes((7).to_bytes(8, "big") + head, (3).to_bytes(8, "big") + body)
    assert found == record._replace(id=3, seq=7, vector=None)
    if not cost:
        old = b'["a"]' if tags else b""
        assert body.endswith(b"str" + old + record.payload)


def test_items_from_before_costs_are_read_from_dynamodb():
    from mneme.stores._dynamodb_rows import staged

    entry, _ = staged(a_record(1), "name", 1)
    old = Content('["question 1","str","",null,0.5]', b"answer 1", None)
    found = record_of_item(entry, old, vectors=False)
    assert (found.compute_seconds, found.cost) == (0.5, 0.0)
    assert Counters(*[1, 2, 3, 4, 5, 6.5]).cost_saved == 0.0
