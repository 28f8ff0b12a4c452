"""How the verbs of the Postgres store talk to the server: single statements, and transactions.

Each call takes a connection from a pool and gives it back. The steps of a transaction travel together, in libpq's
pipeline mode: it costs one round trip, and the lock that a writer takes is not held while anything crosses the network.
Nothing is left in the session for the next one, who may be somebody else's behind a connection pooler.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import psycopg
import psycopg_pool
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ConnStatus, TransactionStatus
from psycopg.sql import Identifier

from mneme.errors import CacheClosedError, StoreBackendError
from mneme.stores import _postgres_statements as sql
from mneme.stores._postgres_drivers import Driver, Parameters, Rows, Step
from mneme.stores._postgres_errors import Meanings

__all__ = ["Links", "Run", "Settings", "address_of", "quoted"]

Run: TypeAlias = "Callable[[bytes, Parameters], Awaitable[Rows]]"
"""Runs one statement of a transaction, in a round trip of its own."""

_GRACE = 1.0
"""Seconds after which a server that did not keep to `statement_timeout` by itself is waited for no longer."""

_UNANSWERED = (TransactionStatus.ACTIVE, TransactionStatus.UNKNOWN)

# A network that drops a connection without a word is noticed within a minute, unless the DSN says otherwise.
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


_ENCODED = "write what is special in a password as its code (@ as %40, / as %2F, % as %25)"


@dataclass(frozen=True)
class Settings:
    """How to connect, checked already."""

    conninfo: str | None
    pool: Any
    """The caller's own, instead of *conninfo*."""
    connect_timeout: float
    statement_timeout: float
    prepare_threshold: int | None
    max_size: int
    where: str
    """For messages: the server, the database and the schema, without a password."""


class _Lease(NamedTuple):
    """A connection that was taken from a pool, in autocommit mode."""

    connection: Any
    pool: Any
    automatic: bool
    """Whether that is the mode it came in."""


