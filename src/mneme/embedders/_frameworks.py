"""What changes a vector inside embeddings of LangChain and LlamaIndex, which are forms with named fields.

A field that nobody here has heard of counts as one that changes vectors, once it is set to anything but its default; a
new release may bring fields, and must not make a cache look like another's. Names tell which fields are about who asks
and how it travels; secrets are among these. The rest stands in the fingerprint as a digest, and not in words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["extended"]

_WORDS = frozenset(
    {
        *(
            "auth",
            "cookies",
            "credentials",
            "header",
            "headers",
            "key",
            "organization",
            "password",
            "project",
            "secret",
        ),
        *("base", "client", "endpoint", "host", "location", "profile", "project", "proxy", "region", "url"),
        *("batch", "device", "devices", "limiter", "process", "retries", "retry", "thread", "timeout", "workers"),
        *("cache", "callback", "callbacks", "manager", "progress", "token", "user", "validate", "verbose"),
    }
)
_WHOLE = frozenset({"api_version", "chunk_size", "keep_alive", "num_gpu", "openai_api_type", "openai_api_version"})


def extended(fingerprint: str | None, obj: Any, known: Collection[str]) -> str | None:
    """The fingerprint with a digest of the fields that are not *known*, and are set to anything but their default."""
    fields = getattr(type(obj), "model_fields", None)
    if fingerprint is None or not isinstance(fields, Mapping):
        return fingerprint
    changed = {}
    for name, field in fields.items():
        if name not in known and not _is_beside_the_point(name):
            value = _plain(getattr(obj, name, None))
            if value is not None and value != _plain(_default(field)):
                changed[name] = value
    if not changed:
        return fingerprint
    digest = hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()
    return f"{fingerprint};settings={digest[:16]}"


def _default(field: Any) -> Any:
    try:
        return field.get_default(call_default_factory=True)
    except Exception:  # noqa: BLE001 -- a factory of somebody's that wants more than is known here
        return None


def _is_beside_the_point(name: str) -> bool:
    return name in _WHOLE or not _WORDS.isdisjoint(name.lower().split("_"))


def _plain(value: Any) -> Any:
    """*value* without what is beside the point inside it; `None` for what is no JSON, such as a client, or empty."""
    if isinstance(value, Mapping):
        inner = {name: _plain(one) for name, one in value.items() if not _is_beside_the_point(str(name))}
        return {name: one for name, one in inner.items() if one is not None} or None
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return None
