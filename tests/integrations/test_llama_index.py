"""Models of LlamaIndex's with a cache: the eight calls, templates, callbacks."""

import asyncio
import copy

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    TextBlock,
)
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import LLM, MockLLM
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel
from typing_extensions import override

from integrations.llama_index_model import Model, Said, calling
from mneme import AsyncSemanticCache, SemanticCache
from mneme.integrations.llama_index import CachedLLM
from mneme.testing import FakeClock, HashEmbedder

QUESTION = "What is the capital of Norway?"
AGAIN = "what is the capital of  Norway?"
TEMPLATE = PromptTemplate("Context:\n{context_str}\nQuery: {query_str}\nAnswer: ")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cache(clock):
    with SemanticCache(":memory:", HashEmbedder(), clock=clock) as cache:
        yield cache


def ask(model, question=QUESTION, *earlier, **kwargs):
    return model.chat([*earlier, ChatMessage(question)], **kwargs).message.content


# --- the eight calls --------------------------------------------------------------------------------------------------


def test_a_chat_is_answered_from_the_cache_and_says_so(cache):
    model = CachedLLM(Model(), cache)
    first, second = (model.chat([ChatMessage(question)]) for question in (QUESTION, AGAIN))
    assert (first.message.content, second.message) == ("answer 1", first.message)
    assert "mneme" not in first.additional_kwargs
    assert second.additional_kwargs["mneme"] == {"query": QUESTION, "similarity": 1.0}
    assert second.raw is None
    assert ask(model, "Who wrote the book about whales?") == "answer 2"


def test_a_completion_too(cache):
    model = CachedLLM(Model(), cache)
    assert [model.complete(one).text for one in (QUESTION, AGAIN)] == ["answer 1", "answer 1"]
    assert model.complete(QUESTION, formatted=True).text == "answer 2"
    assert ask(model) == "answer 3"


def test_streams_are_replayed_in_the_same_pieces_and_share_answers(cache):
    wrapped = Model("Oslo it is", "Bergen it is not")
    model = CachedLLM(wrapped, cache)
    streams = [list(model.stream_chat([ChatMessage(question)])) for question in (QUESTION, AGAIN)]
    for pieces in streams:
        assert [piece.delta for piece in pieces] == ["Oslo ", "it ", "is"]
        assert [piece.message.content.strip() for piece in pieces] == ["Oslo", "Oslo it", "Oslo it is"]
    assert ask(model) == "Oslo it is"
    texts = [list(model.stream_complete(question)) for question in (QUESTION, AGAIN)]
    for pieces in texts:
        assert [(piece.text, piece.delta) for piece in pieces] == [
            ("Bergen", "Bergen"),
            ("Bergen it", " it"),
            ("Bergen it is", " is"),
            ("Bergen it is not", " not"),
        ]
    assert wrapped.asked == 2


def test_a_whole_answer_is_streamed_as_one_piece(cache):
    model = CachedLLM(Model(), cache)
    ask(model)
    [piece] = model.stream_chat([ChatMessage(QUESTION)])
    assert (piece.delta, piece.message.content) == ("answer 1", "answer 1")


async def the_awaited_calls(model):
    messages = [[ChatMessage(question)] for question in (QUESTION, AGAIN)]
    assert [(await model.achat(one)).message.content for one in messages] == ["answer 1", "answer 1"]
    assert [(await model.acomplete(one)).text for one in (QUESTION, AGAIN)] == ["answer 2", "answer 2"]
    for one in (ChatMessage("a"), ChatMessage("A")):
        stream = await model.astream_chat([one])
        assert [piece.delta async for piece in stream] == ["answer ", "3"]
    for one in ("b", "B"):
        stream = await model.astream_complete(one)
        assert [piece.delta async for piece in stream] == ["answer", " 4"]


async def test_awaited_calls_too(cache):
    await the_awaited_calls(CachedLLM(Model(), cache))


async def test_an_awaited_cache_too():
    async with AsyncSemanticCache(":memory:", HashEmbedder()) as cache:
        model = CachedLLM(Model(), cache)
        await the_awaited_calls(model)
        with pytest.raises(TypeError, match="is awaited: use achat"):
            await asyncio.to_thread(ask, model)


