"""Options and arguments that several commands share, and what their text means."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

import click

from mneme.cli._complete import as_file, embedders, namespaces


def parsed(text: str) -> Any:
    """The value of a JSON text, without the NaN and infinities that Python would let in."""
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not part of JSON")


def as_json_value(_: click.Context, param: click.Parameter, value: str | None) -> Any:
    """Any JSON value."""
    if value is None:
        return None
    try:
        return parsed(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no JSON: {error}", param=param) from error


def as_scope(context: click.Context, param: click.Parameter, value: str | None) -> Any:
    """A mapping as JSON, or a text."""
    if value is None or not value.lstrip().startswith("{"):
        return value
    return as_json_value(context, param, value)


def as_duration(_: click.Context, param: click.Parameter, value: str | None) -> float | str | None:
    """Seconds, or a number with units, which the library reads."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return value
    if math.isnan(seconds) or seconds <= 0:
        raise click.BadParameter(f"{value!r} is no duration; write seconds, or '90s', '1h30m', '2d'", param=param)
    return seconds


file_argument = click.argument("file", type=click.Path(path_type=Path))
cache_argument = click.argument("cache", metavar="CACHE", shell_complete=as_file)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
namespace_option = click.option(
    "--namespace", default="default", show_default=True, shell_complete=namespaces, help="The tenant."
)
only_namespace_option = click.option("--namespace", shell_complete=namespaces, help="Only this one's entries.")
scope_option = click.option(
    "--scope",
    metavar="JSON|TEXT",
    callback=as_scope,
    help='What else must be equal: text, or JSON like {"model": "m"}.',
)
embedder_option = click.option(
    "--embedder",
    default="local",
    show_default=True,
    metavar="NAME",
    shell_complete=embedders,
    help="What makes vectors: local, MODULE:ATTRIBUTE, or none for the exact layer alone.",
)
prefix_option = click.option(
    "--prefix",
    default="mneme",
    show_default=True,
    help="What the keys of the cache on a server begin with; for Postgres its schema.",
)
