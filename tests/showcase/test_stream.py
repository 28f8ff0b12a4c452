"""Server-sent events: their form, and what happens when nobody listens any more."""

import asyncio
import itertools

import pytest

from showcase.stream import append, replace, streamed

SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "method": "POST",
    "path": "/",
    "headers": [],
}


async def sent(response, *, leave_after=None):
    """The body, as it is sent to a browser, which may leave."""
    chunks, leave = [], asyncio.Event()

    async def receive():
        await leave.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        chunks.append(message.get("body", b""))
        if leave_after is not None and len(chunks) > leave_after:
            leave.set()

    await response(SCOPE, receive, send)
    return b"".join(chunks).decode()


async def test_every_line_of_a_fragment_is_sent_and_an_empty_one_is_a_comment():
    ended = []
    body = await sent(streamed(iter(["<p>\none</p>", "", "two"]), lambda: ended.append(True)))
    assert body == "data: <p>\ndata: one</p>\n\n:\n\ndata: two\n\n"
    assert ended == [True]


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"], ids=["cr", "crlf", "lf"])
async def test_no_end_of_a_line_in_a_text_begins_a_field_or_ends_the_event(end):
    body = await sent(streamed(iter([f"one{end}event: other{end}{end}two"]), lambda: None))
    assert body == "data: one\ndata: event: other\ndata: \ndata: two\n\n"


async def test_half_a_surrogate_pair_does_not_end_the_stream():
    body = await sent(streamed(iter(["a\ud83d", "b"]), lambda: None))
    assert body == "data: a\\ud83d\n\ndata: b\n\n"


async def test_it_is_said_at_once_that_nobody_listens_any_more():
    ended = []
    fragments = (str(number) for number in itertools.count())  # kept here: no collector closes it
    await sent(streamed(fragments, lambda: ended.append(True)), leave_after=3)
    assert ended == [True]
    assert int(next(fragments)) >= 3


def test_text_is_escaped_and_a_fragment_is_not():
    assert append("here", "<b>&") == '<hx-partial hx-target="#here" hx-swap="beforeend">&lt;b&gt;&amp;</hx-partial>'
    assert replace("here", "<b>&amp;</b>") == (
        '<hx-partial hx-target="#here" hx-swap="innerHTML"><b>&amp;</b></hx-partial>'
    )
