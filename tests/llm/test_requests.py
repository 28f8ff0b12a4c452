"""What of a chat request is the query, what the scope, and what must not come from a cache at all."""

import copy
import json

import pytest
from hypothesis import given, strategies as st

from mneme import MnemeError
from mneme.llm import NotCacheableError, from_anthropic, from_openai, from_openai_responses

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {}}}


def openai_request(**more):
    return {
        "model": "gpt",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi!"},
            {"role": "user", "content": "How are you?"},
        ],
        **more,
    }


def anthropic_request(**more):
    return {
        "model": "claude",
        "max_tokens": 100,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "How are you?"}],
        **more,
    }


def test_the_last_user_turn_is_the_query():
    assert from_openai(openai_request()).query == "How are you?"
    assert from_anthropic(anthropic_request()).query == "How are you?"
    assert from_openai_responses({"model": "m", "input": "How are you?"}).query == "How are you?"
    parts = [{"type": "text", "text": "What is"}, IMAGE, {"type": "text", "text": "this?"}]
    assert from_openai({"model": "m", "messages": [{"role": "user", "content": parts}]}).query == "What is\nthis?"
    turn = {"role": "user", "content": [{"type": "input_text", "text": "How are you?"}]}
    assert from_openai_responses({"model": "m", "input": [turn]}).query == "How are you?"


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"temperature": 0.2},
        {"temperature": 0},
        {"seed": 1},
        {"tools": [TOOL]},
        {"tool_choice": "required"},
        {"response_format": {"type": "json_object"}},
        {"max_tokens": 5},
        {"n": 2},
        {"a_parameter_of_next_year": True},
    ],
    ids=str,
)
def test_what_changes_the_answer_is_in_the_scope(change):
    assert from_openai(openai_request(**change)).scope != from_openai(openai_request()).scope
    if "tools" not in change:
        assert from_anthropic(anthropic_request(**change)).scope != from_anthropic(anthropic_request()).scope


@pytest.mark.parametrize("turn", [0, 1, 2])
def test_every_turn_before_the_last_is_in_the_scope(turn):
    request = openai_request()
    request["messages"][turn]["content"] += " "
    assert from_openai(request).scope != from_openai(openai_request()).scope
    assert from_openai(openai_request(messages=openai_request()["messages"][1:])).scope != from_openai(request).scope


def test_the_same_words_about_another_image_are_another_question():
    def scope(image):
        content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": image}}]
        return from_openai({"model": "m", "messages": [{"role": "user", "content": content}]}).scope

    assert scope("a") == scope("a") != scope("b")


@pytest.mark.parametrize(
    "change",
    [
        {"user": "somebody"},
        {"metadata": {"trace": "1"}},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"service_tier": "flex"},
        {"prompt_cache_key": "k"},
        {"store": True},
        {"timeout": 5},
        {"temperature": None},
    ],
    ids=str,
)
def test_who_asks_and_how_it_travels_is_not_in_the_scope(change):
    assert from_openai(openai_request(**change)).scope == from_openai(openai_request()).scope
    assert from_openai(openai_request(**change)).stream == ("stream" in change)


@pytest.mark.parametrize("read", [from_openai, from_anthropic])
def test_a_text_on_the_other_side_of_an_image_is_another_question(read):
    def asked(*texts):
        before, *after = ({"type": "text", "text": text} for text in texts)
        image = {"type": "image_url", "image_url": {"url": "https://a.example/1.png"}}
        return read({"model": "m", "messages": [{"role": "user", "content": [before, image, *after]}]})

    one, other = asked("Before:", "After: which is it?"), asked("Before: After:", "which is it?")
    assert one.query.split() == other.query.split()
    assert one.scope != other.scope
    assert asked("Before:", "After: which is it now?").scope == one.scope
    assert asked("What is it?").scope == asked("What is that?").scope


def test_texts_in_a_row_are_one_question():
    one, other = (
        from_openai({"messages": [{"role": "user", "content": [{"type": "text", "text": text} for text in texts]}]})
        for texts in (("Which town", "is it?"), ("Which town is", "it?"))
    )
    assert one.scope == other.scope


