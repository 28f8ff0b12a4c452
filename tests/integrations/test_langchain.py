"""LangChain's models with a cache, through LangChain's own calls."""

import asyncio
from enum import Enum, IntEnum

import pytest
from langchain_core.language_models import FakeListLLM
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from mneme import AsyncSemanticCache, SemanticCache
from mneme.integrations.langchain import AsyncLangChainCache, LangChainCache
from mneme.testing import HashEmbedder

QUESTION = HumanMessage("What is the capital of Norway?")


class Spoken(GenericFakeChatModel):
    """One whose parameters LangChain writes after a description in JSON."""

    @classmethod
    def is_lc_serializable(cls):
        return True


class City:
    """A parameter that cannot be read from how it looks."""


@pytest.fixture
def cache():
    with SemanticCache(":memory:", HashEmbedder()) as cache:
        yield cache


def model(cache, *answers, **more):
    answers = [AIMessage(answer) if isinstance(answer, str) else answer for answer in answers]
    return GenericFakeChatModel(messages=iter(answers), cache=cache, **more)


def test_a_chat_model_answers_from_the_cache(cache):
    chat = model(LangChainCache(cache), "Oslo", "N'Djamena")
    assert chat.invoke([QUESTION]).content == "Oslo"
    again = chat.invoke([HumanMessage("what is the capital of  Norway?", id="another")])
    assert (again.content, again.usage_metadata["total_cost"]) == ("Oslo", 0)
    assert chat.invoke([HumanMessage("Who wrote the book about whales?")]).content == "N'Djamena"
    assert (cache.stats().hits_exact, cache.stats().entries) == (1, 2)


def test_what_was_said_before_belongs_to_the_question(cache):
    chat = model(LangChainCache(cache), "1", "2", "3")
    brief = SystemMessage("Be brief.")
    assert chat.invoke([QUESTION]).content == "1"
    assert chat.invoke([brief, QUESTION]).content == "2"
    assert chat.invoke([brief, HumanMessage("Hi"), AIMessage("Hello"), QUESTION]).content == "3"
    costly = AIMessage("Hello", id="run-2", usage_metadata={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2})
    assert chat.invoke([brief, HumanMessage("Hi"), costly, QUESTION]).content == "3"
    assert chat.invoke([brief, QUESTION]).content == "2"


def test_the_model_and_its_parameters_belong_to_the_question(cache):
    one = model(LangChainCache(cache), "1", "2", "3")
    assert one.invoke([QUESTION]).content == "1"
    assert one.invoke([QUESTION], stop=["\n"]).content == "2"
    assert one.bind(temperature=0.5).invoke([QUESTION]).content == "3"
    assert one.invoke([QUESTION], stop=["\n"]).content == "2"


def test_an_image_belongs_to_the_question(cache):
    def about(url):
        return HumanMessage([{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}])

    chat = model(LangChainCache(cache), "a cat", "a dog")
    assert [chat.invoke([about(url)]).content for url in ("a", "b", "a")] == ["a cat", "a dog", "a cat"]


def test_a_text_on_the_other_side_of_an_image_is_another_question(cache):
    def about(before, after):
        return HumanMessage([before, {"type": "image_url", "image_url": {"url": "a"}}, {"type": "text", "text": after}])

    chat = model(LangChainCache(cache), "1", "2")
    one, other = about("Before:", "After: which is it?"), about("Before: After:", "which is it?")
    assert [chat.invoke([said]).content for said in (one, other, one)] == ["1", "2", "1"]


def test_calls_of_tools_come_back_whole_and_their_results_are_waited_for(cache):
    called = AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Oslo"}, "id": "c1"}])
    chat = model(LangChainCache(cache), called, "1", "2")
    for _ in range(2):
        reply = chat.invoke([QUESTION])
        assert reply.tool_calls == called.tool_calls
    result = ToolMessage("sunny", tool_call_id="c1")
    assert [chat.invoke([QUESTION, called, result]).content for _ in range(2)] == ["1", "2"]