class Links:
    """Connections to one server. psycopg's errors leave as mneme's."""

    def __init__(self, settings: Settings, driver: Driver) -> None:
        self._settings = settings
        self._driver = driver
        self.where: str = settings.where
        self._meanings = Meanings(settings.where)
        self._pool = settings.pool
        self._own = settings.conninfo is not None
        self._pid = 0  # of the process that opened it
        self._doubtful = False  # whether the server may be away
        self._prepare = False if settings.prepare_threshold is None else None

    async def open(self) -> bool:
        """Make the pool, if there is none yet; whether it was made. Not for two at once."""
        if self._meanings.closed or self._pid:
            self.require()
            return False
        if self._own:
            with self._meanings:
                await self._probe()  # tells why there is no connection, which a pool does not
                self._pool = await self._driver.make_pool(
                    self._settings.conninfo or "",
                    self._options(),
                    min_size=1,
                    max_size=self._settings.max_size,
                    name="mneme",
                    timeout=self._settings.connect_timeout,
                    reconnect_timeout=self._settings.connect_timeout,
                )
        self._pid = os.getpid()
        return True

    async def abandon(self) -> None:
        """Undo `open`: it may come again."""
        self._pid = 0
        pool, self._pool = self._pool, self._settings.pool
        if pool is not None and self._own:
            await self._driver.close_pool(pool, self._settings.connect_timeout)

    async def close(self) -> None:
        """Give back every connection; those in use are closed when their verbs end. Again is harmless."""
        self._meanings.closed = True
        pool, self._pool = self._pool, None
        if pool is not None and self._own and not self._forked():
            await self._driver.close_pool(pool, self._settings.connect_timeout)

    def require(self) -> None:
        """Raise unless the store is open, in this process."""
        where = self._settings.where
        if self._meanings.closed:
            raise CacheClosedError(f"the store {where} was closed")
        if not self._pid:
            raise CacheClosedError(f"the store {where} is not open; call open first")
        if self._forked():
            raise StoreBackendError(
                f"the store {where} was opened before this process forked, and connections do not survive that: open "
                "the store in the child"
            )

    async def one(self, query: bytes, parameters: Parameters = (), *, bounded: bool = True) -> Rows:
        """The rows of one statement, by itself, in one round trip.

        It reads, or does what may be done twice: should the server have gone while the connection lay idle, it is run
        again on another. On a connection of the caller's pool, which waits as long as the server takes, the server has
        to be told to keep to the limit; that takes a transaction.
        """
        if bounded and not self._own:
            return (await self.transact([(query, parameters)], write=False))[0]
        with self._meanings:
            for again in (True, False):
                lease = await self._take(self._patience(1) if bounded else None)
                try:
                    return await self._driver.run(lease.connection, (query, parameters), self._prepare)
                except BaseException as error:
                    gone = isinstance(error, psycopg.OperationalError) and lease.connection.broken
                    await self._settle(lease.connection)
                    if not (again and gone):
                        raise
                finally:
                    await self._give(lease)
        raise AssertionError("the second run returns or raises")

    async def transact(self, steps: Sequence[Step], *, write: bool) -> list[Rows]:
        """The rows of each of *steps*, which are one transaction, in one round trip."""
        begin = sql.BEGIN_WRITE if write else sql.BEGIN_READ
        around: list[Step] = [(begin, ()), (sql.SETUP, self._limits(bounded=True)), *steps, (sql.COMMIT, ())]
        with self._meanings:
            lease = await self._take(self._patience(len(steps)))
            try:
                return (await self._driver.run_all(lease.connection, around, self._prepare))[2:-1]
            except BaseException as error:
                # The commit was sent with all else, so where no answer came it may have been reached.
                unanswered = lease.connection.pgconn.transaction_status in _UNANSWERED
                await self._settle(lease.connection)
                if write and unanswered and isinstance(error, psycopg.Error):
                    raise self._meanings.of(error, unsure=True) from error
                raise
            finally:
                await self._give(lease)

    @contextlib.asynccontextmanager
    async def session(self, begin: bytes, *, bounded: bool = True) -> AsyncIterator[Run]:
        """A transaction whose statements depend on each other: committed at its end, rolled back on an error."""
        with self._meanings:
            lease = await self._take(self._patience(1) if bounded else None)

            async def run(query: bytes, parameters: Parameters = ()) -> Rows:
                return await self._driver.run(lease.connection, (query, parameters), False)

            try:
                await run(begin)
                await run(sql.SETUP, self._limits(bounded=bounded))
                yield run
                await run(sql.COMMIT)
            except BaseException:
                await self._settle(lease.connection)
                raise
            finally:
                await self._give(lease)

    # --- one connection ----------------------------------------------------------------------------------------------

    async def _take(self, patience: float | None) -> _Lease:
        self.require()
        probed = not self._own
        while True:
            if self._doubtful and not probed:
                await self._probe()
                self._doubtful, probed = False, True
            pool = self._pool
            if pool is None:
                self.require()
            try:
                connection = await self._driver.take(pool, self._settings.connect_timeout)
            except psycopg_pool.PoolTimeout:
                if self._own:
                    await self._probe()  # if the server is the cause, say so
                raise
            lease = _Lease(connection, pool, connection.autocommit)
            if _alive(connection):
                break
            self._doubtful = True
            await self._driver.close(connection)
            await self._give(lease)
        if self._own:
            connection.patience = patience
        if not lease.automatic:
            await self._driver.set_autocommit(connection, True)
        return lease

    async def _give(self, lease: _Lease) -> None:
        if not lease.automatic and not lease.connection.closed:
            await self._driver.set_autocommit(lease.connection, False)
        await self._driver.give(lease.pool, lease.connection)

    async def _settle(self, connection: Any) -> None:
        """After an error: out of any transaction, or closed."""
        self._doubtful = self._doubtful or connection.broken
        status = connection.pgconn.transaction_status
        try:
            if status == TransactionStatus.ACTIVE:  # it was waited for long enough
                await self._driver.cancel(connection, _GRACE)
                await self._driver.close(connection)
            elif status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                await self._driver.run(connection, (sql.ROLLBACK, ()), False)
        except psycopg.Error:  # the first error is the one to tell
            await self._driver.close(connection)
        except BaseException:
            await self._driver.close(connection)
            raise

    async def _probe(self) -> None:
        await self._driver.probe(self._settings.conninfo or "", self._options())

    # --- what they share ---------------------------------------------------------------------------------------------

    def _options(self) -> dict[str, Any]:
        """Of every connection. The encoding and the name reach the server, and every pooler knows those two."""
        given = conninfo_to_dict(self._settings.conninfo or "")
        return {
            **{name: value for name, value in _KEEPALIVE.items() if name not in given},
            "autocommit": True,  # transactions begin where the code says so
            "prepare_threshold": self._settings.prepare_threshold,
            "connect_timeout": math.ceil(self._settings.connect_timeout),
            "client_encoding": "utf8",
            "fallback_application_name": "mneme",
        }

    def _forked(self) -> bool:
        return self._pid not in (0, os.getpid())

    def _limits(self, *, bounded: bool) -> dict[str, str]:
        return {"ms": str(max(round(self._settings.statement_timeout * 1000), 1)) if bounded else "0"}

    def _patience(self, statements: int) -> float:
        return statements * (self._settings.statement_timeout + _GRACE)


def _alive(connection: Any) -> bool:
    """Whether an idle connection is still there, as far as this end knows; costs no round trip.

    The first look takes in what a dying server said, the second finds that nothing will follow.
    """
    pgconn = connection.pgconn
    try:
        pgconn.consume_input()
        pgconn.consume_input()
    except psycopg.OperationalError:
        return False
    return bool(pgconn.status == ConnStatus.OK and pgconn.transaction_status == TransactionStatus.IDLE)


def quoted(identifier: str) -> str:
    return Identifier(identifier).as_string(None)


def address_of(conninfo: str) -> str:
    """Server and database for messages, without a password. Raises `ValueError` for what is no DSN.

    A password that was not encoded is taken apart in the middle, and its pieces for host, port or database.
    """
    try:
        given = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError as error:
        said = str(error).strip()
        if not said.startswith(("invalid connection option", "invalid URI query parameter")):
            # What is in quotes may be the password, or all of the DSN.
            said = re.sub('".*"', '"..."', said, flags=re.DOTALL) + f"; {_ENCODED}"
        raise ValueError(f"the DSN cannot be understood: {said}") from None
    host, port, name = (str(given.get(part) or "") for part in ("host", "port", "dbname"))
    if any("@" in one and one[0] not in "@/" for one in host.split(",")) or not re.fullmatch(r"[0-9,\s]*", port):
        raise ValueError(f"the DSN cannot be understood: its host or port can be none; {_ENCODED}")
    parts = (("at", "host"),) if "@" in name else (("at", "host"), ("port", "port"), ("database", "dbname"))
    return " ".join(["postgres", *(f"{word} {given[name]}" for word, name in parts if given.get(name))])