def test_a_model_that_is_no_text_is_told_from_another():
    one, other = (from_openai({"model": [name], "messages": [{"role": "user", "content": "x"}]}) for name in "ab")
    assert one.scope != other.scope
    with pytest.raises(TypeError, match="not JSON"):
        from_openai({"model": object(), "messages": [{"role": "user", "content": "x"}]})


def test_marks_for_prompt_caching_are_not_in_the_scope():
    mark = {"cache_control": {"type": "ephemeral"}}
    tool = {"name": "weather", "input_schema": {"type": "object"}}
    plain = anthropic_request(
        system=[{"type": "text", "text": "Be brief."}],
        tools=[tool],
        messages=[{"role": "user", "content": [{"type": "text", "text": "How are you?"}]}],
    )
    marked = copy.deepcopy(plain)
    for part in (marked["system"][0], marked["tools"][0], marked["messages"][0]["content"][0]):
        part.update(mark)
    assert from_anthropic(marked) == from_anthropic(plain)


def test_the_same_conversation_in_the_shapes_of_two_apis_is_not_the_same():
    assert from_openai(anthropic_request()).scope != from_anthropic(anthropic_request()).scope


@pytest.mark.parametrize(
    ("read", "request_", "why"),
    [
        (from_openai, {}, "no messages"),
        (from_openai, {"messages": "Hello"}, "no messages"),
        (from_openai, {"messages": []}, "no turn"),
        (from_openai, {"messages": ["Hello"]}, "no turn"),
        (from_openai, {"messages": [{"role": "assistant", "content": "Well"}]}, "not the user's"),
        (from_openai, {"messages": [{"role": "tool", "content": "3"}]}, "results of tools"),
        (from_openai, {"messages": [{"role": "user", "content": " \n"}]}, "no text"),
        (from_openai, {"messages": [{"role": "user", "content": None}]}, "no text"),
        (from_openai, {"messages": [{"role": "user", "content": [IMAGE]}]}, "no text"),
        (from_openai, openai_request(modalities=["text", "audio"]), "audio"),
        (from_openai, openai_request(web_search_options={"user_location": None}), "searches the web"),
        (from_openai_responses, {"input": "x", "previous_response_id": "r"}, "lies with the provider"),
        (from_openai_responses, {"input": "x", "conversation": "c"}, "lies with the provider"),
        (from_openai_responses, {"input": "x", "background": True}, "background"),
        (from_openai_responses, {"input": "x", "tools": [{"type": "web_search"}]}, r"runs a tool \(web_search\)"),
        (from_openai_responses, {"input": [{"type": "function_call_output", "output": "3"}]}, "results of tools"),
        (from_openai_responses, {}, "no input"),
        (from_anthropic, anthropic_request(tools=[{"type": "web_search_20250305", "name": "w"}]), "runs a tool"),
        (from_anthropic, anthropic_request(mcp_servers=[{"url": "u"}]), "runs tools"),
        (
            from_anthropic,
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "3"}]}]},
            "results of tools",
        ),
    ],
)
def test_what_must_not_come_from_a_cache_is_refused(read, request_, why):
    with pytest.raises(NotCacheableError, match=why):
        read(request_)
    assert issubclass(NotCacheableError, MnemeError)


def test_a_request_with_objects_in_it_is_refused():
    for value in (object(), float("nan")):
        with pytest.raises(TypeError, match="the request is not JSON"):
            from_openai(openai_request(tool_choice=value))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), JSON), st.lists(st.dictionaries(st.text(), JSON)))
def test_the_scope_is_short_and_tells_nothing_of_what_was_said(parameters, turns):
    request = {**parameters, "model": "m", "tools": None, "modalities": None, "web_search_options": None}
    request["messages"] = [*turns, {"role": "user", "content": "a question"}]
    chat = from_openai(request)
    assert chat.query == "a question"
    assert set(chat.scope) == {"api", "model", "context"}
    assert len(json.dumps(chat.scope)) < 200
    assert from_openai(json.loads(json.dumps(request))) == chat
