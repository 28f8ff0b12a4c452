"""Answers in pieces: server-sent events, as htmx puts them into a page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from markupsafe import Markup
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

__all__ = ["append", "replace", "streamed"]

_LINE_END = re.compile(r"\r\n|\r|\n")


def streamed(fragments: Iterator[str], end: Callable[[], object]) -> StreamingResponse:
    """Every fragment as an event of its own, sent as it comes. The first may go where the request said.

    An empty one only keeps the connection, and lets it be noticed that nobody listens any more.

    Args:
        fragments: Read in a thread.
        end: Called when all was sent, or when whoever asked has left; must not wait.
    """
    return _Streamed((_event(fragment) for fragment in fragments), end)


class _Streamed(StreamingResponse):
    """A generator that is not read to its end is closed when it happens to be collected: too late to stop a model."""

    def __init__(self, events: Iterator[bytes], end: Callable[[], object]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._end()


def append(element: str, text: str) -> str:
    """*text* at the end of the element of that id; escaped."""
    return Markup('<hx-partial hx-target="#{}" hx-swap="beforeend">{}</hx-partial>').format(element, text)


def replace(element: str, fragment: str) -> str:
    """*fragment*, which is HTML, as what is in the element of that id."""
    return Markup('<hx-partial hx-target="#{}" hx-swap="innerHTML">{}</hx-partial>').format(element, Markup(fragment))  # noqa: S704 -- rendered by a template, which escapes


def _event(fragment: str) -> bytes:
    if not fragment:
        return b":\n\n"
    # Each of the three ends a line of an event: text with another than ours would be taken for fields, or for the end.
    event = "".join(f"data: {line}\n" for line in _LINE_END.split(fragment)) + "\n"
    return event.encode("utf-8", "backslashreplace")  # as `Pages.show` does: a model may send half a surrogate pair
