"""`mneme inspect`: what is in a file, in pages, by filter, one entry, or by meaning."""

from __future__ import annotations

import shlex
import time
from typing import Any, NamedTuple

import click

from mneme import Entry, Hit
from mneme.cli import _options as options, _show as show
from mneme.cli._command import Command
from mneme.cli._complete import namespaces
from mneme.cli._failure import asking, no
from mneme.cli._open import Place, opened_to_ask
from mneme.cli._out import Column, Out

_LIMIT = 20


@click.command(
    cls=Command,
    no="there is no entry of that id",
    epilog="""\b
Examples:
  mneme inspect answers.db
  mneme inspect answers.db --contains refund --namespace shop
  mneme inspect answers.db --after 20
  mneme inspect answers.db --id 7
  mneme inspect answers.db --similar "money back" --limit 5
  mneme inspect postgresql://me@db/app --prefix answers""",
)
@options.cache_argument
@click.option("--id", "entry_id", type=click.IntRange(min=1), help="Show this entry, in full.")
@click.option("--namespace", shell_complete=namespaces, help="Only this one's [with --similar: default].")
@click.option("--tag", "tags", multiple=True, help="Only entries that carry this tag, or any of several.")
@click.option("--contains", metavar="TEXT", help="Only entries whose query contains this, in any case.")
@click.option("--similar", metavar="TEXT", help="The nearest by meaning, in one namespace and scope.")
@options.scope_option
@options.embedder_option
@click.option("--limit", type=click.IntRange(1, 10_000), default=_LIMIT, show_default=True, help="So many at the most.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only entries with an id above this: paging.")
@options.prefix_option
@options.json_option
def inspect(
    *,
    cache: str,
    entry_id: int | None,
    namespace: str | None,
    tags: tuple[str, ...],
    contains: str | None,
    similar: str | None,
    scope: Any,
    embedder: str,
    limit: int,
    after: int,
    prefix: str,
    as_json: bool,
) -> None:
    """List the entries of CACHE, or show one of them. Expired entries are listed until `mneme vacuum`.

    CACHE is a file, or the URL of a server: redis://, rediss://, postgresql://, dynamodb://TABLE.
    """
    out = Out(as_json=as_json)
    place = Place(cache, prefix)
    listing = bool(namespace is not None or tags or contains is not None or after)
    if entry_id is not None:
        if listing or similar is not None:
            raise click.UsageError("--id goes with no other filter")
        _show_one(out, place, entry_id)
    elif similar is not None:
        if tags or contains is not None or after:
            raise click.UsageError("--similar goes with --namespace, --scope and --limit alone")
        with opened_to_ask(place, embedder) as found, asking():
            hits = found.lookup(similar, k=limit, namespace=namespace or "default", scope=scope)
        _show_similar(out, hits)
    elif scope is not None:
        raise click.UsageError("--scope goes with --similar")
    else:
        _show_page(out, place, _Filter(namespace, tags, contains, limit), after)


def _show_one(out: Out, place: Place, entry_id: int) -> None:
    with place.opened() as cache:
        found = cache.entries(after=entry_id - 1, limit=1)
    if not found or found[0].entry_id != entry_id:
        out.document({"entry": None})
        out.say(f"no entry {entry_id}", style="yellow")
        raise no()
    entry = found[0]
    out.document({"entry": show.entry_document(entry)})
    out.facts(
        {
            "entry": entry.entry_id,
            "namespace": entry.namespace,
            "scope": show.scope_text(entry.scope) or "none",
            "query": entry.query,
            "response": show.response_text(entry.response),
            "tags": ", ".join(entry.tags) or "none",
            "metadata": show.response_text(entry.metadata) if entry.metadata else "none",
            "put": show.moment(entry.created_at),
            "last used": show.moment(entry.accessed_at),
            "expires": show.moment(entry.expires_at),
            "took": show.span(entry.compute_seconds) if entry.compute_seconds else "unknown",
            "cost": f"{entry.cost:g}" if entry.cost else "unknown",
        }
    )


class _Filter(NamedTuple):
    """Which entries are listed, and how many at once."""

    namespace: str | None
    tags: tuple[str, ...]
    contains: str | None
    limit: int

    def words(self) -> list[str]:
        """The options that say so."""
        words = [] if self.namespace is None else ["--namespace", self.namespace]
        words += [word for tag in self.tags for word in ("--tag", tag)]
        words += [] if self.contains is None else ["--contains", self.contains]
        return words if self.limit == _LIMIT else [*words, "--limit", str(self.limit)]


def _show_page(out: Out, place: Place, wanted: _Filter, after: int) -> None:
    namespace, tags, contains, limit = wanted
    with place.opened() as cache, asking():
        # One more than asked tells whether there is a next page.
        found = cache.entries(namespace=namespace, tags=tags or None, contains=contains, after=after, limit=limit + 1)
        total = cache.stats(namespace).entries
    page, more = found[:limit], len(found) > limit
    next_after = page[-1].entry_id if more else None
    out.document({"entries": [show.entry_document(entry) for entry in page], "next_after": next_after})
    if not page:
        out.say("no entries" if not total else f"none of {show.counted(total, 'entry')}", style="yellow")
        return
    now = time.time()
    columns = [Column("id", right=True), Column("namespace"), Column("query", ratio=3), Column("response", ratio=2)]
    if any(entry.tags for entry in page):
        columns.append(Column("tags"))
    columns.append(Column("age", right=True))
    out.table(columns, [_row(entry, now, tags=len(columns) == 6) for entry in page])
    out.hint(f"{len(page)} of {show.counted(total, 'entry')}")
    if more:
        words = ["inspect", place.name, *wanted.words(), "--after", str(next_after)]
        words += [] if place.file is not None else ["--prefix", place.prefix]
        out.hint("next page:")
        if out.rich:
            out.command(f"  {show.program()} {shlex.join(words)}")


def _row(entry: Entry, now: float, *, tags: bool) -> list[object]:
    expired = entry.expires_at is not None and entry.expires_at <= now
    cells: list[object] = [entry.entry_id, entry.namespace, entry.query, show.response_text(entry.response)]
    if tags:
        cells.append(", ".join(entry.tags))
    return [*cells, "expired" if expired else show.age(now - entry.created_at)]


def _show_similar(out: Out, hits: list[Hit]) -> None:
    out.document({"hits": [show.hit_document(hit) for hit in hits]})
    if not hits:
        out.say("nothing to compare with in this namespace and scope", style="yellow")
        out.hint("`mneme inspect FILE --json` shows the namespace and the scope of every entry")
        return
    out.table(
        [
            Column("id", right=True),
            Column("similarity", right=True),
            Column("query", ratio=3),
            Column("response", ratio=2),
            Column("age", right=True),
        ],
        [
            (
                hit.entry_id,
                show.similarity(hit.similarity),
                hit.query,
                show.response_text(hit.response),
                show.age(hit.age_seconds),
            )
            for hit in hits
        ],
    )
