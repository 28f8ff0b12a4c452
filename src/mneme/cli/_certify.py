"""`mneme certify`: a certificate from labelled traffic, and keeping it with a cache."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from mneme import CalibrationError, Certificate, CertificateStatus, Shortage
from mneme.calibration.certify import certify as run
from mneme.calibration.files import rows, text_of, value_of
from mneme.cli import _options as options
from mneme.cli._calibrate import grid_option
from mneme.cli._command import Command
from mneme.cli._failure import Failure, asking, no
from mneme.cli._open import find_embedder, opened
from mneme.cli._out import Column, Out
from mneme.cli._progress import reporting

_DAY = 86_400


@click.command(
    cls=Command,
    usual="certified",
    no="not certified: it says what is missing",
    short_help="Certify from labelled traffic how often a hit is wrong.",
    epilog="""\b
FILE has a query and its right answer a line, in the order in which they were
asked, as JSON or (*.csv) as CSV with a line of titles; any JSON value is an
answer:
  {"text": "When are you open?", "answer": "opening hours"}

\b
Examples:
  mneme certify traffic.jsonl --max-false-hit-rate 0.02
  mneme certify traffic.jsonl --database answers.db --valid-days 30
  mneme certify traffic.jsonl --output certificate.json

Choose everything before you look at the labels: trying until one is found breaks the promise.""",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--max-false-hit-rate", type=float, default=0.02, show_default=True, help="The promise, per hit.")
@click.option("--confidence", type=float, default=0.95, show_default=True, help="How sure it is.")
@click.option("--namespace", help="The namespace that it is for; for every one without its own if not given.")
@grid_option(most=2)  # with value contrast; `certify` checks the true limit
@click.option("--warmup", type=int, default=0, show_default=True, help="Queries that fill the cache uncounted.")
@click.option("--value-contrast", is_flag=True, help="For a cache with `value_contrast=True`.")
@click.option("--no-guards", is_flag=True, help="For a cache with `guards=()`.")
@click.option("--valid-days", type=float, metavar="DAYS", help="How long it holds; for ever if not given.")
@click.option(
    "--database", type=click.Path(path_type=Path), metavar="FILE", help="Keep it with the cache in this file."
)
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write it into this file as JSON.")
@options.embedder_option
@options.json_option
def certify(
    *,
    file: Path,
    max_false_hit_rate: float,
    confidence: float,
    namespace: str | None,
    grid: tuple[float, ...] | None,
    warmup: int,
    value_contrast: bool,
    no_guards: bool,
    valid_days: float | None,
    database: Path | None,
    output: Path | None,
    embedder: str,
    as_json: bool,
) -> None:
    """Certify from the labelled traffic in FILE how often a hit is wrong."""
    chosen = find_embedder(embedder)
    if chosen is None:
        raise click.UsageError("--embedder none has no semantic hits to certify")
    traffic = [(text_of(row, "text", where), value_of(row, "answer", where)) for where, row in rows(file)]
    if not traffic:
        raise CalibrationError(f"{file} has no labelled queries")
    decisions: dict[str, Any] = {"value_contrast": True} if value_contrast else {}
    if no_guards:
        decisions["guards"] = ()
    # What is wrong with the places is said before the replay: its promise is for the first outcome, not for a second.
    if output is not None and not output.parent.is_dir():
        raise Failure(f"there is no directory {str(output.parent)!r}; check the path", "FileNotFoundError")
    if database is not None:
        with opened(database, chosen, **decisions):
            pass
    with asking(), reporting("replaying") as report:
        outcome = run(
            traffic,
            chosen,
            max_false_hit_rate=max_false_hit_rate,
            confidence=confidence,
            namespace=namespace,
            grid=grid,
            warmup=warmup,
            valid_for=None if valid_days is None else timedelta(days=valid_days),
            progress=report,
            **decisions,
        )
    out = Out(as_json=as_json)
    if isinstance(outcome, Shortage):
        _show_shortage(out, outcome)
        raise no()
    if output is not None:
        output.write_text(outcome.to_json() + "\n", encoding="utf-8")
    status = None
    if database is not None:
        with opened(database, chosen, **decisions) as cache, asking():
            status = cache.use_certificate(outcome)
    _show(out, outcome, status)


def _show(out: Out, certificate: Certificate, status: CertificateStatus | None) -> None:
    kept = None if status is None else {"usable": status.usable, "reason": status.reason, "detail": status.detail}
    out.document({"certificate": json.loads(certificate.to_json()), "shortage": None, "kept": kept})
    out.facts(
        {
            "threshold": f"{certificate.threshold:g}",
            "promise": f"at most {certificate.max_false_hit_rate:.2%} of semantic hits wrong, with a confidence of "
            f"{certificate.confidence:g}",
            "seen": f"{certificate.false_hits} of {certificate.hits:,} hits wrong, in {certificate.requests:,} "
            f"distinct queries",
            "entries": f"{certificate.entries:,}; it holds from {certificate.min_entries:,} to "
            f"{certificate.max_entries:,}",
            "namespace": "all" if certificate.namespace is None else certificate.namespace,
            "score": certificate.decisions.score,
            "guards": ", ".join(certificate.decisions.guards) or "none",
        }
    )
    if certificate.valid_until is not None:
        out.facts({"valid for": f"{(certificate.valid_until - certificate.created_at) / _DAY:g} days"})
    if status is not None:
        out.say("kept; a cache opened with similarity_threshold='certified' is served by it")
        if not status.usable:
            out.say(f"it does not hold yet: {status.detail}", style="yellow")


def _show_shortage(out: Out, shortage: Shortage) -> None:
    out.document({"certificate": None, "shortage": dataclasses.asdict(shortage), "kept": None})
    out.say(f"nothing can be certified: {shortage.reason}", style="yellow")
    out.table(
        [Column("threshold", right=True), Column("hits", right=True), Column("wrong", right=True)],
        [(f"{one.threshold:g}", one.hits, one.false_hits) for one in shortage.tried if one.hits],
    )