def test_a_stream_that_was_left_or_broke_is_not_kept(cache):
    model = CachedLLM(Model(), cache)
    stream = model.stream_chat([ChatMessage(QUESTION)])
    next(stream)
    stream.close()
    broken = CachedLLM(Model(breaks_after=0), cache)
    with pytest.raises(ConnectionError):
        list(broken.stream_chat([ChatMessage(QUESTION)]))
    assert cache.stats().entries == 0
    assert ask(model) == "answer 2"


async def test_an_awaited_stream_that_was_left_is_not_kept(cache):
    model = CachedLLM(Model(), cache)
    stream = await model.astream_chat([ChatMessage(QUESTION)])
    await anext(stream)
    await stream.aclose()
    assert cache.stats().entries == 0


# --- what belongs to the question -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [Model("2", name="n"), Model("2", temperature=1.0), Model("2", system_prompt="Be brief."), MockLLM(), MockLLM(3)],
    ids=["name", "temperature", "system prompt", "class", "tokens"],
)
def test_the_model_and_its_parameters(cache, other):
    assert ask(CachedLLM(Model("1"), cache)) == "1"
    assert ask(CachedLLM(other, cache)) != "1"
    assert ask(CachedLLM(Model("3", timeout=1.0), cache)) == "1"


def test_a_parameter_that_is_set_later(cache):
    wrapped = Model()
    model = CachedLLM(wrapped, cache)
    assert ask(model) == "answer 1"
    wrapped.temperature = 1.0
    assert ask(model) == "answer 2"


def shout(prompt):
    return prompt.upper()


def test_the_functions_that_make_prompts(cache):
    assert CachedLLM(Model("1"), cache).complete(QUESTION).text == "1"
    assert CachedLLM(Model("2", completion_to_prompt=shout), cache).complete(QUESTION).text == "2"


def prefixing(prefix):
    def prefixed(prompt):
        return prefix + prompt

    return prefixed


class Speaker:
    def prompt(self, prompt):
        return prompt


@pytest.mark.parametrize("maker", [prefixing("a"), lambda prompt: prompt, Speaker().prompt])
def test_functions_whose_name_does_not_say_what_they_do_need_a_fingerprint(cache, maker):
    with pytest.raises(TypeError, match="cannot be told from another: pass fingerprint="):
        CachedLLM(Model(completion_to_prompt=maker), cache)


def test_a_method_of_the_model_itself_is_told_by_its_name(cache):
    wrapped = Model()
    wrapped.completion_to_prompt = wrapped.own_prompt
    assert [CachedLLM(wrapped, cache).complete(QUESTION).text for _ in range(2)] == ["answer 1"] * 2


class Same(Model):
    """Another class with the parameters of `Model`."""


class Behind(Model):
    """A model that holds others, as a class that they are not told by."""

    inner: LLM | None = None
    more: dict[str, list[LLM]] | None = None


@pytest.mark.parametrize(
    "other", [Model(name="n"), Same(), Model(completion_to_prompt=shout)], ids=["parameter", "class", "function"]
)
def test_the_models_that_a_model_holds(cache, other):
    assert ask(CachedLLM(Behind("1", inner=Model()), cache)) == "1"
    assert ask(CachedLLM(Behind("2", inner=other), cache)) == "2"
    assert ask(CachedLLM(Behind("3", inner=Model()), cache)) == "1"
    assert ask(CachedLLM(Behind("4", more={"a": [Model()]}), cache)) == "4"
    assert ask(CachedLLM(Behind("5", more={"a": [other]}), cache)) == "5"


def test_of_headers_those_that_change_the_answer(cache):
    class Headed(Model):
        default_headers: dict[str, str] | None = None

    betas = [{"Anthropic-Beta": "a", "x-trace": "1"}, {"anthropic-beta": "a", "x-trace": "2"}, {"OpenAI-Beta": "b"}]
    answers = [ask(CachedLLM(Headed(f"{n}", default_headers=one), cache)) for n, one in enumerate(betas)]
    assert answers == ["0", "0", "2"]
    model = CachedLLM(Model(), cache)
    assert [ask(model, extra_headers=one) for one in betas] == ["answer 1", "answer 1", "answer 2"]


