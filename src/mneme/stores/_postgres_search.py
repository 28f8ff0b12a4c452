"""Searching in the server, with pgvector: what `prepare_search` does once for a schema, and what `similar` asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mneme.errors import EmbedderDimensionError, IndexBackendUnavailableError, SchemaMigrationError, StoreBackendError
from mneme.ports import Vector
from mneme.stores import _postgres_statements as sql
from mneme.stores._postgres_search_schema import SEARCH_VERSION, TYPES, indexing, making, remaking

if TYPE_CHECKING:
    from mneme.stores._postgres_connection import Links, Run
    from mneme.stores._postgres_drivers import Step

__all__ = ["SearchOptions", "prepare", "question"]

_EXTENSION = "vector"
_OLDEST = (0, 8)
"""The first that goes on looking when the entries of a partition are few among the nearest."""
_CHUNK = 500
"""So many entries are copied in one transaction, for which writers wait: a tenth of a second or two."""
_COLLISIONS = ("40P01", "42P07", "42704")
"""Two made the index at once: one was taken for a deadlock, or found it there already, or gone."""
_NOT_THE_OWNER = "42501"


class SearchOptions(NamedTuple):
    """What the constructor was told about the search, checked already."""

    kind: str
    m: int
    ef_construction: int
    ef: int


async def prepare(links: Links, statements: sql.Statements, schema: str, options: SearchOptions, dim: int) -> None:
    """As `SearchingStore.prepare_search`. What is there stays as it was made, whatever the options say.

    Whoever comes while it is being made or filled waits, or helps; while the index is made, which holds up no writer,
    the others search without. Broken off, it goes on from where it was.
    """
    async with links.session(sql.BEGIN_WRITE) as run:
        state = await _made(run, statements, schema, options, dim)
    version, _, kept_dim, filled = state
    if version > SEARCH_VERSION:
        raise SchemaMigrationError(
            f"the schema {schema!r} was prepared for searching by a newer mneme: upgrade mneme, or use another "
            "index_backend"
        )
    if kept_dim != dim:
        raise EmbedderDimensionError(
            f"the schema {schema!r} is searched by vectors with {kept_dim} dimensions, not {dim}"
        )
    while not filled:
        fill: list[Step] = [(statements.lock, ()), (statements.search_fill, (_CHUNK,))]
        _, ((filled,),) = await links.transact(fill, write=True)
    for _ in range(3):
        if await _indexed(links, statements, schema, options):
            break


async def _made(
    run: Run, statements: sql.Statements, schema: str, options: SearchOptions, dim: int
) -> tuple[int, str, int, bool]:
    """As `_state`, once it was made if it was not there, or brought up to date if an earlier version made it."""
    state = await _state(run, statements, schema)
    if state is None or state[0] < SEARCH_VERSION:
        await run(statements.lock, ())  # one at a time; no writer is under way from here on
        state = await _state(run, statements, schema)
    if state is None:
        await _make(run, statements, schema, options, dim)
        return SEARCH_VERSION, options.kind, dim, False
    if state[0] < SEARCH_VERSION:
        for statement in remaking(await _extension(run), kind=state[1]):
            await run(statements.render(statement), ())
        return SEARCH_VERSION, *state[1:]
    return state


async def _indexed(links: Links, statements: sql.Statements, schema: str, options: SearchOptions) -> bool:
    """Make the index unless it is there, or somebody is at it; whether there is no more to do."""
    ((valid, busy, kind, where),) = await links.one(statements.search_index, (schema,))
    if valid or busy:
        return True
    index = indexing(where, "CONCURRENTLY", kind=kind, m=options.m, ef_construction=options.ef_construction)
    try:
        if valid is not None:  # what one left that was broken off
            await links.one(statements.drop_search_index, bounded=False)
        await links.one(statements.render(index), bounded=False)
    except StoreBackendError as error:
        state: str | None = getattr(error.__cause__, "sqlstate", None)
        if state not in (*_COLLISIONS, _NOT_THE_OWNER):
            raise
        return state == _NOT_THE_OWNER  # who makes it when he is next to come
    return True


def question(
    statements: sql.Statements, options: SearchOptions, partition: bytes, query: Vector, *, floor: float, k: int
) -> tuple[bytes, tuple[Any, ...]]:
    """The statement that finds and reads the entries nearest to *query*, and its parameters."""
    return statements.search_similar, (partition, query.tolist(), float(floor), k, options.ef)


async def _state(run: Run, statements: sql.Statements, schema: str) -> tuple[int, str, int, bool] | None:
    """Version, type, dimension, and whether every entry was copied; `None` where nothing has been prepared."""
    ((there,),) = await run(statements.search_exists, (schema,))
    if not there:
        return None
    ((version, kind, dim, filled),) = await run(statements.search_state, ())
    return version, kind, dim, filled


async def _make(run: Run, statements: sql.Statements, schema: str, options: SearchOptions, dim: int) -> None:
    ((_, bound, _),) = await run(statements.state, ())
    if bound != dim:
        raise EmbedderDimensionError(
            f"the schema {schema!r} holds vectors with {bound} dimensions, not {dim}"
            if bound is not None
            else f"the schema {schema!r} is bound to no embedder yet: open the store with one before it can search"
        )
    most, _ = TYPES[options.kind]
    if dim > most:
        other = "search_type='halfvec' takes 4000" if dim <= TYPES["halfvec"][0] else "use index_backend='auto'"
        raise IndexBackendUnavailableError(
            f"pgvector indexes {options.kind} of at most {most} dimensions, and these have {dim}: {other}"
        )
    where = await _extension(run)
    made = making(where, kind=options.kind, dim=dim)
    ((empty,),) = await run(statements.no_vectors, ())
    if empty:  # otherwise it is made faster, and without holding up writers, when they have been copied
        made.append(indexing(where, "", kind=options.kind, m=options.m, ef_construction=options.ef_construction))
    for statement in made:
        await run(statements.render(statement), ())


async def _extension(run: Run) -> str:
    """The quoted name of the schema that pgvector is in, which is installed in the database if it can be."""
    import psycopg  # noqa: PLC0415 - not at the top: a store can be refused for lacking it

    await run(b"SELECT pg_advisory_xact_lock(6143728905512206643)", ())  # two that create it at once would collide
    ((version, available),) = await run(sql.EXTENSION, (_EXTENSION, _EXTENSION))
    if version is None and available is None:
        raise IndexBackendUnavailableError(
            "the server has no pgvector: install it there (the package postgresql-NN-pgvector, or "
            "https://github.com/pgvector/pgvector), 0.8 or newer, or use another index_backend"
        )
    if version is None:
        version = available
        _check_version(version)
        try:
            await run(b"CREATE EXTENSION vector WITH SCHEMA public", ())
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidSchemaName) as error:
            raise IndexBackendUnavailableError(
                "this user cannot install pgvector in the database: let an administrator run CREATE EXTENSION vector "
                f"there ({str(error).strip()})"
            ) from error
    _check_version(version)
    ((where,),) = await run(sql.EXTENSION_SCHEMA, ())
    return str(where)


def _check_version(version: str) -> None:
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        raise IndexBackendUnavailableError(
            f"pgvector is of version {version} in this database, and 0.8 or newer is needed: install it on the server "
            "and run ALTER EXTENSION vector UPDATE"
        )
