"""Agents of LangChain's with middleware, through `create_agent` of the installed package."""

import asyncio
import dataclasses

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, wrap_model_call
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel, PrivateAttr

from mneme import AsyncSemanticCache, SemanticCache, as_embedder
from mneme.integrations.langchain_agents import ResponseCacheMiddleware, ToolCacheMiddleware
from mneme.testing import FakeClock, HashEmbedder

QUESTION = "What is the capital of Norway?"
AGAIN = "what is the capital of  Norway?"


class Model(BaseChatModel):
    """Says how often it was asked, or what it is told to say."""

    model_name: str = "m"
    temperature: float = 0.0
    _said: list = PrivateAttr(default_factory=list)
    _asked: list = PrivateAttr(default_factory=list)

    def __init__(self, *said, **fields):
        super().__init__(**fields)
        self._said = list(said)

    @property
    def asked(self):
        return len(self._asked)

    @property
    def _llm_type(self):
        return "model"

    @property
    def _identifying_params(self):
        return {"model_name": self.model_name, "temperature": self.temperature}

    def bind_tools(self, tools, *, tool_choice=None, **kwargs):
        return self.bind(tools=[one if isinstance(one, dict) else one.name for one in tools], **kwargs)

    def next(self, messages):
        self._asked.append(messages)
        said = self._said.pop(0) if self._said else f"answer {self.asked}"
        return said if isinstance(said, AIMessage) else AIMessage(said)

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        return ChatResult(generations=[ChatGeneration(message=self.next(messages))])

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        for word in self.next(messages).text.split(" "):
            yield ChatGenerationChunk(message=AIMessageChunk(f"{word} "))


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cache(clock):
    with SemanticCache(":memory:", HashEmbedder(), clock=clock) as cache:
        yield cache


def agent(model, cache, *, ttl=None, namespace="default", **more):
    return create_agent(model, middleware=[ResponseCacheMiddleware(cache, namespace=namespace, ttl=ttl)], **more)


def ask(one, question=QUESTION, **more):
    return one.invoke({"messages": [HumanMessage(question)]}, **more)


def said(result):
    return result["messages"][-1].text


def calling(called, **arguments):
    return AIMessage("", tool_calls=[{"name": called, "args": arguments, "id": f"call-{called}"}])


# --- the model --------------------------------------------------------------------------------------------------------


def test_an_agent_answers_from_the_cache_and_says_so(cache):
    usage = {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4}
    model = Model(AIMessage("Oslo", usage_metadata=usage, id="run-1"))
    one = agent(model, cache)
    first, second = ask(one)["messages"][-1], ask(one, AGAIN)["messages"][-1]
    assert (first.text, second.text, model.asked) == ("Oslo", "Oslo", 1)
    assert "mneme" not in first.response_metadata
    assert second.response_metadata["mneme"] == {"query": QUESTION, "similarity": 1.0}
    assert second.usage_metadata == {**usage, "total_cost": 0}
    assert first.id != second.id
    assert said(ask(one, "Who wrote the book about whales?")) == "answer 2"


async def test_an_awaited_agent_does_too(cache):
    model = Model()
    one = agent(model, cache)
    for question in (QUESTION, AGAIN):
        assert said(await one.ainvoke({"messages": [HumanMessage(question)]})) == "answer 1"
    async with AsyncSemanticCache(":memory:", HashEmbedder()) as awaited:
        one = agent(model, awaited)
        for question in (QUESTION, AGAIN):
            assert said(await one.ainvoke({"messages": [HumanMessage(question)]})) == "answer 2"
        with pytest.raises(TypeError, match="is awaited: use ainvoke"):
            await asyncio.to_thread(ask, one)


def test_a_streamed_agent_does_too_and_streams_what_it_can(cache):
    one = agent(Model(AIMessage("Oslo it is")), cache)
    asked = {"messages": [HumanMessage(QUESTION)]}
    first = [chunk.text for chunk, _ in one.stream(asked, stream_mode="messages")]
    second = [chunk.text for chunk, _ in one.stream(asked, stream_mode="messages")]
    assert first[:3] == ["Oslo ", "it ", "is "]
    assert second == ["Oslo it is "]


