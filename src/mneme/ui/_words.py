"""How values are written on pages: the filters of the templates."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any

__all__ = ["FILTERS", "age", "counted", "moment", "money", "readable", "shown", "span"]


def age(seconds: float) -> str:
    """A time in the largest unit that fits: "12 s", "3 min", "5 h", "2 d"."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if abs(seconds) >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def span(seconds: float) -> str:
    """A time taken, to three figures: "0.04 ms", "3.12 ms", "1.42 s", "12 min"."""
    if seconds >= 600:
        return age(seconds)
    if seconds >= 1:
        return f"{seconds:.{2 if seconds < 100 else 0}f} s"
    milliseconds = seconds * 1000
    return f"{milliseconds:.{0 if milliseconds >= 100 else 1 if milliseconds >= 10 else 2}f} ms"


def moment(seconds: float | None) -> str:
    """A moment in UTC, or "never"."""
    if seconds is None or not math.isfinite(seconds):
        return "never"
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):  # further away than the system's calendar goes
        return f"{seconds:.0f} s after 1970"


def size(count: float) -> str:
    """A number of bytes: "812 B", "44.0 KiB", "1.3 MiB"."""
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} TiB"


def counted(number: int, noun: str) -> str:
    """A number and what it counts: "1 entry", "2 entries"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun[:-1]}ies" if noun.endswith("y") else f"{number:,} {noun}s"


def money(value: float) -> str:
    """A cost in whatever unit it was given: two decimals, or three figures of a small one."""
    return f"{value:,.2f}" if value == 0 or abs(value) >= 1 else f"{value:.3g}"


def percent(share: float) -> str:
    return f"{share:.0%}"


def thousands(number: int) -> str:
    return f"{number:,}"


def similarity(value: float) -> str:
    return f"{value:.3f}"


def readable(value: Any) -> str:
    """A stored value in full: text as it is, JSON laid out, also if it is JSON in a text; of bytes their beginning.

    What a caller's codec made, and JSON cannot hold, is shown as Python would.
    """
    if isinstance(value, bytes):
        head = value[:256].hex(" ")
        return f"{counted(len(value), 'byte')}: {head}{' …' if len(value) > 256 else ''}"
    if isinstance(value, str):
        text = value
        if not text.lstrip().startswith(("{", "[")):
            return text
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
    return _as_json(value, indent=2)


def shown(value: Any, limit: int = 200) -> str:
    """A stored value on one line, of a long one the beginning."""
    if isinstance(value, bytes):
        return counted(len(value), "byte")
    text = value if isinstance(value, str) else "" if value is None else _as_json(value)
    line = " ".join(text[: 4 * limit].split())
    return line if len(line) <= limit and len(text) <= 4 * limit else f"{line[:limit]}…"


def _as_json(value: Any, indent: int | None = None) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent)
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def typed(scope: Any) -> str:
    """A scope as one types it into a form: a text as it is, unless that would be read as JSON; a mapping as JSON."""
    if scope is None:
        return ""
    if isinstance(scope, str) and scope.strip() and not scope.lstrip().startswith(("{", '"')):
        return scope
    return json.dumps(scope, ensure_ascii=False)


FILTERS: dict[str, Callable[..., str]] = {
    "age": age,
    "span": span,
    "moment": moment,
    "size": size,
    "counted": counted,
    "money": money,
    "percent": percent,
    "thousands": thousands,
    "similarity": similarity,
    "readable": readable,
    "shown": shown,
    "typed": typed,
}