def test_it_says_what_it_is_and_no_key(cache):
    class Keyed(Model):
        api_key: str = "sk-secret"

    model = CachedLLM(Keyed(name="m"), cache, namespace="acme")
    assert repr(model) == str(model) == f"<CachedLLM of Keyed 'm' on {cache!r}, namespace 'acme'>"
    assert "sk-secret" not in f"{[model]}"


def test_earlier_messages_and_arguments(cache):
    model = CachedLLM(Model(), cache)
    system = ChatMessage("Be brief.", role="system")
    hello = [ChatMessage("Hi"), ChatMessage("Hello", role="assistant")]
    kinds = [((), {}), ((system,), {}), ((system, *hello), {}), ((), {"stop": ["x"]}), ((), {"response_format": Town})]
    for expected in range(1, 6):
        earlier, kwargs = kinds[expected - 1]
        for _ in range(2):
            assert ask(model, QUESTION, *earlier, **kwargs) == f"answer {expected}"
    assert ask(model, timeout=3.0) == "answer 1"


def test_a_text_on_the_other_side_of_an_image_is_another_question(cache):
    def about(before, after):
        blocks = [TextBlock(text=before), ImageBlock(url="https://a.example/1.png"), TextBlock(text=after)]
        return model.chat([ChatMessage(blocks)]).message.content

    model = CachedLLM(Model(), cache)
    one, other = ("Before:", "After: which is it?"), ("Before: After:", "which is it?")
    assert [about(*said) for said in (one, other, one)] == ["answer 1", "answer 2", "answer 1"]


def test_images_and_marks_for_prompt_caching(cache, tmp_path):
    def about(*blocks):
        return model.chat([ChatMessage([TextBlock(text="What is it?"), *blocks])]).message.content

    model = CachedLLM(Model(), cache)
    images = [
        ImageBlock(url="https://a.example/1.png"),
        ImageBlock(url="https://a.example/2.png"),
        ImageBlock(image=b"1"),
    ]
    for _ in range(2):
        assert [about(image) for image in images] == ["answer 1", "answer 2", "answer 3"]
    assert about() == about(CachePoint(cache_control=CacheControl(type="ephemeral"))) == "answer 4"
    path = tmp_path / "image.png"
    path.write_bytes(b"1")
    assert [about(ImageBlock(path=path)) for _ in range(2)] == ["answer 5", "answer 6"]  # a file may change


def test_what_calls_of_tools_are_named_does_not(cache):
    def talk(name):
        told = ChatMessage("sunny", role="tool", additional_kwargs={"tool_call_id": name})
        return ask(
            model, QUESTION, ChatMessage("Hi"), calling("weather", name), told, ChatMessage("Hm", role="assistant")
        )

    model = CachedLLM(Model(), cache)
    assert [talk(name) for name in ("a", "b")] == ["answer 1", "answer 1"]


def test_an_object_that_cannot_be_told_from_another_needs_a_fingerprint(cache):
    class Strange(Model):
        client: object = None

    class Client:
        pass

    with pytest.raises(TypeError, match=r"Client cannot be told from another: pass fingerprint="):
        CachedLLM(Strange(client=Client()), cache)
    one, other = (CachedLLM(Strange(client=Client()), cache, fingerprint=name) for name in ("a", "b"))
    assert [ask(model) for model in (one, one, other)] == ["answer 1", "answer 1", "answer 1"]
    assert cache.stats().entries == 2
    late = CachedLLM(Strange(), cache)
    late.wrapped.client = Client()
    assert [ask(late) for _ in range(2)] == ["answer 1", "answer 2"]


