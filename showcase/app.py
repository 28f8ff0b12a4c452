"""The application: what stands before every page, and every page that there is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from mneme.ui import Pages, guards, static
from showcase import registry, web
from showcase.sessions import SessionMiddleware
from showcase.settings import Settings
from showcase.state import State
from showcase.work.inputs import BadInputError

__all__ = ["app"]

_HERE = Path(__file__).parent


def app(settings: Settings | None = None) -> Starlette:
    """The showcase, with its cache open; the end of its lifespan closes it.

    Pages answer to this machine's own name alone, as those of `mneme.ui` do.

    Raises: as `State`.
    """
    state = State(settings or Settings())
    pages = registry.find()
    frame = registry.frame()
    try:
        routes = [route for page in pages for route in page.routes(state)]
    except BaseException:  # a page's own cache, say, is another embedder's
        state.close()
        raise

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await run_in_threadpool(state.close)

    made = Starlette(
        routes=[*routes, Mount("/static", static()), Mount("/own", StaticFiles(directory=_HERE / "static"))],
        middleware=[*guards(token=None), Middleware(SessionMiddleware)],
        exception_handlers={BadInputError: web.failed, HTTPException: web.failed},
        lifespan=lifespan,
    )
    made.state.showcase = state
    made.state.pages = Pages(_HERE / "templates", frame=frame, showcase=state, all_pages=pages)
    return made
