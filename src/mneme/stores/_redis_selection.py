"""Selections as arguments of the scripts."""

from __future__ import annotations

from collections.abc import Iterable

from mneme.ports import Ref, Selection
from mneme.stores._redis_rows import digest_of, id_bytes, sortable

__all__ = ["of_limit", "of_refs", "selection_words"]


def of_limit(limit: int) -> bytes:
    """As much as a list may hold, if it is more."""
    return b"%d" % min(max(limit, 0), 2**31)


def of_refs(refs: Iterable[Ref]) -> tuple[list[int], list[bytes]]:
    """The different ids and keys among *refs*."""
    different = dict.fromkeys(refs)
    return [ref for ref in different if isinstance(ref, int)], [ref for ref in different if not isinstance(ref, int)]


def selection_words(selection: Selection) -> list[bytes] | None:
    """The arguments in the order that the scripts expect, or `None` if nothing can satisfy the selection."""
    partition = selection.partition
    if partition is not None and len(partition) != 16:
        return None
    numbers, keys = of_refs(selection.refs or ())
    tags = [] if selection.tags is None else [digest_of(tag) for tag in dict.fromkeys(selection.tags)]
    return [
        b"" if selection.namespace is None else digest_of(selection.namespace),
        partition or b"",
        b"" if selection.created_before is None else sortable(selection.created_before),
        b"" if selection.removable_by is None else sortable(selection.removable_by),
        b"-1" if selection.tags is None else b"%d" % len(tags),
        b"-1" if selection.refs is None else b"%d" % len(numbers),
        b"%d" % len(keys),
        *tags,
        *map(id_bytes, numbers),
        *keys,
    ]
