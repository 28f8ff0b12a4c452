"""Answers in pieces: server-sent events, as htmx puts them into a page."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup
from starlette.responses import StreamingResponse

__all__ = ["append", "replace", "streamed"]


def streamed(fragments: Iterator[str]) -> StreamingResponse:
    """Every fragment as an event of its own, sent as it comes. The first may go where the request said."""
    return StreamingResponse((_event(fragment) for fragment in fragments), media_type="text/event-stream")


def append(element: str, text: str) -> str:
    """*text* at the end of the element of that id; escaped."""
    return Markup('<hx-partial hx-target="#{}" hx-swap="beforeend">{}</hx-partial>').format(element, text)


def replace(element: str, fragment: str) -> str:
    """*fragment*, which is HTML, as what is in the element of that id."""
    return Markup('<hx-partial hx-target="#{}" hx-swap="innerHTML">{}</hx-partial>').format(element, Markup(fragment))  # noqa: S704 -- rendered by a template, which escapes


def _event(fragment: str) -> str:
    return "".join(f"data: {line}\n" for line in fragment.split("\n")) + "\n"
