"""When an entry becomes invisible, and when it may be removed. Time is an argument, and so is the key."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import TypeAlias

TTL: TypeAlias = "float | timedelta | str | None"

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")


def seconds(duration: TTL, what: str = "ttl") -> float | None:
    """A duration in seconds; `None` stays `None`, and an infinite one means for ever.

    Text is one or more numbers with units, largest first or not: "90s", "1h30m", "2d", "1w", "500ms".

    Raises:
        TypeError, ValueError: Not a duration, or not a positive one.
    """
    if duration is None:
        return None
    if isinstance(duration, timedelta):
        value = duration.total_seconds()
    elif isinstance(duration, str):
        value = _parse(duration, what)
    elif isinstance(duration, bool) or not isinstance(duration, (int, float)):
        raise TypeError(f"{what} must be seconds, a timedelta or text like '1h30m', not {type(duration).__name__}")
    else:
        try:
            value = float(duration)
        except OverflowError:
            raise ValueError(f"{what} is too large; to keep an entry for ever use float('inf')") from None
    if not value > 0:  # catches NaN as well
        raise ValueError(f"{what} must be positive, got {duration!r}; to keep an entry for ever use float('inf')")
    return value


def _parse(text: str, what: str) -> float:
    compact = text.replace(" ", "").lower()
    total, position = 0.0, 0
    for part in _PART.finditer(compact):
        if part.start() != position:
            break
        total += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    if position == 0 or position != len(compact):
        raise ValueError(f"{what} {text!r} is not a duration; write it like '90s', '1h30m' or '2d'")
    return total


def fraction(value: float, what: str) -> float:
    """A number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{what} must be a number, not {type(value).__name__}")
    if not 0 <= value < 1:
        raise ValueError(f"{what} must be at least 0 and below 1, got {value!r}")
    return float(value)


def deadlines(
    now: float, ttl: float | None, *, key: bytes, jitter: float = 0.0, stale: float | None = None
) -> tuple[float | None, float | None]:
    """`expires_at` and `removable_at` of an entry written *now*.

    Jitter shortens the life by up to that share, never lengthens it: nothing is served beyond what was asked. How much
    comes from the key, so entries written together expire apart, without a source of randomness.
    """
    if ttl is None or math.isinf(ttl):
        return None, None
    share = int.from_bytes(key[:4], "big") / 2**32
    expires = now + ttl * (1 - jitter * share)
    keep = expires if stale is None else expires + stale
    return expires, None if math.isinf(keep) else keep


def is_expired(expires_at: float | None, now: float) -> bool:
    """At the very moment of expiry an entry is gone."""
    return expires_at is not None and now >= expires_at
