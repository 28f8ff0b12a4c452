"""Stores that encrypt what they hand on to another store: a blocking one, and its asyncio twin. The extra `crypto`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from mneme.ports import AsyncStore, Store
from mneme.stores._encrypted_keys import KeyRing
from mneme.stores._encrypted_verbs import EncryptedVerbs
from mneme.stores._twin import BlockingTwin, finished

__all__ = ["AsyncEncryptedStore", "EncryptedStore", "KeyRing"]

_BESIDES = frozenset({"path", "repair", "scrub"})
"""What is offered besides, if the store beneath offers it."""


class _InPlace:
    """The verbs of a blocking store, awaited, which are called in place."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._store, name)
        if not callable(attribute):
            return attribute

        async def verb(*args: Any, **kwargs: Any) -> Any:
            return attribute(*args, **kwargs)

        setattr(self, name, verb)
        return verb

    def __repr__(self) -> str:
        return repr(self._store)


class EncryptedStore(BlockingTwin):
    """Keeps entries in another store, encrypted: queries, responses, metadata, tags, scopes, namespaces and vectors.

    Whoever holds the store beneath, or a copy of it, sees how many entries there are, their sizes and times, the
    fingerprint of the embedder, counters, and which entries share a namespace, a scope or a tag; not which ones those
    are, and not whether a question that they guess is among them. An entry that was changed, moved to another's place
    or written without the keys counts as absent, with a warning; `check` counts such entries. One that was replaced by
    an earlier form of itself is not told apart. Vectors are sealed too, so the store beneath cannot search them, and
    there is no saved index: a cache reads and decrypts all of it when it opens. The index in memory is in the clear.

    Durability and thread safety: those of the store beneath.

    Args:
        store: Any store that is empty, or was filled through an encrypted one with the same ring. It belongs to this
            one from then on.
        keys: What encrypts and decrypts. Without it nothing that was stored can be read again: keep it, apart from
            the store.

    Raises:
        TypeError: *store* or *keys* is something else.
        ImportError: cryptography is not installed: `pip install 'mneme-cache[crypto]'`.

    `open` raises `DecryptionError` if the store holds entries that the ring does not fit; reading raises it for an
    entry whose key is not in the ring. Nothing is altered then.

    Example:
        ```python
        store = EncryptedStore(SQLiteStore("answers.db"), KeyRing.from_json(os.environ["CACHE_KEYS"]))
        with SemanticCache(embedder=embedder, store=store) as cache: ...
        ```
    """

    def __init__(self, store: Store, keys: KeyRing) -> None:
        _check(store, keys)
        self.encrypted: Store = store
        """The store beneath."""
        self._sealing = EncryptedVerbs(cast("AsyncStore", _InPlace(store)), keys)
        super().__init__(self._sealing)

    def rotate(self, *, batch: int = 500, progress: Callable[[int], object] | None = None) -> int:
        """Encrypt with the newest key every entry that another one encrypted; how many were.

        Batch by batch, each in one transaction: whatever ends it half-way, the next call goes on where it was. Readers
        and writers go on meanwhile. When it is done, and everybody who uses the store has the new key, older ones can
        leave the ring. What they encrypted may still lie in free space, logs and backups: see `SemanticCache.forget`.

        On a store that offers `mneme.ports.SwappingStore` (memory, SQLite, Postgres) an entry that somebody replaces at
        the same moment keeps what they wrote. On others it may, within a few milliseconds, get back what it held.

        Args:
            batch: Entries in a transaction.
            progress: Called after each batch with the number encrypted so far.
        """
        return finished(self._sealing.rotate(batch=_batch(batch), progress=progress))

    def keys_in_use(self) -> dict[str, int]:
        """How many entries each key has encrypted, by name. Reads every entry."""
        return finished(self._sealing.keys_in_use())

    def __getattr__(self, name: str) -> Any:
        if name not in _BESIDES:
            raise AttributeError(name)
        return getattr(self.encrypted, name)


class AsyncEncryptedStore(EncryptedVerbs):
    """`EncryptedStore` over an `AsyncStore`; its verbs, `rotate` and `keys_in_use` are awaited."""

    def __init__(self, store: AsyncStore, keys: KeyRing) -> None:
        _check(store, keys)
        self.encrypted: AsyncStore = store
        """The store beneath."""
        super().__init__(store, keys)

    async def rotate(self, *, batch: int = 500, progress: Callable[[int], object] | None = None) -> int:
        """As `EncryptedStore.rotate`."""
        return await super().rotate(batch=_batch(batch), progress=progress)

    def __getattr__(self, name: str) -> Any:
        if name not in _BESIDES:
            raise AttributeError(name)
        return getattr(self.encrypted, name)


def _check(store: object, keys: object) -> None:
    if not isinstance(store, Store):  # so is an AsyncStore: its verbs have the same names
        raise TypeError(f"store must have the verbs of mneme.Store, and {type(store).__name__} has not")
    if not isinstance(keys, KeyRing):
        raise TypeError(f"keys must be a KeyRing, not {type(keys).__name__}; KeyRing.generate() makes one")


def _batch(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"batch must be a whole number, not {type(value).__name__}")
    if value < 1:
        raise ValueError(f"batch must be at least 1, got {value}")
    return value
