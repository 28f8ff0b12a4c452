"""`mneme stats`: how a cache is used."""

from __future__ import annotations

from typing import Any

import click

from mneme import Stats
from mneme.cli import _options as options, _show as show
from mneme.cli._command import Command
from mneme.cli._failure import Failure, asking
from mneme.cli._open import Place
from mneme.cli._out import Column, Out


@click.command(
    cls=Command,
    short_help="Count entries, hits, misses, and the time that hits saved.",
    epilog="""\b
Examples:
  mneme stats answers.db
  mneme stats answers.db --namespace shop --json
  mneme stats redis://localhost:6379/0 --prefix answers""",
)
@options.cache_argument
@options.only_namespace_option
@options.prefix_option
@options.json_option
def stats(*, cache: str, namespace: str | None, prefix: str, as_json: bool) -> None:
    """Count entries, hits and misses, and the time that hits saved. Counters survive restarts.

    CACHE is a file, or the URL of a server: redis://, rediss://, postgresql://, dynamodb://TABLE.
    """
    out = Out(as_json=as_json)
    place = Place(cache, prefix)
    with place.opened() as found, asking():
        health = found.health()
        names = found.list_namespaces() if namespace is None else [namespace]
        parts = [found.stats(name) for name in names]
        total = found.stats(namespace)
    try:
        stored = None if place.file is None else place.file.stat().st_size
    except OSError as error:
        raise Failure(f"cannot read {place.name!r}: {error.strerror}", type(error).__name__) from error
    out.document(
        {
            "file": place.name,
            "bytes": stored,
            "schema_version": health.schema_version,
            "embedder_fingerprint": total.embedder_fingerprint,
            "oldest_entry_age_seconds": health.oldest_entry_age_seconds,
            "total": _document(total),
            "namespaces": {str(part.namespace): _document(part) for part in parts},
        }
    )
    oldest = health.oldest_entry_age_seconds
    out.facts(
        {
            "file" if stored is not None else "server": (
                f"{place.name}, {health.store_backend if stored is None else show.size(stored)}, schema version "
                f"{health.schema_version}"
            ),
            "embedder": total.embedder_fingerprint or "none yet: no vectors are stored",
            "oldest entry": "none" if oldest is None else f"{show.age(oldest)} ago",
            "time saved": show.span(total.seconds_saved) if total.seconds_saved else "none yet",
            "cost saved": f"{total.cost_saved:g}" if total.cost_saved else "none known",
        }
    )
    rows = [_row(str(part.namespace), part) for part in parts]
    if namespace is None:
        rows.append(_row("all", total))
    titles = ("entries", "exact", "semantic", "misses", "hit rate", "evicted", "expired")
    out.table([Column("namespace"), *(Column(title, right=True) for title in titles)], rows)


def _row(name: str, stats: Stats) -> list[object]:
    numbers = (stats.entries, stats.hits_exact, stats.hits_semantic, stats.misses)
    return [name, *numbers, f"{stats.hit_rate:.0%}", stats.evictions, stats.expirations]


def _document(stats: Stats) -> dict[str, Any]:
    return {
        "entries": stats.entries,
        "hits_exact": stats.hits_exact,
        "hits_semantic": stats.hits_semantic,
        "misses": stats.misses,
        "hit_rate": stats.hit_rate,
        "evictions": stats.evictions,
        "expirations": stats.expirations,
        "seconds_saved": stats.seconds_saved,
        "cost_saved": stats.cost_saved,
    }
