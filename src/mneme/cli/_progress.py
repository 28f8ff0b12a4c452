"""A bar that moves while something takes long."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mneme.cli._out import console_for, is_terminal


def progress() -> Progress:
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


@contextmanager
def reporting(what: str) -> Iterator[Callable[[int, int], None]]:
    """To be called with how much is done, and of how much."""
    with progress() as bar:
        task = bar.add_task(what, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield report
