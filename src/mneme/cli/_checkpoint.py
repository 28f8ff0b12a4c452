"""`mneme export` and `mneme import`: a whole cache in one archive, from any store to any store."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import click

from mneme import CheckpointError, SemanticCache
from mneme.cli import _options as options, _show as show
from mneme.cli._command import Command
from mneme.cli._complete import as_file, namespaces as namespaces_of
from mneme.cli._failure import asking, no
from mneme.cli._open import opened_at, store_at, without_password
from mneme.cli._out import Out, is_terminal
from mneme.cli._progress import progress as progress_bar, reporting
from mneme.tools.checkpoint import verify

_NAMESPACES = click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    shell_complete=namespaces_of,
    help="Only this one's entries, or several's.",
)


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  mneme export answers.db answers.mneme
  mneme export answers.db - | ssh elsewhere mneme import - answers.db
  mneme export redis://localhost:6379/0 answers.mneme
  mneme export postgresql://me@db/app answers.mneme --prefix cache""",
)
@click.argument("cache", metavar="CACHE", shell_complete=as_file)
@click.argument("archive", metavar="ARCHIVE", shell_complete=as_file)
@_NAMESPACES
@options.prefix_option
@options.json_option
def export(*, cache: str, archive: str, namespaces: tuple[str, ...], prefix: str, as_json: bool) -> None:
    """Write all of CACHE to ARCHIVE, which `mneme import` reads.

    CACHE is a file, or the URL of a server: redis://, rediss://, postgresql://, dynamodb://TABLE. It may be in use: the
    archive is its state at one moment. ARCHIVE is a path, where it appears whole or not at all, or - for stdout.
    """
    if archive == "-" and as_json:
        raise click.UsageError("--json and - both mean stdout; choose one")
    if archive == "-" and is_terminal(sys.stdout):
        raise click.UsageError("an archive is nothing for a terminal; name a file, or pipe it on")
    with opened_at(cache, prefix) as source, reporting("reading") as progress, asking():
        dest: str | BinaryIO = sys.stdout.buffer if archive == "-" else archive
        done = source.dumps(dest, namespace=namespaces or None, progress=progress)
    told = f"wrote {show.counted(done.entries, 'entry')}, {show.size(done.bytes)}"
    if archive == "-":
        click.echo(told, err=True)
        return
    out = Out(as_json=as_json)
    out.document(
        {"archive": archive, "entries": done.entries, "namespaces": list(done.namespaces), "bytes": done.bytes}
    )
    out.say(f"{told} to {archive}")


@click.command(
    cls=Command,
    name="import",
    no="with --check: it would be refused",
    epilog="""\b
Examples:
  mneme import answers.mneme answers.db
  mneme import answers.mneme answers.db --merge --namespace shop
  mneme import - dynamodb://answers < answers.mneme
  mneme import answers.mneme --check""",
)
@click.argument("archive", metavar="ARCHIVE", shell_complete=as_file)
@click.argument("cache", metavar="[CACHE]", required=False, shell_complete=as_file)
@_NAMESPACES
@click.option("--check", is_flag=True, help="Only read all of ARCHIVE, and say what is in it.")
@click.option("--merge", is_flag=True, help="Add to what CACHE holds; of two answers the later one stays.")
@click.option("--max-bytes", type=click.IntRange(1), metavar="BYTES", help="Refuse what unpacks to more [64 GiB].")
@click.option(
    "--max-entry-bytes",
    type=click.IntRange(1),
    metavar="BYTES",
    help="Refuse longer queries, responses and metadata [as the library does].",
)
@options.prefix_option
@options.json_option
def import_(
    *,
    archive: str,
    cache: str | None,
    namespaces: tuple[str, ...],
    check: bool,
    merge: bool,
    max_bytes: int | None,
    max_entry_bytes: int | None,
    prefix: str,
    as_json: bool,
) -> None:
    """Make CACHE of what ARCHIVE holds. - is stdin.

    A file must be new, and appears whole or not at all; on a server there must be no entries yet. The archive is
    checked to the last bit. Needs no embedder: the cache belongs to the one whose vectors are in the archive. With
    --check nothing is made.
    """
    out = Out(as_json=as_json)
    if check:
        if cache is not None or namespaces or merge:
            raise click.UsageError("--check reads all of ARCHIVE and makes nothing; leave CACHE and the rest out")
        _check(out, archive, {"max_archive_bytes": max_bytes, "max_entry_bytes": max_entry_bytes})
        return
    if cache is None:
        raise click.UsageError("name the CACHE to make of it, or pass --check")
    limits: dict[str, Any] = {} if max_bytes is None else {"max_archive_bytes": max_bytes}
    if max_entry_bytes is not None:
        limits |= {f"max_{what}_bytes": max_entry_bytes for what in ("query", "response", "metadata")}
    store = store_at(cache, prefix)
    with reporting("writing") as progress, asking():
        filled = SemanticCache.loads(
            sys.stdin.buffer if archive == "-" else archive,
            None if store is not None else Path(cache),
            store=store,
            namespace=namespaces or None,
            merge=merge,
            progress=progress,
            **limits,
        )
    with filled:
        stats, names = filled.stats(), filled.list_namespaces()
    out.document(
        {
            "cache": without_password(cache),
            "entries": stats.entries,
            "namespaces": names,
            "embedder_fingerprint": stats.embedder_fingerprint,
        }
    )
    out.say(f"{without_password(cache)} holds {show.counted(stats.entries, 'entry')} now")


def _check(out: Out, archive: str, limits: dict[str, int | None]) -> None:
    given = {name: value for name, value in limits.items() if value is not None}
    with progress_bar() as bar:
        task = bar.add_task("reading", total=None)
        try:
            found = verify(
                sys.stdin.buffer if archive == "-" else archive,
                progress=lambda done: bar.update(task, completed=done),
                **given,
            )
        except CheckpointError as error:
            out.document({"sound": False, "problems": [str(error)]})
            out.say(str(error), style="red")
            raise no() from error
    out.document({"sound": True, "problems": [], **asdict(found)})
    out.say(f"sound: {show.counted(found.entries, 'entry')} of {found.fingerprint or 'no embedder'}", style="green")