async def test_an_awaited_stream_does_too(cache):
    model = Model()
    one = agent(model, cache)
    asked = {"messages": [HumanMessage(QUESTION)]}
    texts = []
    for _ in range(2):
        stream = one.astream(asked, stream_mode="messages")
        texts += [[chunk.text async for chunk, _ in stream]]
    assert texts == [["answer ", "1 ", ""], ["answer 1 "]]


def test_a_stream_that_was_given_up_is_not_kept(cache):
    class Broken(Model):
        def _stream(self, messages, stop=None, run_manager=None, **kwargs):
            for number, chunk in enumerate(super()._stream(messages)):
                if number == 1 and self.asked == 1:
                    raise ConnectionError
                yield chunk

    one = agent(Broken("Oslo it is"), cache)
    asked = {"messages": [HumanMessage(QUESTION)]}
    with pytest.raises(ConnectionError):
        list(one.stream(asked, stream_mode="messages"))
    assert cache.stats().entries == 0
    assert said(ask(one)) == "answer 2"


@tool
def weather(city: str) -> str:
    """Say how the weather is."""
    return f"sunny in {city}"


@tool
def news(city: str) -> str:
    """Say what is new."""
    return f"nothing in {city}"


class City(BaseModel):
    """A city."""

    name: str


class Town(BaseModel):
    """A town."""

    name: str


def with_settings(**settings):
    @wrap_model_call
    def changed(request, handler):
        return handler(request.override(model_settings=settings))

    return changed


