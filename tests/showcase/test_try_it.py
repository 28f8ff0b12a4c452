"""The same question with and without the cache: what is streamed, what is explained, what goes wrong."""

import asyncio
import html
import json
import threading

import httpx
import pytest
from starlette.testclient import TestClient

import showcase
from showcase.models import Answer, CutOffError
from showcase.side_by_side import Done, Piece, Run

HOSTILE = "<script>alert(1)</script> & <b>bold</b>?"
FRAGMENT = {"hx-request": "true"}


def stream(site, question):
    """The events of a question, as htmx gets them: their text."""
    reply = site.post("/try", data={"question": question}, headers=FRAGMENT)
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = reply.text.split("\n\n")
    assert events.pop() == ""
    return ["\n".join(line.removeprefix("data: ") for line in event.split("\n")) for event in events]


def test_the_model_answers_twice_at_first_and_then_once_less(site, model):
    stream(site, "Why is the sky blue?")
    assert len(model.questions) == 2
    stream(site, "Why does the sky look blue?")
    assert len(model.questions) == 3


def test_the_answer_of_either_side_comes_in_pieces_and_then_whole(site):
    first, *events = stream(site, "Why is the sky blue?")
    assert 'id="with-text"' in first
    assert 'id="without-text"' in first
    for side in ("with", "without"):
        pieces = [event for event in events if f'"#{side}-text" hx-swap="beforeend"' in event]
        assert [piece.split(">")[1].split("<")[0] for piece in pieces] == ["This ", "answers: ", "Why is the sky blue?"]
        [whole] = [event for event in events if f'"#{side}-side" hx-swap="innerHTML"' in event]
        assert "This answers: Why is the sky blue?" in whole


def test_what_the_cache_did_is_explained_as_it_was_before_it_stored_anything(site):
    def steps(question):
        [event] = [event for event in stream(site, question) if '"#steps"' in event]
        return html.unescape(event)

    assert "Nothing is stored there yet" in steps("How long does the train take from Paris to London?")
    again = steps("How long does the train take from PARIS to London?")
    assert "found" in again
    assert "What does it mean?" not in again
    other = steps("How long does it take to get from Paris to London by train?")
    assert "answers</span>" in other
    assert "384 numbers" in other
    alike = steps("How long does the train take from London to Paris?")
    assert "guarded" in alike
    assert "direction" in alike
    assert "the model was asked" in alike


def test_waiting_for_ones_turn_is_no_time_of_the_answer(site, model):
    model.waited = 2.0
    events = "".join(stream(site, "Why is the sky blue?"))
    assert events.count("after 2.00 s in the queue") == 2
    assert "<strong>500 ms</strong>" in events  # without the cache: what the model says it took
    assert "<strong>2." not in events


def test_without_a_script_both_answers_stand_on_the_whole_page(site):
    page = site.post("/try", data={"question": "Why is the sky blue?"}).text
    assert "<h1" in page
    assert page.count("This answers: Why is the sky blue?") == 2
    assert "What mneme did" in page


def test_a_question_that_was_picked_is_the_one_that_is_asked(site, model):
    site.post("/try", data={"question": "left over", "pick": "Why is the sky blue?"})
    assert set(model.questions) == {"Why is the sky blue?"}


def test_hostile_text_is_streamed_as_text(site):
    events = "".join(stream(site, HOSTILE))
    assert "<script>alert" not in events
    assert "<b>bold" not in events
    assert "&lt;script&gt;" in events


def test_lines_and_blanks_of_an_answer_survive_the_stream(site, model, state):
    stream(site, "one\n\ntwo")
    assert state.cache.get("one two", scope=state.scope()) is not None
    assert model.questions[0] == "one\n\ntwo"


def test_a_question_that_is_none_is_answered_clearly(site, model):
    reply = site.post("/try", data={"question": " "}, headers=FRAGMENT)
    assert reply.status_code == 400
    assert "question is empty" in reply.text
    assert "at most 2,000" in site.post("/try", data={"question": "x" * 2001}).text
    assert model.questions == []


def test_a_model_that_does_not_answer_is_told_of_on_both_sides(site, model):
    model.failure = "The model at nowhere does not answer."
    events = "".join(stream(site, "Why?"))
    assert events.count(model.failure) == 3  # two sides, and the last step
    model.failure = None
    assert "badge exact" not in "".join(stream(site, "Why?"))  # nothing was stored


