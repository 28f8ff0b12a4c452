"""The saved form of the index: opening from it in place of reading every vector, and writing it.

It is never trusted further than this. It carries a mark that the store was given at the same moment, so that one of
another store, or of an earlier or later copy of this one, is known; and the sequence number up to which it goes, so
that what happened since is caught up with. If anything about it is wrong, the vectors are read as if it were not there.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, cast

from mneme._engine import choose, sync
from mneme._engine.core import Core
from mneme.errors import (
    CorruptCacheError,
    EmbedderMismatchError,
    IndexBackendUnavailableError,
    QuantizationError,
    StoreBackendError,
)
from mneme.log import log_fields

if TYPE_CHECKING:
    from typing import Protocol

    class _MarkedStore(Protocol):
        async def marked(self) -> str | None: ...
        async def mark(self, text: str) -> None: ...

    class _SavedIndex(Protocol):
        async def save(self, path: str, stamp: str) -> None: ...
        async def load(self, path: str, dim: int, dtype: str) -> str: ...


logger = logging.getLogger("mneme")

_WORTH_SAVING = 4096
"""Vectors that take longer to read than a file takes to open."""
_FEW = 50
"""So many changes for each vector of the index are caught up with sooner than the index is written."""


def _ports(core: Core) -> tuple[_MarkedStore, _SavedIndex, str] | None:
    """The store, the index and the path, if both of them can do what it takes."""
    can = all(hasattr(core.store, verb) for verb in ("marked", "mark"))
    can = can and all(hasattr(core.index, verb) for verb in ("save", "load"))
    if core.index_path is None or core.embedder is None or not can:
        return None
    return cast("_MarkedStore", core.store), cast("_SavedIndex", core.index), core.index_path


async def load(core: Core, seq: int) -> bool:
    """Open the index from its file, where that is worth while and the file is of this store; whether it was.

    *seq* is the store's latest sequence number. What happened after `applied_seq` is still to be caught up with.
    """
    ports = _ports(core)
    mark = None if ports is None else await ports[0].marked()
    if ports is None or mark is None or core.embedder is None:
        return False
    _, index, path = ports
    try:
        graph, text = await _load(core, index, path, core.embedder.dim)
        stamp = json.loads(text)
        reaches = int(stamp["seq"])
        if stamp["mark"] != mark or reaches > seq:
            raise CorruptCacheError("it is of another store, or of another state of it")  # noqa: TRY301 -- told of below
    except FileNotFoundError:
        extra = log_fields("saved_index_absent", path=path)
        logger.info("there is no saved index %r; all vectors are read from the store", path, extra=extra)
        return False
    except (OSError, CorruptCacheError, ValueError, KeyError, TypeError) as error:
        # As text: whoever keeps the record would keep the error, its frames, and with them the file.
        logger.warning(
            "the saved index %r cannot be used (%s); all vectors are read from the store",
            *(path, str(error)),
            extra=log_fields("saved_index_unusable", path=path, error=error),
        )
        return False
    if graph is not None and core.choice is not None:
        choose.use_graph(core, core.choice, graph)
    if (seq - reaches) * 4 > await core.index.size():
        return False  # one block after another is sooner read than so many changes
    core.applied_seq = core.saved_seq = reaches
    return True


async def _load(core: Core, index: _SavedIndex, path: str, dim: int) -> tuple[Any, str]:
    """Load the file into the index, or into a graph, if it holds one that was chosen by measurement.

    The graph, if it is one, which nobody uses yet; and the stamp.
    """
    dtype = core.options.vector_dtype
    try:
        return None, await index.load(path, dim, dtype)
    except CorruptCacheError:
        if core.choice is None or core.choice.taken:
            raise
        graph, stamp = await _load_graph(core.choice, path, dim, dtype)
        if graph is None:
            raise
    return graph, stamp


async def _load_graph(choice: choose.Choice, path: str, dim: int, dtype: str) -> tuple[Any, str]:
    try:
        graph = choice.make_graph()
        stamp: str = await graph.load(path, dim, dtype)
    except (CorruptCacheError, IndexBackendUnavailableError, QuantizationError):
        return None, ""
    if not json.loads(stamp).get("chosen"):  # somebody asked for it, and asks for it no more
        await graph.close()
        return None, ""
    return graph, stamp


async def share_if_due(core: Core) -> None:
    """Where processes share one index: let go of what this one holds for itself, if that is enough to be worth it.

    What another process saved is taken over; if none did, the index is saved here, and taken over from the file. The
    caller holds `writer`, or nobody else knows the cache yet.
    """
    lock, ports = core.following.shares, _ports(core)
    if lock is None or ports is None or core.dirty:
        return
    since = core.applied_seq if core.saved_seq is None else core.applied_seq - core.saved_seq
    if since < _WORTH_SAVING or since * _FEW < await core.index.size():
        return
    try:
        if not lock.acquire():
            return  # somebody is saving it: the next one who comes finds it done
        try:
            known = -1 if core.saved_seq is None else core.saved_seq
            if not await _take_over(core, ports, known):
                await save(core, always=True)
                await _take_over(core, ports, known)
        finally:
            lock.release()
    except (OSError, CorruptCacheError, StoreBackendError) as error:
        logger.warning(
            "the shared index %r cannot be used (%s); memory goes on with its own",
            *(ports[2], str(error)),
            extra=log_fields("shared_index_unusable", path=ports[2], error=error),
        )


async def _take_over(core: Core, ports: tuple[_MarkedStore, _SavedIndex, str], known: int) -> bool:
    """Change to the saved index, if it is the store's and goes further than *known*; whether it was and did."""
    store, _, path = ports
    if core.make_index is None or core.embedder is None:
        return False
    index = core.make_index()
    try:
        stamp = json.loads(await cast("_SavedIndex", index).load(path, core.embedder.dim, core.index.dtype))
        if stamp["mark"] != await store.marked() or int(stamp["seq"]) <= known:
            raise CorruptCacheError("it is not the one to take over")  # noqa: TRY301 -- let go of like any other
        # What happened since, before anybody searches it.
        await sync.bring_up_to_date(core, index, int(stamp["seq"]))
    except BaseException as error:
        await index.close()
        if isinstance(error, (FileNotFoundError, CorruptCacheError, ValueError, KeyError, TypeError)):
            return False
        raise
    core.index, core.saved_seq = index, int(stamp["seq"])
    return True


async def save(core: Core, *, always: bool = False) -> None:
    """Write the saved form if enough has changed, or *always* if anything has. The caller holds `writer`.

    A failure is logged: everything is in the store.
    """
    ports = _ports(core)
    if ports is None or core.dirty:
        return
    store, _, path = ports
    size = await core.index.size()
    if core.saved_seq is None:
        if size < _WORTH_SAVING:
            return
    elif core.applied_seq - core.saved_seq < (1 if always else max(1, size // _FEW)):
        return  # however few are left: the file would go on holding what was removed
    mark = core.new_mark()
    try:
        await sync.replay(core)  # or the file would hold what others have removed, and perhaps overwritten
        await cast("_SavedIndex", core.index).save(
            path,
            json.dumps(
                {"mark": mark, "seq": core.applied_seq, "chosen": core.choice is not None and core.choice.taken}
            ),
        )
        await store.mark(mark)
    except (OSError, CorruptCacheError, EmbedderMismatchError, StoreBackendError) as error:
        logger.warning(
            "the index could not be saved in %r (%s); opening will take longer",
            *(path, str(error)),
            extra=log_fields("saved_index_not_written", path=path, error=error),
        )
    else:
        core.saved_seq = core.applied_seq