# --- what is passed on, and what is not kept --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "last",
    [
        ChatMessage("sunny", role="tool"),
        ChatMessage("Hello", role="assistant"),
        ChatMessage("Observation: sunny"),
        ChatMessage(" "),
        ChatMessage([ImageBlock(url="https://a.example/1.png")]),
    ],
    ids=repr,
)
def test_a_conversation_that_ends_with_no_question_is_passed_on(cache, last):
    model = CachedLLM(Model(), cache)
    assert [model.chat([ChatMessage(QUESTION), last]).message.content for _ in range(2)] == ["answer 1", "answer 2"]
    assert cache.stats().misses == 0


def test_what_lies_with_the_provider_is_passed_on(cache):
    class Responses(Model):
        built_in_tools: list | None = None

    model = CachedLLM(Model(), cache)
    for kwargs in ({"tools": [{"type": "web_search"}]}, {"previous_response_id": "r"}, {"logit_bias": object()}):
        assert len({ask(model, **kwargs) for _ in range(2)}) == 2
    searching = CachedLLM(Responses(built_in_tools=[{"type": "web_search"}]), cache)
    assert [ask(searching) for _ in range(2)] == ["answer 1", "answer 2"]
    assert cache.stats().entries == 0


class Raw(BaseModel):
    choices: list


class Choice(BaseModel):
    finish_reason: str


@pytest.mark.parametrize(
    "answer",
    [
        ChatResponse(message=ChatMessage("Os", role="assistant"), raw={"stop_reason": "max_tokens"}),
        ChatResponse(message=ChatMessage("Os", role="assistant"), raw=Raw(choices=[Choice(finish_reason="length")])),
        ChatResponse(
            message=ChatMessage("Os", role="assistant"), raw={"choices": [{"finish_reason": "content_filter"}]}
        ),
        ChatResponse(message=ChatMessage("Os", role="assistant"), additional_kwargs={"done_reason": "length"}),
        ChatResponse(message=ChatMessage("Os", role="assistant"), additional_kwargs={"object": object()}),
        ChatResponse(message=ChatMessage("Os", role="assistant", additional_kwargs={"said": Said(id="1")})),
        ChatResponse(message=ChatMessage("", role="assistant")),
        ChatResponse(message=ChatMessage("Os", role="assistant"), raw={"delta": {"stop_reason": "max_tokens"}}),
        ChatResponse(message=ChatMessage("Os", role="assistant"), raw={"response": {"status": "incomplete"}}),
        ChatResponse(message=ChatMessage("Os", role="assistant"), raw={"messageStop": {"stopReason": "max_tokens"}}),
    ],
    ids=["top", "choices", "dictionary", "beside", "object", "form", "empty", "delta", "response", "stop"],
)
def test_an_answer_that_is_not_whole_is_not_kept(cache, answer):
    for call in (ask, lambda model: list(model.stream_chat([ChatMessage(QUESTION)]))[-1].message.content):
        model = CachedLLM(Model(answer, "Oslo", "Bergen"), cache)
        assert [call(model), ask(model), ask(model)] == [answer.message.content, "Oslo", "Oslo"]
        cache.clear_namespace("default")


def test_a_stream_that_says_in_the_middle_that_it_was_cut_off_is_not_kept(cache):
    class Chunks(Model):
        @override
        def stream_complete(self, prompt, formatted=False, **kwargs):
            yield CompletionResponse(text="Os", delta="Os", raw={"choices": [{"finish_reason": "length"}]})
            yield CompletionResponse(text="Os", delta="", raw={"choices": [], "usage": {}})

    model = CachedLLM(Chunks(), cache)
    assert len(list(model.stream_complete(QUESTION))) == 2
    assert cache.stats().entries == 0


def test_a_stream_whose_last_piece_lacks_what_was_said_is_not_kept(cache):
    class Chunks(Model):
        @override
        def stream_chat(self, messages, **kwargs):
            yield ChatResponse(message=ChatMessage("Let me see.", role="assistant"), delta="Let me see.")
            yield ChatResponse(message=calling("weather", city="Oslo"), delta="")

    assert len(list(CachedLLM(Chunks(), cache).stream_chat([ChatMessage(QUESTION)]))) == 2
    assert cache.stats().entries == 0


