"""The inspector: an application that shows what is in a cache."""

from __future__ import annotations

from collections.abc import Collection

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from mneme import SemanticCache
from mneme.ui._frame import Frame, Link
from mneme.ui._guard import LOOPBACK, guards
from mneme.ui._pages import Pages, static

__all__ = ["inspector"]

_LINKS = (Link("Overview", "{at}/"),)


def inspector(
    cache: SemanticCache,
    *,
    token: str | None = None,
    writable: bool = False,
    frame: Frame | None = None,
    hosts: Collection[str] | None = LOOPBACK,
) -> Starlette:
    """An application that shows what is in *cache*, to be served or mounted; the cache stays open and yours.

    Looking changes nothing: no entry, no access time, no counter.

    Args:
        cache: Any open cache. It is asked in threads.
        token: See `guards`. With `None` whoever reaches the application may use it.
        writable: Whether entries can be removed. Without it there is no request that removes anything.
        frame: What surrounds the pages, in an application that has others; they then show their own links below it.
        hosts: The names by which it may be called, see `guards`.

    Raises:
        TypeError: *cache* is no `SemanticCache`.
        ValueError: The token is empty.
    """
    if not isinstance(cache, SemanticCache):
        raise TypeError(f"the inspector shows a SemanticCache, not {type(cache).__name__}")
    pages = Pages(frame=frame or Frame("mneme", links=_LINKS), writable=writable)

    def overview(request: Request) -> Response:
        names = cache.list_namespaces()
        return pages.show(
            request,
            "inspector/overview.html",
            health=cache.health(),
            total=cache.stats(),
            namespaces=[cache.stats(name) for name in names],
        )

    return Starlette(
        routes=[Route("/", overview), Mount("/static", static())], middleware=guards(token=token, hosts=hosts)
    )
