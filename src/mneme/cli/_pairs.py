"""`mneme pairs`: which pairs of one's own questions to label."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from mneme.calibration.files import PAIR_FIELDS, TEXT_FIELDS, read_texts
from mneme.calibration.proposals import Proposal, pairs_to_label
from mneme.cli import _options as options
from mneme.cli._command import Command
from mneme.cli._failure import Failure, asking, no
from mneme.cli._open import find_embedder
from mneme.cli._out import Out
from mneme.cli._progress import reporting


@click.command(
    cls=Command,
    usual="PAIRS was written",
    no="no two questions are near each other",
    short_help="Choose pairs of your own questions to label.",
    epilog="""\b
QUESTIONS has a question a line: *.txt, *.csv with a line of titles, or JSON
objects. Repeated ones count once. PAIRS is CSV with the columns a, b,
similarity, same. Fill in "same" with yes or no, in an editor or a
spreadsheet; leave blank what you cannot tell.

\b
Examples:
  mneme pairs questions.csv pairs.csv
  mneme pairs log.jsonl pairs.csv --field prompt --count 100
  mneme calibrate pairs.csv                      when it is filled in""",
)
@click.argument("questions", type=click.Path(path_type=Path))
@click.argument("pairs", type=click.Path(path_type=Path))
@click.option(
    "--field",
    metavar="NAME",
    help=f"What the file calls a question; by default the first of {', '.join(TEXT_FIELDS)} that there is.",
)
@click.option("--count", type=click.IntRange(min=1), default=60, show_default=True, help="Pairs at the most.")
@click.option(
    "--least", type=click.FloatRange(0, 1), default=0.6, show_default=True, help="The least similarity of a pair."
)
@options.embedder_option
@options.json_option
def pairs(
    *, questions: Path, pairs: Path, field: str | None, count: int, least: float, embedder: str, as_json: bool
) -> None:
    """Choose pairs of the questions in QUESTIONS, and write them to PAIRS, to be labelled by hand.

    Each question is compared with those before it, as a cache would; the pairs lie evenly between alike and barely
    related. PAIRS must be new, so that no labels are lost.
    """
    out = Out(as_json=as_json)
    if pairs.exists():
        raise Failure(
            f"{str(pairs)!r} exists, and may hold labels; choose another name, or delete it", "FileExistsError"
        )
    chosen = find_embedder(embedder)
    if chosen is None:
        raise click.UsageError("--embedder none has no vectors to compare")
    texts = read_texts(questions, field)
    with asking(), reporting("embedding") as report:
        proposed = pairs_to_label(texts, chosen, count=count, least=least, progress=report)
    document = {"questions": len(texts), "pairs": len(proposed), "file": str(pairs) if proposed else None}
    out.document(document)
    if not proposed:
        if not as_json:
            click.echo(f"mneme: no two of the {len(texts):,} questions have a similarity of {least:g}", err=True)
        raise no()
    _write(pairs, proposed)
    out.facts({"questions": f"{len(texts):,}", "pairs": f"{len(proposed):,}", "file": str(pairs)})
    out.say('Fill in the column "same" with yes (the same answer) or no; blank ones are left out. Then:')
    out.command(f"  mneme calibrate {pairs}")


def _write(path: Path, proposed: list[Proposal]) -> None:
    first, second, label = PAIR_FIELDS
    try:
        path.touch(exist_ok=False)
        with _whole(path), path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([first, second, "similarity", label])
            writer.writerows([one.a, one.b, f"{one.similarity:.3f}", ""] for one in proposed)
    except OSError as error:
        raise Failure(f"cannot write {str(path)!r}: {error}", type(error).__name__) from error


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Leave no part of the file behind: the next call would take it for one with labels."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise
