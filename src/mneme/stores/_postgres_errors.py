"""What psycopg's errors mean to the caller, told apart by SQLSTATE."""

from __future__ import annotations

from types import TracebackType

import psycopg
import psycopg_pool

from mneme.errors import CacheClosedError, CorruptCacheError, MnemeError, StoreBackendError

__all__ = ["Meanings", "meaning_of"]

_DAMAGED = ("23", "XX001", "XX002")  # nothing but mneme writes, and mneme violates no constraint of a sound store

# The first that the SQLSTATE begins with counts.
_REMEDIES = (
    ("28", "check user, password and pg_hba.conf"),
    ("3D000", "create the database, or correct its name"),
    ("3F000", "the schema was removed by something else; open the store anew"),
    ("42P01", "a table was removed by something else; restore the schema from a copy, or drop it and open anew"),
    ("42703", "a table was changed by something else; restore the schema from a copy, or drop it and open anew"),
    ("42883", "a function was removed by something else; restore the schema from a copy, or drop it and open anew"),
    ("42501", "grant this user USAGE on the schema and all rights on its tables, or CREATE on the database"),
    ("25006", "the server is read-only: connect to the primary"),
    ("53100", "the server's disk is full: free some space"),
    ("53300", "the server has no connection left: lower max_size, or raise max_connections"),
    ("53400", "the server has no connection left: lower max_size, or raise max_connections"),
    ("54000", "a namespace or tag is too long for an index: keep them under 512 bytes"),
    ("57014", "it took longer than statement_timeout; the server, or another writer, is slow"),
    ("55P03", "something else holds a lock for longer than lock_timeout allows"),
    ("25P03", "the transaction was left idle for longer than statement_timeout"),
)
# A connection that was refused carries no SQLSTATE. In another language than English the general remedy has to do.
_REFUSALS = (
    (
        "certificate",
        "name the authority that vouches for the server (sslrootcert), and the host as its certificate has it",
    ),
    ("does not support SSL", "let the server speak TLS, or connect without: sslmode=disable"),
    ("too many c", "the server has no connection left: lower max_size, or raise max_connections"),
    ("remaining connection slots", "the server has no connection left: lower max_size, or raise max_connections"),
    ("authentication failed", "check user, password and pg_hba.conf"),
    ("no password supplied", "check user, password and pg_hba.conf"),
    ("pg_hba.conf", "check user, password and pg_hba.conf"),
    ('role "', "check user, password and pg_hba.conf"),
    ('database "', "create the database, or correct its name"),
)
_UNREACHABLE = "check that the server runs and can be reached; the store connects again by itself"


def meaning_of(error: Exception, where: str, *, closed: bool, unsure: bool = False) -> MnemeError:
    """The error to raise for *error*, which names the store, the cause and the remedy.

    With *unsure* a change was on its way when the connection was lost, and may have been made.
    """
    if closed:
        return CacheClosedError(f"the store {where} was closed")
    text = " ".join(str(error).split()) or type(error).__name__
    state = getattr(error, "sqlstate", None) or ""
    if isinstance(error, psycopg_pool.PoolClosed):
        return StoreBackendError(f"{where} could not be used: its pool was closed; make a new store")
    if isinstance(error, psycopg_pool.PoolTimeout | psycopg_pool.TooManyRequests):
        return StoreBackendError(
            f"{where} could not be used: {text}; all connections are in use, or none can be made: raise max_size or "
            "connect_timeout, or check the server; nothing was changed"
        )
    if state.startswith(_DAMAGED):
        return CorruptCacheError(f"{where} is damaged ({text}); restore it from a copy, or drop the schema")
    if state:
        remedy = next((remedy for prefix, remedy in _REMEDIES if state.startswith(prefix)), None)
    else:
        remedy = next((remedy for words, remedy in _REFUSALS if words in text), None)
    if remedy is None:
        remedy = _UNREACHABLE if isinstance(error, psycopg.OperationalError) else "see the server's log"
    outcome = "whether the change was made is not known: all of it, or nothing" if unsure else "nothing was changed"
    return StoreBackendError(f"{where} could not be used: {text}; {remedy}; {outcome}")


class Meanings:
    """A context manager that turns psycopg's errors into mneme's. It has no state: one serves all threads at once."""

    def __init__(self, where: str) -> None:
        self._where = where
        self.closed = False

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, psycopg.Error):
            raise self.of(error) from error

    def of(self, error: psycopg.Error, *, unsure: bool = False) -> MnemeError:
        """As `meaning_of`."""
        return meaning_of(error, self._where, closed=self.closed, unsure=unsure)
