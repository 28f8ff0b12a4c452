"""Agents of PydanticAI's with a cached model, through PydanticAI's own calls."""

import asyncio
import contextlib

import httpx
import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, ModelRetry
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import (
    CachePoint,
    ModelRequest,
    ModelResponse,
    TextContent,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.native_tools import WebSearchTool

from mneme import AsyncSemanticCache, SemanticCache
from mneme.integrations.pydantic_ai import CachedModel
from mneme.testing import FailingEmbedder, FakeClock, HashEmbedder

QUESTION = "What is the capital of Norway?"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cache(clock):
    with SemanticCache(":memory:", HashEmbedder(), clock=clock) as cache:
        yield cache


class Answers:
    """A model that says how often it was asked, or what it is told to say."""

    def __init__(self, *said):
        self.said = list(said)
        self.asked = 0
        self.model = FunctionModel(self.whole, stream_function=self.stream)

    def next(self):
        self.asked += 1
        return self.said.pop(0) if self.said else f"answer {self.asked}"

    def whole(self, messages, info):
        said = self.next()
        return said if isinstance(said, ModelResponse) else ModelResponse([TextPart(said)])

    async def stream(self, messages, info):
        for word in self.next().split(" "):
            yield f"{word} "


async def ask(agent, question=QUESTION, **more):
    return (await agent.run(question, **more)).output


async def test_an_agent_answers_from_the_cache_and_has_used_nothing(cache):
    answers = Answers()
    agent = Agent(CachedModel(answers.model, cache))
    assert await ask(agent) == "answer 1"
    again = await agent.run("what is the capital of  Norway?")
    assert (again.output, answers.asked) == ("answer 1", 1)
    assert (again.usage.input_tokens, again.usage.output_tokens) == (0, 0)
    assert again.all_messages()[-1].metadata == {"mneme": {"query": QUESTION, "similarity": 1.0}}
    assert again.all_messages()[-1].run_id == again.all_messages()[0].run_id
    assert await ask(agent, "Who wrote the book about whales?") == "answer 2"


def test_an_agent_that_blocks_does_too(cache):
    agent = Agent(CachedModel(Answers().model, cache))
    with contextlib.closing(asyncio.new_event_loop()) as loop:  # PydanticAI would leave one open
        asyncio.set_event_loop(loop)
        assert [agent.run_sync(QUESTION).output for _ in range(2)] == ["answer 1", "answer 1"]
        asyncio.set_event_loop(None)


async def test_an_awaited_cache_does_too():
    async with AsyncSemanticCache(":memory:", HashEmbedder()) as cache:
        agent = Agent(CachedModel(Answers().model, cache))
        assert [await ask(agent) for _ in range(2)] == ["answer 1", "answer 1"]


async def test_what_was_said_before_belongs_to_the_question_but_not_when(cache):
    agent = Agent(CachedModel(Answers().model, cache))
    hello = [ModelRequest([UserPromptPart("Hi")]), ModelResponse([TextPart("Hello")])]
    later = [ModelRequest([UserPromptPart("Hi")]), ModelResponse([TextPart("Hello", id="x")], model_name="m")]
    other = [ModelRequest([UserPromptPart("Hi")]), ModelResponse([TextPart("Hello!")])]
    assert await ask(agent) == "answer 1"
    assert await ask(agent, message_history=hello) == "answer 2"
    assert await ask(agent, message_history=later) == "answer 2"
    assert await ask(agent, message_history=other) == "answer 3"


def plain_tool(city: str) -> str:
    """Say how the weather is."""
    return city


class City(BaseModel):
    name: str


@pytest.mark.parametrize(
    "options",
    [
        {"instructions": "Be brief."},
        {"system_prompt": "Be brief."},
        {"model_settings": {"temperature": 0.5}},
        {"tools": [plain_tool]},
        {"output_type": [City, str]},
    ],
    ids=lambda options: next(iter(options)),
)
async def test_everything_that_changes_the_answer_belongs_to_the_question(cache, options):
    answers = Answers()
    plain, other = Agent(CachedModel(answers.model, cache)), Agent(CachedModel(answers.model, cache), **options)
    assert [await ask(one) for one in (plain, other, plain, other)] == ["answer 1", "answer 2", "answer 1", "answer 2"]


async def test_the_model_belongs_to_the_question(cache):
    one, other = (TestModel(custom_output_text=name, model_name=name) for name in ("a", "b"))
    assert [await ask(Agent(CachedModel(model, cache))) for model in (one, other)] == ["a", "b"]


@pytest.mark.parametrize("settings", [{"timeout": httpx.Timeout(3)}, {"service_tier": "flex"}, {"timeout": 5}])
async def test_how_a_request_travels_does_not(cache, settings):
    agent = Agent(CachedModel(Answers().model, cache))
    assert await ask(agent) == "answer 1"
    assert await ask(agent, model_settings=settings) == "answer 1"


async def test_an_image_belongs_to_the_question_and_a_mark_does_not(cache):
    agent = Agent(CachedModel(Answers().model, cache))

    def about(data, *more):
        return [TextContent("What is it?", metadata=data), BinaryContent(data, media_type="image/png"), *more]

    asked = [await ask(agent, about(*one)) for one in ([b"cat"], [b"dog"], [b"cat", CachePoint()])]
    assert asked == ["answer 1", "answer 2", "answer 1"]


async def test_a_text_on_the_other_side_of_an_image_is_another_question(cache):
    agent = Agent(CachedModel(Answers().model, cache))
    image = BinaryContent(b"cat", media_type="image/png")
    one, other = ["Before:", image, "After: which is it?"], ["Before: After:", image, "which is it?"]
    assert [await ask(agent, said) for said in (one, other, one)] == ["answer 1", "answer 2", "answer 1"]


async def test_calls_of_tools_come_back_whole_and_their_results_are_waited_for(cache):
    call = ModelResponse([ThinkingPart("Hm"), ToolCallPart("plain_tool", {"city": "Oslo"}, tool_call_id="c1")])
    answers = Answers(call)
    agent = Agent(CachedModel(answers.model, cache), tools=[plain_tool])
    assert await ask(agent) == "answer 2"
    again = await agent.run(QUESTION)
    assert (again.output, answers.asked) == ("answer 3", 3)
    thought, called = again.all_messages()[1].parts
    assert (thought.content, called.args, called.tool_call_id) == ("Hm", {"city": "Oslo"}, "c1")


async def test_structured_output_comes_back(cache):
    agent = Agent(CachedModel(TestModel(custom_output_args={"name": "Oslo"}), cache), output_type=City)
    assert [await ask(agent) for _ in range(2)] == [City(name="Oslo")] * 2
    assert cache.stats().hits_exact == 1


async def test_a_call_whose_arguments_do_not_hold_is_removed(cache):
    wrong = ModelResponse([ToolCallPart("plain_tool", {"town": "Oslo"})])
    agent = Agent(CachedModel(Answers(wrong).model, cache), tools=[plain_tool])
    assert await ask(agent) == "answer 2"
    assert cache.stats().entries == 0


async def test_models_that_stand_in_for_one_another_may_be_wrapped_together_or_each(cache):
    def broken(messages, info):
        raise ModelHTTPError(500, "broken")

    answers = Answers()
    together = CachedModel(FallbackModel(FunctionModel(broken), answers.model), cache)
    each = FallbackModel(CachedModel(FunctionModel(broken), cache), CachedModel(answers.model, cache))
    asked = [await ask(Agent(model)) for model in (together, together, each, each)]
    assert asked == ["answer 1", "answer 1", "answer 2", "answer 2"]


async def test_the_names_of_earlier_calls_are_chance(cache):
    model = CachedModel(Answers().model, cache)

    async def after(name):
        called = ModelResponse([ToolCallPart("plain_tool", {"city": "Oslo"}, tool_call_id=name)])
        result = ModelRequest([ToolReturnPart("plain_tool", "sunny", name)])
        messages = [ModelRequest([UserPromptPart("Hi")]), called, result, ModelResponse([TextPart("Sunny.")])]
        return (await model_request(model, [*messages, ModelRequest([UserPromptPart(QUESTION)])])).text

    assert [await after(name) for name in ("a", "b")] == ["answer 1", "answer 1"]


async def test_a_note_of_the_applications_is_not_the_question(cache):
    model = CachedModel(Answers().model, cache)

    async def noted(note):
        parts = [UserPromptPart(QUESTION), UserPromptPart(f"<system>{note}</system>")]
        return (await model.request([ModelRequest(parts)], None, ModelRequestParameters())).text

    assert [await noted(note) for note in ("3 left", "2 left", "3 left")] == ["answer 1", "answer 2", "answer 1"]
    assert {entry.query for entry in cache.entries()} == {QUESTION}


async def test_an_answer_that_is_sent_back_is_removed(cache):
    answers = Answers("Bergen", "Oslo", "Oslo again")
    agent = Agent(CachedModel(answers.model, cache))

    @agent.output_validator
    def check(output: str) -> str:
        if output == "Bergen":
            raise ModelRetry("No.")
        return output

    assert await ask(agent) == "Oslo"
    assert cache.stats().entries == 0
    assert [await ask(agent) for _ in range(2)] == ["Oslo again", "Oslo again"]


async def test_an_answer_that_is_sent_back_is_removed_from_the_query_it_was_given_to(clock):
    with SemanticCache(":memory:", HashEmbedder(), clock=clock, similarity_threshold=0.0, guards=()) as cache:
        answers = Answers("Bergen", "Oslo")
        model = CachedModel(answers.model, cache)
        await ask(Agent(model), "Capital of Norway?")
        agent = Agent(model)

        @agent.output_validator
        def check(output: str) -> str:
            if output == "Bergen":
                raise ModelRetry("No.")
            return output

        assert await ask(agent, "The capital of Norway?") == "Oslo"
        assert cache.stats().entries == 0


@pytest.mark.parametrize(
    "answer",
    [
        ModelResponse([TextPart("Os")], finish_reason="length"),
        ModelResponse([TextPart("Os")], finish_reason="content_filter"),
        ModelResponse([TextPart("Os")], state="interrupted"),
    ],
)
async def test_an_answer_that_was_cut_off_is_not_kept(cache, answer):
    model = CachedModel(Answers(answer).model, cache)
    messages = [ModelRequest([UserPromptPart(QUESTION)])]
    assert [(await model_request(model, messages)).text for _ in range(3)] == ["Os", "answer 2", "answer 2"]


@pytest.mark.parametrize(
    ("messages", "settings", "parameters"),
    [
        ([], None, {}),
        ([ModelRequest([UserPromptPart(" ")])], None, {}),
        ([ModelRequest([], instructions="Tell a joke.")], None, {}),
        ([ModelRequest([UserPromptPart(QUESTION)]), ModelResponse([TextPart("Os")], state="suspended")], None, {}),
        ([ModelRequest([UserPromptPart(QUESTION)])], {"openai_previous_response_id": "r"}, {}),
        ([ModelRequest([UserPromptPart(QUESTION)])], {"extra_body": object()}, {}),
        ([ModelRequest([UserPromptPart(QUESTION)])], None, {"native_tools": [WebSearchTool()]}),
        ([ModelRequest([ToolReturnPart("t", "sunny", "c"), UserPromptPart(QUESTION)])], None, {}),
    ],
)
async def test_what_must_not_come_from_a_cache_is_passed_on(cache, messages, settings, parameters):
    answers = Answers()

    class Open(CachedModel):
        """Whatever the model supports."""

    model = Open(answers.model, cache)
    asked = [await model.request(messages, settings, ModelRequestParameters(**parameters)) for _ in range(2)]
    assert [one.text for one in asked] == ["answer 1", "answer 2"]
    assert cache.stats().misses == 0


async def test_a_stream_is_recorded_and_replayed_and_shared_with_whole_answers(cache):
    answers = Answers("Oslo it is")
    agent = Agent(CachedModel(answers.model, cache))
    for _ in range(2):
        async with agent.run_stream(QUESTION) as stream:
            texts = [text async for text in stream.stream_text(delta=True, debounce_by=None)]
        assert "".join(texts) == "Oslo it is "
    assert (await ask(agent), answers.asked) == ("Oslo it is ", 1)


async def test_whoever_reads_the_events_of_a_stream_reads_them_of_a_replay_too(cache):
    model = CachedModel(Answers("Oslo it is").model, cache)
    messages = [ModelRequest([UserPromptPart(QUESTION)])]
    texts = []
    for _ in range(2):
        async with model.request_stream(messages, None, ModelRequestParameters()) as stream:
            events = [event async for event in stream]
        starts = [event.part.content for event in events if event.event_kind == "part_start"]
        texts.append(
            "".join(starts + [event.delta.content_delta for event in events if event.event_kind == "part_delta"])
        )
    assert texts == ["Oslo it is ", "Oslo it is "]


async def test_a_stream_that_was_left_before_its_end_is_not_kept(cache):
    model = CachedModel(Answers("Oslo it is").model, cache)
    messages = [ModelRequest([UserPromptPart(QUESTION)])]
    async with model.request_stream(messages, None, ModelRequestParameters()) as stream:
        await anext(aiter(stream))
    assert cache.stats().entries == 0


async def test_namespaces_and_times_are_those_of_the_adapter(cache, clock):
    answers = Answers()
    one, other = (Agent(CachedModel(answers.model, cache, namespace=name, ttl="1m")) for name in ("a", "b"))
    assert [await ask(agent) for agent in (one, other, one)] == ["answer 1", "answer 2", "answer 1"]
    clock.advance(60)
    assert await ask(one) == "answer 3"


async def test_what_somebody_else_stored_is_no_answer(cache):
    agent = Agent(CachedModel(Answers().model, cache))
    await ask(agent)
    for answer in ("text", {"pydantic-ai": 1}, {"pydantic-ai": 1, "response": {"kind": "response", "parts": 3}}):
        [entry] = cache.entries()
        cache.put(entry.query, answer, scope=entry.scope)
        assert (await ask(agent)).startswith("answer")


async def test_a_cache_that_fails_is_passed_by(caplog):
    cache = SemanticCache(":memory:", HashEmbedder())
    cache.close()
    agent = Agent(CachedModel(Answers().model, cache))
    assert await ask(agent) == "answer 1"
    assert "could not be asked" in caplog.text


@pytest.mark.parametrize("error", [RuntimeError("no such model"), ConnectionError("refused"), TimeoutError()])
@pytest.mark.parametrize("streamed", [False, True])
async def test_an_embedder_that_fails_is_passed_by(caplog, error, streamed):
    with SemanticCache(":memory:", FailingEmbedder(HashEmbedder(), lambda _: True, error=error)) as cache:
        agent = Agent(CachedModel(Answers().model, cache))
        answers = []
        for _ in range(2):
            if streamed:
                async with agent.run_stream(QUESTION) as result:
                    answers.append((await result.get_output()).strip())
            else:
                answers.append(await ask(agent))
        assert answers == ["answer 1", "answer 2"]
        assert cache.stats().entries == 0
    assert "could not be asked" in caplog.text  # nor could the answer be kept
    bypassed = [record for record in caplog.records if record.mneme_event == "cache_bypassed"]
    assert {record.mneme_error for record in bypassed} == {type(error).__name__}
    assert {record.mneme_integration for record in bypassed} == {"pydantic_ai"}


def test_what_is_no_cache_is_refused():
    with pytest.raises(TypeError, match="not dict"):
        CachedModel(TestModel(), {})
