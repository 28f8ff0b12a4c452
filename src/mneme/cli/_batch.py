"""Putting every line of a JSONL file: some hundred lines are one embedder batch and one transaction."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mneme import MnemeError, SemanticCache
from mneme.cli import _options as options, _show as show
from mneme.cli._failure import Failure, asking, no
from mneme.cli._out import Out, console_for, is_terminal

_CHUNK = 256
_KEYS = frozenset({"query", "response", "namespace", "scope", "metadata", "ttl", "tags"})


def put_lines(out: Out, cache: SemanticCache, source: Path, shared: Mapping[str, Any]) -> None:
    """Put every line; when one is wrong, the chunks before it stay and the message says so.

    Raises:
        Failure: A line is wrong, or the source cannot be read.
        click.exceptions.Exit: With 1, if responses were refused.
    """
    stored = lines = 0
    with _opened(source) as (file, total), _progress() as progress:
        task = progress.add_task("storing", total=total)
        numbered = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
        while chunk := list(islice(numbered, _CHUNK)):
            items = [_item(number, line, stored) for number, line in chunk]
            first, last = chunk[0][0], chunk[-1][0]
            try:
                with asking():
                    stored += cache.put_many(items, **shared)
            except click.UsageError as error:
                raise _wrong(f"lines {first} to {last}", error.message, stored) from error
            except MnemeError as error:
                raise _wrong(f"lines {first} to {last}", str(error), stored, type(error).__name__) from error
            lines += len(chunk)
            progress.update(task, completed=lines)
    entries = cache.stats().entries
    refused = lines - stored
    out.document({"stored": stored, "refused": refused, "entries": entries})
    out.say(f"stored {show.counted(stored, 'line')}; the file holds {show.counted(entries, 'entry')} now")
    if refused:
        out.say(f"refused {show.counted(refused, 'response')}: blank, or an error message", style="yellow")
        raise no()


@contextmanager
def _opened(source: Path) -> Iterator[tuple[BinaryIO, int | None]]:
    """The lines, and how many there are, unless they can be read only once."""
    if str(source) == "-":
        yield sys.stdin.buffer, None
        return
    try:
        with source.open("rb") as file:
            total = sum(1 for line in file if line.strip()) if file.seekable() else None
            if total is not None:
                file.seek(0)
            yield file, total
    except OSError as error:
        raise Failure(f"cannot read {str(source)!r}: {error.strerror}", type(error).__name__) from error


def _item(number: int, line: bytes, stored: int) -> dict[str, Any]:
    try:
        item = options.parsed(line.decode("utf-8"))
    except ValueError as error:
        raise _wrong(f"line {number}", f"no JSON: {error}", stored) from error
    if not isinstance(item, dict):
        raise _wrong(f"line {number}", "not a JSON object", stored)
    if missing := {"query", "response"} - item.keys():
        raise _wrong(f"line {number}", f"has no {min(missing)!r}", stored)
    if unknown := item.keys() - _KEYS:
        raise _wrong(f"line {number}", f"has {min(unknown)!r}, which is none of {', '.join(sorted(_KEYS))}", stored)
    return item


def _wrong(where: str, what: str, stored: int, kind: str = "ValueError") -> Failure:
    kept = f"the {show.counted(stored, 'response')} before are stored" if stored else "nothing was stored"
    return Failure(f"{where}: {what}; {kept}", kind)


def _progress() -> Progress:
    """A bar on stderr, so that stdout holds the result alone; nothing where nobody watches."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console_for(sys.stderr),
        disable=not is_terminal(sys.stderr),
        transient=True,
    )
