"""Templates and static files, for every application that shares the base."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import parse_qsl

import anyio.from_thread
import jinja2
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from mneme.ui import _words
from mneme.ui._browse import query_string
from mneme.ui._frame import Frame

__all__ = ["Pages", "posted", "static"]

_FORM_BYTES = 2**20
_FORM_FIELDS = 1_000


class Pages:
    """Renders templates, those of *directories* before those of the base, and escapes whatever they print.

    Args:
        directories: Where templates of your own lie.
        frame: What surrounds them.
        **globals: What every template knows besides.

    Thread safety: `show` may be called from any thread.
    """

    def __init__(self, *directories: str | os.PathLike[str], frame: Frame, **globals: Any) -> None:  # noqa: A002 - as Jinja calls them
        loaders = [jinja2.FileSystemLoader(directory) for directory in directories]
        self.frame: Frame = frame
        self.env: jinja2.Environment = jinja2.Environment(
            # `select_autoescape` would go by the name of the file: here nothing is ever left as it is.
            autoescape=True,
            loader=jinja2.ChoiceLoader([*loaders, jinja2.PackageLoader("mneme.ui")]),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.env.filters.update(_words.FILTERS)
        self.env.globals.update({"version": _version(), "query_string": query_string} | globals)

    def show(self, request: Request, template: str, /, status: int = 200, **values: Any) -> HTMLResponse:
        """The page that *template* makes of *values*.

        Raises:
            jinja2.TemplateError: There is no such template, or it is not right; or it prints what it was not given.
        """
        # Stored text may hold half a surrogate pair, which UTF-8 cannot: it is shown as an escape.
        text = self.render(request, template, **values).encode("utf-8", "backslashreplace")
        return HTMLResponse(text, status)

    def render(self, request: Request, template: str, /, **values: Any) -> str:
        """The same as text: for a fragment, or to be sent piece by piece."""
        root = str(request.scope.get("root_path", "")).rstrip("/")
        path = request.scope["path"]
        frame = self.frame.at(root)
        known = {"at": root, "frame": frame, "here": path, "current": frame.current(path), "request": request}
        return self.env.get_template(template).render(known | values)


def static() -> StaticFiles:
    """The styles and scripts of the base, to be mounted as `/static`."""
    return StaticFiles(packages=[("mneme.ui", "static")])


def posted(request: Request) -> dict[str, str]:
    """The fields of a form that was posted, the last of each name; for an endpoint that is a plain function.

    Raises:
        HTTPException: 413, it is longer than a mebibyte; 400, it is not UTF-8; 415, it is no such form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/x-www-form-urlencoded", ""):
        raise HTTPException(415, "send the form as application/x-www-form-urlencoded")
    body = anyio.from_thread.run(_body, request)
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FORM_FIELDS)
    except ValueError as error:
        raise HTTPException(400, f"the form cannot be read: {error}") from error
    return {name: value.replace("\r\n", "\n") for name, value in fields}


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > _FORM_BYTES:
            raise HTTPException(413, f"a form may be {_FORM_BYTES:,} bytes long")
        parts.append(part)
    return b"".join(parts)


def _version() -> str:
    try:
        return version("mneme-cache")
    except PackageNotFoundError:  # run from a copy of the source
        return ""
