"""`make bench`: every row measures a floor and an operation in the same run, and prints the ratio beside its budget."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import plot
import rows_checkpoint
import rows_contrast
import rows_crypto
import rows_exact
import rows_fast
import rows_graphs
import rows_guards
import rows_index
import rows_processes
import rows_search
import rows_semantic
import rows_stores
import rows_whole
import rows_write
from data import ROOT, load
from harness import Row
from table import growth, heading, line, machine, title
from workshop import ON_REQUEST, TOPICS, Workshop

MODULES = (
    rows_exact,
    rows_semantic,
    rows_guards,
    rows_contrast,
    rows_search,
    rows_graphs,
    rows_fast,
    rows_index,
    rows_write,
    rows_whole,
    rows_processes,
    rows_stores,
    rows_crypto,
    rows_checkpoint,
)
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
    say = _silent if options.json else _printed
    say("\n".join(lines))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="mneme-bench-") as directory:
        shop = Workshop(corpus, Path(directory), entries, quick=options.quick)
        for row in _measured(shop, options.only):
            rows.append(row)
            lines.append(line(row))
            say(lines[-1])
    over = sum(row.verdict == "over" for row in rows)
    rest = [*growth(shop.curves, shop.recalls), "", f"{len(rows)} rows, {over} over budget"]
    lines += rest
    say("\n".join(rest) + f", {time.monotonic() - started:.0f} s")
    if options.json:
        written = [{**asdict(row), "verdict": row.verdict} for row in rows]
        print(json.dumps({"machine": head, "rows": written, "curves": shop.curves}, indent=1))
    if options.write:
        (ROOT / "docs" / "benchmark.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if shop.curves and (options.write or options.plot):
        print(plot.draw(shop.curves["miss"], shop.recalls, ROOT / "docs" / "search-time.svg", head), file=sys.stderr)
    return 0  # a budget is judged by people: the machine may have been busy


def _measured(shop: Workshop, only: Sequence[str] | None) -> Iterator[Row]:
    """The rows of those topics, or of every one that does not take long, in the order of the table."""
    for name, measurement in sorted(TOPICS.items(), key=lambda item: ORDER.index(item[1].__module__)):
        if name not in only if only else name in ON_REQUEST:
            continue
        started = time.monotonic()
        yield from measurement(shop)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def _printed(text: str) -> None:
    print(text, flush=True)


def _silent(_: str) -> None:
    """Where JSON is printed, nothing else is."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help=f"one of {', '.join(TOPICS)}; may be repeated")
    parser.add_argument("--quick", action="store_true", help="20,000 entries instead of 100,000, fewer rounds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--write", action="store_true", help="also write the table, and the plot, to docs/")
    parser.add_argument("--plot", action="store_true", help="also write the plot of the row `competitors` to docs/")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