@pytest.mark.parametrize(
    "options",
    [
        {"system_prompt": "Be brief."},
        {"system_prompt": "Be verbose."},
        {"tools": [weather]},
        {"tools": [news]},
        {"tools": [weather, news]},
        {"tools": [{"type": "function", "function": {"name": "weather", "parameters": {}}}]},
        {"name": "another"},
        {"response_format": ProviderStrategy(City)},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_the_model_is_told_belongs_to_the_question(cache, options):
    assert said(ask(agent(Model("1"), cache))) == "1"
    model = Model(*['{"name": "2"}'] * 2)
    for _ in range(2):
        assert said(ask(agent(model, cache, **options))) == '{"name": "2"}'
    assert model.asked == 1
    assert said(ask(agent(Model("3"), cache))) == "1"


@pytest.mark.parametrize("model", [Model("2", model_name="n"), Model("2", temperature=1.0)])
def test_the_model_belongs_to_the_question(cache, model):
    assert said(ask(agent(Model("1"), cache))) == "1"
    assert said(ask(agent(model, cache))) == "2"


def test_a_class_of_models_that_does_not_tell_its_parameters_is_still_told_from_another(cache):
    class Other(Model):
        pass

    assert said(ask(agent(Model("1"), cache))) == "1"
    assert said(ask(agent(Other("2"), cache))) == "2"


def test_the_choice_of_a_tool_belongs_to_the_question(cache):
    def one(model, choice):
        @wrap_model_call
        def chosen(request, handler):
            return handler(request.override(tool_choice=choice))

        return create_agent(model, [weather], middleware=[chosen, ResponseCacheMiddleware(cache)])

    assert [said(ask(one(Model(choice), choice))) for choice in ("any", "auto", "any")] == ["any", "auto", "any"]
    assert said(ask(one(Model("2"), "any"))) == "any"


def test_settings_belong_to_the_question_if_the_middleware_comes_after_what_sets_them(cache):
    def one(model, **settings):
        middleware = [with_settings(**settings), ResponseCacheMiddleware(cache)]
        return create_agent(model, middleware=middleware)

    assert said(ask(one(Model("1"), top_p=0.1))) == "1"
    assert said(ask(one(Model("2"), top_p=0.2))) == "2"
    assert said(ask(one(Model("3"), top_p=0.1))) == "1"


def test_tools_that_the_provider_runs_are_passed_on(cache):
    for found in ({"type": "web_search"}, {"google_search": {}}):
        one = agent(Model("1", "2"), cache, tools=[found])
        assert [said(ask(one)) for _ in range(2)] == ["1", "2"]
    assert (cache.stats().entries, cache.stats().misses) == (0, 0)


def test_calls_of_tools_are_kept_and_the_tools_run_each_time(cache):
    ran = []

    @tool
    def lookup(city: str) -> str:
        """Look it up."""
        ran.append(city)
        return "found"

    model = Model(calling("lookup", city="Oslo"), "1", "2")
    one = agent(model, cache, tools=[lookup])
    assert [said(ask(one)) for _ in range(2)] == ["1", "2"]
    assert (ran, model.asked) == (["Oslo", "Oslo"], 3)


def test_a_conversation_with_tools_is_recognised_whatever_its_calls_were_named(cache):
    def talk(one, name):
        called = AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Oslo"}, "id": name}])
        done = ToolMessage("sunny", tool_call_id=name)
        return one.invoke({"messages": [HumanMessage("Hi"), called, done, AIMessage("Sunny."), HumanMessage(QUESTION)]})

    one = agent(Model(), cache, tools=[weather])
    assert [said(talk(one, name)) for name in ("a", "b")] == ["answer 1", "answer 1"]


def test_in_one_conversation_an_answer_that_is_said_again_does_not_take_the_place_of_the_first(cache):
    class Forgetful(AgentMiddleware):
        def wrap_model_call(self, request, handler):
            return handler(request.override(messages=request.messages[-1:]))

    one = create_agent(
        Model(AIMessage("Oslo", id="run-1")),
        middleware=[Forgetful(), ResponseCacheMiddleware(cache)],
        checkpointer=InMemorySaver(),
    )
    thread = {"configurable": {"thread_id": "1"}}
    for _ in range(3):
        result = ask(one, config=thread)
    assert [message.text for message in result["messages"]] == [QUESTION, "Oslo"] * 3


# --- answers of a form ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        (ToolStrategy(City), calling("City", name="Oslo")),
        (City, calling("City", name="Oslo")),
        (ToolStrategy(City | Town), calling("Town", name="Oslo")),
        (ProviderStrategy(City), AIMessage('{"name": "Oslo"}')),
        ({"type": "object", "properties": {"name": {"type": "string"}}}, None),
        ({"title": "City", "type": "object", "properties": {"name": {"type": "string"}}}, calling("City", name="Oslo")),
    ],
    ids=["tool", "auto", "union", "provider", "untitled", "titled"],
)
def test_a_structured_answer_comes_back_as_it_was(cache, wanted, answer):
    class Named(Model):
        """Calls the tool that it is given, whose name is chance where a schema has none."""

        def bind_tools(self, tools, **kwargs):
            if answer is None:
                self._said = [calling(tools[-1].name, name="Oslo")]
            return super().bind_tools(tools, **kwargs)

    model = Named(answer)
    results = [ask(agent(model, cache, response_format=wanted), question) for question in (QUESTION, AGAIN)]
    assert model.asked == 1
    assert results[0]["structured_response"] == results[1]["structured_response"]
    assert type(results[0]["structured_response"]) is type(results[1]["structured_response"])
    assert [type(message) for message in results[0]["messages"]] == [
        type(message) for message in results[1]["messages"]
    ]
    assert [message.text for message in results[0]["messages"][1:]] == [
        message.text for message in results[1]["messages"][1:]
    ]


def test_the_form_belongs_to_the_question(cache):
    def one(wanted, **arguments):
        return ask(agent(Model(calling(wanted.__name__, **arguments)), cache, response_format=ToolStrategy(wanted)))

    assert one(City, name="1")["structured_response"] == City(name="1")
    assert one(Town, name="2")["structured_response"] == Town(name="2")
    assert one(City, name="3")["structured_response"] == City(name="1")


def test_an_answer_that_did_not_have_the_form_is_not_kept(cache):
    model = Model(calling("City", wrong=1), calling("City", name="Oslo"), calling("City", name="Bergen"))
    one = agent(model, cache, response_format=ToolStrategy(City))
    assert ask(one)["structured_response"] == City(name="Oslo")
    assert cache.stats().entries == 0
    assert ask(one)["structured_response"] == City(name="Bergen")
    assert ask(one)["structured_response"] == City(name="Bergen")


def test_an_answer_without_a_form_is_not_kept_where_one_was_wanted(cache):
    model = Model("Oslo", calling("City", name="Oslo"), calling("City", name="Bergen"))
    one = agent(model, cache, response_format=ToolStrategy(City))
    assert ask(one)["structured_response"] == City(name="Oslo")  # LangChain asks on until it has the form
    assert cache.stats().entries == 0
    assert [ask(one)["structured_response"] for _ in range(2)] == [City(name="Bergen")] * 2


