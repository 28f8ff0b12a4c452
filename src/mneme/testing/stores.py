"""Stores and indexes made to fail or to wait on command, each before a real one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

from mneme.errors import StoreBackendError
from mneme.ports import (
    Change,
    Index,
    Matches,
    Matrix,
    NamespaceSummary,
    Record,
    Ref,
    Removed,
    Selection,
    Store,
    StoreInfo,
    Usage,
    VectorBlock,
    VectorDType,
    Written,
)

__all__ = ["Faults", "FlakyIndex", "FlakyStore", "SlowStore"]

T = TypeVar("T")

_BESIDES = frozenset({"mark", "marked", "prepare_search", "scrub", "similar", "swap"})
"""The verbs of `MarkedStore`, `ScrubbingStore`, `SearchingStore` and `SwappingStore`."""

_PATIENCE = 60.0
"""Seconds after which a test that forgot to open a gate fails instead of hanging."""


class Faults:
    """Which calls fail, counted over all the ports that share it; and how.

    Thread safety: ports that share it may be called from several threads at once.

    Args:
        failures: The numbers of the calls that fail, from 1; or a function that is given a call's number and its name,
            such as "store.write".
        error: What is raised; by default a `StoreBackendError`.
        after: Raise when the call has done its work, as when an answer is lost on its way. By default nothing is done.
    """

    def __init__(
        self,
        failures: Collection[int] | Callable[[int, str], bool] = (),
        *,
        error: BaseException | type[BaseException] | None = None,
        after: bool = False,
    ) -> None:
        self.calls: list[str] = []
        """The name of every call, in order of arrival."""
        self.fired: list[str] = []
        """The names of those that failed."""
        self._lock = threading.Lock()
        self.arm(failures, error=error, after=after)

    def arm(
        self,
        failures: Collection[int] | Callable[[int, str], bool],
        *,
        error: BaseException | type[BaseException] | None = None,
        after: bool = False,
    ) -> None:
        """Count anew from here, and fail as told from now on."""
        with self._lock:
            self.calls.clear()
            self.fired.clear()
            self._failures = failures
            self._error = StoreBackendError("the port failed, as the test told it to") if error is None else error
            self._after = after

    def lift(self) -> None:
        """Fail no more. What was counted stays to be looked at."""
        with self._lock:
            self._failures = ()

    def around(self, name: str, call: Callable[[], T]) -> T:
        """The result of *call*, unless it is its turn to fail."""
        with self._lock:
            self.calls.append(name)
            number = len(self.calls)
            fails = self._failures(number, name) if callable(self._failures) else number in self._failures
            if fails:
                self.fired.append(name)
            error, after = self._error, self._after
        if not fails:
            return call()
        if after:
            with contextlib.suppress(Exception):
                call()
        raise error


class _Wrapped:
    """Has every call of a verb go through `_around`."""

    def _around(self, verb: str, call: Callable[[], T]) -> T:
        raise NotImplementedError


class _WrappedStore(_Wrapped):
    def __init__(self, inner: Store) -> None:
        self.inner = inner

    @property
    def name(self) -> str:
        return self.inner.name

    def open(self, fingerprint: str | None, dim: int | None) -> StoreInfo:
        return self._around("open", lambda: self.inner.open(fingerprint, dim))

    def read(self, refs: Sequence[Ref], *, vectors: bool = False) -> list[Record | None]:
        return self._around("read", lambda: self.inner.read(refs, vectors=vectors))

    def write(self, records: Sequence[Record]) -> list[Written]:
        return self._around("write", lambda: self.inner.write(records))

    def delete(self, selection: Selection) -> list[Removed]:
        return self._around("delete", lambda: self.inner.delete(selection))

    def record(self, usage: Usage) -> None:
        return self._around("record", lambda: self.inner.record(usage))

    def scan(self, selection: Selection, *, after: int = 0, limit: int = 1000, vectors: bool = False) -> list[Record]:
        return self._around("scan", lambda: self.inner.scan(selection, after=after, limit=limit, vectors=vectors))

    def vectors(self, *, after: int = 0, limit: int = 4096) -> VectorBlock:
        return self._around("vectors", lambda: self.inner.vectors(after=after, limit=limit))

    def changes(self, since: int, *, limit: int = 1000) -> list[Change] | None:
        return self._around("changes", lambda: self.inner.changes(since, limit=limit))

    def summary(self) -> list[NamespaceSummary]:
        return self._around("summary", self.inner.summary)

    def check(self) -> list[str]:
        return self._around("check", self.inner.check)

    def compact(self) -> int:
        return self._around("compact", self.inner.compact)

    def close(self) -> None:
        return self._around("close", self.inner.close)

    def __getattr__(self, name: str) -> Any:
        """What the store offers besides, if it does."""
        if name not in _BESIDES:
            raise AttributeError(name)
        verb = getattr(self.inner, name)
        return lambda *args, **options: self._around(name, lambda: verb(*args, **options))


class FlakyStore(_WrappedStore):
    """Raises at the calls that *faults* names, counting every verb, and passes all others on.

    Example:
        ```python
        store = FlakyStore(MemoryStore(), Faults({3}, error=StoreBackendError("disk full")))
        ```
    """

    def __init__(self, inner: Store, faults: Faults) -> None:
        super().__init__(inner)
        self.faults = faults

    def _around(self, verb: str, call: Callable[[], T]) -> T:
        return self.faults.around(f"store.{verb}", call)


class SlowStore(_WrappedStore):
    """Holds the calls of *verbs* back until *gate* lets them pass; nothing sleeps.

    Args:
        inner: The store behind.
        gate: An event that the test sets.
        verbs: Names of verbs; by default "write" alone.
    """

    def __init__(self, inner: Store, gate: threading.Event, *, verbs: Collection[str] = ("write",)) -> None:
        super().__init__(inner)
        self._gate = gate
        self._verbs = frozenset(verbs)
        self._arrived = 0
        self._arrival = threading.Condition()

    def wait_for_calls(self, number: int, *, patience: float = _PATIENCE) -> None:
        """Return once so many calls have reached the gate.

        Raises:
            TimeoutError: There were fewer after *patience* seconds.
        """
        with self._arrival:
            if not self._arrival.wait_for(lambda: self._arrived >= number, patience):
                raise TimeoutError(f"waited {patience} s for {number} calls of the store, saw {self._arrived}")

    def _around(self, verb: str, call: Callable[[], T]) -> T:
        if verb in self._verbs:
            with self._arrival:
                self._arrived += 1
                self._arrival.notify_all()
            if not self._gate.wait(_PATIENCE):
                raise TimeoutError(f"{verb} waited {_PATIENCE} s before a gate that nobody opened")
        return call()


class FlakyIndex(_Wrapped):
    """An index that raises at the calls that *faults* names, counting every verb, and passes all others on."""

    def __init__(self, inner: Index, faults: Faults) -> None:
        self.inner = inner
        self.faults = faults

    def _around(self, verb: str, call: Callable[[], T]) -> T:
        return self.faults.around(f"index.{verb}", call)

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def dtype(self) -> VectorDType:
        return self.inner.dtype

    def open(self, dim: int, dtype: VectorDType) -> None:
        return self._around("open", lambda: self.inner.open(dim, dtype))

    def add(self, ids: Sequence[int], partitions: Sequence[bytes], vectors: Matrix) -> None:
        return self._around("add", lambda: self.inner.add(ids, partitions, vectors))

    def remove(self, ids: Iterable[int]) -> int:
        return self._around("remove", lambda: self.inner.remove(ids))

    def search(self, partition: bytes, queries: Matrix, *, floor: float, k: int) -> list[Matches]:
        return self._around("search", lambda: self.inner.search(partition, queries, floor=floor, k=k))

    def size(self) -> int:
        return self._around("size", self.inner.size)

    def tombstones(self) -> int:
        return self._around("tombstones", self.inner.tombstones)

    def memory_bytes(self) -> int:
        return self._around("memory_bytes", self.inner.memory_bytes)

    def close(self) -> None:
        return self._around("close", self.inner.close)
