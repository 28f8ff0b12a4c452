"""Choosing entries by what their metadata says, which no store can do by itself: metadata is opaque to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from mneme._rules.codec import check_json, decode_metadata
from mneme.ports import Record

Where: TypeAlias = "Mapping[str, Any] | None"


def matcher(where: Mapping[str, Any]) -> Callable[[Record], bool]:
    """Tells of a record whether its metadata has every field of *where* with an equal value, or any of a tuple's.

    Raises:
        TypeError, ValueError: *where* is no mapping of JSON values by name, or is empty.
    """
    if not isinstance(where, Mapping):
        raise TypeError(f"where must be a mapping of metadata fields, like {{'user_id': 42}}, not {where!r}")
    if not where:
        raise ValueError("where is empty, so it would mean every entry; name a field, or leave it out")
    wanted: dict[str, tuple[Any, ...]] = {}
    for name, value in where.items():
        if not isinstance(name, str):
            raise TypeError(f"the fields of where are named by str, not {name!r}")
        wanted[name] = value if isinstance(value, tuple) else (value,)
        for one in wanted[name]:
            check_json(one, f"where[{name!r}]")

    def matches(record: Record) -> bool:
        if not record.metadata:
            return False
        found = decode_metadata(record.metadata)
        return all(name in found and any(same(found[name], one) for one in values) for name, values in wanted.items())

    return matches


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: 1 and 1.0 are, 1 and true are not, nor are 1 and "1"."""
    if isinstance(one, dict) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
