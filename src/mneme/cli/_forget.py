"""`mneme forget`: removing entries and every trace of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from mneme.cli import _options as options, _show as show
from mneme.cli._agree import agreed
from mneme.cli._command import Command
from mneme.cli._failure import asking, no
from mneme.cli._open import opened
from mneme.cli._out import Out


def as_where(_: click.Context, param: click.Parameter, values: Sequence[str]) -> dict[str, Any] | None:
    """FIELD=VALUE, each value as JSON or as the text it is; what can be read both ways means either."""
    where: dict[str, Any] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{text!r} is not FIELD=VALUE", param=param)
        if name in where:
            raise click.BadParameter(f"the field {name!r} is there twice", param=param)
        try:
            read = options.parsed(value)
        except ValueError:
            where[name] = value
        else:
            where[name] = (read,) if isinstance(read, (str, list, dict)) else (read, value)
    return where or None


@click.command(
    cls=Command,
    no="you said no, or traces remain",
    short_help="Remove entries and every trace of them from FILE.",
    epilog="""\b
Examples:
  mneme forget answers.db --where user_id=42
  mneme forget answers.db --tag user-17 --yes
  mneme forget answers.db --namespace shop --scope '{"user": 1}' --yes""",
)
@options.file_argument
@options.only_namespace_option
@click.option("--tag", "tags", multiple=True, help="Only entries that carry this tag, or any of several.")
@click.option(
    "--scope", metavar="JSON|TEXT", callback=options.as_scope, help="Only entries of this scope, in the namespace."
)
@click.option(
    "--where",
    metavar="FIELD=VALUE",
    multiple=True,
    callback=as_where,
    help="Only entries whose metadata says so; several must all hold. 42 means the number and the text.",
)
@click.option(
    "--timeout",
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="How long to wait for other processes that use the file.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.json_option
def forget(
    *,
    file: Path,
    namespace: str | None,
    tags: tuple[str, ...],
    scope: Any,
    where: dict[str, Any] | None,
    timeout: float,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove entries from FILE so that no byte of them is left in it, in its log or in its saved index.

    They must satisfy everything given, and something must be given. FILE is written anew, which takes as long as
    copying it. Asks first on a terminal; elsewhere it needs --yes.
    """
    out = Out(as_json=as_json)
    if namespace is None and not tags and scope is None and where is None:
        raise click.UsageError("say what to forget: --namespace, --tag, --scope or --where")
    with opened(file) as cache, asking():
        narrowed = bool(tags) or scope is not None or where is not None
        if not yes and not agreed(file, cache, namespace, narrowed=narrowed):
            out.say("nothing was removed")
            raise no()
        done = cache.forget(namespace=namespace, tags=tags or None, scope=scope, where=where, timeout=timeout)
        entries = cache.stats().entries
    out.document({"removed": done.entries, "clean": done.clean, "remains": list(done.remains), "entries": entries})
    for sentence in done.remains:
        out.say(sentence, style="red")
    left = f"{show.counted(entries, 'entry')} left"
    if not done.clean:
        out.say(f"removed {show.counted(done.entries, 'entry')}, but traces remain; {left}", style="bold red")
        raise no()
    out.say(f"removed {show.counted(done.entries, 'entry')} without a trace; {left}")
