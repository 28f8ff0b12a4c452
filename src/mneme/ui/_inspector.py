"""The inspector: an application that shows what is in a cache."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ExceptionHandler

from mneme import MnemeError, SemanticCache
from mneme.ui._changes import Changes
from mneme.ui._frame import Frame, Link
from mneme.ui._guard import LOOPBACK, guards
from mneme.ui._pages import Pages, static
from mneme.ui._views import Views

__all__ = ["inspector"]

_LINKS = (
    Link("Overview", "{at}/"),
    Link("Entries", "{at}/entries"),
    Link("Similar", "{at}/similar"),
    Link("Explain", "{at}/explain"),
    Link("Check", "{at}/check"),
)


def inspector(
    cache: SemanticCache,
    *,
    token: str | None = None,
    ticket: str | None = None,
    writable: bool = False,
    frame: Frame | None = None,
    hosts: Collection[str] | None = LOOPBACK,
    note: str = "",
) -> Starlette:
    """An application that shows what is in *cache*, to be served or mounted; the cache stays open and yours.

    Looking changes nothing: no entry, no access time, no counter.

    Args:
        cache: Any open cache. It is asked in threads.
        token: See `guards`. With `None` whoever reaches the application may use it.
        ticket: See `guards`.
        writable: Whether entries can be removed. Without it there is no request that removes anything.
        frame: What surrounds the pages, in an application that has others; the links of these stand below it.
        hosts: The names by which it may be called, see `guards`.
        note: What is to be said on the first page.

    Raises:
        TypeError: *cache* is no `SemanticCache`.
        ValueError: The token is empty.
    """
    if not isinstance(cache, SemanticCache):
        raise TypeError(f"the inspector shows a SemanticCache, not {type(cache).__name__}")
    own = Frame("mneme", links=_LINKS)
    pages = Pages(frame=frame or own, own=own if frame else None, writable=writable, note=note)
    views = Views(cache, pages)

    def trouble(request: Request, status: int, title: str, text: str) -> Response:
        return pages.show(request, "inspector/trouble.html", status, title=title, text=text, has_embedder=True)

    def of_http(request: Request, error: HTTPException) -> Response:
        words = {404: "Not found", 405: "Not possible"}
        text = error.detail if error.detail != "Not Found" else "There is no such page."
        return trouble(request, error.status_code, words.get(error.status_code, "Refused"), text)

    def of_input(request: Request, error: ValueError | TypeError) -> Response:
        return trouble(request, 400, "That cannot be looked for", str(error))

    def of_cache(request: Request, error: MnemeError) -> Response:
        return trouble(request, 503, "The cache did not answer", str(error))

    handlers = {HTTPException: of_http, MnemeError: of_cache, ValueError: of_input, TypeError: of_input}
    return Starlette(
        routes=[*views.routes(), *(Changes(views).routes() if writable else ()), Mount("/static", static())],
        middleware=guards(token=token, ticket=ticket, hosts=hosts),
        exception_handlers=cast("dict[object, ExceptionHandler]", handlers),
    )
