"""`make bench`: every row measures a floor and an operation in the same run, and prints the ratio beside its budget."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import rows_exact
import rows_semantic
import rows_whole
import rows_write
from data import ROOT, load
from harness import Row
from table import heading, line, machine, title
from workshop import TOPICS, Workshop

MODULES = (rows_exact, rows_semantic, rows_write, rows_whole)
"""Importing them entered their measurements in `TOPICS`; this is their order in the table."""
ORDER = [module.__name__ for module in MODULES]


def main() -> int:
    options = _options()
    unknown = set(options.only or ()) - set(TOPICS)
    if unknown:
        print(f"no row is called {min(unknown)!r}; there are {', '.join(TOPICS)}", file=sys.stderr)
        return 2
    started = time.monotonic()
    entries = 20_000 if options.quick else 100_000
    corpus = load(entries)
    head = [*machine(), f"vectors: {corpus.label}", *(["quick: fewer entries and rounds"] if options.quick else [])]
    lines = [title(), "", *head, "", *heading()]
    if not options.json:
        print("\n".join(lines), flush=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="mneme-bench-") as directory:
        shop = Workshop(corpus, Path(directory), entries, quick=options.quick)
        for name, measurement in sorted(TOPICS.items(), key=lambda item: ORDER.index(item[1].__module__)):
            if options.only and name not in options.only:
                continue
            for row in measurement(shop):
                rows.append(row)
                lines.append(line(row))
                if not options.json:
                    print(lines[-1], flush=True)
    over = sum(row.verdict == "over" for row in rows)
    lines += ["", f"{len(rows)} rows, {over} over budget"]
    if options.json:
        print(
            json.dumps({"machine": head, "rows": [{**asdict(row), "verdict": row.verdict} for row in rows]}, indent=1)
        )
    else:
        print(f"\n{len(rows)} rows, {over} over budget, {time.monotonic() - started:.0f} s")
    if options.write:
        (ROOT / "docs" / "benchmark.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0  # a budget is judged by people: the machine may have been busy


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help=f"one of {', '.join(TOPICS)}; may be repeated")
    parser.add_argument("--quick", action="store_true", help="20,000 entries instead of 100,000, fewer rounds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--write", action="store_true", help="also write the table to docs/benchmark.txt")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