def test_an_answer_that_a_new_validator_refuses_is_asked_for_again(cache):
    def form(longest):
        class City(BaseModel):
            """A city."""

            name: str

            def model_post_init(self, context):
                assert len(self.name) <= longest

        return ToolStrategy(City)

    model = Model(calling("City", name="Oslo"), calling("City", name="Rom"))
    assert ask(agent(model, cache, response_format=form(4)))["structured_response"].name == "Oslo"
    assert ask(agent(model, cache, response_format=form(3)))["structured_response"].name == "Rom"


# --- what is not kept, tenants, failures ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        AIMessage("Os", response_metadata={"finish_reason": "length"}),
        AIMessage("Os", response_metadata={"stop_reason": "refusal"}),
        AIMessage("Os", additional_kwargs={"object": object()}),
        AIMessage("Os", invalid_tool_calls=[{"name": "x", "args": "{", "id": "1", "error": "cut off"}]),
        AIMessage(""),
    ],
    ids=["length", "refusal", "object", "invalid call", "empty"],
)
def test_an_answer_that_is_not_whole_is_not_kept(cache, answer):
    one = agent(Model(answer, "Oslo"), cache)
    assert [said(ask(one)) for _ in range(3)] == [answer.text, "Oslo", "Oslo"]


@dataclasses.dataclass
class Who:
    tenant: str


def test_the_tenant_may_be_told_from_what_the_agent_was_called_with(cache, caplog):
    one = agent(Model(), cache, namespace=lambda request: request.runtime.context.tenant, context_schema=Who)
    assert [said(ask(one, context=Who(name))) for name in ("acme", "other", "acme")] == [
        "answer 1",
        "answer 2",
        "answer 1",
    ]
    assert sorted(cache.list_namespaces()) == ["acme", "other"]
    assert not caplog.records
    assert said(ask(one)) == "answer 3"
    assert "no attribute 'tenant'" in caplog.text


def test_an_answer_expires(cache, clock):
    one = agent(Model(), cache, ttl="1h")
    assert [said(ask(one)) for _ in range(2)] == ["answer 1", "answer 1"]
    clock.advance(3601)
    assert said(ask(one)) == "answer 2"


def test_what_somebody_else_stored_is_no_answer(cache):
    one = agent(Model(), cache)
    ask(one)
    [entry] = cache.entries()
    for strange in ("text", {"langchain": 1, "generations": []}, {**entry.response, "langchain": 0}):
        cache.put(entry.query, strange, scope=entry.scope)
        assert said(ask(one)) != "answer 1"


def test_an_entry_that_cannot_be_read_is_passed_by(cache, caplog):
    one = agent(Model(), cache)
    ask(one)
    [entry] = cache.entries()
    spoilt = {"text": "1", "info": None, "message": {"type": "ai", "data": {"content": {"said": "of a user"}}}}
    cache.put(entry.query, {**entry.response, "generations": [spoilt]}, scope=entry.scope)
    assert said(ask(one)) == "answer 2"
    assert [record.mneme_event for record in caplog.records] == ["entry_unreadable"]
    assert "of a user" not in caplog.text


class Silent(Model):
    """A model that does not say which it is."""

    @property
    def _identifying_params(self):
        return {}


def test_a_model_that_does_not_say_which_it_is_is_told_by_its_parameters(cache):
    models = [Silent("1", model_name="m"), Silent("2", model_name="n"), Silent("3", model_name="m")]
    assert [said(ask(agent(one, cache))) for one in models] == ["1", "2", "1"]


def test_a_cache_that_fails_is_passed_by(cache, caplog):
    one = agent(Model(), cache)
    ask(one)
    cache.close()
    assert said(ask(one)) == "answer 2"
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2


async def test_a_cache_that_fails_is_passed_by_when_awaited(caplog):
    async with AsyncSemanticCache(":memory:", HashEmbedder()) as cache:
        one = agent(Model(), cache)
    assert said(await one.ainvoke({"messages": [HumanMessage(QUESTION)]})) == "answer 1"
    assert len(caplog.records) == 2


