"""Putting every line of a JSONL file: some hundred lines are one embedder batch and one transaction."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import click

from mneme import MnemeError, SemanticCache
from mneme.cli import _options as options, _show as show
from mneme.cli._failure import Failure, asking, no
from mneme.cli._out import Out
from mneme.cli._progress import progress

_CHUNK = 256
_KEYS = frozenset({"query", "response", "namespace", "scope", "metadata", "ttl", "tags", "cost"})


def put_lines(
    out: Out, source: Path, opening: AbstractContextManager[SemanticCache], shared: Mapping[str, Any]
) -> None:
    """Put every line; when one is wrong, the chunks before it stay and the message says so.

    Raises:
        Failure: A line is wrong, or the source cannot be read.
        click.exceptions.Exit: With 1, if responses were refused.
    """
    done = _Done()
    with _opened(source) as (file, total):
        chunks = _chunks(file, done)
        # Read before the cache is opened, and with that made: a wrong source must not leave an empty cache behind.
        first = list(islice(chunks, 1))
        with opening as cache, progress() as bar:
            task = bar.add_task("storing", total=total)
            for chunk in chain(first, chunks):
                done.stored += _put_chunk(cache, chunk, shared, done)
                done.lines += len(chunk)
                bar.update(task, completed=done.lines)
            entries = cache.stats().entries
    refused = done.lines - done.stored
    out.document({"stored": done.stored, "refused": refused, "entries": entries})
    out.say(f"stored {show.counted(done.stored, 'line')}; the file holds {show.counted(entries, 'entry')} now")
    if refused:
        out.say(f"refused {show.counted(refused, 'response')}: blank, or an error message", style="yellow")
        raise no()


@dataclass(slots=True)
class _Done:
    """How far it has come."""

    lines: int = 0
    stored: int = 0


class _Line(NamedTuple):
    number: int
    item: dict[str, Any]


def _chunks(file: BinaryIO, done: _Done) -> Iterator[list[_Line]]:
    numbered = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
    while chunk := [_Line(number, _item(number, line, done)) for number, line in islice(numbered, _CHUNK)]:
        yield chunk


def _put_chunk(cache: SemanticCache, chunk: list[_Line], shared: Mapping[str, Any], done: _Done) -> int:
    where = f"lines {chunk[0].number} to {chunk[-1].number}"
    try:
        with asking():
            return cache.put_many([line.item for line in chunk], **shared)
    except click.UsageError as error:
        raise _wrong(where, error.message, done) from error
    except MnemeError as error:
        raise _wrong(where, str(error), done, type(error).__name__) from error


@contextmanager
def _opened(source: Path) -> Iterator[tuple[BinaryIO, int | None]]:
    """The lines, and how many there are, unless they can be read only once."""
    if str(source) == "-":
        yield sys.stdin.buffer, None
        return
    try:
        file = source.open("rb")
    except OSError as error:
        raise Failure(f"cannot read {str(source)!r}: {error.strerror}", type(error).__name__) from error
    with file:
        total = sum(1 for line in file if line.strip()) if file.seekable() else None
        if total is not None:
            file.seek(0)
        yield file, total


def _item(number: int, line: bytes, done: _Done) -> dict[str, Any]:
    try:
        item = options.parsed(line.decode("utf-8"))
    except ValueError as error:
        raise _wrong(f"line {number}", f"no JSON: {error}", done) from error
    if not isinstance(item, dict):
        raise _wrong(f"line {number}", "not a JSON object", done)
    if missing := {"query", "response"} - item.keys():
        raise _wrong(f"line {number}", f"has no {min(missing)!r}", done)
    if unknown := item.keys() - _KEYS:
        raise _wrong(f"line {number}", f"has {min(unknown)!r}, which is none of {', '.join(sorted(_KEYS))}", done)
    return item


def _wrong(where: str, what: str, done: _Done, kind: str = "ValueError") -> Failure:
    kept = f"the {show.counted(done.stored, 'response')} before are stored" if done.stored else "nothing was stored"
    return Failure(f"{where}: {what}; {kept}", kind)