def test_whatever_a_model_raises_both_sides_end(site, model, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("the client was closed")

    monkeypatch.setattr(model, "answer", fail)
    assert "".join(stream(site, "Why?")).count("RuntimeError: the client was closed") == 3


def test_an_answer_that_was_cut_off_is_shown_and_not_kept(site, model, state):
    model.whole = False
    events = "".join(stream(site, "Why?"))
    assert "cut off" in events
    assert state.cache.get("Why?", scope=state.scope()) is None


def test_a_question_too_long_for_the_embedder_is_answered_by_its_words_alone(site, model):
    question = "Why is the sky so very blue? " * 60
    assert "too long for the embedder" in "".join(stream(site, question))
    assert "badge exact" in "".join(stream(site, question))
    assert len(model.questions) == 3


def test_an_endpoint_that_comes_up_later_is_asked_for_its_models_name_before_anything_is_stored(local):
    made = showcase.app(showcase.Settings(embedder=local, endpoint="http://127.0.0.1:9/v1"))
    with TestClient(made, base_url="http://127.0.0.1", headers={"origin": "http://127.0.0.1"}) as client:
        assert "does not answer" in client.post("/dashboard/ask", data={"question": "Why?"}).text
        endpoint = made.state.showcase.model
        endpoint.close()
        endpoint._client = httpx.Client(transport=httpx.MockTransport(answered))
        for badge in ("miss", "exact"):
            fragment = client.post("/dashboard/ask", data={"question": "Why?"}, headers=FRAGMENT).text
            assert f"badge {badge}" in fragment
        assert made.state.showcase.cache.entries()[0].scope["model"] == "nemotron"


def answered(request):
    """An endpoint with one model."""
    if request.url.path.endswith("/models"):
        return httpx.Response(200, json={"data": [{"id": "nemotron"}]})
    if request.url.path.endswith("/completions"):
        chunk = {"choices": [{"delta": {"content": "So."}, "finish_reason": "stop"}]}
        return httpx.Response(200, text=f"data: {json.dumps(chunk)}\n\n")
    return httpx.Response(404)


@pytest.fixture
def run(state):
    started = Run(state, "Why is the sky blue?")
    yield started
    started.stop()
    started.join()


def test_the_model_is_not_kept_busy_before_the_side_with_the_cache_knows_whether_it_needs_it(
    run, state, model, monkeypatch
):
    real, asked_before = state.ask_model, []

    def ask_model(question, *, begin, **options):
        def begun():
            asked_before.append(list(model.questions))
            begin()

        return real(question, begin=begun, **options)

    monkeypatch.setattr(state, "ask_model", ask_model)
    assert {event.side for event in run if isinstance(event, Piece)} == {"with", "without"}
    assert asked_before == [[]]


def test_leaving_in_the_middle_ends_both_sides(run, state):
    events = iter(run)
    next(events)
    events.close()
    run.join()
    assert not any(thread.is_alive() for thread in run._threads)


async def test_who_leaves_the_page_leaves_the_model_to_others(site, model, monkeypatch):
    ended = threading.Semaphore(0)

    def endless(_, *, say, stopped, **__):
        while not stopped():
            say("and ")
            threading.Event().wait(0.01)
        ended.release()
        return Answer("and", 1, 0.0, whole=False)

    monkeypatch.setattr(model, "answer", endless)
    body = b"question=Why%3F"
    come = [{"type": "http.request", "body": body, "more_body": False}]
    began = asyncio.Event()

    async def receive():
        if come:
            return come.pop()
        await began.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        if b"and " in message.get("body", b""):
            began.set()

    headers = {"host": "127.0.0.1", "origin": "http://127.0.0.1", "hx-request": "true"}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/try",
        "raw_path": b"/try",
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await site.app(scope, receive, send)
    assert ended.acquire(timeout=30)
    assert ended.acquire(timeout=30)


def test_who_waited_for_somebody_that_left_asks_again(state, model, monkeypatch):
    real, left = state.cache.get_or_compute, [CutOffError(Answer("half", 1, 0.0, whole=False))]

    def led_by_another(*args, **options):
        if left:
            raise left.pop()
        return real(*args, **options)

    monkeypatch.setattr(state.cache, "get_or_compute", led_by_another)
    assert state.ask_model("Why?").response == "This answers: Why?"
    model.whole = False
    with pytest.raises(CutOffError):
        state.ask_model("Why not?")  # cut off by itself: once is enough
    assert model.questions == ["Why?", "Why not?"]


def test_a_hit_does_not_wait_for_the_model(state, model, run):
    list(run)
    model.gate = threading.Event()
    again = Run(state, "Why is the sky blue?")
    events = iter(again)
    first = next(events)
    assert isinstance(first, Done)
    assert (first.side, first.outcome) == ("with", "exact")
    model.gate.set()
    assert [event.side for event in events if isinstance(event, Done)] == ["without"]
    again.join()
