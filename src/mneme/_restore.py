"""What stands behind `loads` on both faces: from an archive to a file that appears whole, or to a store."""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from mneme._assemble import assemble
from mneme._engine.core import Core
from mneme._engine.dump import Progress
from mneme._engine.load import Identity, Load
from mneme._rules.archive_entries import Limits
from mneme._rules.arguments import check_callable, check_count, check_namespaces
from mneme._runtime.archive_files import Source, publish
from mneme._runtime.contract import Runtime
from mneme.errors import CheckpointError
from mneme.ports import AsyncEmbedder, Embedder
from mneme.stores import MemoryStore, SQLiteStore

_BESIDE = ("", "-wal", "-shm", "-journal", "-index")
"""The files of a cache at a path."""


class Restore:
    """One call of `loads`, from its arguments to what the constructor is to be called with.

    Making it checks every argument, those of the constructor too; nothing is opened.
    """

    def __init__(
        self,
        kind: type[Any],
        face: type[Any],
        runtime: Runtime,
        path: str | os.PathLike[str] | None,
        embedder: Embedder | AsyncEmbedder | None,
        *,
        store: Any,
        namespace: str | Collection[str] | None,
        merge: bool,
        max_archive_bytes: int,
        progress: Progress | None,
        options: Mapping[str, Any],
    ) -> None:
        if path == ":memory:" and store is None:
            path, store = None, MemoryStore()
        self.path, self.store = path, store
        self._namespaces = check_namespaces(namespace)
        if not isinstance(merge, bool):
            raise TypeError(f"merge must be True or False, not {type(merge).__name__}")
        self._merge = merge
        self._total = check_count(max_archive_bytes, "max_archive_bytes", 1)
        check_callable(progress, "progress")
        self._progress = progress
        self._runtime = runtime
        known = inspect.signature(face).parameters
        if kind is not face:  # what its own constructor takes besides is its own affair
            options = {name: value for name, value in options.items() if name in known}
        bound = inspect.signature(face).bind(path, embedder, store=store, **options)
        bound.apply_defaults()
        self._core = assemble(runtime, *bound.args, **bound.kwargs)
        self._made: str | None = None

    async def run(self, source: Any) -> None:
        """Fill the store; raises, and leaves nothing behind, if it cannot."""
        core = self._core
        try:
            opened = await self._runtime.offload(partial(Source, source))
            try:
                await self._load(core, opened)
            finally:
                await self._runtime.offload(opened.close)
        except BaseException:
            await core.store.close()
            self.undo()
            raise
        else:
            if self.store is None:  # the constructor makes another one for the path
                await core.store.close()
        finally:
            core.closed = core.released = True  # it was never more than its parts
            self._runtime.close()

    def undo(self) -> None:
        """Remove the file that was made, because the cache in it could not be opened."""
        if self._made is not None:
            _remove(self._made)

    async def _load(self, core: Core, source: Source) -> None:
        options = core.options
        load = Load(
            self._runtime,
            source,
            Limits(options.max_query_bytes, options.max_response_bytes, options.max_metadata_bytes, self._total),
            embedder=None if core.embedder is None else Identity(core.embedder.fingerprint, core.embedder.dim),
            namespaces=self._namespaces,
            progress=self._progress,
        )
        path = _file_of(self.path, self.store)
        taken = path is not None and await self._runtime.offload(partial(os.path.lexists, path))
        if path is None or (taken and (self._merge or self.store is not None)):
            await load.check()
            await load.into(core.store, merge=self._merge)
        elif taken:
            raise CheckpointError(
                f"there is a file {path!r} already; choose a new path, or pass merge=True to add to it"
            )
        else:
            await self._make(load, path)

    async def _make(self, load: Load, path: str) -> None:
        draft = f"{path}.{os.urandom(4).hex()}.new"
        held = SQLiteStore(draft)
        store = self._runtime.store(held)
        try:
            try:
                await load.into_new(store)
            finally:
                await self._runtime.offload(held.close)
            await self._runtime.offload(partial(self._publish, draft, path))
        except FileExistsError:
            raise CheckpointError(f"a file {path!r} was made by somebody else meanwhile; it was left alone") from None
        except OSError as error:
            raise CheckpointError(f"the cache cannot be made at {path!r}: {error.strerror or error}") from error
        finally:
            await self._runtime.offload(partial(_remove, draft))

    def _publish(self, draft: str, path: str) -> None:
        if os.path.lexists(f"{draft}-wal"):
            raise CheckpointError(f"the file for {path!r} could not be completed; see whether the disk is full")
        publish(draft, path)
        self._made = path  # here, as whoever waits for this may be cancelled


def _file_of(path: str | os.PathLike[str] | None, store: object) -> str | None:
    """The file that is to be made, if the cache is to live in one."""
    held = SQLiteStore(path) if path is not None else store
    return held.path if isinstance(held, SQLiteStore) else None


def _remove(path: str) -> None:
    for ending in _BESIDE:
        with suppress(OSError):
            Path(path + ending).unlink()