def test_calls_of_tools_come_back_whole_though_clients_say_them_twice(cache):
    model = CachedLLM(Model(calling("weather", city="Oslo")), cache)
    tool = FunctionTool.from_defaults(lambda city: f"sunny in {city}", name="weather", description="The weather.")
    for question in (QUESTION, AGAIN):
        response = model.chat_with_tools([tool], user_msg=question)
        [selection] = model.get_tool_calls_from_response(response)
        assert (selection.tool_name, selection.tool_kwargs, selection.tool_id) == ("weather", {"city": "Oslo"}, "c1")
    assert response.message.additional_kwargs == {"tool_calls": [{"id": "c1", "type": "function"}]}
    assert model.predict_and_call([tool], user_msg=QUESTION).response == "sunny in Oslo"
    assert cache.stats().entries == 1
    told = ChatMessage("sunny", role="tool")
    earlier = [response.message, calling("weather", city="Oslo")]
    assert [ask(model, AGAIN, called, told) for called in earlier] == ["answer 2", "answer 2"]


def test_a_model_that_calls_no_tools_says_so(cache):
    with pytest.raises(TypeError, match="MockLLM is no FunctionCallingLLM"):
        CachedLLM(MockLLM(), cache).chat_with_tools([], user_msg=QUESTION)


# --- templates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chats", [True, False])
def test_of_a_template_the_question_is_the_query_and_the_context_must_be_equal(cache, chats):
    wrapped = Model(chats=chats)
    model = CachedLLM(wrapped, cache)
    given = [("a", QUESTION), ("a", AGAIN), ("b", QUESTION), ("a", "Who wrote the book about whales?")]
    assert [model.predict(TEMPLATE, context_str=context, query_str=question) for context, question in given] == [
        "answer 1",
        "answer 1",
        "answer 2",
        "answer 3",
    ]
    partial = TEMPLATE.partial_format(query_str=AGAIN)
    assert "".join(model.stream(partial, context_str="a")) == "answer 1"
    assert {entry.query for entry in cache.entries()} == {QUESTION, "Who wrote the book about whales?"}
    assert model.complete(QUESTION).text == "answer 4"


async def test_of_a_template_that_is_awaited_too(cache):
    model = CachedLLM(Model(), cache)
    assert await model.apredict(TEMPLATE, context_str="a", query_str=QUESTION) == "answer 1"
    stream = await model.astream(TEMPLATE, context_str="a", query_str=AGAIN)
    assert "".join([token async for token in stream]) == "answer 1"


@pytest.mark.parametrize("chats", [True, False])
def test_a_template_without_a_question_answers_the_same_text_alone(cache, chats):
    model = CachedLLM(Model(chats=chats), cache)
    template = PromptTemplate("Give a title to this text: {context_str}")
    given = ["Oslo", "oslo", "Oslo", "Bergen"]
    assert [model.predict(template, context_str=text) for text in given] == [
        "answer 1",
        "answer 2",
        "answer 1",
        "answer 3",
    ]


@pytest.mark.parametrize("chats", [True, False])
def test_a_template_that_is_nothing_but_a_question_is_one(cache, chats):
    model = CachedLLM(Model(chats=chats), cache)
    given = [QUESTION, AGAIN, "Who wrote the book about whales?"]
    answers = [model.predict(PromptTemplate("{query_str}"), query_str=question) for question in given]
    assert answers == ["answer 1", "answer 1", "answer 2"]


def test_variables_say_which_part_is_the_question(cache):
    model = CachedLLM(Model(), cache, variables=["topic"])
    template = PromptTemplate("A poem about {topic}, in {language}.")
    given = [("Oslo", "Norse"), ("oslo", "Norse"), ("Oslo", "Danish")]
    assert [model.predict(template, topic=topic, language=language) for topic, language in given] == [
        "answer 1",
        "answer 1",
        "answer 2",
    ]


