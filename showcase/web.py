"""How pages are reached and shown: routes to plain functions, and answers to what does not hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mneme.ui import Pages
from showcase.forms import Form, read

__all__ = ["failed", "get", "is_fragment", "post", "show"]


def get(path: str, view: Callable[[Request], Response]) -> Route:
    """A page, or a part of one, that is only looked at. *view* runs in a thread: it may wait."""
    return Route(path, view, methods=["GET"])


def post(path: str, view: Callable[[Request, Form], Response]) -> Route:
    """Something that is done. *view* runs in a thread, with the form that was sent."""

    async def endpoint(request: Request) -> Response:
        form = await read(request)
        return await run_in_threadpool(view, request, form)

    return Route(path, endpoint, methods=["POST"])


def show(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """A page or a fragment, made from a template of `showcase/templates`."""
    pages: Pages = request.app.state.pages
    return pages.show(request, template, status, **values)


def is_fragment(request: Request) -> bool:
    """Whether htmx asks, which puts the answer into a page that is there already."""
    return request.headers.get("hx-request") == "true"


def failed(request: Request, error: Exception) -> Response:
    """What is shown instead of a page: within the page that asked, if htmx did."""
    if isinstance(error, HTTPException):
        status, message = error.status_code, _SAID.get(error.status_code, error.detail)
    else:
        text = str(error)
        status, message = 400, f"{text[:1].upper()}{text[1:]}."
    template = "notice.html" if is_fragment(request) else "failed.html"
    return show(request, template, status, message=message)


_SAID = {404: "There is no such page.", 405: "This cannot be asked for in that way."}
