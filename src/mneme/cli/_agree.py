"""Asking before entries are removed."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mneme import SemanticCache
from mneme.cli import _show as show


def agreed(file: Path, cache: SemanticCache, namespace: str | None, *, narrowed: bool) -> bool:
    """Whether whoever sits at the terminal agrees; raises `click.UsageError` where nobody does."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("there is no terminal to ask on; pass --yes to remove entries")
    count = show.counted(cache.stats(namespace).entries, "entry")
    where = file if namespace is None else f"namespace {namespace!r} of {file}"
    what = f"those of the {count}" if narrowed else f"all of the {count}"
    return click.confirm(f"Remove {what} in {where}{' that match' if narrowed else ''}?", err=True)
