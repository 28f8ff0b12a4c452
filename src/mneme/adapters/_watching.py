"""Asking caches for their sizes when metrics are collected."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from weakref import ref

from mneme import CacheClosedError, MnemeError, SemanticCache, Stats
from mneme.adapters._measures import Namespaces

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
            self._caches.append(ref(cache))

    def stats(self) -> Iterator[Stats]:
        """What each says of the namespaces that are told apart, then of all. Who is gone or closed is asked no more."""
        with self._lock:
            caches = list(self._caches)
        for one in caches:
            cache = one()
            try:
                if cache is not None:
                    for namespace in self._namespaces.names:
                        yield cache.stats(namespace)
                    yield cache.stats()
                    continue
            except CacheClosedError:
                pass
            except MnemeError:  # a store that was never reached yet: there is nothing to tell
                continue
            with self._lock:
                self._caches.remove(one)