def test_anything_but_a_cache_is_refused(cache):
    with pytest.raises(TypeError, match="cache must be a SemanticCache or an AsyncSemanticCache, not str"):
        ResponseCacheMiddleware("cache.db")
    with pytest.raises(TypeError, match="tools must map names to arguments"):
        ToolCacheMiddleware(cache, ["search"])


# --- tools ------------------------------------------------------------------------------------------------------------


class Search:
    """A tool that counts what it was asked, and an agent that calls it."""

    def __init__(self, cache, arguments, *, fails=False, **options):
        self.asked = []

        @tool(response_format="content_and_artifact")
        def search(query: str, limit: int = 3) -> tuple[str, dict]:
            """Search for something."""
            self.asked.append(query)
            if fails:
                raise ToolException("nothing found")
            return f"{len(self.asked)} found", {"n": len(self.asked)}

        search.handle_tool_error = True
        calls = [calling("search", **one) for one in arguments]
        turns = [said for call in calls for said in (call, "done")]
        middleware = [ToolCacheMiddleware(cache, **options)]
        self.agent = create_agent(Model(*turns), [search], middleware=middleware)

    def ask(self):
        return ask(self.agent)["messages"][-2]

    async def aask(self):
        return (await self.agent.ainvoke({"messages": [HumanMessage(QUESTION)]}))["messages"][-2]


def test_a_tool_that_is_named_is_searched_for_by_one_argument(cache):
    queries = [
        {"query": "Capital of Norway"},
        {"query": "capital of norway"},
        {"query": "capital of norway", "limit": 5},
    ]
    search = Search(cache, queries, tools={"search": "query"})
    first, second, third = (search.ask() for _ in range(3))
    assert [one.text for one in (first, second, third)] == ["1 found", "1 found", "2 found"]
    assert second.artifact == {"n": 1}
    assert (second.name, second.tool_call_id) == ("search", "call-search")
    assert second.response_metadata["mneme"] == {"query": "Capital of Norway", "similarity": 1.0}


def test_tools_of_one_name_that_are_described_otherwise_are_two(cache):
    def results_of(place):
        @tool(description=f"Search {place}.")
        def search(query: str) -> str:
            return f"found in {place}"

        model = Model(calling("search", query="delivery"), "done")
        one = create_agent(model, [search], middleware=[ToolCacheMiddleware(cache, {"search": "query"})])
        return ask(one)["messages"][-2].text

    found = [results_of(place) for place in ("the handbook", "the news", "the handbook")]
    assert found == ["found in the handbook", "found in the news", "found in the handbook"]
    assert cache.stats().hits_exact == 1


async def test_an_awaited_tool_too(cache):
    search = Search(cache, [{"query": "x"}] * 2, tools={"search": "query"})
    assert [(await search.aask()).text for _ in range(2)] == ["1 found", "1 found"]


def test_a_tool_without_such_an_argument_answers_equal_calls_alone():
    same = as_embedder(lambda text: [1.0, 0.0], fingerprint="everything is the same")
    calls = [{"query": "x"}, {"query": "X"}, {"query": "x", "limit": 3}, {"query": "x"}]
    with SemanticCache(":memory:", same, guards=()) as cache:
        search = Search(cache, calls, tools={"search": None})
        assert [search.ask().text for _ in calls] == ["1 found", "2 found", "3 found", "1 found"]


def test_a_tool_that_is_not_named_runs(cache):
    search = Search(cache, [{"query": "x"}] * 2, tools={"news": "query"})
    assert [search.ask().text for _ in range(2)] == ["1 found", "2 found"]


def test_an_agent_may_have_several_for_other_tools(cache):
    middleware = [
        ToolCacheMiddleware(cache, {name: "city"}, ttl=ttl) for name, ttl in (("weather", "1h"), ("news", "1d"))
    ]
    one = create_agent(Model(calling("news", city="Oslo"), "done"), [weather, news], middleware=middleware)
    assert said(ask(one)) == "done"
    [entry] = cache.entries()
    assert (entry.query, entry.scope["tool"], entry.expires_at - entry.created_at) == ("Oslo", "news", 86400.0)


def test_a_tool_that_failed_is_not_kept(cache):
    search = Search(cache, [{"query": "x"}] * 2, tools={"search": "query"}, fails=True)
    assert [search.ask().status for _ in range(2)] == ["error", "error"]
    assert search.asked == ["x", "x"]
    assert cache.stats().entries == 0
