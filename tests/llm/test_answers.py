"""Which answers are whole and may be kept."""

import json

import pytest
from hypothesis import given, strategies as st

from integrations import provider
from mneme.llm import events_of, reason_not_to_keep, reason_not_to_keep_stream

BODY = {"model": "m"}
WITH_TOOL = {"model": "m", "tools": [provider.TOOL]}
STREAMS = {
    "openai.chat": provider.chat_chunks,
    "openai.responses": lambda body, number, stop: provider.response_events(provider.response(body, number, stop)),
    "anthropic.messages": provider.message_events,
}


@pytest.mark.parametrize("body", [BODY, WITH_TOOL], ids=["text", "tool"])
@pytest.mark.parametrize("make", [provider.chat, provider.message, provider.response])
def test_a_whole_answer_is_kept(make, body):
    assert reason_not_to_keep(make(body, 1, None)) is None


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (provider.chat(BODY, 1, "length"), "'length'"),
        (provider.chat(BODY, 1, "content_filter"), "'content_filter'"),
        (provider.message(BODY, 1, "max_tokens"), "'max_tokens'"),
        (provider.message(BODY, 1, "pause_turn"), "'pause_turn'"),
        (provider.message(BODY, 1, "refusal"), "'refusal'"),
        (provider.response(BODY, 1, "incomplete"), "'incomplete'"),
        ({"error": {"message": "no"}}, "an error"),
        ({"type": "error", "error": {}}, "an error"),
        ({"choices": []}, "empty"),
        ({"choices": [{"finish_reason": "stop", "message": {"content": ""}}]}, "empty"),
        ({"choices": [{"finish_reason": None, "message": {"content": "x"}}]}, "None"),
        ({"choices": [{"finish_reason": "stop", "message": {"refusal": "I cannot", "content": None}}]}, "refused"),
        ({"type": "message", "stop_reason": "end_turn", "content": []}, "empty"),
        ({"object": "response", "status": "completed", "output": []}, "empty"),
        (
            {"object": "response", "status": "completed", "output": [{"content": [{"type": "refusal"}]}]},
            "refused",
        ),
        ({}, "no known shape"),
    ],
)
def test_an_answer_that_is_not_whole_is_not_kept(response, why):
    assert why in reason_not_to_keep(response)


@pytest.mark.parametrize("api", STREAMS)
@pytest.mark.parametrize("body", [BODY, WITH_TOOL], ids=["text", "tool"])
def test_of_a_stream_only_the_whole_is_kept(api, body):
    events = STREAMS[api](body, 1, None)
    whole = "".join(events)
    assert reason_not_to_keep_stream(api, whole) is None
    assert reason_not_to_keep_stream(api, whole.replace("\n", "\r\n")) is None
    assert "".join(event.text for event in events_of(whole)) == whole
    for end in range(len(whole)):
        if whole[end:].strip():
            assert reason_not_to_keep_stream(api, whole[:end]) is not None


@pytest.mark.parametrize("api", STREAMS)
def test_a_stream_that_was_cut_off_by_a_limit_or_an_error_is_not_kept(api):
    stop = {"openai.chat": "length", "openai.responses": "incomplete", "anthropic.messages": "max_tokens"}[api]
    assert stop in reason_not_to_keep_stream(api, "".join(STREAMS[api](BODY, 1, stop)))
    events = STREAMS[api](BODY, 1, None)
    error = json.dumps({"type": "error", "error": {"message": "overloaded"}})
    assert "an error" in reason_not_to_keep_stream(api, "".join([events[0], f"data: {error}\n\n", *events[1:]]))


@pytest.mark.parametrize("api", STREAMS)
@given(text=st.text())
def test_what_is_no_stream_is_not_kept(api, text):
    assert reason_not_to_keep_stream(api, text) is not None
    assert reason_not_to_keep_stream(api, f"data: {json.dumps(text)}\n\n") is not None
