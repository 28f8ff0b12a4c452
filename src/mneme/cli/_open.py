"""Opening a cache file: by default only one that exists, so that a typo does not make an empty cache."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import click

from mneme import AsyncEmbedder, Embedder, SemanticCache, SQLiteStore, Store, as_embedder, to_sync_embedder
from mneme.cli._failure import Failure, asking

if TYPE_CHECKING:
    from mneme import KeyRing  # it needs the extra `crypto`


@contextmanager
def opened(
    file: Path, embedder: Embedder | None = None, *, make: bool = False, **options: Any
) -> Iterator[SemanticCache]:
    """The cache in *file*. Without an embedder any can be listed, counted and cleaned, whoever made its vectors."""
    if not make and not file.exists():
        raise missing(file)
    with asking():
        # As a Path: the text ":memory:" would mean no file at all.
        cache = SemanticCache(Path(file), embedder, **options)
    with cache:
        yield cache


def missing(file: Path) -> Failure:
    """To raise where there is no such file."""
    name = str(file)
    message = f"there is no file {without_password(name)!r}; check the path (`mneme put` makes a new cache)"
    if re.match(r"[a-z][a-z0-9+.-]+:/", name):  # a path has lost one of the two slashes
        message = (
            f"{without_password(name)!r} is no file, and this command works with files: `mneme export` makes one of it"
        )
    return Failure(message, "FileNotFoundError")


def without_password(where: str) -> str:
    """A URL as it may be shown."""
    where = re.sub(r"^([a-z][a-z0-9+.-]*:/+[^:@/]*):(?:[^/]*|[^?]*)@", r"\1:***@", where, flags=re.IGNORECASE)
    return re.sub(r"([?&]\w*(?:password|secret|token)\w*=)[^&]*", r"\1***", where, flags=re.IGNORECASE)


class OnServer(Store, Protocol):
    """A store that can say whether there is anything in its place."""

    def exists(self) -> bool:
        """Whether there is; makes nothing."""
        ...


def store_at(where: str, prefix: str) -> OnServer | None:
    """The store on the server that a URL names, unopened; `None` for what is no URL, so a file.

    Raises:
        click.UsageError: It is a URL of no known kind.
        ImportError: The extra for it is not installed.
    """
    scheme, found, rest = where.partition("://")
    if not found or Path(where).exists():
        return None
    with asking():
        if scheme in {"redis", "rediss"}:
            from mneme import RedisStore  # noqa: PLC0415 - only who uses it needs the driver

            return RedisStore(where, prefix=prefix)
        if scheme in {"postgresql", "postgres"}:
            from mneme import PostgresStore  # noqa: PLC0415 - only who uses it needs the driver

            return PostgresStore(where, schema=prefix)
        if scheme == "dynamodb":
            from mneme import DynamoDBStore  # noqa: PLC0415 - only who uses it needs the driver

            return DynamoDBStore(rest, prefix=prefix)
    raise click.UsageError(f"{scheme}:// is none of redis://, rediss://, postgresql:// and dynamodb://TABLE")


@contextmanager
def opened_at(where: str, prefix: str, keys: KeyRing | None = None, **options: Any) -> Iterator[SemanticCache]:
    """The cache in a file, or on the server that a URL names; with *keys* it is one that they encrypted.

    Raises:
        Failure: There is none.
    """
    there = store_at(where, prefix)
    if there is None and (keys is None or not Path(where).exists()):
        with opened(Path(where), **options) as found:
            yield found
        return
    if there is not None:
        _check_exists(there, where, prefix)
    store: Store = SQLiteStore(Path(where)) if there is None else there
    with asking():
        if keys is not None:
            from mneme import EncryptedStore  # noqa: PLC0415 - only who has keys needs the extra

            store = EncryptedStore(store, keys)
        found = SemanticCache(store=store, **options)
    with found:
        yield found


def _check_exists(store: OnServer, where: str, prefix: str) -> None:
    try:
        exists = store.exists()
    except BaseException:
        store.close()
        raise
    if not exists:
        store.close()
        what = "in the schema" if where.startswith("postgres") else "with the prefix"
        raise Failure(
            f"there is no cache at {without_password(where)!r} {what} {prefix!r}; check both", "FileNotFoundError"
        )


class Place(NamedTuple):
    """What CACHE and --prefix say together: a file, or the URL of a server."""

    where: str
    prefix: str

    @property
    def name(self) -> str:
        """As it may be shown."""
        return without_password(self.where)

    @property
    def file(self) -> Path | None:
        """The file, if it is one."""
        return Path(self.where) if Path(self.where).exists() else None

    def opened(self, embedder: Embedder | None = None, **options: Any) -> AbstractContextManager[SemanticCache]:
        """The cache that is there."""
        return opened_at(self.where, self.prefix, embedder=embedder, **options)


@contextmanager
def opened_to_ask(place: Place, choice: str, **options: Any) -> Iterator[SemanticCache]:
    """The cache there with the embedder chosen, unless it holds no vectors: asking must not bind it to one."""
    embedder = None
    if choice != "none":
        with place.opened() as cache:
            bound = cache.stats().embedder_fingerprint is not None
        embedder = find_embedder(choice) if bound else None
    with place.opened(embedder, **options) as cache:
        yield cache


def find_embedder(choice: str) -> Embedder | None:
    """What `--embedder` means.

    Raises:
        click.UsageError: It names nothing that can be found, or nothing that is an embedder.
        ImportError: It is `local`, and the extra is not installed.
    """
    if choice == "none":
        return None
    if choice == "local":
        from mneme.embedders import LocalEmbedder  # noqa: PLC0415 - only commands that need vectors load a model

        return LocalEmbedder()
    module, colon, attribute = choice.partition(":")
    if not (module and colon and attribute):
        raise click.UsageError(f"--embedder is local, none or module:attribute, not {choice!r}")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # last, so that nothing here passes for a module that is installed
    try:
        found: Any = importlib.import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise click.UsageError(f"--embedder {choice}: {error}") from error
    with asking():
        made = as_embedder(found() if inspect.isclass(found) else found)
    if inspect.iscoroutinefunction(made.embed):
        return to_sync_embedder(cast("AsyncEmbedder", made))
    return made