@pytest.mark.parametrize("chats", [True, False])
def test_a_program_is_answered_for_the_very_same_prompt_alone(cache, chats):
    def run(question):
        return program(context_str="a", query_str=question)

    wrapped = Model(*[calling("Town", name=name) for name in "abc"], chats=chats)
    program = FunctionCallingProgram.from_defaults(Town, prompt=TEMPLATE, llm=CachedLLM(wrapped, cache))
    assert [run(question).name for question in (QUESTION, AGAIN, QUESTION)] == ["a", "b", "a"]


async def test_an_awaited_program_too(cache):
    wrapped = Model(*[calling("Town", name=name) for name in "abc"])
    program = FunctionCallingProgram.from_defaults(Town, prompt=TEMPLATE, llm=CachedLLM(wrapped, cache))
    found = [await program.acall(context_str="a", query_str=question) for question in (QUESTION, AGAIN, QUESTION)]
    assert [town.name for town in found] == ["a", "b", "a"]


class Town(BaseModel):
    """A town."""

    name: str


def test_structured_answers_are_found_and_those_that_failed_are_removed(cache):
    wrapped = Model(calling("Town", wrong=1), calling("Town", name="Oslo"))
    model = CachedLLM(wrapped, cache)
    with pytest.raises(ValueError, match="name"):
        model.structured_predict(Town, TEMPLATE, context_str="a", query_str=QUESTION)
    assert cache.stats().entries == 0
    for question in (QUESTION, AGAIN):
        assert model.structured_predict(Town, TEMPLATE, context_str="a", query_str=question) == Town(name="Oslo")
    assert wrapped.asked == 2


def test_streamed_structured_answers_too(cache):
    wrapped = Model(calling("Town", name="Oslo"), RuntimeError("down"))
    model = CachedLLM(wrapped, cache)
    for question in (QUESTION, AGAIN):
        *_, last = model.stream_structured_predict(Town, TEMPLATE, context_str="a", query_str=question)
        assert last == Town(name="Oslo")
    with pytest.raises(RuntimeError, match="down"):
        list(model.stream_structured_predict(Town, TEMPLATE, context_str="b", query_str=QUESTION))
    assert (wrapped.asked, cache.stats().entries) == (2, 1)


async def test_awaited_structured_answers_too(cache):
    wrapped = Model(calling("Town", wrong=1), calling("Town", name="Oslo"))
    model = CachedLLM(wrapped, cache)
    with pytest.raises(ValueError, match="name"):
        await model.astructured_predict(Town, TEMPLATE, context_str="a", query_str=QUESTION)
    assert cache.stats().entries == 0
    for question in (QUESTION, AGAIN):
        assert await model.astructured_predict(Town, TEMPLATE, context_str="a", query_str=question) == Town(name="Oslo")
    assert wrapped.asked == 2


async def test_awaited_streams_of_structured_answers_too(cache):
    wrapped = Model(calling("Town", name="Oslo"), RuntimeError("down"))
    model = CachedLLM(wrapped, cache)
    for question in (QUESTION, AGAIN):
        stream = await model.astream_structured_predict(Town, TEMPLATE, context_str="a", query_str=question)
        assert [piece async for piece in stream][-1] == Town(name="Oslo")
    with pytest.raises(RuntimeError, match="down"):
        await model.astructured_predict(Town, TEMPLATE, context_str="b", query_str=QUESTION)
    assert (wrapped.asked, cache.stats().entries) == (2, 1)


def test_a_structured_model_has_a_cached_one_behind_it(cache):
    model = CachedLLM(Model(calling("Town", name="Oslo")), cache).as_structured_llm(Town)
    assert [model.chat([ChatMessage(question)]).raw for question in (QUESTION, QUESTION)] == [Town(name="Oslo")] * 2


# --- callbacks, settings, failures ------------------------------------------------------------------------------------


def test_callbacks_are_told_once_of_each_answer(cache):
    debug = LlamaDebugHandler(print_trace_on_end=False)
    model = CachedLLM(Model(), cache)
    model.callback_manager = CallbackManager([debug])
    for _ in range(2):
        ask(model)
        list(model.stream_complete("a"))
    events = debug.get_event_pairs(CBEventType.LLM)
    assert len(events) == 4
    told = [end.payload.get("response") or end.payload["completion"] for _, end in events]
    assert [str(one) for one in told] == ["assistant: answer 1", "answer 2"] * 2


