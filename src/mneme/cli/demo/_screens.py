"""Three ways to watch the demo: live on a terminal, a line for each question elsewhere, and not at all for JSON."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from mneme.cli import _show as show
from mneme.cli._out import Column, Out, drawn
from mneme.cli.demo._play import Kept, Screen
from mneme.cli.demo._tally import OUTCOMES, Asked, Outcome, Tally, percentile

_STYLES: dict[Outcome, str] = {"exact": "green", "semantic": "cyan", "miss": "yellow"}
_WIDE = 110
"""Columns of a terminal that has room for one more column."""

_WORDS: dict[Outcome, str] = {"exact": "exact", "semantic": "semantic", "miss": "model"}


def screen_for(out: Out) -> Screen:
    """The way to watch that fits where the output goes."""
    if out.as_json:
        return Silent()
    return LiveScreen(out) if out.rich else Lines(out)


class Silent:
    """Shows nothing."""

    def begin(self, title: str, tally: Tally) -> None: ...
    def asking(self, query: str) -> None: ...
    def asked(self, asked: Asked, tally: Tally) -> None: ...
    def end(self, tally: Tally) -> None: ...
    def say(self, text: str) -> None: ...
    def kept(self, kept: Sequence[Kept], threshold: float) -> None: ...


class Lines:
    """A line for each question, for files and pipes."""

    def __init__(self, out: Out) -> None:
        self._out = out

    def begin(self, title: str, tally: Tally) -> None:  # noqa: ARG002 - nothing has happened yet
        self._out.say("")
        self._out.say(title)

    def asking(self, query: str) -> None: ...

    def asked(self, asked: Asked, tally: Tally) -> None:
        similarity = "" if asked.similarity is None else show.similarity(asked.similarity)
        matched = "" if asked.outcome != "semantic" else f"  ~ {asked.matched}"
        wrong = "" if asked.right else "  WRONG"
        self._out.say(
            f"{asked.number:>4}/{tally.expected}  {_WORDS[asked.outcome]:<8}  {show.span(asked.seconds):>8}  "
            f"{similarity:>5}  {asked.query.strip()}{matched}{wrong}"
        )

    def end(self, tally: Tally) -> None:
        self._out.table(*_totals(tally))
        self._out.say(f"saved {show.span(tally.saved)} of the model's time")

    def say(self, text: str) -> None:
        self._out.say(text)

    def kept(self, kept: Sequence[Kept], threshold: float) -> None:
        for one in kept:
            self._out.say(
                f"{_verdict(one):>4}  {_similarity(one):>5}  {one.friend.query}  ({_apart_by(one, threshold)})"
            )


class LiveScreen:
    """Questions scroll by; below them stand the progress and the running totals."""

    def __init__(self, out: Out) -> None:
        self._console = out.console
        self._live: Live | None = None
        self._lock = threading.Lock()
        self._progress = Progress()
        self._task = TaskID(0)

    def begin(self, title: str, tally: Tally) -> None:
        self._console.print()
        self._console.print(Text(title, style="bold"))
        self._progress = Progress(
            BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[now]}")
        )
        self._task = self._progress.add_task("", total=tally.expected, now="")
        self._live = live = Live(self._footer(tally), console=self._console, refresh_per_second=8, transient=True)
        live.start()

    def asking(self, query: str) -> None:
        self._progress.update(self._task, now=_fit(query, max(10, self._console.width - 45)))

    def asked(self, asked: Asked, tally: Tally) -> None:
        assert self._live is not None  # noqa: S101 - begin() was called
        self._progress.update(self._task, completed=len(tally.asked))
        self._console.print(self._line(asked))
        self._live.update(self._footer(tally))

    def end(self, tally: Tally) -> None:
        assert self._live is not None  # noqa: S101 - begin() was called
        self._live.stop()
        self._live = None
        self._console.print(self._summary(tally))

    def say(self, text: str) -> None:
        self._console.print(Text(text))

    def kept(self, kept: Sequence[Kept], threshold: float) -> None:
        columns = [Column("answer"), Column("similar", right=True), Column("question", ratio=1)]
        wide = self._console.width >= _WIDE
        if wide:
            columns.append(Column("looks like", ratio=1, style="dim"))
        rows: list[list[object]] = []
        for one in kept:
            answer = Text(_verdict(one), style="bold red" if one.answered else "green")
            nearest = [one.nearest or "-"] if wide else []
            rows.append([answer, _similarity(one), one.friend.query, *nearest, _apart_by(one, threshold)])
        self._console.print(drawn([*columns, Column("kept apart by")], rows))

    def _line(self, asked: Asked) -> Table:
        line = Table.grid(padding=(0, 2), expand=True)
        line.add_column(width=8)
        line.add_column(width=7, justify="right")
        line.add_column(width=5, justify="right")
        line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        cells: list[Text] = [
            Text(_WORDS[asked.outcome], style=_STYLES[asked.outcome]),
            Text(show.span(asked.seconds)),
            Text("" if asked.similarity is None else show.similarity(asked.similarity)),
            Text(asked.query.strip(), style="" if asked.right else "bold red"),
        ]
        if asked.outcome == "semantic":  # an equal query needs no second column
            line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
            cells.append(Text(f"~ {asked.matched}", style="dim" if asked.right else "bold red"))
        line.add_row(*cells)
        return line

    def _footer(self, tally: Tally) -> Group:
        return Group(Text(""), self._progress, self._summary(tally))

    def _summary(self, tally: Tally) -> Group:
        saved = Text.assemble("saved ", (show.span(tally.saved), "bold"), " of the model's time")
        columns, rows = _totals(tally)
        return Group(drawn(columns, rows), saved)


def _totals(tally: Tally) -> tuple[list[Column], list[list[object]]]:
    columns = [Column("answered by"), *(Column(title, right=True) for title in ("questions", "share", "p50", "p95"))]
    rows: list[list[object]] = []
    for outcome in OUTCOMES:
        seconds = tally.seconds_of(outcome)
        share = len(seconds) / len(tally.asked) if tally.asked else 0.0
        quantiles = (percentile(seconds, 50), percentile(seconds, 95))
        shown = ["-" if value is None else show.span(value) for value in quantiles]
        rows.append([Text(_WORDS[outcome], style=_STYLES[outcome]), len(seconds), f"{share:.0%}", *shown])
    return columns, rows


def _verdict(kept: Kept) -> str:
    return "HIT" if kept.answered else "miss"


def _similarity(kept: Kept) -> str:
    return "-" if kept.similarity is None else show.similarity(kept.similarity)


def _apart_by(kept: Kept, threshold: float) -> str:
    """Where it was asked, that it is not similar enough, or that a guard refused it."""
    friend = kept.friend
    if friend.namespace is not None:
        return f"namespace {friend.namespace}"
    if friend.scope:
        return "scope " + ", ".join(f"{name}={value}" for name, value in friend.scope.items())
    if kept.similarity is None or kept.similarity < threshold:
        return "threshold"
    return "nothing" if kept.answered else "a guard"


def _fit(text: str, width: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 3] + "..."
