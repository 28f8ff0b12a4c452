"""What the inspector shows. Every endpoint is a plain function, so that Starlette runs it in a thread.

Only verbs are called that count nothing, remove nothing and keep nothing: `entries`, `lookup`, `explain`, `stats`,
`health`, `check`, `watch`, `certificate`. Never `get`, which counts.
"""

from __future__ import annotations

import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mneme import Entry, MnemeError, SemanticCache, Stats
from mneme.ui import _browse as browse
from mneme.ui._charts import Bar, bar_chart
from mneme.ui._pages import Pages
from mneme.ui._reasons import OUTCOMES, VERDICTS
from mneme.ui._words import readable

__all__ = ["Views"]

_LIMIT = 25
_MOST = 200
_NAMESPACES = 200
_NEIGHBOURS = 6
_SHOWN = 100_000
"""Characters of an answer on a page; the whole can be downloaded."""
_SEALED = "sealed"


class Views:
    """The pages about one cache that only look."""

    def __init__(self, cache: SemanticCache, pages: Pages) -> None:
        self.cache = cache
        self.pages = pages

    def routes(self) -> list[Route]:
        return [
            Route("/", self.overview),
            Route("/entries", self.entries),
            Route("/entries/{entry_id:int}", self.entry),
            Route("/entries/{entry_id:int}/raw", self.raw),
            Route("/similar", self.similar),
            Route("/explain", self.explain),
            Route("/namespace", self.namespace),
            Route("/check", self.check),
        ]

    def overview(self, request: Request) -> Response:
        """Whether it is well, how it is used, and by whom."""
        health, total = self.cache.health(), self.cache.stats()
        names = self.cache.list_namespaces()
        return self.show(
            request,
            "overview.html",
            health=health,
            total=total,
            threshold=self.cache.similarity_threshold,
            namespaces=[self.cache.stats(name) for name in names[:_NAMESPACES]],
            left_out=max(0, len(names) - _NAMESPACES),
            chart=_answers(total),
        )

    def entries(self, request: Request) -> Response:
        """Entries in order of id, a page at a time."""
        fields = request.query_params
        wanted = browse.Filter.of(fields)
        after = _number(fields.get("after", ""), "after", 0, 2**63 - 1, 0)
        limit = _number(fields.get("limit", ""), "limit", 1, _MOST, _LIMIT)
        now = time.time()
        page = browse.read(self.cache, wanted, after=after, limit=limit, now=now)
        return self.show(
            request,
            "entries.html",
            wanted=wanted,
            after=after,
            limit=limit,
            page=page,
            now=now,
            total=self.cache.stats(wanted.namespace or None).entries,
            names=self.cache.list_namespaces()[:_NAMESPACES],
            sealed=self.is_sealed(),
        )

    def entry(self, request: Request) -> Response:
        """One entry in full, and what is near it."""
        entry = self.found(request)
        now = time.time()
        sealed = _is_sealed(entry)
        return self.show(
            request,
            "entry.html",
            entry=entry,
            now=now,
            expired=browse.is_expired(entry, now),
            sealed=sealed,
            shown=_SHOWN,
            **self.neighbours(entry, wanted=not sealed),
        )

    def raw(self, request: Request) -> Response:
        """An answer as a file. It is never shown as a page of its own: what is in it is not ours."""
        entry = self.found(request)
        content, suffix = _bytes_of(entry.response)
        name = f"entry-{entry.entry_id}.{suffix}"
        return Response(
            content,
            media_type="application/octet-stream",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def similar(self, request: Request) -> Response:
        """The nearest entries by meaning, below the threshold too."""
        asked = self._asked(request)
        k = _number(request.query_params.get("k", ""), "k", 1, _MOST, 10)
        hits = None
        if asked["query"].strip():
            hits = self.cache.lookup(
                asked["query"], k=k, namespace=asked["namespace"], scope=browse.as_scope(asked["scope"])
            )
        return self.show(request, "similar.html", hits=hits, k=k, threshold=self.cache.similarity_threshold, **asked)

    def explain(self, request: Request) -> Response:
        """What would be answered to a query, and why."""
        asked = self._asked(request)
        typed = request.query_params.get("threshold", "").strip()
        said = None
        if asked["query"].strip():
            said = self.cache.explain(
                asked["query"],
                namespace=asked["namespace"],
                scope=browse.as_scope(asked["scope"]),
                similarity_threshold=_share(typed) if typed else None,
            )
        return self.show(
            request,
            "explain.html",
            said=said,
            typed=typed,
            threshold=self.cache.similarity_threshold,
            outcomes=OUTCOMES,
            verdicts=VERDICTS,
            **asked,
        )

    def namespace(self, request: Request) -> Response:
        """How one namespace is used, and what is known of how right its answers are."""
        name = request.query_params.get("name", "")
        if not name:
            raise ValueError("name the namespace: ?name=default")
        stats = self.cache.stats(name)
        return self.show(
            request,
            "namespace.html",
            name=name,
            stats=stats,
            watch=self.cache.watch(name),
            certificate=self.cache.certificate(name),
            chart=_answers(stats),
        )

    def check(self, request: Request) -> Response:
        """Every inconsistency. Reads everything, so only when it is asked for."""
        problems = self.cache.check() if "run" in request.query_params else None
        return self.show(request, "check.html", problems=problems, entries=self.cache.stats().entries)

    # --- what they have in common ------------------------------------------------------------------------------------

    def show(self, request: Request, template: str, /, status: int = 200, **values: Any) -> Response:
        return self.pages.show(request, f"inspector/{template}", status, has_embedder=self.cache.has_embedder, **values)

    def found(self, request: Request) -> Entry:
        """The entry that the path names.

        Raises:
            HTTPException: 404, there is none.
        """
        entry_id = request.path_params["entry_id"]
        entry = browse.entry_of(self.cache, entry_id)
        if entry is None:
            raise HTTPException(404, f"There is no entry {entry_id}: it was removed, or never there.")
        return entry

    def neighbours(self, entry: Entry, *, wanted: bool) -> dict[str, Any]:
        """What is near it in its namespace and scope, and whether it has the same answer: then it may be an alias.

        The entry itself is shown whatever hinders the search, such as an answer nearby that this cache cannot decode.
        """
        if not wanted or not self.cache.has_embedder:
            return {"neighbours": [], "hindered": ""}
        try:
            hits = self.cache.lookup(entry.query, k=_NEIGHBOURS, namespace=entry.namespace, scope=entry.scope)
        except (MnemeError, TypeError, ValueError) as error:
            return {"neighbours": [], "hindered": str(error)}
        near = [hit for hit in hits if hit.entry_id != entry.entry_id]
        return {
            "neighbours": [{"hit": hit, "same": _equal(hit.response, entry.response)} for hit in near],
            "hindered": "",
        }

    def is_sealed(self) -> bool:
        """Whether the cache is encrypted, and was opened without its keys."""
        first = self.cache.entries(limit=1)
        return bool(first) and _is_sealed(first[0])

    def _asked(self, request: Request) -> dict[str, Any]:
        fields = request.query_params
        return {
            "query": fields.get("query", ""),
            "namespace": fields.get("namespace", "") or "default",
            "scope": fields.get("scope", ""),
            "names": self.cache.list_namespaces()[:_NAMESPACES],
            "sealed": self.is_sealed(),
        }


def _answers(stats: Stats) -> Any:
    bars = [
        Bar("exact", stats.hits_exact, "exact", f"{stats.hits_exact:,}"),
        Bar("semantic", stats.hits_semantic, "semantic", f"{stats.hits_semantic:,}"),
        Bar("miss", stats.misses, "miss", f"{stats.misses:,}"),
    ]
    said = ", ".join(f"{bar.label} {bar.name}" for bar in bars)
    return bar_chart(bars, title="Lookups by what answered them", description=f"Since the beginning: {said}.")


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - what a caller's codec made compares as it likes: an array does not
        return False


def _is_sealed(entry: Entry) -> bool:
    return entry.codec.partition(":")[0] == _SEALED


def _bytes_of(response: Any) -> tuple[bytes, str]:
    if isinstance(response, bytes):
        return response, "bin"
    if isinstance(response, str):
        return response.encode("utf-8", "surrogatepass"), "txt"
    return readable(response).encode("utf-8", "surrogatepass"), "json"


def _number(text: str, name: str, least: int, most: int, default: int) -> int:
    if not text.strip():
        return default
    try:
        number = int(text) if len(text) < 25 else most + 1
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise ValueError(f"{name} is a whole number from {least} to {most:,}, not {text[:40]!r}")
    return number


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"the threshold is a number from 0 to 1, not {text[:40]!r}") from None
