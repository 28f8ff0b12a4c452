"""Looking into a checkpoint archive without loading it: a backup that nobody ever read is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mneme._rules.archive_entries import Limits
from mneme._rules.arguments import check_callable, check_count
from mneme._rules.reserved import is_reserved
from mneme._runtime.archive_files import Source
from mneme._runtime.archive_read import ArchiveReader, Seen
from mneme.errors import CheckpointError

__all__ = ["Contents", "verify"]


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in an archive."""

    entries: int
    namespaces: Mapping[str, int]
    """How many entries of each there are."""
    bytes: int
    created_at: float
    """When it was made, in seconds since the epoch."""
    fingerprint: str | None
    """Of the embedder that it can be loaded with; `None` if it holds no vectors of any."""
    dim: int | None
    chosen: tuple[str, ...] | None
    """The namespaces that the archive was restricted to; `None` for all."""


def verify(
    source: Any,
    *,
    max_archive_bytes: int = 64 * 2**30,
    max_entry_bytes: int = 2**26,
    progress: Callable[[int], object] | None = None,
) -> Contents:
    """Read all of an archive, and say what is in it; nothing is written anywhere.

    Memory is taken for some entries at a time, and sixteen bytes for each entry.

    Args:
        source: A path or a binary file object, which is read from where it stands to its end.
        max_archive_bytes: An archive that unpacks to more is refused.
        max_entry_bytes: A query, a response or metadata of more is refused.
        progress: Called with how many entries were read.

    Raises:
        TypeError, ValueError: An argument does not hold.
        CheckpointError: `loads` would refuse it, with limits as given here.
    """
    check_count(max_archive_bytes, "max_archive_bytes", 1)
    check_count(max_entry_bytes, "max_entry_bytes", 1)
    check_callable(progress, "progress")
    archive = Source(source)
    try:
        limits = Limits(max_entry_bytes, max_entry_bytes, max_entry_bytes, max_archive_bytes)
        reader = ArchiveReader(archive.file, archive.name, limits)
        header, seen, found = reader.header(), Seen(), Counter[str]()
        for item in reader.items(header):
            if isinstance(item, list):
                seen.add(item)
                found.update([record.namespace for record in item])
                if progress is not None:
                    progress(found.total())
    finally:
        archive.close()
    if seen.twice():
        raise CheckpointError(f"the checkpoint {archive.name} is refused: it holds two entries of one key")
    told = {name: found[name] for name in sorted(found) if not is_reserved(name)}
    return Contents(
        entries=sum(told.values()),
        namespaces=told,
        bytes=reader.position,
        created_at=header.created_at,
        fingerprint=header.fingerprint,
        dim=header.dim,
        chosen=header.namespaces,
    )
