"""Opening: what is there is looked at before anything is altered, brought up to date, and bound to an embedder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mneme.errors import CorruptCacheError, EmbedderMismatchError, SchemaMigrationError, StoreBackendError
from mneme.ports import StoreInfo
from mneme.stores._postgres_rows import held, told
from mneme.stores._postgres_schema import APPLICATION, TABLES
from mneme.stores._postgres_statements import Statements

if TYPE_CHECKING:
    from mneme.stores._postgres_connection import Run

__all__ = ["set_up"]

_OLDEST = 130000
"""The oldest server that somebody still repairs. Nothing newer is used."""


async def set_up(
    run: Run,
    sql: Statements,
    schema: str,
    *,
    migrations: Sequence[Sequence[str]],
    fingerprint: str | None,
    dim: int | None,
) -> StoreInfo:
    """Inside a transaction: make or migrate the schema if need be, and bind the store if it is bound to none.

    Raises:
        EmbedderMismatchError, CorruptCacheError, SchemaMigrationError: As `Store.open` says.
        StoreBackendError: The server is too old, or the database is in another encoding than UTF-8.
    """
    version = await _version(run, sql, schema, migrations)
    if version < len(migrations):
        # One at a time makes or migrates it. Whoever waited finds it done.
        number = int.from_bytes(hashlib.sha256(f"mneme schema {schema}".encode()).digest()[:8], "big", signed=True)
        await run(b"SELECT pg_advisory_xact_lock(%s::int8)", (number,))
        version = await _version(run, sql, schema, migrations)
        if version < 0:
            await run(sql.create_schema, ())
        for statements in migrations[max(version, 0) :]:
            for statement in statements:
                await run(sql.render(statement), ())
        await run(sql.set_version, (len(migrations),))
    # This waits for whoever is writing, and then nobody else binds it.
    ((kept, kept_dim, seq),) = await run(sql.bound, ())
    known = None if kept is None else told(kept)
    if fingerprint is not None:
        if known is not None and (known, kept_dim) != (fingerprint, dim):
            raise EmbedderMismatchError(
                f"the schema {schema!r} holds vectors of {known!r} (dim {kept_dim}), not of {fingerprint!r} (dim "
                f"{dim}): use the same embedder, embed it anew, or choose another schema"
            )
        if known is None:
            await run(sql.bind, (held(fingerprint), dim))
            known, kept_dim = fingerprint, dim
    return StoreInfo(known, kept_dim, len(migrations), seq)


async def _version(run: Run, sql: Statements, schema: str, migrations: Sequence[Sequence[str]]) -> int:
    """How many migrations the schema has had: -1 if it does not exist, 0 if it is empty."""
    ((exists, relations, columns, encoding, server),) = await run(sql.inspect, (schema,))
    if server < _OLDEST:
        raise StoreBackendError(f"the server is Postgres {server // 10000}; mneme needs 13 or newer")
    if encoding != "UTF8":
        raise StoreBackendError(f"the database is in the encoding {encoding}; create one with ENCODING 'UTF8'")
    if not relations:
        return 0 if exists else -1
    rows = await run(sql.version, ()) if {"application", "version"} <= set(columns) else []
    if len(rows) != 1 or rows[0][0] != APPLICATION:
        raise CorruptCacheError(
            f"the schema {schema!r} holds tables that are not mneme's, or damaged: choose a schema of its own"
        )
    version: int = rows[0][1]
    if version > len(migrations):
        raise SchemaMigrationError(
            f"the schema {schema!r} has version {version}, and this mneme knows versions up to {len(migrations)}: "
            "upgrade mneme, or choose another schema"
        )
    if version == len(migrations) and (missing := TABLES - set(relations)):
        raise CorruptCacheError(
            f"the schema {schema!r} is damaged: {', '.join(sorted(missing))} is missing; restore it from a copy, or "
            "drop it to start anew"
        )
    return version
