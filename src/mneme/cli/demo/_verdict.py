"""Whether the demo showed what it says it shows, and the summary at the end."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mneme import Stats
from mneme.cli import _show as show
from mneme.cli._out import Column, Out
from mneme.cli.demo._play import Kept
from mneme.cli.demo._tally import Tally, percentile


@dataclass(frozen=True, slots=True)
class Played:
    """Everything that was measured."""

    file: Path
    model: str
    embedder: str
    threshold: float
    first: Tally
    again: Tally
    open_seconds: float
    calls_again: int
    """How often the model ran in the second pass: never, if all is well."""
    calls_together: int
    answers_together: int
    kept: Sequence[Kept]
    stats: Stats
    seconds: float

    def failures(self) -> list[str]:
        """What should not have happened, a sentence each."""
        return list(self._failures())

    def _failures(self) -> Iterator[str]:
        for asked in (*self.first.wrong, *self.again.wrong):
            yield f"{asked.query!r} was answered by {asked.matched!r}, which means something else"
        if self.calls_again:
            yield f"the model ran {self.calls_again} times in the second pass, whose answers were all stored"
        if (self.calls_together, self.answers_together) != (1, 8):
            yield f"8 callers at once: {self.calls_together} model calls and {self.answers_together} answers"
        for kept in self.kept:
            if kept.answered:
                yield f"the false friend {kept.friend.query!r} was answered"

    def document(self) -> dict[str, Any]:
        failures = self.failures()
        return {
            "passed": not failures,
            "failures": failures,
            "file": str(self.file),
            "model": self.model,
            "embedder_fingerprint": self.embedder,
            "similarity_threshold": self.threshold,
            "seconds": self.seconds,
            "first_run": self.first.document(),
            "second_run": {"open_seconds": self.open_seconds, "model_calls": self.calls_again} | self.again.document(),
            "eight_callers": {"model_calls": self.calls_together, "answers": self.answers_together},
            "false_friends": [
                asdict(kept.friend) | {"similarity": kept.similarity, "nearest": kept.nearest, "hit": kept.answered}
                for kept in self.kept
            ],
            "questions": [asdict(asked) for asked in self.first.asked],
            "entries": self.stats.entries,
        }


def summarise(out: Out, played: Played) -> None:
    """Print the table of both passes, the verdict, and what to try next."""
    out.document(played.document())
    out.say("")
    out.say("Summary", style="bold")
    out.table(
        [
            Column("run"),
            Column("questions", right=True),
            Column("exact", right=True, style="green"),
            Column("semantic", right=True, style="cyan"),
            Column("model", right=True, style="yellow"),
            Column("time", right=True),
            Column("saved", right=True, style="bold"),
        ],
        [_row("first", played.first), _row("again", played.again)],
    )
    model, exact, semantic = (_median(played, outcome) for outcome in ("miss", "exact", "semantic"))
    if model and exact and semantic:
        out.say(
            f"A median answer took {show.span(model)} from the model, {show.span(semantic)} from a similar question, "
            f"{show.span(exact)} from an equal one."
        )
    apart = [kept for kept in played.kept if not kept.answered]
    alike = sum(kept.similarity is not None and kept.similarity >= played.threshold for kept in apart)
    out.say(
        f"{len(apart)} of {len(played.kept)} false friends were kept apart; {alike} of them are so similar that only "
        f"namespace, scope or a guard did it."
    )
    failures = played.failures()
    for failure in failures:
        out.say(f"FAILED: {failure}", style="bold red")
    if not failures:
        out.say(f"PASSED in {show.span(played.seconds)}: no wrong answer.", style="bold green")
    out.say("")
    out.say(f"The cache stays in {played.file}, {show.size(played.file.stat().st_size)}. Try:")
    file = shlex.quote(str(played.file))
    for words in (f"stats {file}", f"inspect {file} --contains capital", f"inspect {file} --id 1"):
        out.command(f"  {show.program()} {words}")


def _row(name: str, tally: Tally) -> list[object]:
    counts = (len(tally.asked), tally.count("exact"), tally.count("semantic"), tally.count("miss"))
    return [name, *counts, show.span(tally.seconds), show.span(tally.saved)]


def _median(played: Played, outcome: Any) -> float | None:
    return percentile([*played.first.seconds_of(outcome), *played.again.seconds_of(outcome)], 50)
