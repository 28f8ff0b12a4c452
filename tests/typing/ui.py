"""Pages in a browser as their users write them. Type-checked by mypy and pyright, never run."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import secrets
from pathlib import Path

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route

from mneme import AsyncSemanticCache, SemanticCache
from mneme.ui import (
    LOOPBACK,
    Bar,
    Frame,
    Link,
    Pages,
    Series,
    bar_chart,
    guards,
    histogram_chart,
    inspector,
    line_chart,
    posted,
    static,
)

cache = SemanticCache(":memory:")
frame = Frame("Somebody's", home="/", links=(Link("Home", "/"),), note="made by somebody")
shown: Starlette = inspector(cache)
secret: str | None = secrets.token_urlsafe()
named: Starlette = inspector(
    cache, token=secret, ticket=secret, writable=True, frame=frame, hosts={"a.example", *LOOPBACK}, note=""
)
anywhere: Starlette = inspector(cache, hosts=None)
inspector(AsyncSemanticCache(":memory:"))  # type: ignore[arg-type]
inspector(cache, secret)  # type: ignore[call-arg]
guards()  # type: ignore[call-arg]
middleware: list[Middleware] = guards(token=None)
pages = Pages("templates", Path("more"), frame=frame, of_mine=1)


def page(request: Request) -> HTMLResponse:
    fields: dict[str, str] = posted(request)
    line: Markup = line_chart([Series("a", "exact", [(0, 1.0)])], title="T", description="D", marks=[(0.5, "here")])
    bars: Markup = bar_chart([Bar("a", 1), Bar("b", 2.5, "miss", "2.50")], title="T", description="D")
    both: Markup = histogram_chart(
        Series("a", "good", []), Series("b", "bad", []), title="T", description="D", width=0.1
    )
    return pages.show(request, "page.html", 200, fields=fields, charts=[line, bars, both])


app = Starlette(routes=[Route("/", page), Mount("/static", static())], middleware=middleware)