@pytest.mark.parametrize(
    "said",
    [
        {"finish_reason": "length"},
        {"finish_reason": "content_filter"},
        {"finish_reason": "MAX_TOKENS"},
        {"finish_reason": "SAFETY"},
        {"finish_reason": Enum("FinishReason", {"MAX_TOKENS": "MAX_TOKENS"}, type=str).MAX_TOKENS},
        {"finish_reason": IntEnum("FinishReason", {"MAX_TOKENS": 2}).MAX_TOKENS},
        {"finish_reason": "error"},
        {"stop_reason": "max_tokens"},
        {"stopReason": "max_tokens"},
        {"done_reason": "length"},
        {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
    ],
    ids=str,
)
def test_an_answer_that_was_cut_off_is_not_kept(cache, said):
    chat = model(LangChainCache(cache), AIMessage("Os", response_metadata=said), "Oslo")
    assert [chat.invoke([QUESTION]).content for _ in range(3)] == ["Os", "Oslo", "Oslo"]


WRAPPED = [
    {"toolSpec": {"name": "weather"}},
    {"function_declarations": [{"name": "weather"}]},
    {"name": "weather", "input_schema": {}},
    {"type": "function", "function": {"name": "weather", "description": "--- '}---[(' of a town"}},
]


@pytest.mark.parametrize("tool", [{"type": "web_search"}, {"google_search": {}}], ids=str)
def test_tools_that_the_provider_runs_are_passed_by(cache, tool):
    chat = model(LangChainCache(cache), "1", "2").bind(tools=[*WRAPPED, tool])
    assert [chat.invoke([QUESTION]).content for _ in range(2)] == ["1", "2"]
    chat = model(LangChainCache(cache), "1", "2")
    assert [chat.invoke([QUESTION], web_search_options={"a": 1}).content for _ in range(2)] == ["1", "2"]
    spoken = Spoken(messages=iter(["1", "2"]), cache=LangChainCache(cache)).bind(tools=[*WRAPPED, tool])
    assert [spoken.invoke([QUESTION]).content for _ in range(2)] == ["1", "2"]
    assert cache.stats().entries == 0


@pytest.mark.parametrize("tool", WRAPPED, ids=str)
def test_tools_that_the_caller_runs_are_not(cache, tool):
    chat = model(LangChainCache(cache), "1", "2").bind(tools=[tool], form=City)
    assert [chat.invoke([QUESTION]).content for _ in range(2)] == ["1", "1"]
    chat = model(LangChainCache(cache, namespace="other"), "1", "2").bind(tools=[tool])
    assert [chat.invoke([QUESTION]).content for _ in range(2)] == ["1", "1"]


def test_an_answer_that_is_not_json_is_not_kept(cache):
    chat = model(LangChainCache(cache), AIMessage("Os", additional_kwargs={"object": object()}), "Oslo")
    assert [chat.invoke([QUESTION]).content for _ in range(3)] == ["Os", "Oslo", "Oslo"]


def test_a_model_that_is_no_chat_model_is_asked_by_its_prompt(cache):
    llm = FakeListLLM(responses=["Oslo", "Bergen"], cache=LangChainCache(cache))
    assert [llm.invoke("The capital of Norway?") for _ in range(2)] == ["Oslo", "Oslo"]


def test_namespaces_are_kept_apart_and_cleared_alone(cache):
    acme, other = LangChainCache(cache, namespace="acme", ttl="1h"), LangChainCache(cache, namespace="other")
    assert [model(one, "1").invoke([QUESTION]).content for one in (acme, other)] == ["1", "1"]
    acme.clear()
    assert cache.list_namespaces() == ["other"]
    assert model(other, "2").invoke([QUESTION]).content == "1"
    assert model(acme, "2").invoke([QUESTION]).content == "2"


def test_what_somebody_else_stored_is_no_answer(cache):
    acme = LangChainCache(cache)
    model(acme, "1").invoke([QUESTION])
    [entry] = cache.entries()
    cache.put(entry.query, "text", scope=entry.scope)
    assert model(acme, "2").invoke([QUESTION]).content == "2"


SPOILT = {"text": "1", "info": None, "message": {"type": "ai", "data": {"content": {"said": "of a user"}}}}


def test_an_entry_that_cannot_be_read_is_passed_by(cache, caplog):
    acme = LangChainCache(cache)
    for generation in (SPOILT, {"text": "1"}):
        model(acme, "1").invoke([QUESTION])
        [entry] = cache.entries()
        cache.put(entry.query, {**entry.response, "generations": [generation]}, scope=entry.scope)
        assert model(acme, "2").invoke([QUESTION]).content == "2"
    assert [record.mneme_event for record in caplog.records] == ["entry_unreadable"] * 2
    assert "of a user" not in caplog.text


async def test_an_awaited_entry_that_cannot_be_read_is_passed_by(caplog):
    async with AsyncSemanticCache(":memory:", HashEmbedder()) as cache:
        acme = AsyncLangChainCache(cache)
        await model(acme, "1").ainvoke([QUESTION])
        [entry] = await cache.entries()
        await cache.put(entry.query, {**entry.response, "generations": [SPOILT]}, scope=entry.scope)
        assert (await model(acme, "2").ainvoke([QUESTION])).content == "2"
    assert [record.mneme_event for record in caplog.records] == ["entry_unreadable"]


async def test_an_awaited_cache_answers_awaited_calls():
    async with AsyncSemanticCache(":memory:", HashEmbedder()) as cache:
        chat = model(AsyncLangChainCache(cache), "Oslo", "2")
        assert [(await chat.ainvoke([QUESTION])).content for _ in range(2)] == ["Oslo", "Oslo"]
        with pytest.raises(TypeError, match="is awaited: use ainvoke"):
            await asyncio.to_thread(chat.invoke, [QUESTION])
        await AsyncLangChainCache(cache).aclear()
        assert (await chat.ainvoke([QUESTION])).content == "2"


def test_what_the_cache_cannot_take_is_passed_by(cache, caplog):
    chat = model(LangChainCache(cache), "1", "x" * 5_000_000, "3")
    assert chat.invoke([HumanMessage("x" * 40_000)]).content == "1"
    assert len(chat.invoke([QUESTION]).content) == 5_000_000
    cache.close()
    assert chat.invoke([QUESTION]).content == "3"
    assert len(caplog.records) == 5


async def test_what_the_awaited_cache_cannot_take_is_passed_by(caplog):
    async with AsyncSemanticCache(":memory:", HashEmbedder()) as cache:
        chat = model(AsyncLangChainCache(cache), "1", "x" * 5_000_000)
        assert (await chat.ainvoke([HumanMessage("x" * 40_000)])).content == "1"
        assert len((await chat.ainvoke([QUESTION])).content) == 5_000_000
    assert len(caplog.records) == 3
