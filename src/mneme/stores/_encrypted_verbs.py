"""What encrypted stores do, once for both faces, as coroutines over the verbs of the store beneath."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from mneme.errors import CorruptCacheError, DecryptionError, EmbedderDimensionError
from mneme.log import log_fields
from mneme.ports import (
    AsyncStore,
    Change,
    Matrix,
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
from mneme.stores._encrypted_cipher import UnauthenticError
from mneme.stores._encrypted_keys import KeyRing
from mneme.stores._encrypted_seal import Sealer

__all__ = ["EncryptedVerbs"]

logger = logging.getLogger("mneme")

_MARK = "mneme-encrypted-1"
"""What the fingerprint that the store beneath is bound to begins with, so that nobody opens it by mistake."""
_LOOKED_AT = 8
"""Entries of which one must be readable for the ring to be the right one."""
_PAGE = 500
_UNIT_TOLERANCE = 1e-3


class EncryptedVerbs:
    """An `AsyncStore` that keeps everything sealed in another one."""

    def __init__(self, store: AsyncStore, ring: KeyRing) -> None:
        self._store = store
        self._seal = Sealer(ring)
        self._dim: int | None = None
        self._refused = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} around {self._store!r}>"

    @property
    def name(self) -> str:
        return f"encrypted {self._store.name}"

    async def open(self, fingerprint: str | None, dim: int | None) -> StoreInfo:
        if (fingerprint is None) != (dim is None):
            raise ValueError("fingerprint and dim belong together: pass both or None for both")
        info = await self._store.open(None, None)
        held = self._own_fingerprint(info.fingerprint)
        await self._try_ring()
        if fingerprint is not None:
            info = await self._store.open(f"{_MARK} {self._seal.check} {fingerprint}", dim)
            held = fingerprint
        self._dim = info.dim
        return replace(info, fingerprint=held)

    async def read(self, refs: Sequence[Ref], *, vectors: bool = False) -> list[Record | None]:
        found = await self._store.read([self._ref(ref) for ref in refs])
        return [None if record is None else self._unsealed(record, vectors=vectors) for record in found]

    async def write(self, records: Sequence[Record]) -> list[Written]:
        for record in records:
            if record.vector is not None and record.vector.shape != (self._dim,):
                expected = "none: open it with a fingerprint and a dim" if self._dim is None else f"({self._dim},)"
                raise EmbedderDimensionError(f"the vector has shape {record.vector.shape}, the store holds {expected}")
        return await self._store.write([self._seal.seal(record) for record in records])

    async def delete(self, selection: Selection) -> list[Removed]:
        removed = await self._store.delete(self._selection(selection))
        return [
            one._replace(key=self._seal.own_key(one.key), namespace=self._own_namespace(one.namespace) or "")
            for one in removed
        ]

    async def record(self, usage: Usage) -> None:
        counters = {self._seal.namespace(name): counted for name, counted in usage.counters.items()}
        await self._store.record(Usage(usage.accessed, counters))

    async def scan(
        self, selection: Selection, *, after: int = 0, limit: int = 1000, vectors: bool = False
    ) -> list[Record]:
        """As `Store.scan`. Entries that cannot be believed are passed over, and do not shorten a page."""
        if selection.least_recent is not None:
            raise ValueError("least_recent is for delete: a scan goes by id")
        chosen = self._selection(selection)
        found: list[Record] = []
        while True:
            wanted = max(limit - len(found), 0)
            page = await self._store.scan(chosen, after=after, limit=wanted)
            records = [self._unsealed(stored, vectors=vectors) for stored in page]
            found += [record for record in records if record is not None]
            if len(page) < wanted or len(found) >= limit:
                return found
            after = page[-1].id

    async def vectors(self, *, after: int = 0, limit: int = 4096) -> VectorBlock:
        """As `Store.vectors`. They are sealed with all else, so all else is read too."""
        found: list[Record] = []
        while len(found) < limit:
            page = await self._store.scan(Selection(), after=after, limit=min(_PAGE, limit - len(found)))
            if not page:
                break
            after = page[-1].id
            for stored in page:
                record = self._unsealed(stored, vectors=True)
                if record is not None and record.vector is not None:
                    found.append(record)
        if limit <= 0:
            await self._store.vectors(limit=0)  # raises, if it is closed
        rows = [cast("Matrix", record.vector) for record in found]
        matrix = np.stack(rows) if rows else np.empty((0, self._dim or 0), np.float32)
        ids = np.array([record.id for record in found], np.int64)
        return VectorBlock(ids, [record.partition for record in found], matrix)

    async def changes(self, since: int, *, limit: int = 1000) -> list[Change] | None:
        found = await self._store.changes(since, limit=limit)
        return None if found is None else [one._replace(key=self._seal.own_key(one.key)) for one in found]

    async def summary(self) -> list[NamespaceSummary]:
        named = [(self._own_namespace(part.namespace), part) for part in await self._store.summary()]
        parts = [replace(part, namespace=name) for name, part in named if name is not None]
        return sorted(parts, key=lambda part: part.namespace)

    async def check(self) -> list[str]:
        """As `Store.check`; and whether every entry is what was sealed."""
        problems = await self._store.check()
        for part in await self._store.summary():
            if self._own_namespace(part.namespace) is None:
                problems.append(f"A namespace of {part.entries} entries was not written through this key ring.")
        broken = crooked = 0
        async for stored in self._pages():
            try:
                record = self._seal.unseal(stored, vectors=True)
            except DecryptionError:
                record = None
            if record is None:
                broken += 1
            elif record.vector is not None:
                length = float(np.linalg.norm(record.vector.astype(np.float64)))
                crooked += record.vector.shape != (self._dim,) or not abs(length - 1.0) <= _UNIT_TOLERANCE
        if broken:
            problems.append(f"{broken} entries cannot be decrypted: they were changed, or sealed by other keys.")
        if crooked:
            problems.append(f"{crooked} vectors are not of unit length, or do not have the dimension of the store.")
        return problems

    async def compact(self) -> int:
        return await self._store.compact()

    async def close(self) -> None:
        await self._store.close()

    # --- keys --------------------------------------------------------------------------------------------------------

    async def rotate(self, *, batch: int, progress: Callable[[int], object] | None) -> int:
        """As `EncryptedStore.rotate`."""
        done = after = 0
        while page := await self._store.scan(Selection(), after=after, limit=batch):
            after = page[-1].id
            done += await self._reseal(page)
            if progress is not None:
                progress(done)
        return done

    async def keys_in_use(self) -> dict[str, int]:
        """As `EncryptedStore.keys_in_use`."""
        counts: dict[str, int] = {}
        async for stored in self._pages():
            name = self._seal.name_of(stored)
            if name is not None:
                counts[name] = counts.get(name, 0) + 1
        return counts

    async def _reseal(self, page: Sequence[Record]) -> int:
        """Put those of a page that an older key sealed in their places, sealed by the newest; how many."""
        fresh = []
        for stored in page:
            if self._seal.name_of(stored) in {None, self._seal.newest}:
                continue
            record = self._unsealed(stored, vectors=True)
            if record is not None:
                fresh.append(self._seal.seal(record))
        if not fresh:
            return 0
        if hasattr(self._store, "swap"):
            return sum(await cast("Any", self._store).swap(fresh))
        # Without it, what somebody replaces in the time of these two calls is set back: looked at as late as can be.
        now = await self._store.read([stored.id for stored in fresh])
        same = [stored for stored, held in zip(fresh, now, strict=True) if held is not None and held.seq == stored.seq]
        return len(await self._store.write(same))

    async def _pages(self) -> AsyncIterator[Record]:
        """Every stored entry, one after the other."""
        after = 0
        while page := await self._store.scan(Selection(), after=after, limit=_PAGE):
            after = page[-1].id
            for stored in page:
                yield stored

    # --- names -------------------------------------------------------------------------------------------------------

    def _ref(self, ref: Ref) -> Ref:
        return ref if isinstance(ref, int) else self._seal.key(ref)

    def _selection(self, selection: Selection) -> Selection:
        return replace(
            selection,
            refs=None if selection.refs is None else [self._ref(ref) for ref in selection.refs],
            namespace=None if selection.namespace is None else self._seal.namespace(selection.namespace),
            partition=None if selection.partition is None else self._seal.partition(selection.partition),
            tags=None if selection.tags is None else [self._seal.tag(tag) for tag in selection.tags],
        )

    def _own_namespace(self, name: str) -> str | None:
        try:
            return self._seal.own_namespace(name)
        except (UnauthenticError, ValueError):
            return None

    def _own_fingerprint(self, fingerprint: str | None) -> str | None:
        if fingerprint is None:
            return None
        mark, _, rest = fingerprint.partition(" ")
        check, _, own = rest.partition(" ")
        if mark != _MARK:
            raise DecryptionError(
                f"the store holds entries of {fingerprint!r} that are not encrypted; use another place for encrypted "
                "ones, and copy them there"
            )
        if check != self._seal.check:
            raise DecryptionError("the store was encrypted with another key ring; pass that one")
        return own

    async def _try_ring(self) -> None:
        """Raise `DecryptionError` if there are entries and the ring reads none of the first."""
        try:
            page = await self._store.scan(Selection(), limit=_LOOKED_AT)
        except CorruptCacheError:  # which says nothing of the ring; who reads is told, and `repair` needs it open
            return
        if page and all(self._seal.unseal(stored, vectors=False) is None for stored in page):
            raise DecryptionError(
                "none of the first entries of the store can be decrypted: it was encrypted with another key ring, or "
                "not at all; pass the ring it was written with, or open it without one"
            )

    def _unsealed(self, stored: Record, *, vectors: bool) -> Record | None:
        """The entry; `None`, and a warning now and then, if it cannot be believed."""
        record = self._seal.unseal(stored, vectors=vectors)
        if record is None:
            self._refused += 1
            if self._refused & (self._refused - 1) == 0:  # the first, second, fourth, eighth
                logger.warning(
                    "entry %d was changed in the store, or not written by it, and counts as absent (%d times so far); "
                    "`check` counts such entries",
                    *(stored.id, self._refused),
                    extra=log_fields("entry_refused", entry_id=stored.id, failures=self._refused),
                )
        return record
