"""The identity of an entry: which partition a request belongs to, and which key within it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, TypeAlias

from mneme._rules.codec import dump_json

Scope: TypeAlias = "str | Mapping[str, Any] | None"


def normalize_query(query: str) -> str:
    """Fold what never changes meaning: surrounding and repeated white space, and case (Unicode case folding)."""
    return " ".join(query.split()).casefold()


def canonical_scope(scope: Scope) -> str:
    """One text for every spelling of the same scope; empty for no scope.

    A string and a mapping never share a text, nor do 1, 1.0 and true: JSON tells them apart.
    """
    if scope is None:
        return ""
    if isinstance(scope, str):
        return json.dumps(scope)
    if not isinstance(scope, Mapping):
        raise TypeError(f"scope must be a string or a mapping of JSON values, not {type(scope).__name__}")
    return dump_json(dict(scope), "scope", sort_keys=True)


@lru_cache(maxsize=256)  # a caller asks for few of them again and again
def partition_of(namespace: str, scope: str) -> bytes:
    """The 16-byte partition of a namespace and a canonical scope. The length keeps the two from running together."""
    name = namespace.encode()
    return sha256(b"%d:%b%b" % (len(name), name, scope.encode())).digest()[:16]


def key_of(partition: bytes, normalized: str) -> bytes:
    """The 32-byte key of a normalised query within its partition."""
    return sha256(partition + normalized.encode()).digest()
