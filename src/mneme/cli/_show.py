"""How values of the library are written: in words for people, in JSON values for programs."""

from __future__ import annotations

import base64
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from mneme import Entry, Hit


def program() -> str:
    """How this command is called from here: in a virtual environment it may not be on the path."""
    called = Path(sys.argv[0])
    if called.stem != "mneme":
        return "python -m mneme"
    found = shutil.which("mneme")
    return "mneme" if found is not None and called.exists() and Path(found).samefile(called) else str(called)


def span(seconds: float) -> str:
    """A time taken, to three figures: "0.04 ms", "3.12 ms", "1.42 s"."""
    if seconds < 1:
        milliseconds = seconds * 1000
        return f"{milliseconds:.{0 if milliseconds >= 100 else 1 if milliseconds >= 10 else 2}f} ms"
    return f"{seconds:.{2 if seconds < 100 else 0}f} s"


def age(seconds: float) -> str:
    """How long ago, in the largest unit that fits: "12 s", "3 min", "5 h", "2 d"."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def size(count: int) -> str:
    """A number of bytes: "812 B", "44.0 KiB", "1.3 MiB"."""
    if count < 1024:
        return f"{count} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"


def counted(number: int, noun: str) -> str:
    """A number and what it counts: "1 entry", "2 entries"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun[:-1]}ies" if noun.endswith("y") else f"{number:,} {noun}s"


def similarity(value: float) -> str:
    return f"{value:.3f}"


def moment(seconds: float | None) -> str:
    """A moment of local time, or "never"."""
    return "never" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def response_text(response: Any) -> str:
    """A response for people: text as it is, anything else as JSON; bytes only by their number."""
    if isinstance(response, str):
        return response
    if isinstance(response, bytes):
        return f"<{counted(len(response), 'byte')}>"
    return json.dumps(response, ensure_ascii=False)


def scope_text(scope: Any) -> str:
    return "" if scope is None else response_text(scope)


def response_document(response: Any) -> dict[str, Any]:
    """A response as JSON values that tell `str`, `bytes` and JSON apart."""
    if isinstance(response, bytes):
        return {"response": base64.b64encode(response).decode("ascii"), "response_type": "base64"}
    return {"response": response, "response_type": "text" if isinstance(response, str) else "json"}


def entry_document(entry: Entry) -> dict[str, Any]:
    return {
        "entry_id": entry.entry_id,
        "namespace": entry.namespace,
        "scope": entry.scope,
        "query": entry.query,
        **response_document(entry.response),
        "metadata": entry.metadata,
        "tags": list(entry.tags),
        "created_at": entry.created_at,
        "accessed_at": entry.accessed_at,
        "expires_at": entry.expires_at,
        "compute_seconds": entry.compute_seconds,
        "cost": entry.cost,
    }


def hit_document(hit: Hit) -> dict[str, Any]:
    return {
        **response_document(hit.response),
        "layer": hit.layer,
        "similarity": hit.similarity,
        "confidence": hit.confidence,
        "age_seconds": hit.age_seconds,
        "namespace": hit.namespace,
        "query": hit.query,
        "entry_id": hit.entry_id,
        "metadata": hit.metadata,
    }
