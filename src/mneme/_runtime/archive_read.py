"""Reading a checkpoint archive block by block: whatever is wrong with it is found before it is believed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from mneme._rules import archive
from mneme._rules.archive import BLOCK_HEAD, Header
from mneme._rules.archive_entries import Limits, records_of, with_vectors
from mneme.errors import CheckpointError
from mneme.ports import Counters, Record

__all__ = ["ArchiveReader", "Seen"]

_AT_ONCE = 2**20
"""Bytes read at a time: what a damaged length asks for is not taken from memory before it is there."""


class ArchiveReader:
    """Reads one archive from where *file* stands. Every error is a `CheckpointError` that says where it was found."""

    def __init__(self, file: BinaryIO, name: str, limits: Limits) -> None:
        self._file = file
        self._name = name
        self._limits = limits
        self._at = 0
        self._unpacked = 0
        self._where = 0  # the block begins that is being read
        self._digest = hashlib.sha256()
        self._digest_before = ""  # that block

    @property
    def position(self) -> int:
        """How far it has been read."""
        return self._at

    def header(self) -> Header:
        """What the archive says of itself. Comes first."""
        try:
            return self._header()
        except CheckpointError as error:
            raise self._told(error) from error.__cause__

    def items(self, header: Header) -> Iterator[list[Record] | dict[str, Counters]]:
        """The entries, some at a time, then the counters by namespace.

        When this ends well, the archive is whole, its digest right, and nothing comes after it.
        """
        try:
            yield from self._items(header)
        except CheckpointError as error:
            raise self._told(error) from error.__cause__

    def _told(self, error: CheckpointError) -> CheckpointError:
        return CheckpointError(f"the checkpoint {self._name} is refused at byte {self._where}: {error}")

    def _header(self) -> Header:
        raw = self._read(archive.HEAD.size)
        magic, version = archive.HEAD.unpack(raw.ljust(archive.HEAD.size, b"\0"))
        if not raw or not archive.MAGIC.startswith(raw[:8]):
            raise CheckpointError("it is no checkpoint of mneme, or was changed on its way as if it were a text")
        if len(raw) == archive.HEAD.size and version != archive.VERSION:
            raise CheckpointError(
                f"it has version {version} of the format, and this mneme reads version {archive.VERSION}; upgrade mneme"
            )
        if magic != archive.MAGIC or version != archive.VERSION:
            raise CheckpointError("it is cut off")
        self._digest.update(raw)
        kind, body = self._block(self._limits.block(None))
        if kind != archive.HEADER:
            raise CheckpointError("it does not begin with its header")
        return archive.header_of(body)

    def _items(self, header: Header) -> Iterator[list[Record] | dict[str, Counters]]:
        longest = self._limits.block(None)
        entries = 0
        kind, body = self._block(longest)
        while kind == archive.ENTRIES:
            records, positions = records_of(body, self._limits)
            if positions:
                kind, body = self._block(self._limits.block(header.dim))
                if kind != archive.VECTORS:
                    raise CheckpointError("the vectors of the entries before it are missing")
                records = with_vectors(records, positions, body, header.dim)
            entries += len(records)
            yield records
            kind, body = self._block(longest)
        while kind == archive.COUNTERS:
            yield archive.counters_of(body)
            kind, body = self._block(longest)
        if kind != archive.END:
            raise CheckpointError("its blocks come in the wrong order")
        end = archive.end_of(body)
        if end.sha256 != self._digest_before:
            raise CheckpointError("its digest is wrong: blocks were exchanged, lost or repeated")
        if end.entries != entries:
            raise CheckpointError(f"it holds {entries} entries and says {end.entries}")
        self._where = self._at
        if self._some(1):
            raise CheckpointError("something comes after its end")

    def _block(self, longest: int) -> tuple[int, bytes]:
        self._where, self._digest_before = self._at, self._digest.hexdigest()
        raw_head = self._exactly(BLOCK_HEAD.size)
        head = archive.block_head(raw_head, longest)
        self._unpacked += head.length
        if self._unpacked > self._limits.total:
            raise CheckpointError(
                f"it unpacks to more than max_archive_bytes={self._limits.total}; raise that if you trust it"
            )
        stored = self._exactly(head.stored)
        body = archive.unpacked(raw_head, head, stored)
        self._digest.update(raw_head)
        self._digest.update(stored)
        return head.kind, body

    def _exactly(self, count: int) -> bytes:
        data = self._read(count)
        if len(data) < count:
            raise CheckpointError(f"it is cut off, after {self._at} bytes")
        return data

    def _read(self, count: int) -> bytes:
        """So many bytes, or fewer where the archive ends."""
        parts = []
        while count:
            part = self._some(min(count, _AT_ONCE))
            if not part:
                break
            parts.append(part)
            count -= len(part)
            self._at += len(part)
        return b"".join(parts)

    def _some(self, count: int) -> bytes:
        try:
            part: Any = self._file.read(count)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"it cannot be read: {error}") from error
        if not isinstance(part, bytes):
            raise TypeError(f"source must be opened for reading bytes; read gave {type(part).__name__}")
        return part


class Seen:
    """Finds out whether a key occurs twice, at the price of sixteen bytes for each entry."""

    def __init__(self) -> None:
        self._keys = bytearray()

    def add(self, records: list[Record]) -> None:
        # Half a key is enough: keys are digests, and whoever makes two of them agree so far means no good.
        self._keys += b"".join([record.key[:16] for record in records])

    def twice(self) -> bool:
        """Whether any was added twice."""
        halves = np.frombuffer(self._keys, dtype="<u8").reshape(-1, 2)
        order = np.lexsort((halves[:, 1], halves[:, 0]))
        ordered = halves[order]
        return bool((ordered[1:] == ordered[:-1]).all(axis=1).any())
