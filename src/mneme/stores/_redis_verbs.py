"""The verbs of both Redis stores, over a link of either colour."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from typing import Any

from mneme.errors import CacheClosedError, EmbedderDimensionError, EmbedderMismatchError, StoreBackendError
from mneme.ports import (
    HISTORY,
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
from mneme.stores import _redis_rows as rows
from mneme.stores._redis_check import inconsistencies
from mneme.stores._redis_connection import Link, exchange
from mneme.stores._redis_errors import AnewError, ForgottenError, UnpreparedError
from mneme.stores._redis_search import CHUNK, EXACT, SearchOptions, furthest
from mneme.stores._redis_selection import of_limit, of_refs, selection_words
from mneme.stores._redis_statements import SCHEMA_VERSION, Scripts

__all__ = ["RedisVerbs"]

_LARGEST_WRITE = 512 * 2**20
_MOST_RECORDS = 200_000
"""A command may have about a million words, and take as much memory as a query buffer of the server: 1 GiB."""
_BEGINNINGS = 4
"""How often the data may turn out to be others within one verb."""


class RedisVerbs:
    """An `AsyncStore` over *link*."""

    def __init__(self, link: Link, prefix: str, search: SearchOptions) -> None:
        self._link = link
        self._search = search
        self._prefix = prefix
        self._state: bool | None = None  # None before `open`, then whether it is open
        self._fingerprint: str | None = None
        self._dim: int | None = None
        self._birth = b""  # of the data that were opened
        self._seq = 0  # the highest number that was heard of
        self._before = 0  # what it was when the data were found to be others, until `changes` was asked of these
        self._warned = True  # whether `delete` has told of that
        self._start()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._link.where}>"

    @property
    def name(self) -> str:
        return "redis"

    async def open(self, fingerprint: str | None, dim: int | None) -> StoreInfo:
        if (fingerprint is None) != (dim is None):
            raise ValueError("fingerprint and dim belong together: pass both or None for both")
        if self._state is False:
            raise CacheClosedError(f"the store {self._link.where} was closed; make a new one")
        info = await self._open(fingerprint, dim)
        self._state = True
        return info

    async def exists(self) -> bool:
        """Whether there is a cache here, or anything else where one would be. Makes nothing, and need not be open.

        Raises:
            StoreBackendError: The server cannot be asked.
        """
        return bool(await exchange(self._link, self._scripts.exists, [], source=True))

    async def read(self, refs: Sequence[Ref], *, vectors: bool = False) -> list[Record | None]:
        if len(refs) == 1 and not vectors and isinstance(refs[0], bytes):  # the cold exact hit
            found = await self._ask("read_key", [refs[0]])
            return [None if found is None else rows.record_of(*found)]
        numbers, keys = of_refs(refs)
        words = [b"1" if vectors else b"0", b"%d" % len(numbers), *map(rows.id_bytes, numbers), *keys]
        answers = await self._ask("read", words)
        records = [answer and rows.record_of(*answer) for answer in answers]
        by_ref: dict[Ref, Record | None] = dict(zip((*numbers, *keys), records, strict=True))
        if self._before:  # an id from then may mean another entry now
            by_ref.update((number, None) for number in numbers if number <= self._before)
        return [by_ref[ref] for ref in refs]

    async def write(self, records: Sequence[Record]) -> list[Written]:
        self._require_open()
        shape = (self._dim,)
        for record in records:
            if record.vector is not None and record.vector.shape != shape:
                raise rows.wrong_shape(record.vector, self._dim)
        if not records:
            return []
        spaces = {name: rows.digest_of(name) for name in {record.namespace for record in records}}
        words = [b"%d" % len(records), b"%d" % len(spaces)]
        for name, digest in spaces.items():
            words += [digest, name.encode()]
        for record in records:
            words += rows.encoded(record)
        if len(records) > _MOST_RECORDS or (len(records) > 1 and sum(map(len, words)) > _LARGEST_WRITE):
            raise StoreBackendError(
                f"{len(records)} records are more than one command can carry ({_MOST_RECORDS} or "
                f"{_LARGEST_WRITE >> 20} MiB): nothing was written; write them in several calls"
            )
        first_bytes, ids = await self._change("write", words)
        first = int.from_bytes(first_bytes, "big")
        self._seq = max(self._seq, first + len(records) - 1)
        if not ids:
            return [Written(seq, seq, replaced=False) for seq in range(first, first + len(records))]
        return [
            Written(int.from_bytes(ids[at : at + 8], "big"), first + n, replaced=ids[at + 8] == 1)
            for n, at in enumerate(range(0, len(ids), 9))
        ]

    async def delete(self, selection: Selection) -> list[Removed]:
        self._require_open()
        words = selection_words(selection)
        if words is None:
            return []
        limit = selection.least_recent
        self._warn()
        least_recent = b"" if limit is None else of_limit(limit)
        answer = await self._change("delete", [b"%d" % HISTORY, least_recent, *words])
        if not answer:
            return []
        first, removed, named = answer
        names = {digest: name.decode() for digest, name in zip(named[::2], named[1::2], strict=True)}
        seq = int.from_bytes(first, "big")
        self._seq = max(self._seq, seq + len(removed) // 56 - 1)
        return [
            Removed(
                int.from_bytes(removed[at : at + 8], "big"),
                removed[at + 8 : at + 40],
                names[removed[at + 40 : at + 56]],
                n,
            )
            for n, at in enumerate(range(0, len(removed), 56), seq)
        ]

    async def record(self, usage: Usage) -> None:
        self._require_open()
        if not usage.accessed and not usage.counters:
            return
        words = [b"%d" % len(usage.accessed), b"%d" % len(usage.counters)]
        for entry_id, moment in usage.accessed.items():
            words += [rows.id_bytes(entry_id), rows.sortable(moment)]
        for name, counters in usage.counters.items():
            words += [rows.digest_of(name), name.encode(), rows.counters_bytes(counters)]
        await self._change("record", words)

    async def scan(
        self, selection: Selection, *, after: int = 0, limit: int = 1000, vectors: bool = False
    ) -> list[Record]:
        if selection.least_recent is not None:
            raise ValueError("least_recent is for delete: a scan goes by id")
        self._require_open()
        words = selection_words(selection)
        if words is None:
            return []
        page = [rows.id_bytes(after), of_limit(limit), b"1" if vectors else b"0"]
        return [rows.record_of(*answer) for answer in await self._ask("scan", [*page, *words])]

    async def vectors(self, *, after: int = 0, limit: int = 4096) -> VectorBlock:
        ids, partitions, blobs = await self._ask("vectors", [rows.id_bytes(after), of_limit(limit)])
        block = rows.vectors_of(ids, partitions, blobs, self._dim or 0)
        if len(block.ids):
            self._seq = max(self._seq, int(block.ids[-1]))
        return block

    async def changes(self, since: int, *, limit: int = 1000) -> list[Change] | None:
        self._require_open()
        answer = await self._ask("changes", [rows.id_bytes(since), of_limit(limit)])
        anew, self._before, self._warned = self._before > 0, 0, True
        if anew:
            return None
        if answer == 0:
            return None
        written, runs = answer
        changes = rows.changes_of(written, runs, since, max(limit, 0))
        if changes:
            self._seq = max(self._seq, changes[-1].seq)
        return changes

    async def prepare_search(self, dim: int) -> None:
        self._require_open()
        if dim != self._dim:
            raise EmbedderDimensionError(
                f"{self._link.where} holds "
                + ("no vectors: open it with a fingerprint and a dim" if self._dim is None else f"dim {self._dim}")
                + f", and cannot be searched for dim {dim}"
            )
        words = [self._search.words(dim), b"%d" % SCHEMA_VERSION, secrets.token_bytes(16), b"%d" % CHUNK]
        finished = 0
        while not finished:
            self._birth, finished = await self._change("prepare", words)

    async def similar(self, partition: bytes, queries: Matrix, *, floor: float, k: int) -> list[list[Record]]:
        self._require_open()
        if len(partition) != 16 or k < 1 or not len(queries):
            return [[] for _ in queries]
        if queries.shape[1:] != (self._dim,):
            raise rows.wrong_shape(queries[0], self._dim)
        words = [partition, of_limit(k), b"%d" % self._search.ef, b"%d" % EXACT, furthest(floor)]
        words += map(rows.vector_bytes, queries)
        try:
            answer = await self._ask("similar", words)
        except UnpreparedError:  # the data began anew, or the index was removed
            await self.prepare_search(queries.shape[1])
            answer = await self._ask("similar", words)
        return [[rows.record_of(*row) for row in found] for found in answer]

    async def summary(self) -> list[NamespaceSummary]:
        return rows.summary_of(await self._ask("summary", []))

    async def check(self) -> list[str]:
        self._require_open()
        return await inconsistencies(self._ask, self._dim)

    async def compact(self) -> int:
        self._require_open()
        return 0  # the server has the memory of what was deleted back already

    async def marked(self) -> str | None:
        text = await self._ask("marked", [])
        return None if text is None else text.decode()

    async def mark(self, text: str) -> None:
        self._require_open()
        await self._change("mark", [text.encode()])

    async def close(self) -> None:
        self._state = False
        await self._link.close()

    # --- talking to the server ---------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Take a name for the answers to what this store changes, which no other process may share."""
        self._pid = os.getpid()
        self._scripts = Scripts(self._prefix, secrets.token_hex(8))
        self._number = 0

    def _require_open(self) -> None:
        if not self._state:
            raise CacheClosedError(
                f"the store {self._link.where} "
                + ("is not open; call open first" if self._state is None else "was closed")
            )

    async def _open(self, fingerprint: str | None, dim: int | None) -> StoreInfo:
        if fingerprint is None and self._fingerprint is not None and self._dim is not None:
            fingerprint, dim = self._fingerprint, self._dim  # what is made anew belongs to the same embedder
        bound = [b"", b""] if fingerprint is None else [fingerprint.encode(), b"%d" % (dim or 0)]
        words = [secrets.token_bytes(16), *bound, b"%d" % SCHEMA_VERSION, self._birth, b"%d" % self._seq]
        answer = await exchange(self._link, self._scripts.open, words, source=True)
        if answer[0] == b"other":
            raise EmbedderMismatchError(
                f"{self._link.where} holds vectors of {answer[1].decode()!r} (dim {int(answer[2])}), "
                f"not of {fingerprint!r} (dim {dim}): use the same embedder, embed it anew, or choose another prefix"
            )
        birth, held, held_dim, version, seq, earlier = answer
        if self._birth not in {b"", birth, earlier}:
            self._before, self._warned = max(self._seq, 1), False
        self._birth = birth
        self._fingerprint = None if held is None else held.decode()
        self._dim = None if held_dim is None else int(held_dim)
        self._seq = max(self._seq, int(seq))
        return StoreInfo(self._fingerprint, self._dim, schema_version=int(version), seq=int(seq))

    def _warn(self) -> None:
        """Tell once of data that began anew: what is deleted from others may live on in memory."""
        if not self._warned:
            self._warned = True
            raise AnewError(
                f"{self._link.where} began anew: the server was restarted and may have lost the latest changes, or the "
                "data were removed; nothing was deleted, and deleting again will"
            )

    async def _ask(self, name: str, words: Sequence[bytes], *, changes: bool = False) -> Any:
        """What the script of that name answers, of data that are those that were opened, or were then opened anew."""
        if not self._state:
            self._require_open()
        source, lost = False, False
        for _ in range(_BEGINNINGS):
            script = getattr(self._scripts, name)
            try:
                return await exchange(
                    self._link, script, [self._birth, *words], source=source, changes=changes, lost=lost
                )
            except ForgottenError as error:
                source, lost = True, error.lost
            except AnewError:
                pass
            await self._open(None, None)
            if name == "delete":
                self._warn()
        raise AnewError(f"{self._link.where} begins anew again and again")

    async def _change(self, name: str, words: Sequence[bytes]) -> Any:
        if os.getpid() != self._pid:
            self._start()
        async with self._link.alone():
            self._number += 1
            return await self._ask(name, [self._number.to_bytes(8, "big"), *words], changes=True)
