"""The stores that keep everything in one schema of a Postgres database: what they are constructed from.

What they do is written once, in `_postgres_verbs`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from mneme.ports import Matrix, Record, StoreInfo
from mneme.stores._postgres_search import SearchOptions
from mneme.stores._postgres_search_schema import TYPES
from mneme.stores._postgres_statements import Statements
from mneme.stores._postgres_verbs import PostgresVerbs
from mneme.stores._twin import BlockingTwin, finished

if TYPE_CHECKING:
    import psycopg_pool

__all__ = ["AsyncPostgresStore", "PostgresStore"]

_LONGEST_NAME = 63  # bytes; Postgres cuts longer ones off
_LONGEST_WAIT = 86_400


class PostgresStore(BlockingTwin):
    """Keeps entries in one schema of a Postgres database, which is made on the first `open` if it does not exist.

    Any number of stores, in any number of processes, may use one schema at the same time. The server must be Postgres
    13 or newer; a connection pooler such as PgBouncer in transaction mode may stand in between. From the extra
    `postgres`; see docs/postgres.md for rights, sizes, TLS and failures.

    Durability: every verb is one transaction, and waits for the server's disk before it returns, whatever
    `synchronous_commit` is by default.

    Thread safety: all verbs, from any thread, each with a connection of its own; when *max_size* are in use, the next
    waits. Writers take turns, whichever process they are in; readers wait for nobody. A store does not survive a fork:
    open another in the child.

    Args:
        conninfo: A DSN: "postgresql://user@host/database?sslmode=verify-full", or "host=... dbname=...".
        schema: Where everything lies. It belongs to mneme alone.
        pool: The caller's own `psycopg_pool.ConnectionPool`, open already, instead of *conninfo*. It stays open when
            the store is closed. *max_size* says nothing then, and *connect_timeout* how long to wait for one of its
            connections. How a connection is made, and what it prepares from when on, is its own.
        connect_timeout: Seconds for making a connection, and to wait for one of the pool; libpq makes it at least 2.
        statement_timeout: Seconds that a statement may take, the wait for other writers included; `check` and `compact`
            have no limit. Then `StoreBackendError`, and nothing was done.
        prepare_threshold: From which repetition on a statement is prepared on the server, where an exact read then
            takes half the time; `None` for never. Only without a pooler, or with one that knows prepared statements.
        max_size: How many connections at most.
        search_type: When the server searches (`index_backend="store"`), what it keeps a copy of the vectors in,
            pgvector's "halfvec" or "vector". It does not change similarities, which come from the float32 vectors. This
            option and the next two take effect when a schema is prepared for searching, and are kept from then on.
        search_m: Neighbours of each entry in the index for large partitions.
        search_ef_construction: How many candidates an entry's neighbours are chosen from.
        search_ef: How many candidates a search of the index weighs: more find more, and take longer.

    Raises:
        ImportError: psycopg or psycopg_pool is not installed.
        TypeError, ValueError: An option does not hold.
    """

    _verbs: PostgresVerbs

    def __init__(
        self,
        conninfo: str | None = None,
        *,
        schema: str = "mneme",
        pool: psycopg_pool.ConnectionPool[Any] | None = None,
        connect_timeout: float = 5.0,
        statement_timeout: float = 30.0,
        prepare_threshold: int | None = None,
        max_size: int = 8,
        search_type: Literal["halfvec", "vector"] = "halfvec",
        search_m: int = 16,
        search_ef_construction: int = 64,
        search_ef: int = 100,
    ) -> None:
        super().__init__(
            PostgresVerbs(
                *_parts(
                    "PostgresStore",
                    conninfo,
                    schema,
                    pool,
                    _searching(search_type, search_m, search_ef_construction, search_ef),
                    connect_timeout=connect_timeout,
                    statement_timeout=statement_timeout,
                    prepare_threshold=prepare_threshold,
                    max_size=max_size,
                )
            )
        )
        self._opening = threading.Lock()  # two threads that open make one pool

    @property
    def schema(self) -> str:
        """The schema that everything lies in."""
        return self._verbs.schema

    def open(self, fingerprint: str | None, dim: int | None) -> StoreInfo:
        with self._opening:
            return super().open(fingerprint, dim)

    def exists(self) -> bool:
        """Whether there is a cache here, or anything else where one would be. Makes nothing, and need not be open.

        Raises:
            StoreBackendError: The server cannot be asked.
        """
        with self._opening:
            return finished(self._verbs.exists())

    def swap(self, records: Sequence[Record]) -> list[bool]:
        """As `SwappingStore.swap`."""
        return finished(self._verbs.swap(records))

    def marked(self) -> str | None:
        """As `MarkedStore.marked`."""
        return finished(self._verbs.marked())

    def mark(self, text: str) -> None:
        """As `MarkedStore.mark`."""
        finished(self._verbs.mark(text))

    def prepare_search(self, dim: int) -> None:
        """As `SearchingStore.prepare_search`, with pgvector; see docs/postgres.md."""
        finished(self._verbs.prepare_search(dim))

    def similar(self, partition: bytes, queries: Matrix, *, floor: float, k: int) -> list[list[Record]]:
        """As `SearchingStore.similar`."""
        return finished(self._verbs.similar(partition, queries, floor=floor, k=k))


class AsyncPostgresStore(PostgresVerbs):
    """A `PostgresStore` whose verbs are awaited: native asyncio, no threads. The promises are the same.

    It belongs to the event loop in which it is opened. A verb whose task is cancelled has happened whole or not at all;
    the store can be used further. On Windows psycopg needs a loop that is not the default one
    (`asyncio.SelectorEventLoop`).

    Args:
        conninfo: As for `PostgresStore`, and so are all options but *pool*.
        schema: The same.
        pool: The caller's own `psycopg_pool.AsyncConnectionPool`, open already, instead of *conninfo*.
        connect_timeout: The same.
        statement_timeout: The same.
        prepare_threshold: The same.
        max_size: The same.
        search_type: The same.
        search_m: The same.
        search_ef_construction: The same.
        search_ef: The same.

    Raises:
        ImportError: psycopg or psycopg_pool is not installed.
        TypeError, ValueError: An option does not hold.
    """

    def __init__(
        self,
        conninfo: str | None = None,
        *,
        schema: str = "mneme",
        pool: psycopg_pool.AsyncConnectionPool[Any] | None = None,
        connect_timeout: float = 5.0,
        statement_timeout: float = 30.0,
        prepare_threshold: int | None = None,
        max_size: int = 8,
        search_type: Literal["halfvec", "vector"] = "halfvec",
        search_m: int = 16,
        search_ef_construction: int = 64,
        search_ef: int = 100,
    ) -> None:
        super().__init__(
            *_parts(
                "AsyncPostgresStore",
                conninfo,
                schema,
                pool,
                _searching(search_type, search_m, search_ef_construction, search_ef),
                connect_timeout=connect_timeout,
                statement_timeout=statement_timeout,
                prepare_threshold=prepare_threshold,
                max_size=max_size,
            )
        )
        self._opening = asyncio.Lock()  # two tasks that open make one pool

    async def open(self, fingerprint: str | None, dim: int | None) -> StoreInfo:
        async with self._opening:
            return await super().open(fingerprint, dim)

    async def exists(self) -> bool:
        """As `PostgresStore.exists`."""
        async with self._opening:
            return await super().exists()


def _parts(
    store: str,
    conninfo: str | None,
    schema: str,
    pool: Any,
    search: SearchOptions,
    *,
    connect_timeout: float,
    statement_timeout: float,
    prepare_threshold: int | None,
    max_size: int,
) -> tuple[str, Statements, SearchOptions, Any]:
    """What `PostgresVerbs` is made from, with every option checked. Nothing is connected yet."""
    if (conninfo is None) == (pool is None):
        given = "neither" if conninfo is None else "both"
        raise TypeError(f"pass a DSN, such as 'postgresql://me@db/app', or pool=, and not {given}")
    _check_schema(schema)
    for name, seconds in (("connect_timeout", connect_timeout), ("statement_timeout", statement_timeout)):
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise TypeError(f"{name} must be a number of seconds, not {type(seconds).__name__}")
        if not 0 < seconds <= _LONGEST_WAIT:
            raise ValueError(f"{name} must be above 0 and at most {_LONGEST_WAIT} seconds, not {seconds!r}")
    _check_count("max_size", max_size, 1)
    if prepare_threshold is not None:
        _check_count("prepare_threshold", prepare_threshold, 0)
    try:
        from mneme.stores import (  # noqa: PLC0415 - needs the extra
            _postgres_connection as connection,
            _postgres_drivers as drivers,
        )
    except ImportError as error:
        raise ImportError(f"{store} needs psycopg: pip install 'mneme-cache[postgres]' ({error})") from error
    blocking = store == "PostgresStore"
    if conninfo is not None:
        if not isinstance(conninfo, str):
            raise TypeError(f"conninfo must be a DSN, not {type(conninfo).__name__}")
        where = connection.address_of(conninfo)
    else:
        drivers.check_pool(pool, blocking=blocking)
        where = "postgres"
    settings = connection.Settings(
        conninfo,
        pool,
        float(connect_timeout),
        float(statement_timeout),
        prepare_threshold,
        max_size,
        where=f"{where}, schema {schema!r}",
    )
    driver = drivers.BlockingDriver() if blocking else drivers.AsyncioDriver()
    return schema, Statements(connection.quoted(schema)), search, connection.Links(settings, driver)


def _check_schema(schema: str) -> None:
    if not isinstance(schema, str):
        raise TypeError(f"schema must be a name, not {type(schema).__name__}")
    if not 0 < len(schema.encode()) <= _LONGEST_NAME or "\0" in schema:
        raise ValueError(f"schema must be a name of 1 to {_LONGEST_NAME} bytes, not {schema!r}")
    if "$" in schema:  # it quotes the bodies of functions
        raise ValueError(f"schema must have no $ in its name, not {schema!r}")
    if schema.startswith("pg_") or schema in ("public", "information_schema"):
        raise ValueError(f"schema {schema!r} is not mneme's alone: choose another name")


def _searching(kind: str, m: int, ef_construction: int, ef: int) -> SearchOptions:
    if kind not in TYPES:
        raise ValueError(f"search_type must be 'halfvec' or 'vector', not {kind!r}")
    _check_count("search_m", m, 2, 100)
    _check_count("search_ef_construction", ef_construction, 2 * m, 1000)
    _check_count("search_ef", ef, 1, 1000)
    return SearchOptions(kind, m, ef_construction, ef)


def _check_count(name: str, value: int, least: int, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value!r}")
    if most is not None and value > most:
        raise ValueError(f"{name} must be at most {most}, not {value!r}")
