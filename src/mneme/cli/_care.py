"""`mneme check`, `vacuum` and `clear`: keeping a file sound and small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mneme.cli import _options as options, _show as show
from mneme.cli._agree import agreed
from mneme.cli._command import Command
from mneme.cli._failure import asking, no
from mneme.cli._open import Place, opened
from mneme.cli._out import Out
from mneme.cli._repair import repair, rescue


@click.command(
    cls=Command,
    no="a problem was found, or is left",
    short_help="Read all of CACHE and name what is wrong.",
    epilog="""\b
Examples:
  mneme check answers.db
  mneme check answers.db --json || alert
  mneme check answers.db --repair                what would be done
  mneme check answers.db --repair --apply
  mneme check broken.db --salvage new.db         where pages are damaged""",
)
@options.cache_argument
@click.option("--repair", "repairing", is_flag=True, help="Say how each would be put right; alters nothing.")
@click.option("--apply", is_flag=True, help="With --repair: do it.")
@click.option(
    "--salvage", metavar="NEW", type=click.Path(path_type=Path), help="Copy what can be read of a file into a new one."
)
@options.prefix_option
@options.json_option
def check(*, cache: str, repairing: bool, apply: bool, salvage: Path | None, prefix: str, as_json: bool) -> None:
    """Read all of CACHE, a file or the URL of a server, and name every inconsistency."""
    out = Out(as_json=as_json)
    if apply and not repairing:
        raise click.UsageError("--apply goes with --repair")
    if salvage is not None:
        if repairing:
            raise click.UsageError("pass --repair or --salvage, not both")
        rescue(out, Path(cache), salvage)
        return
    if repairing:
        repair(out, Path(cache), apply=apply)
        return
    with Place(cache, prefix).opened() as found:
        problems = found.check()
        entries = found.stats().entries
    out.document({"sound": not problems, "entries": entries, "problems": problems})
    for problem in problems:
        out.say(problem, style="red")
    if problems:
        out.say(f"{show.counted(len(problems), 'problem')} found", style="bold red")
        raise no()
    out.say(f"sound: {show.counted(entries, 'entry')}", style="green")


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  mneme vacuum answers.db
  mneme vacuum answers.db --namespace shop --no-compact""",
)
@options.file_argument
@options.only_namespace_option
@click.option("--compact/--no-compact", default=True, help="Give the space back as well (default).")
@options.json_option
def vacuum(*, file: Path, namespace: str | None, compact: bool, as_json: bool) -> None:
    """Remove what has expired, and make FILE smaller. Takes as long as copying it."""
    out = Out(as_json=as_json)
    with opened(file) as cache, asking():
        removed = cache.vacuum(namespace=namespace, compact=False)
        freed = cache.compact() if compact else 0
        entries = cache.stats().entries
    out.document({"removed": removed, "freed_bytes": freed, "entries": entries})
    out.say(
        f"removed {show.counted(removed, 'expired entry')}, gave back {show.size(freed)}; "
        f"{show.counted(entries, 'entry')} left"
    )


@click.command(
    cls=Command,
    no="you said no",
    short_help="Remove entries from FILE: all of them, or some.",
    epilog="""\b
Examples:
  mneme clear answers.db
  mneme clear answers.db --namespace shop --yes
  mneme clear answers.db --tag orders --older-than 30d --yes""",
)
@options.file_argument
@options.only_namespace_option
@click.option("--tag", "tags", multiple=True, help="Only entries that carry this tag, or any of several.")
@click.option("--older-than", metavar="DURATION", callback=options.as_duration, help="Only entries put longer ago.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.json_option
def clear(
    *,
    file: Path,
    namespace: str | None,
    tags: tuple[str, ...],
    older_than: float | str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove entries from FILE: all of them, or those that satisfy everything given. Counters stay.

    Asks first on a terminal; elsewhere it needs --yes.
    """
    out = Out(as_json=as_json)
    some: dict[str, Any] = {"namespace": namespace, "tags": tags or None, "older_than": older_than}
    with opened(file) as cache, asking():
        if not yes and not agreed(file, cache, namespace, narrowed=bool(tags or older_than is not None)):
            out.say("nothing was removed")
            raise no()
        removed = cache.clear() if all(value is None for value in some.values()) else cache.invalidate(**some)
        entries = cache.stats().entries
    out.document({"removed": removed, "entries": entries})
    out.say(f"removed {show.counted(removed, 'entry')}; {show.counted(entries, 'entry')} left")
