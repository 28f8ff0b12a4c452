"""The command `mneme demo`: sets the parts up, plays them in order, and sums up."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import click

from mneme.cli import _options as options, _show as show
from mneme.cli._command import Command
from mneme.cli._failure import Failure, asking, no
from mneme.cli._out import Out
from mneme.cli.demo import _models as models, _questions as questions
from mneme.cli.demo._play import Play
from mneme.cli.demo._screens import screen_for
from mneme.cli.demo._verdict import Played, summarise

_SECONDS, _QUICK_SECONDS = 60.0, 10.0
"""What the model may take for all its answers together."""


@click.command(
    cls=Command,
    usual="all was answered rightly",
    no="something was answered wrongly",
    short_help="See it work: real questions, a real model, a real file.",
    epilog="""\b
Examples:
  mneme demo
  mneme demo --quick
  mneme demo --file demo.db
  mneme demo --quick --threshold 0.35    too low: a false friend is answered""",
)
@click.option("--file", type=click.Path(path_type=Path), help="Keep the cache here; a new file.")
@click.option("--quick", is_flag=True, help="Fewer questions: some ten seconds instead of a minute.")
@click.option(
    "--model",
    type=click.Choice(["auto", "smollm", "slow"]),
    default="auto",
    show_default=True,
    help="What answers on a miss: a small language model, or a function that waits.",
)
@click.option(
    "--slow-seconds",
    type=click.FloatRange(0, 10),
    default=0.5,
    show_default=True,
    help="How long that function waits.",
)
@click.option("--threshold", type=float, default=0.85, show_default=True, help="The least similarity of a hit.")
@options.json_option
def demo(*, file: Path | None, quick: bool, model: str, slow_seconds: float, threshold: float, as_json: bool) -> None:
    """See it work: real questions, a real model, a real file.

    Asks some 140 questions, many of them alike; asks them again after reopening the file; lets eight callers ask at
    once; and asks false friends, which must not be answered.
    """
    if file is not None and file.exists():
        raise Failure(f"{str(file)!r} exists already; the demo begins with an empty cache, so choose another path")
    out = Out(as_json=as_json)
    place = None if file is not None else Path(tempfile.mkdtemp(prefix="mneme-demo-"))
    try:
        played = _play(out, file or Path(str(place)) / "answers.db", model, slow_seconds, threshold, quick=quick)
    except BaseException:  # interrupted as well: a file that nobody was told of helps nobody
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)
        raise
    summarise(out, played)
    if played.failures():
        raise no()


def _play(out: Out, file: Path, wanted: str, slow_seconds: float, threshold: float, *, quick: bool) -> Played:
    from mneme.embedders import LocalEmbedder  # noqa: PLC0415 - loads a model's runtime

    begun = time.perf_counter()
    asked, friends = questions.load(quick=quick)
    embedder = LocalEmbedder()
    # About a third of the questions are new.
    budget = (_QUICK_SECONDS if quick else _SECONDS) / (len(asked) / 3)
    model = models.choose(wanted, seconds_each=budget, slow_seconds=slow_seconds)
    screen = screen_for(out)
    meanings = len({one.meaning for one in asked})
    out.facts(
        {
            "questions": f"{len(asked)} wordings of {meanings}; and {len(friends)} false friends",
            "embedder": "all-MiniLM-L6-v2, offline, 384 dimensions",
            "model": model.description,
            "file": file,
            "threshold": f"{threshold:g}, scope: language and model",
        }
    )
    play = Play(file, embedder, model, asked, threshold=threshold, screen=screen)
    with asking(), play.open() as cache:
        first = play.ask_all(cache, "1. Ask: on a miss the model answers, and the answer is stored")
    calls = play.model_calls
    reopened = time.perf_counter()
    with play.open() as cache:
        open_seconds = time.perf_counter() - reopened
        title = f"2. The file is closed, and opened again in {show.span(open_seconds)}: the same questions"
        again = play.ask_all(cache, title)
        calls_again = play.model_calls - calls
        out.say("")
        out.say("3. Many callers, one question", style="bold")
        calls_together, answers = play.ask_together(cache)
        out.say("")
        out.say("4. False friends: they look alike and must not be answered", style="bold")
        kept = play.ask_false_friends(cache, friends)
        stats = cache.stats()
    return Played(
        file=file,
        model=model.name,
        embedder=embedder.fingerprint,
        threshold=threshold,
        first=first,
        again=again,
        open_seconds=open_seconds,
        calls_again=calls_again,
        calls_together=calls_together,
        answers_together=answers,
        kept=kept,
        stats=stats,
        seconds=time.perf_counter() - begun,
    )
