"""Writing a checkpoint archive, and writing one anew without the entries that were overtaken meanwhile."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import BinaryIO

from mneme._rules import archive
from mneme._rules.archive import BLOCK_HEAD, End, Header
from mneme._rules.archive_entries import (
    UNLIMITED,
    batches_of,
    entries_body,
    outline_of,
    records_of,
    vectors_body,
    with_vectors,
)
from mneme.ports import Counters, Record

__all__ = ["ArchiveWriter", "without"]

_NAMESPACES_AT_ONCE = 2000


class ArchiveWriter:
    """Writes the blocks in their order to *file*, and counts."""

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self.file = file
        self.header = header
        self.entries = 0
        self.namespaces: Counter[str] = Counter()
        """How many entries of each there are."""
        self.bytes = 0
        self._digest = hashlib.sha256()
        self._write(archive.HEAD.pack(archive.MAGIC, archive.VERSION))
        self._write(archive.framed(archive.HEADER, archive.header_body(header), pack=False))

    def put(self, records: Sequence[Record]) -> None:
        """Write entries, their vectors with them."""
        for part in batches_of(records):
            vectors = vectors_body(part, self.header.dim)
            self._write(archive.framed(archive.ENTRIES, entries_body(part), pack=True))
            if vectors:
                self._write(archive.framed(archive.VECTORS, vectors, pack=False))
            self.entries += len(part)
        self.namespaces.update([record.namespace for record in records])

    def copy(self, block: bytes, namespaces: Sequence[str] = ()) -> None:
        """Write a block of another archive as it is, with an entry of each of these namespaces in it."""
        self._write(block)
        self.entries += len(namespaces)
        self.namespaces.update(namespaces)

    def end(self, counters: Mapping[str, Counters], seq: int) -> None:
        """Write what comes last."""
        names = iter(sorted(counters))
        while some := list(islice(names, _NAMESPACES_AT_ONCE)):
            body = archive.counters_body({name: counters[name] for name in some})
            self._write(archive.framed(archive.COUNTERS, body, pack=True))
        end = End(self.entries, seq, self._digest.hexdigest())
        self._write(archive.framed(archive.END, archive.end_body(end), pack=False))
        self.file.flush()

    def _write(self, data: bytes) -> None:
        self.file.write(data)
        self._digest.update(data)
        self.bytes += len(data)


def without(file: BinaryIO, target: ArchiveWriter, latest: Mapping[bytes, int | None]) -> Iterator[int]:
    """Copy the entries of an archive that has no end yet, step by step: of each key in *latest* the one there alone.

    The entries are numbered from 0 as they lie in the archive; `None` is for a key that is gone. Yields how many
    entries were copied so far.
    """
    file.seek(archive.HEAD.size)
    _block_of(file)  # the header, which *target* has
    position = 0
    raw, kind, body = _block_of(file)
    while raw:
        if kind != archive.ENTRIES:
            raise AssertionError("an archive without an end holds entries and vectors alone")
        outline = outline_of(body)
        kept = [latest.get(key, number) == number for number, (key, _) in enumerate(outline, position)]
        position += len(outline)
        following, next_kind, vectors = _block_of(file)
        has_vectors = next_kind == archive.VECTORS
        if all(kept):
            target.copy(raw, [namespace for _, namespace in outline])
            if has_vectors:
                target.copy(following)
        elif any(kept):
            target.put(_chosen(body, vectors if has_vectors else b"", kept, target.header.dim))
        yield target.entries
        raw, kind, body = _block_of(file) if has_vectors else (following, next_kind, vectors)


def _chosen(body: bytes, vectors: bytes, kept: Sequence[bool], dim: int | None) -> list[Record]:
    records, positions = records_of(body, UNLIMITED)
    if positions:
        records = with_vectors(records, positions, vectors, dim)
    return [record for record, keep in zip(records, kept, strict=True) if keep]


def _block_of(file: BinaryIO) -> tuple[bytes, int, bytes]:
    """A block as it is, its kind, and what it holds; empty at the end of the file."""
    raw_head = file.read(BLOCK_HEAD.size)
    if not raw_head:
        return b"", 0, b""
    head = archive.block_head(raw_head, 2**32)
    stored = file.read(head.stored)
    return raw_head + stored, head.kind, archive.unpacked(raw_head, head, stored)
