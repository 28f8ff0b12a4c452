"""The blocking face of a network store, whose verbs are written once, as coroutines.

A network store has two kinds of connection, a blocking one and an asyncio one, behind one small protocol of its own
that is awaited. Over a blocking connection the verbs never suspend, so `BlockingTwin` runs each to its end in place.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from mneme.ports import (
    AsyncStore,
    Change,
    NamespaceSummary,
    Record,
    Ref,
    Removed,
    Selection,
    StoreInfo,
    Usage,
    VectorBlock,
    Written,
)

__all__ = ["BlockingTwin", "finished"]

T = TypeVar("T")


def finished(verb: Coroutine[Any, Any, T]) -> T:
    """Run *verb* to its end: what `_runtime.drive.complete` does for flows; a store knows nothing of the runtime."""
    try:
        verb.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    verb.close()
    raise RuntimeError("the connection suspended; a blocking store needs a blocking client")


class BlockingTwin:
    """A `Store` whose verbs are those of an `AsyncStore` that never suspends."""

    def __init__(self, verbs: AsyncStore) -> None:
        self._verbs = verbs

    @property
    def name(self) -> str:
        return self._verbs.name

    def __repr__(self) -> str:
        return repr(self._verbs).replace(type(self._verbs).__name__, type(self).__name__, 1)

    def open(self, fingerprint: str | None, dim: int | None) -> StoreInfo:
        return finished(self._verbs.open(fingerprint, dim))

    def read(self, refs: Sequence[Ref], *, vectors: bool = False) -> list[Record | None]:
        return finished(self._verbs.read(refs, vectors=vectors))

    def write(self, records: Sequence[Record]) -> list[Written]:
        return finished(self._verbs.write(records))

    def delete(self, selection: Selection) -> list[Removed]:
        return finished(self._verbs.delete(selection))

    def record(self, usage: Usage) -> None:
        finished(self._verbs.record(usage))

    def scan(self, selection: Selection, *, after: int = 0, limit: int = 1000, vectors: bool = False) -> list[Record]:
        return finished(self._verbs.scan(selection, after=after, limit=limit, vectors=vectors))

    def vectors(self, *, after: int = 0, limit: int = 4096) -> VectorBlock:
        return finished(self._verbs.vectors(after=after, limit=limit))

    def changes(self, since: int, *, limit: int = 1000) -> list[Change] | None:
        return finished(self._verbs.changes(since, limit=limit))

    def summary(self) -> list[NamespaceSummary]:
        return finished(self._verbs.summary())

    def check(self) -> list[str]:
        return finished(self._verbs.check())

    def compact(self) -> int:
        return finished(self._verbs.compact())

    def close(self) -> None:
        finished(self._verbs.close())
