"""What `mneme check` does besides looking: repairing a file in place, or salvaging it into a new one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from mneme import RepairReport, Salvaged
from mneme.cli import _show as show
from mneme.cli._failure import asking, no
from mneme.cli._open import missing, opened
from mneme.cli._out import Out
from mneme.stores import salvage


def repair(out: Out, file: Path, *, apply: bool) -> None:
    """Repair *file*, or say what that would do; exits with 1 unless it is sound then."""
    with opened(file) as cache:
        report = cache.repair(apply=apply)
    out.document({**asdict(report), "sound": report.sound})
    for one in report.repairs:
        lost = f" ({show.counted(one.lost, 'entry')} moved out)" if one.lost else ""
        out.say(f"{one.problem} {'' if one.possible else 'cannot be repaired: '}{one.remedy}{lost}", style="yellow")
    _conclude(out, report)
    if not report.sound:
        raise no()


def _conclude(out: Out, report: RepairReport) -> None:
    if report.sound:
        done = f"repaired {show.counted(len(report.repairs), 'problem')}; sound now" if report.repairs else "sound"
        out.say(done, style="green")
    elif report.applied:
        for problem in report.problems:
            out.say(problem, style="red")
        out.say(f"{show.counted(len(report.problems), 'problem')} left", style="bold red")
    else:
        possible = sum(one.possible for one in report.repairs)
        out.say(f"{show.counted(possible, 'problem')} would be repaired; pass --apply to do it", style="bold")


def rescue(out: Out, file: Path, target: Path) -> None:
    """Copy what can be read of *file* into *target*; exits with 1 if entries were lost."""
    if not file.exists():
        raise missing(file)
    with asking():
        done = salvage(file, target)
    out.document(asdict(done))
    for problem in done.problems:
        out.say(problem, style="yellow")
    out.say(_summary(done, target), style="bold red" if done.lost else "green")
    if done.lost:
        raise no()


def _summary(done: Salvaged, target: Path) -> str:
    without = done.entries - done.vectors
    mute = f", {without:,} of them without a vector" if without else ""
    return f"{target} holds {show.counted(done.entries, 'entry')}{mute}; {done.lost:,} could not be read"
