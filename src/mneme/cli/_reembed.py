"""`mneme reembed`: every entry gets a vector of another embedder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from mneme import ReembedProgress
from mneme.cli import _options as options, _show as show
from mneme.cli._command import Command
from mneme.cli._failure import asking
from mneme.cli._open import find_embedder, missing
from mneme.cli._out import Out
from mneme.cli._progress import reporting
from mneme.tools.migrate import reembed as reembed_all


@click.command(
    cls=Command,
    short_help="Give every entry a vector of another embedder.",
    epilog="""\b
Examples:
  mneme reembed answers.db --embedder my_project:embedder
  mneme reembed answers.db new.db
  mneme reembed answers.db new.db --embedder my_project:embedder

Interrupted or killed, it goes on when called again in the same way.""",
)
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path), required=False)
@click.option(
    "--embedder",
    default="local",
    show_default=True,
    metavar="NAME",
    help="The new one: local, or MODULE:ATTRIBUTE.",
)
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True, help="Texts embedded at a time.")
@click.option("--retries", type=click.IntRange(0), default=3, show_default=True, help="Of a batch that fails.")
@options.json_option
def reembed(*, source: Path, target: Path | None, embedder: str, batch_size: int, retries: int, as_json: bool) -> None:
    """Give every entry of SOURCE a vector of another embedder: in place, or in a new file TARGET.

    In place the old vectors serve until every entry has a new one; then the file changes over at once. With a TARGET
    the SOURCE is only read.
    """
    out = Out(as_json=as_json)
    if not source.exists():
        raise missing(source)
    new = find_embedder(embedder)
    if new is None:
        raise click.UsageError("--embedder none makes no vectors; name the new embedder")
    into = source if target is None else target
    with reporting("embedding") as report_to, asking():

        def progress(now: ReembedProgress) -> None:
            report_to(now.done, now.total)

        report = reembed_all(source, into, new, batch_size=batch_size, retries=retries, progress=progress)
    out.document({"target": str(into), "embedder_fingerprint": new.fingerprint, **asdict(report)})
    out.say(
        f"{into} holds {show.counted(report.entries, 'entry')}; made {show.counted(report.embedded, 'vector')} in "
        f"{show.span(report.seconds)}"
    )
    if report.too_long:
        out.say(f"{show.counted(report.too_long, 'query')} too long for the embedder: found by equal queries alone")
    if report.skipped:
        out.say(f"left behind {show.counted(report.skipped, 'entry')} that had expired")
