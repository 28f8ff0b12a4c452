"""The table as text, and what it was measured on: no names of hosts, users or files."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
import sqlite3

import numpy as np
from contenders import versions
from harness import Row
from workshop import Curve, Recalls

import mneme

_WIDTHS = (46, 46, 10, 10, 8, 8, 20, 7)
_COLUMNS = ("operation", "floor", "floor", "operation", "ratio", "ratio", "budget", "")
_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
_UNDER = ("", "", "p50", "p50", "p50", "p99", "at the most", "")


def title() -> str:
    return f"mneme {mneme.__version__}, measured {dt.datetime.now(dt.timezone.utc):%Y-%m-%d}"


def machine() -> list[str]:
    """What the figures depend on."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return [
        f"machine: {platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        f"{python}, NumPy {np.__version__}, {_numkong()}, SQLite {sqlite3.sqlite_version}",
        f"compared with: {versions()}",
        *(f"{name}={os.environ[name]}" for name in _THREADS if name in os.environ),
    ]


def _numkong() -> str:
    """The extra `fast`: what searches int8 rows, if it is there."""
    try:
        return f"NumKong {importlib.metadata.version('numkong')}"
    except importlib.metadata.PackageNotFoundError:
        return "no NumKong"


def heading() -> list[str]:
    return [_joined(_COLUMNS), _joined(_UNDER), _joined(tuple("-" * width for width in _WIDTHS))]


def line(row: Row) -> str:
    p99 = "" if row.ratio_p99 is None else f"{row.ratio_p99:.2f}x"
    scale = {"bytes": _bytes, "none": _nothing, "share": _nothing}.get(row.unit, _time)
    ratio = {"none": "", "share": f"{row.ratio_p50:.1%}"}.get(row.unit, f"{row.ratio_p50:.2f}x")
    cells = (
        row.name,
        row.floor,
        scale(row.floor_p50),
        scale(row.operation_p50),
        ratio,
        p99,
        str(row.budget),
        row.verdict,
    )
    return _joined(cells) + (f"\n  ({row.note})" if row.note else "")


def growth(curves: dict[str, Curve], recalls: Recalls) -> list[str]:
    """A table for each kind of question: contenders down, numbers of rows across, median times."""
    lines: list[str] = []
    for kind, curve in curves.items():
        sizes = sorted({size for times in curve.values() for size in times})
        lines += ["", f"how the time of a {kind} grows with the rows, search alone, 384 dimensions, p50"]
        lines.append(
            "  ".join(
                [" " * 22, *(f"{size:,}".rjust(9) for size in sizes), "recall of hits".rjust(14), "of any".rjust(7)]
            )
        )
        for name, times in curve.items():
            cells = [(_time(times[size]) if size in times else "").rjust(9) for size in sizes]
            shares = [f"{share:.1%}" for share in recalls.get(name, (1.0, 1.0))]
            lines.append("  ".join([name.ljust(22), *cells, shares[0].rjust(14), shares[1].rjust(7)]))
    return lines


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


def _nothing(_: float) -> str:
    return ""


def _bytes(count: float) -> str:
    return f"{count / 2**20:.1f} MiB"
