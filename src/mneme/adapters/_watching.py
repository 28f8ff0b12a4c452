"""Asking caches for their sizes when metrics are collected."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from weakref import ref

from mneme import CacheClosedError, MnemeError, SemanticCache, Stats
from mneme.adapters._states import Namespaces

__all__ = ["Watching"]


class Watching:
    """The caches that are asked, which are held by nobody here."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self._lock = threading.Lock()
        self._caches: list[ref[SemanticCache]] = []

    def add(self, cache: SemanticCache) -> None:
        """Ask this one as well. Raises `TypeError` for what cannot be asked."""
        if not isinstance(cache, SemanticCache):
            raise TypeError(
                f"watch takes a SemanticCache, not {type(cache).__name__}: call record(await cache.stats()) instead"
            )
        with self._lock:
            if all(one() is not cache for one in self._caches):
                self._caches.append(ref(cache))

    def stats(self) -> Iterator[Stats]:
        """What they say together, of the namespaces that are told apart and then of all; nothing if none is left.

        Who is gone or closed is asked no more.
        """
        with self._lock:
            caches = list(self._caches)
        answers: list[list[Stats]] = []
        for one in caches:
            cache = one()
            try:
                if cache is not None:
                    answers.append([cache.stats(namespace) for namespace in (*self._namespaces.names, None)])
                    continue
            except CacheClosedError:
                pass
            except MnemeError:  # a store that was never reached yet: there is nothing to tell
                continue
            with self._lock:
                self._caches = [other for other in self._caches if other is not one]
        return (_together(same) for same in zip(*answers, strict=True))


def _together(stats: Sequence[Stats]) -> Stats:
    """The sizes of several caches as those of one."""
    return replace(
        stats[0],
        entries=sum(each.entries for each in stats),
        memory_bytes_estimate=sum(each.memory_bytes_estimate for each in stats),
        index_memory_bytes=sum(each.index_memory_bytes for each in stats),
        index_tombstone_count=sum(each.index_tombstone_count for each in stats),
    )
