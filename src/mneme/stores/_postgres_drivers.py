"""psycopg's two faces behind one protocol. Everything that is awaited differently lies here, and nothing else does.

The blocking face is awaited as well and never suspends, so what is built on this is written once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import psycopg
import psycopg_pool
from psycopg.rows import tuple_row

__all__ = ["AsyncioDriver", "BlockingDriver", "Driver", "Parameters", "Rows", "Step", "check_pool"]

Parameters: TypeAlias = "Sequence[Any] | dict[str, Any]"
Rows: TypeAlias = "list[tuple[Any, ...]]"
Step: TypeAlias = "tuple[bytes, Parameters]"

_WORKERS = 1  # a pool grows by one connection at a time anyway


class Driver(Protocol):
    """What a pool of psycopg's and its connections do."""

    async def probe(self, conninfo: str, options: dict[str, Any]) -> None:
        """Connect and leave again."""
        ...

    async def make_pool(self, conninfo: str, options: dict[str, Any], **settings: Any) -> Any: ...
    async def close_pool(self, pool: Any, timeout: float) -> None: ...
    async def take(self, pool: Any, timeout: float) -> Any: ...
    async def give(self, pool: Any, connection: Any) -> None: ...

    async def run(self, connection: Any, step: Step, prepare: bool | None) -> Rows:  # noqa: FBT001 - as psycopg has it
        """The rows of one statement."""
        ...

    async def run_all(self, connection: Any, steps: Sequence[Step], prepare: bool | None) -> list[Rows]:  # noqa: FBT001 - as psycopg has it
        """The rows of each of *steps*, which are sent before the first answer is read."""
        ...

    async def set_autocommit(self, connection: Any, value: bool) -> None: ...  # noqa: FBT001 - psycopg's own
    async def cancel(self, connection: Any, timeout: float) -> None: ...
    async def close(self, connection: Any) -> None: ...


class _Connection(psycopg.Connection[Any]):
    """Waits for an answer no longer than `patience`."""

    patience: float | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        return super().wait(gen, interval=interval, timeout=self.patience if timeout is None else timeout)


class _AsyncConnection(psycopg.AsyncConnection[Any]):
    """Waits for an answer no longer than `patience`."""

    patience: float | None = None

    async def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        return await super().wait(gen, interval=interval, timeout=self.patience if timeout is None else timeout)


class BlockingDriver:
    """Over `psycopg.Connection` and `ConnectionPool`."""

    async def probe(self, conninfo: str, options: dict[str, Any]) -> None:
        psycopg.connect(conninfo, **options).close()

    async def make_pool(self, conninfo: str, options: dict[str, Any], **settings: Any) -> Any:
        return psycopg_pool.ConnectionPool(
            conninfo, connection_class=_Connection, kwargs=options, num_workers=_WORKERS, open=True, **settings
        )

    async def close_pool(self, pool: Any, timeout: float) -> None:
        pool.close(timeout)

    async def take(self, pool: Any, timeout: float) -> Any:
        return pool.getconn(timeout)

    async def give(self, pool: Any, connection: Any) -> None:
        pool.putconn(connection)

    async def run(self, connection: Any, step: Step, prepare: bool | None) -> Rows:  # noqa: FBT001 - as psycopg has it
        # Not `connection.cursor()`: a caller's pool may make cursors of other kinds.
        cursor = psycopg.Cursor(connection, row_factory=tuple_row)
        cursor.execute(*step, prepare=prepare, binary=True)
        return cursor.fetchall() if _has_rows(cursor) else []

    async def run_all(self, connection: Any, steps: Sequence[Step], prepare: bool | None) -> list[Rows]:  # noqa: FBT001 - as psycopg has it
        cursors = [psycopg.Cursor(connection, row_factory=tuple_row) for _ in steps]
        # A libpq older than 14 cannot send ahead: then each step is a round trip.
        with connection.pipeline() if psycopg.Pipeline.is_supported() else contextlib.nullcontext():
            for cursor, step in zip(cursors, steps, strict=True):
                cursor.execute(*step, prepare=prepare, binary=True)
        return [cursor.fetchall() if _has_rows(cursor) else [] for cursor in cursors]

    async def set_autocommit(self, connection: Any, value: bool) -> None:  # noqa: FBT001 - psycopg's own
        connection.autocommit = value

    async def cancel(self, connection: Any, timeout: float) -> None:
        connection.cancel_safe(timeout=timeout)

    async def close(self, connection: Any) -> None:
        connection.close()


class AsyncioDriver:
    """Over `psycopg.AsyncConnection` and `AsyncConnectionPool`."""

    async def probe(self, conninfo: str, options: dict[str, Any]) -> None:
        await (await psycopg.AsyncConnection.connect(conninfo, **options)).close()

    async def make_pool(self, conninfo: str, options: dict[str, Any], **settings: Any) -> Any:
        pool: Any = psycopg_pool.AsyncConnectionPool(
            conninfo, connection_class=_AsyncConnection, kwargs=options, num_workers=_WORKERS, open=False, **settings
        )
        await pool.open()
        return pool

    async def close_pool(self, pool: Any, timeout: float) -> None:
        await pool.close(timeout)

    async def take(self, pool: Any, timeout: float) -> Any:
        return await pool.getconn(timeout)

    async def give(self, pool: Any, connection: Any) -> None:
        await pool.putconn(connection)

    async def run(self, connection: Any, step: Step, prepare: bool | None) -> Rows:  # noqa: FBT001 - as psycopg has it
        cursor = psycopg.AsyncCursor(connection, row_factory=tuple_row)
        await cursor.execute(*step, prepare=prepare, binary=True)
        return await cursor.fetchall() if _has_rows(cursor) else []

    async def run_all(self, connection: Any, steps: Sequence[Step], prepare: bool | None) -> list[Rows]:  # noqa: FBT001 - as psycopg has it
        cursors = [psycopg.AsyncCursor(connection, row_factory=tuple_row) for _ in steps]
        async with connection.pipeline() if psycopg.AsyncPipeline.is_supported() else contextlib.nullcontext():
            for cursor, step in zip(cursors, steps, strict=True):
                await cursor.execute(*step, prepare=prepare, binary=True)
        return [await cursor.fetchall() if _has_rows(cursor) else [] for cursor in cursors]

    async def set_autocommit(self, connection: Any, value: bool) -> None:  # noqa: FBT001 - psycopg's own
        await connection.set_autocommit(value)

    async def cancel(self, connection: Any, timeout: float) -> None:
        await connection.cancel_safe(timeout=timeout)

    async def close(self, connection: Any) -> None:
        await connection.close()


def _has_rows(cursor: Any) -> bool:
    # Not `description`, which makes an object of every column: a quarter of the time of an exact read.
    return bool(cursor.pgresult.nfields)


def check_pool(pool: object, *, blocking: bool) -> None:
    wanted: type[object] = psycopg_pool.ConnectionPool if blocking else psycopg_pool.AsyncConnectionPool
    if not isinstance(pool, wanted):
        raise TypeError(f"pool must be a psycopg_pool.{wanted.__name__}, not {type(pool).__name__}")
