"""The table as text, and what it was measured on: no names of hosts, users or files."""

from __future__ import annotations

import datetime as dt
import os
import platform
import sqlite3

import numpy as np
from harness import Row

import mneme

_WIDTHS = (46, 46, 10, 10, 8, 8, 20, 7)
_COLUMNS = ("operation", "floor", "floor", "operation", "ratio", "ratio", "budget", "")
_UNDER = ("", "", "p50", "p50", "p50", "p99", "at the most", "")


def title() -> str:
    return f"mneme {mneme.__version__}, measured {dt.datetime.now(dt.timezone.utc):%Y-%m-%d}"


def machine() -> list[str]:
    """What the figures depend on."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return [
        f"machine: {platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        f"{python}, NumPy {np.__version__}, SQLite {sqlite3.sqlite_version}",
    ]


def heading() -> list[str]:
    return [_joined(_COLUMNS), _joined(_UNDER), _joined(tuple("-" * width for width in _WIDTHS))]


def line(row: Row) -> str:
    p99 = "" if row.ratio_p99 is None else f"{row.ratio_p99:.2f}x"
    scale = _bytes if row.unit == "bytes" else _time
    cells = (
        row.name,
        row.floor,
        scale(row.floor_p50),
        scale(row.operation_p50),
        f"{row.ratio_p50:.2f}x",
        p99,
        str(row.budget),
        row.verdict,
    )
    return _joined(cells) + (f"\n  ({row.note})" if row.note else "")


def _joined(cells: tuple[str, ...]) -> str:
    left = "  ".join(cell.ljust(width) for cell, width in zip(cells[:2], _WIDTHS[:2], strict=True))
    right = "  ".join(cell.rjust(width) for cell, width in zip(cells[2:6], _WIDTHS[2:6], strict=True))
    rest = "  ".join(cell.ljust(width) for cell, width in zip(cells[6:], _WIDTHS[6:], strict=True))
    return f"{left}  {right}  {rest}".rstrip()


def _time(nanoseconds: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.0f} ns"


def _bytes(count: float) -> str:
    return f"{count / 2**20:.1f} MiB"
