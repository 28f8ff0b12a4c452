"""`mneme calibrate`: the threshold that best separates labelled pairs."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from mneme import CalibrationError
from mneme.calibration.files import PAIR_FIELDS, read_pairs
from mneme.calibration.pairs import (
    CalibrationResult,
    TargetMetric,
    best_threshold,
    checked_grid,
    score_pairs,
)
from mneme.calibration.plot import draw
from mneme.cli import _options as options
from mneme.cli._command import Command
from mneme.cli._failure import Failure, asking, no
from mneme.cli._open import find_embedder
from mneme.cli._out import Column, Out
from mneme.cli._progress import reporting
from mneme.ports import VectorDType

Function = TypeVar("Function", bound="Callable[..., Any]")

_FEW = 20
"""Pairs of a kind below which the figures are not to be trusted: one more or less moves them by a twentieth."""
_SHOWN = 21
"""Points of the curve that people are shown."""


def as_grid(_: click.Context, param: click.Parameter, value: str | None, *, most: float) -> tuple[float, ...] | None:
    """Thresholds up to *most*, with commas between them, or FROM:TO:STEP."""
    if value is None:
        return None
    try:
        if ":" not in value:
            return checked_grid([float(part) for part in value.split(",")], most)
        first, last, step = (float(part) for part in value.split(":"))
        if not step > 0:
            raise ValueError("the step must be more than 0")  # noqa: TRY301 - one message for every mistake
        steps = int((last - first) / step + 1.000001)
        return checked_grid([first + step * number for number in range(steps)], most)
    except (OverflowError, TypeError, ValueError) as error:
        raise click.BadParameter(f"{value!r}: {error}; write 0.7,0.8,0.9 or 0.7:0.95:0.01", param=param) from error


def as_fields(_: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    """Three names."""
    names = tuple(name.strip() for name in value.split(","))
    if len(names) != len(PAIR_FIELDS) or not all(names):
        raise click.BadParameter(f"{value!r} are not three names with commas between them", param=param)
    return names


def grid_option(most: float = 1) -> Callable[[Function], Function]:
    """The option `--grid`, of thresholds up to *most*."""
    return click.option(
        "--grid",
        metavar="GRID",
        callback=partial(as_grid, most=most),
        help="Thresholds to try: 0.7,0.8,0.9 or 0.7:0.95:0.01.",
    )


@click.command(
    cls=Command,
    usual="a threshold was found",
    no="none does what was asked",
    short_help="Find the threshold that best separates labelled pairs.",
    epilog="""\b
FILE has a pair a line, as JSON or (*.csv) as CSV with a line of titles:
  {"a": "When are you open?", "b": "What are your hours?", "same": true}

\b
Examples:
  mneme calibrate pairs.jsonl
  mneme calibrate pairs.csv --min-precision 0.99 --target-metric recall
  mneme calibrate pairs.jsonl.gz --plot pairs.svg --csv > curve.csv

Pairs say how well the embedder separates meanings, not how often a cache will be wrong.""",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--target-metric", type=click.Choice(get_args(TargetMetric)), default="f1", show_default=True)
@click.option("--min-precision", type=float, help="Only thresholds with at least this precision.")
@click.option("--min-recall", type=float, help="Only thresholds with at least this recall.")
@grid_option()
@click.option(
    "--vector-dtype",
    type=click.Choice(get_args(VectorDType)),
    default="float32",
    show_default=True,
    help="In what the vectors are held that are compared.",
)
@click.option(
    "--fields",
    default=",".join(PAIR_FIELDS),
    show_default=True,
    metavar="A,B,SAME",
    callback=as_fields,
    help="What the file calls the two texts and the label.",
)
@click.option("--plot", type=click.Path(path_type=Path), metavar="OUT.png|svg", help="Draw distributions and curve.")
@click.option("--csv", "as_csv", is_flag=True, help="The curve as CSV on stdout.")
@options.embedder_option
@options.json_option
def calibrate(
    *,
    file: Path,
    target_metric: TargetMetric,
    min_precision: float | None,
    min_recall: float | None,
    grid: tuple[float, ...] | None,
    vector_dtype: VectorDType,
    fields: tuple[str, ...],
    plot: Path | None,
    as_csv: bool,
    embedder: str,
    as_json: bool,
) -> None:
    """Find the threshold that best separates the labelled pairs of FILE."""
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    for name, least in (("--min-precision", min_precision), ("--min-recall", min_recall)):
        if least is not None and not 0 <= least <= 1:
            raise click.UsageError(f"{name} must be from 0 to 1, not {least}")
    chosen = find_embedder(embedder)
    if chosen is None:
        raise click.UsageError("--embedder none has no vectors to compare")
    paraphrases, distractors = read_pairs(file, fields)
    with asking(), reporting("embedding") as report:
        scored = score_pairs(paraphrases, distractors, chosen, vector_dtype, report)
    out = Out(as_json=as_json)
    try:
        result = best_threshold(scored, checked_grid(grid), target_metric, min_precision, min_recall)
    except CalibrationError as error:
        out.document({"result": None, "reason": str(error)})
        if not as_json:
            click.echo(f"mneme: {error}", err=True)
        raise no() from error
    if plot is not None:
        try:
            draw(result, scored, plot)
        except ValueError as error:
            raise Failure(f"cannot draw {str(plot)!r}: {error}", "ValueError") from error
    _show(out, result, as_csv=as_csv)


def _show(out: Out, result: CalibrationResult, *, as_csv: bool) -> None:
    if as_csv:
        sys.stdout.write(_as_csv(result))
        return
    out.document({"result": result.to_json()})
    facts: dict[str, Any] = {
        "threshold": f"{result.threshold:g}",
        "precision": f"{result.precision:.4f}",
        "recall": f"{result.recall:.4f}",
        "f1": f"{result.f1:.4f}",
        "pairs": f"{result.paraphrases:,} that mean the same, {result.distractors:,} that do not",
        "embedder": result.embedder_fingerprint,
    }
    out.facts(facts)
    near = sorted(result.pr_curve, key=lambda point: abs(point.threshold - result.threshold))[:_SHOWN]
    out.table(
        [Column("threshold", right=True), Column("precision", right=True), Column("recall", right=True), Column("f1")],
        [
            (f"{point.threshold:g}", f"{point.precision:.4f}", f"{point.recall:.4f}", f"{point.f1:.4f}")
            for point in sorted(near, key=lambda point: point.threshold)
        ],
    )
    for count, kind in ((result.paraphrases, "mean the same"), (result.distractors, "do not mean the same")):
        if count < _FEW and not out.as_json:
            click.echo(f"mneme: few pairs {kind} ({count}): with less than {_FEW} the figures say little", err=True)
    out.hint("pairs cannot say how often a cache is wrong: `mneme certify` can, from labelled traffic")


def _as_csv(result: CalibrationResult) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["threshold", "precision", "recall", "f1"])
    writer.writerows([point.threshold, point.precision, point.recall, point.f1] for point in result.pr_curve)
    return text.getvalue()