class Events(BaseEventHandler):
    seen: list = []  # noqa: RUF012 -- a field of pydantic's

    def handle(self, event, **kwargs):
        self.seen.append(event)


async def test_event_handlers_are_told_once_of_each_answer(cache):
    handler, root = Events(), get_dispatcher()
    root.add_event_handler(handler)
    try:
        model = CachedLLM(Model(), cache)
        for _ in range(2):
            ask(model)
            stream = await model.astream_chat([ChatMessage("a")])
            assert len([piece async for piece in stream]) == 2
    finally:
        root.event_handlers.remove(handler)
    named = [event.class_name() for event in handler.seen]
    assert named[: len(named) // 2] == named[len(named) // 2 :]
    assert (named.count("LLMChatStartEvent"), named.count("LLMChatEndEvent")) == (4, 4)
    assert named.count("LLMChatInProgressEvent") == 4
    assert {event.model_dict["model_name"] for event in handler.seen if hasattr(event, "model_dict")} == {"m"}


def test_the_settings_hand_their_callbacks_to_the_model_behind(cache):
    manager = CallbackManager([])
    try:
        Settings.callback_manager = manager
        Settings.llm = CachedLLM(Model(), cache)
        assert Settings.llm.callback_manager is manager
        assert Settings.llm.wrapped.callback_manager is manager
    finally:
        Settings._llm = Settings._callback_manager = None


def test_copies_of_a_model_share_its_cache(cache):
    model = CachedLLM(Model(), cache)
    assert [ask(one) for one in (model, copy.deepcopy(model), model.model_copy())] == ["answer 1"] * 3


def test_what_describes_the_model_describes_the_one_behind(cache):
    model = CachedLLM(Model(name="n"), cache)
    assert model.metadata.model_name == "n"
    assert model.to_payload() == model.wrapped.to_payload()
    assert model.to_dict()["wrapped"]["name"] == "n"


def test_namespaces_are_kept_apart_and_answers_expire(cache, clock):
    acme, other = (CachedLLM(Model(), cache, namespace=name, ttl="1h") for name in ("acme", "other"))
    assert [ask(model) for model in (acme, other, acme)] == ["answer 1", "answer 1", "answer 1"]
    assert sorted(cache.list_namespaces()) == ["acme", "other"]
    clock.advance(3601)
    assert ask(acme) == "answer 2"


def test_what_somebody_else_stored_is_no_answer(cache):
    model = CachedLLM(Model(), cache)
    ask(model)
    [entry] = cache.entries()
    for strange in ("text", {"llama-index": 1}, {**entry.response, "llama-index": 0}, {**entry.response, "chat": {}}):
        cache.put(entry.query, strange, scope=entry.scope)
        assert ask(model) != "answer 1"


def test_a_cache_that_fails_is_passed_by(cache, caplog):
    model = CachedLLM(Model("1", "x" * 5_000_000, "3"), cache)
    assert ask(model, "x" * 40_000) == "1"
    assert len(ask(model)) == 5_000_000
    cache.close()
    assert ask(model) == "3"
    assert {record.mneme_integration for record in caplog.records} == {"llama_index"}
    assert len(caplog.records) == 5


async def test_an_awaited_cache_that_fails_is_passed_by(caplog):
    async with AsyncSemanticCache(":memory:", HashEmbedder()) as cache:
        model = CachedLLM(Model(calling("Town", wrong=1)), cache)
    with pytest.raises(ValueError, match="name"):
        await model.astructured_predict(Town, TEMPLATE, context_str="a", query_str=QUESTION)
    assert len(caplog.records) == 3


def test_anything_else_is_refused(cache):
    with pytest.raises(TypeError, match="wrapped must be an LLM of LlamaIndex's, not str"):
        CachedLLM("gpt", cache)
    with pytest.raises(TypeError, match="cache must be a SemanticCache or an AsyncSemanticCache, not str"):
        CachedLLM(Model(), "cache.db")
