"""What the tests of the Postgres stores share: a schema of their own each, and a way in beside the store."""

import contextlib
import itertools
import threading

import numpy as np
import psycopg

_numbers = itertools.count()


def new_schema():
    return f"test_{next(_numbers)}"


class Beside:
    """A connection of psycopg's own, each statement of which is a transaction; `{s}` stands for the schema."""

    def __init__(self, address, schema):
        self.connection = psycopg.connect(address, autocommit=True)
        self._schema = schema

    def execute(self, text, parameters=None):
        return self.connection.execute(text.replace("{s}", self._schema), parameters)

    def value(self, text, parameters=None):
        return self.execute(text, parameters).fetchone()[0]


@contextlib.contextmanager
def beside(address, schema="public"):
    other = Beside(address, schema)
    try:
        yield other
    finally:
        other.connection.close()


@contextlib.contextmanager
def locked(address, schema, how="UPDATE {s}.meta SET seq = seq"):
    """While it lasts, nobody else writes; or whatever the lock that *how* takes keeps others from."""
    with beside(address, schema) as other:
        other.execute("BEGIN")
        other.execute(how)
        yield other
        other.execute("ROLLBACK")


def wait_for_waiting(address, words):
    """Return when a statement with *words* among its first thousand characters waits for a lock."""
    wait_for(
        address,
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s",
        (f"%{words}%",),
    )


def wait_for(address, query, parameters=None, *, patience=60.0):
    """Return when the server's answer to *query* is true. What happens inside a server sets no event here."""
    pause = threading.Event()
    with beside(address) as other:
        for _ in range(int(patience / 0.01)):
            if other.value(query, parameters):
                return
            pause.wait(0.01)
    raise TimeoutError(f"{query} was not true within {patience} s")


ANY = -2.0
"""A floor that every similarity reaches."""


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
        [record.id for record in sorted(records, key=lambda r: -float(np.dot(r.vector.astype(float), query)))][:k]
        for records, query in zip(found, queries, strict=True)
    ]


def usable(other):
    """Whether the index is there and can be used."""
    query = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{s}.search_hnsw')"
    return any(valid for (valid,) in other.execute(query).fetchall())
