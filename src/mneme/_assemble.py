"""From the arguments of a constructor to a core: which store, which index, which options. The same for both faces."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

from mneme._engine import certificates
from mneme._engine.choose import PATIENCE, SLOW, Choice
from mneme._engine.core import Core
from mneme._rules.arguments import (
    check_callable,
    check_choice,
    check_count,
    check_parts,
    check_seconds,
    check_unit,
)
from mneme._rules.options import make_options
from mneme._runtime.breaker import guarded
from mneme._runtime.clock import WallClock
from mneme._runtime.contract import Runtime
from mneme._runtime.events import Events
from mneme._runtime.following import Following
from mneme._runtime.fork import watch
from mneme._runtime.host_lock import HostLock, is_possible
from mneme.indexes import ExactIndex
from mneme.indexes.elsewhere import ElsewhereIndex
from mneme.ports import AsyncEmbedder, AsyncStore, Clock, Embedder, Index, MetricsHook, SearchingStore, Store
from mneme.stores import MemoryStore, SQLiteStore


def assemble(
    runtime: Runtime,
    path: str | os.PathLike[str] | None,
    embedder: Embedder | AsyncEmbedder | None,
    *,
    store: Store | AsyncStore | None,
    similarity_threshold: float | str,
    metrics_hook: MetricsHook | None,
    index_backend: str | Index,
    index_options: Mapping[str, Any] | None,
    multi_process_mode: str,
    stale_check_interval: float,
    hot_bytes: int,
    clock: Clock | None,
    **options: Any,
) -> Core:
    """Check every argument and put the parts together; nothing is opened yet.

    Raises:
        TypeError, ValueError, QuantizationError, IndexBackendUnavailableError: An argument does not hold.
    """
    check_callable(metrics_hook, "metrics_hook")
    check_count(hot_bytes, "hot_bytes", 0)
    mode = check_choice(multi_process_mode, "multi_process_mode", ("single", "stale-tolerant", "mmap-shared"))
    check_seconds(stale_check_interval, "stale_check_interval")
    check_parts(clock, "clock", "now")
    checked = make_options(**options)
    certified = certificates.is_meant(similarity_threshold, "similarity_threshold")
    threshold = 0.0
    if not certified:
        threshold = check_unit(similarity_threshold, "similarity_threshold", checked.highest_threshold)
    for guard in checked.guards:
        runtime.guard(guard)
    held = _store(path, store)
    index_path, own_options = _index_path(held, index_options)
    if index_backend == "store":
        _check_searching(held, checked.vector_dtype)
    shared_path = _shared_path(held, index_path, index_backend) if mode == "mmap-shared" else None
    choice, own_options = _choice(runtime, index_backend, own_options)
    if shared_path is not None:
        choice = None  # a graph is not shared
    make_index = _index_maker(index_backend, own_options)
    _check_embedder(embedder)
    now = WallClock() if clock is None else clock
    store_port = runtime.store(held)
    base = getattr(held, "encrypted", held)  # behind encryption it is the store beneath that waits and is shared
    if not isinstance(base, (MemoryStore, SQLiteStore)):
        # Those two fail at once or after a wait that the caller set, and a file that cannot be written can be read.
        store_port = guarded(store_port, now)
    core = Core(
        options=checked,
        similarity_threshold=threshold,
        store=store_port,
        index=runtime.index(cast("Index", index_backend) if make_index is None else make_index()),
        make_index=None if make_index is None else lambda: runtime.index(make_index()),
        embedder=None if embedder is None else runtime.embedder(embedder),
        runtime=runtime,
        clock=now,
        events=Events(metrics_hook, time.perf_counter),
        hot_bytes=hot_bytes,
        choice=choice,
        # A caller's own index is the caller's to save.
        index_path=None if make_index is None else index_path,
        damage_of_index=_damage_of_index,
        new_mark=lambda: os.urandom(16).hex(),
        # To ask a file costs microseconds, and many a user has two processes without knowing it.
        following=Following(
            mode,
            polls=mode != "single" or isinstance(base, SQLiteStore),
            interval=0.0 if mode == "mmap-shared" else float(stale_check_interval),
            shares=HostLock(f"{shared_path}-lock") if mode == "mmap-shared" else None,
        ),
        draw=_chance,
    )
    if certified:
        certificates.set_threshold(core, similarity_threshold)
    watch(core)
    return core


def _store(path: str | os.PathLike[str] | None, store: Store | AsyncStore | None) -> Store | AsyncStore:
    if (path is None) == (store is None):
        given = "neither" if path is None else "both"
        raise TypeError(f"pass a path, such as 'answers.db' or ':memory:', or store=, and not {given}")
    if store is None:
        return MemoryStore() if path == ":memory:" else SQLiteStore(cast("str | os.PathLike[str]", path))
    if isinstance(store, type):
        raise TypeError(f"store must be a store, and {store.__name__} is a class; call it")
    if not _has_the_verbs_of_a_store(store):
        raise TypeError(f"store must have the verbs of mneme.Store, and {type(store).__name__} has not")
    return store


def _has_the_verbs_of_a_store(candidate: object) -> bool:
    return isinstance(candidate, Store)  # so is an AsyncStore: its verbs have the same names


def _check_searching(store: Store | AsyncStore, dtype: str) -> None:
    if not isinstance(store, SearchingStore):
        raise TypeError(
            f"index_backend='store' needs a store that searches by itself (mneme.ports.SearchingStore), and "
            f"{type(store).__name__} does not; use 'auto'"
        )
    if dtype != "float32":
        raise ValueError(
            f"vector_dtype={dtype!r} is for an index in the process; how the store holds vectors is up to it"
        )


def _index_path(
    store: Store | AsyncStore, options: Mapping[str, Any] | None
) -> tuple[str | None, Mapping[str, Any] | None]:
    """Where the index is saved, and the options without that."""
    if options is None or "path" not in options:
        return f"{store.path}-index" if isinstance(store, SQLiteStore) else None, options
    path = options["path"]
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"the index option 'path' must be a path, or None not to save it, not {type(path).__name__}")
    rest = {name: value for name, value in options.items() if name != "path"}
    return None if path is None else str(Path(path).absolute()), rest or None


def _damage_of_index(path: str) -> str | None:
    from mneme.indexes._verify import damage_of  # noqa: PLC0415 -- loaded when used

    return damage_of(path)


def _shared_path(store: Store | AsyncStore, path: str | None, backend: str | Index) -> str:
    """Where the index lies that all processes of the host map."""
    if not isinstance(store, SQLiteStore):
        raise ValueError(  # noqa: TRY004 -- the store is right, the two do not go together
            "multi_process_mode='mmap-shared' is for processes of one host that share a file: pass a path; "
            "on any other store use 'stale-tolerant'"
        )
    if backend not in ("auto", "numpy"):
        raise ValueError(f"multi_process_mode='mmap-shared' needs index_backend='auto' or 'numpy', got {backend!r}")
    if path is None:
        raise ValueError("multi_process_mode='mmap-shared' needs a saved index; leave the index option 'path' alone")
    if not is_possible():
        raise ValueError("multi_process_mode='mmap-shared' needs locks between processes, which this system lacks")
    return path


def _choice(
    runtime: Runtime, backend: str | Index, options: Mapping[str, Any] | None
) -> tuple[Choice | None, Mapping[str, Any] | None]:
    """What "auto" goes by, and the options without that."""
    if backend != "auto":
        return None, options
    limits = {"slow": SLOW, "patience": PATIENCE}
    rest = dict(options or {})
    for name in limits:
        if name in rest:
            limits[name] = check_seconds(rest.pop(name), f"the index option {name!r}")
    return Choice(lambda: runtime.index(_hnsw_maker({})()), limits["slow"], limits["patience"]), rest or None


def _index_maker(backend: str | Index, options: Mapping[str, Any] | None) -> Callable[[], Index] | None:
    if backend in ("auto", "numpy"):
        if options:
            known = "'path'" if backend == "numpy" else "'path', 'slow' and 'patience'"
            raise TypeError(f"the index {backend!r} has no option {min(options)!r}; it has {known}")
        return ExactIndex
    if backend == "hnsw":
        return _hnsw_maker(options or {})
    if backend == "store":
        if options:
            raise TypeError(f"the index of the store has no option {min(options)!r} here; pass it to the store")
        return ElsewhereIndex
    if isinstance(backend, str):
        raise ValueError(  # noqa: TRY004 -- a string is the right type
            f"index_backend must be 'auto', 'numpy', 'hnsw', 'store' or an Index, got {backend!r}"
        )
    if not isinstance(backend, Index):
        raise TypeError(f"index_backend must have the verbs of mneme.Index, and {type(backend).__name__} has not")
    return None


def _hnsw_maker(options: Mapping[str, Any]) -> Callable[[], Index]:
    from mneme.indexes import HnswIndex  # noqa: PLC0415 -- loaded when used

    # M, as the literature writes it, is what `HnswIndex` calls m.
    known = ("M", *inspect.signature(HnswIndex).parameters)
    for name in options:
        if name not in known:
            raise TypeError(f"the hnsw index has no option {name!r}; it has {', '.join(known)}")
    if "M" in options and "m" in options:
        raise TypeError("index_options has both 'M' and 'm', which are the same")
    return partial(HnswIndex, **{"m" if name == "M" else name: value for name, value in options.items()})


def _check_embedder(embedder: object) -> None:
    # Looked for without evaluating them: the dimension may take a first call to a model to find out.
    missing = object()
    names = ("dim", "fingerprint", "embed")
    if embedder is not None and any(inspect.getattr_static(embedder, name, missing) is missing for name in names):
        raise TypeError(
            f"embedder must have dim, fingerprint and embed, and {type(embedder).__name__} has not; "
            "wrap functions and library objects in as_embedder(...)"
        )


def _chance() -> float:
    """A number from 0 to below 1, by which hits are chosen that are audited."""
    return int.from_bytes(os.urandom(6), "little") / 2**48
