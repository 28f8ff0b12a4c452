"""`mneme put`: one answer, or a file of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from mneme import SemanticCache
from mneme.cli import _options as options, _show as show
from mneme.cli._batch import put_lines
from mneme.cli._command import Command
from mneme.cli._failure import asking, no
from mneme.cli._open import find_embedder, opened
from mneme.cli._out import Out


@click.command(
    cls=Command,
    no="an answer was refused: blank, or an error message",
    short_help="Store RESPONSE as the answer to QUERY in FILE.",
    epilog="""\b
Examples:
  mneme put answers.db "What is the capital of France?" Paris
  mneme put answers.db "Summarise the report" - < summary.txt
  mneme put answers.db "Where is it?" "On its way" --ttl 1h30m --tag orders
  mneme put answers.db "Opening hours" '{"from": 9, "to": 17}' --parse
  mneme put answers.db --from answers.jsonl

\b
A line of the file: {"query": "...", "response": "..."}
and if need be namespace, scope, metadata, ttl, tags, cost.""",
)
@options.file_argument
@click.argument("query", required=False)
@click.argument("response", required=False)
@click.option(
    "--from", "source", type=click.Path(path_type=Path, allow_dash=True), help="Put every line of this JSONL file."
)
@click.option("--parse", is_flag=True, help="RESPONSE is JSON, and is stored as that value.")
@options.namespace_option
@options.scope_option
@click.option("--metadata", metavar="JSON", callback=options.as_json_value, help="Comes back with every hit.")
@click.option("--ttl", metavar="DURATION", callback=options.as_duration, help="How long it lives: 3600, 1h30m, 2d.")
@click.option("--tag", "tags", multiple=True, help="A name to clear it by; may be given several times.")
@click.option("--cost", type=float, default=0.0, help="What it cost, in any unit; hits add it up.")
@options.embedder_option
@options.json_option
def put(
    *,
    file: Path,
    query: str | None,
    response: str | None,
    source: Path | None,
    parse: bool,
    embedder: str,
    as_json: bool,
    **shared: Any,
) -> None:
    """Store RESPONSE (- for stdin) as the answer to QUERY in FILE, which is made if need be.

    An equal query's answer is replaced.
    """
    if (source is None) == (query is None or response is None) or (source is not None and query is not None):
        raise click.UsageError("give QUERY and RESPONSE, or --from FILE.jsonl")
    out = Out(as_json=as_json)
    if source is not None and parse:
        raise click.UsageError("--parse is for RESPONSE; a JSONL file holds JSON already")
    value = None if response is None else _value(response, parse=parse)
    # Before the file is made: an embedder that cannot be had must not leave an empty cache behind.
    chosen = find_embedder(embedder)
    opening = opened(file, chosen, make=True)
    if source is not None:
        put_lines(out, source, opening, shared)
        return
    with opening as cache:
        _put_one(out, cache, str(query), value, shared)


def _value(response: str, *, parse: bool) -> Any:
    if response == "-":
        response = sys.stdin.read().removesuffix("\n")  # the one that `echo` and editors add
    if not parse:
        return response
    try:
        return options.parsed(response)
    except ValueError as error:
        raise click.UsageError(f"RESPONSE is no JSON ({error}); leave --parse away to store it as text") from error


def _put_one(out: Out, cache: SemanticCache, query: str, value: Any, shared: dict[str, Any]) -> None:
    with asking():
        stored = cache.put(query, value, **shared)
        entries = cache.stats().entries
    out.document({"stored": int(stored), "refused": int(not stored), "entries": entries})
    if not stored:
        out.say("refused: the response is blank, or an error message", style="yellow")
        raise no()
    out.say(f"stored; the file holds {show.counted(entries, 'entry')} now")
