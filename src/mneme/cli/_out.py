"""How results are shown: one JSON document, plain text, or tables on a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TextIO

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_CELL = 200
"""Characters of a response in a line of plain text."""


class Column(NamedTuple):
    """How a column of a table is laid out on a terminal."""

    title: str
    ratio: int | None = None
    """Share of the width that is left; `None` for as wide as its content."""
    right: bool = False
    style: str = ""


class Out:
    """Where a command's results go. Text is data: control characters are shown, never sent to the terminal."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.rich = not as_json and is_terminal(sys.stdout)
        self.console = console_for(sys.stdout)

    def document(self, value: Any) -> None:
        """Print *value* if JSON was asked for."""
        if self.as_json:
            # ASCII carries every string unharmed, lone surrogates too, whatever the encoding of stdout.
            click.echo(json.dumps(value, indent=2, allow_nan=False))

    def say(self, text: str, *, style: str = "") -> None:
        """Print a line for people."""
        if self.rich:
            self.console.print(Text(visible(text), style=style))
        elif not self.as_json:
            click.echo(visible(text))

    def command(self, text: str) -> None:
        """Print a command to be pasted: in one piece, however long it is."""
        if self.rich:
            self.console.print(Text(visible(text)), soft_wrap=True)
        else:
            self.say(text)

    def hint(self, text: str) -> None:
        """Print a line that only somebody at a terminal needs."""
        if self.rich:
            self.say(text, style="dim")

    def facts(self, facts: Mapping[str, object]) -> None:
        """Print names and values, a line each."""
        if self.rich:
            grid = Table.grid(padding=(0, 2))
            grid.add_column(style="dim", no_wrap=True)
            grid.add_column(overflow="fold")
            for name, value in facts.items():
                grid.add_row(name, Text(visible(str(value))))
            self.console.print(grid)
        elif not self.as_json:
            for name, value in facts.items():
                click.echo(f"{name}: {visible(str(value))}")

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
        """Print a table: drawn on a terminal, else lines of tab-separated cells under a line of titles."""
        if self.rich:
            self.console.print(drawn(columns, rows))
        elif not self.as_json:
            click.echo("\t".join(column.title for column in columns))
            for row in rows:
                click.echo("\t".join(one_line(str(cell))[:_CELL] for cell in row))


def drawn(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> Table:
    """A table that fits the width: what does not fit ends in an ellipsis."""
    table = Table(box=box.SIMPLE_HEAD, expand=any(column.ratio for column in columns), pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(
            column.title,
            ratio=column.ratio,
            justify="right" if column.right else "left",
            style=column.style,
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(one_line(str(cell))) for cell in row))
    return table


def console_for(stream: TextIO) -> Console:
    """A console on *stream*. Whether it is a terminal is asked of it, not of variables meant for other programs."""
    return Console(file=stream, force_terminal=is_terminal(stream), highlight=False, markup=False, emoji=False)


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody watches who can be shown colours and moving lines."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def visible(text: str) -> str:
    """*text* with control characters written as escapes: a stored response must not command the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else _escaped(c) for c in text)


def one_line(text: str) -> str:
    return visible(" ".join(text.split()))


def _escaped(character: str) -> str:
    if character == "\t":
        return "    "
    if character.isspace():  # of the kinds that str.isprintable() does not count, such as the no-break space
        return " "
    return character.encode("unicode_escape").decode("ascii")
