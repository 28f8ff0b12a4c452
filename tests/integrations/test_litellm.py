"""LiteLLM with a cache, through LiteLLM's own calls; its mocked completions stand in for a provider."""

import sys

import litellm
import openai
import pytest
from pydantic import create_model

from integrations.litellm_alone import WARNS, alone, settled
from integrations.provider import TOOL
from mneme import AsyncSemanticCache, SemanticCache
from mneme.integrations.litellm import LiteLLMCache
from mneme.testing import FakeClock, HashEmbedder

pytestmark = WARNS

QUESTION = [{"role": "user", "content": "What is the capital of Norway?"}]
ALIKE = [{"role": "user", "content": "what is the capital  of norway?"}]
BRIEF = {"role": "system", "content": "Be brief."}


@pytest.fixture(autouse=True)
def litellm_alone(monkeypatch):
    with alone(monkeypatch):
        yield


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cache(clock):
    with SemanticCache(":memory:", HashEmbedder(), clock=clock) as cache:
        yield cache


def use(cache, **options):
    litellm.cache = LiteLLMCache(cache, **options)


def whole(content="Oslo", *, stop="stop", **more):
    message = {"role": "assistant", "content": content, **more}
    return {"model": "m", "choices": [{"index": 0, "finish_reason": stop, "message": message}]}


def ask(answer, messages=QUESTION, **more):
    """What comes back where a provider would say *answer*."""
    return litellm.completion(model="openai/m", messages=messages, mock_response=answer, api_key="k", **more)


def said(answer, messages=QUESTION, **more):
    return ask(answer, messages, **more).choices[0].message.content


def test_the_same_question_is_answered_from_the_cache_and_says_so(cache):
    use(cache)
    first = ask("Oslo")
    again = ask("2", ALIKE)
    assert again.choices[0].message.content == "Oslo"
    assert (again.id, again.usage) == (first.id, first.usage)
    assert again._hidden_params["cache_hit"]
    assert again._hidden_params["response_cost"] == 0
    assert said("2", [{"role": "user", "content": "Who wrote the book about whales?"}]) == "2"
    assert (cache.stats().hits_exact, cache.stats().entries) == (1, 2)


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 0.5},
        {"user": "anna"},
        {"tools": [TOOL]},
        {"seed": 7},
        {"top_k": 5},
        {"extra_body": {"guided_choice": ["a"]}},
        {"api_base": "http://elsewhere"},
        {"use_litellm_proxy": True},
        {"litellm_credential_name": "other"},
        {"model_alias_map": {"openai/m": "openai/n"}},
        {"supports_system_message": False},
        {"allowed_openai_params": ["thinking"]},
        {"metadata": {"user_api_key": "other"}},
        {"metadata": {"user_api_key_team_id": "other"}},
        {"cache": {"namespace": "other"}},
        {"extra_headers": {"Anthropic-Beta": "x"}},
        {"response_format": create_model("City", name=(str, ...))},
    ],
    ids=lambda more: next(iter(more)),
)
def test_whatever_can_change_the_answer_belongs_to_the_question(cache, more):
    use(cache)
    assert said("1") == "1"
    assert said("2", **more) == "2"
    assert said("3", **more) == "2"
    assert said("3") == "1"


def test_two_clients_of_other_servers_are_two_models(cache):
    use(cache)
    with (
        openai.OpenAI(base_url="http://one", api_key="k") as one,
        openai.OpenAI(base_url="http://other", api_key="k") as other,
    ):
        assert [said("1", client=one), said("2", client=other), said("3", client=one)] == ["1", "2", "1"]


def test_what_travels_beside_the_question_does_not_belong_to_it(cache):
    use(cache)
    beside = {"timeout": 3, "extra_headers": {"x-trace": "1"}, "metadata": {"trace": "1"}, "num_retries": 1}
    assert said("1") == "1"
    assert said("2", **beside) == "1"


def test_two_schemas_of_one_name_are_two_questions(cache):
    use(cache)
    one, other = (create_model("City", **{name: (str, ...)}) for name in ("name", "country"))
    assert [said("1", response_format=one), said("2", response_format=other)] == ["1", "2"]


def test_a_parameter_of_which_nobody_knows_what_it_equals_is_passed_by(cache):
    use(cache)
    assert [said(answer, top_k=object()) for answer in "12"] == ["1", "2"]
    assert [answer_of(ask(answer, top_k=object(), stream=True)) for answer in "12"] == ["1", "2"]
    assert cache.stats().entries == 0


def test_what_was_said_before_belongs_to_the_question(cache):
    use(cache)
    hello = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    assert said("1") == "1"
    assert said("2", [BRIEF, *QUESTION]) == "2"
    assert said("3", [BRIEF, *hello, *QUESTION]) == "3"
    assert said("4", [BRIEF, *hello, *ALIKE]) == "3"
    assert said("4", [BRIEF, *ALIKE]) == "2"


def test_an_earlier_answer_may_be_litellms_own_object(cache):
    use(cache)
    hello = [{"role": "user", "content": "Hi"}, ask("Hello", [{"role": "user", "content": "Hi"}]).choices[0].message]
    assert [said(answer, [*hello, *QUESTION]) for answer in "12"] == ["1", "1"]


CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}


def test_calls_of_tools_come_back_whole_and_their_results_are_waited_for(cache):
    use(cache)
    called = whole(None, stop="tool_calls", tool_calls=[CALL])
    first, again = ask(called, tools=[TOOL]), ask("2", tools=[TOOL])
    assert again.choices[0].message.tool_calls[0].function.arguments == '{"city": "Oslo"}'
    assert again.choices[0].message == first.choices[0].message
    result = {"role": "tool", "tool_call_id": "c1", "content": "sunny"}
    conversation = [*QUESTION, first.choices[0].message, result]
    assert [said(answer, conversation, tools=[TOOL]) for answer in "12"] == ["1", "2"]


@pytest.mark.parametrize("more", [{"web_search_options": {"a": 1}}, {"tools": [{"type": "web_search"}]}], ids=str)
def test_tools_that_the_provider_runs_are_passed_by(cache, more):
    use(cache)
    assert [said(answer, **more) for answer in "12"] == ["1", "2"]


def test_several_choices_and_their_probabilities_come_back(cache):
    use(cache)
    assert len(ask("Oslo", n=2).choices) == len(ask("2", n=2).choices) == 2
    assert [said(whole(answer), n=3) for answer in "12"] == ["1", "2"]  # fewer than were asked for
    probable = whole()
    probable["choices"][0]["logprobs"] = {"content": [{"token": "Oslo", "logprob": -0.5, "top_logprobs": []}]}
    ask(probable, logprobs=True)
    assert ask("2", logprobs=True).choices[0].logprobs.content[0].logprob == -0.5
    assert said("2", logprobs=True, temperature=1) == "2"  # without any: something was lost
    assert said("3", logprobs=True, temperature=1) == "3"


@pytest.mark.parametrize("stop", ["length", "content_filter"])
def test_an_answer_that_was_cut_off_is_not_kept(cache, stop):
    use(cache)
    assert [said(answer) for answer in (whole("Os", stop=stop), "Oslo", "3")] == ["Os", "Oslo", "Oslo"]


def test_a_failure_is_not_kept(cache):
    use(cache)
    for _ in range(2):
        with pytest.raises(litellm.RateLimitError):
            ask("litellm.RateLimitError")
    assert said("Oslo") == "Oslo"


def answer_of(stream):
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def test_a_stream_is_recorded_and_replayed_as_a_stream(cache):
    use(cache)
    assert answer_of(ask("Oslo is the capital.", stream=True)) == "Oslo is the capital."
    again = list(ask("2", ALIKE, stream=True))
    assert len(again) > 2
    assert answer_of(again) == "Oslo is the capital."
    assert again[-1].choices[0].finish_reason == "stop"


def test_a_stream_that_was_left_is_not_kept(cache):
    use(cache)
    stream = ask("Oslo is the capital.", stream=True)
    next(stream)
    del stream
    assert answer_of(ask("2", stream=True)) == "2"


def test_a_call_says_how_long_and_how_fresh_and_else_the_adapter(cache, clock, caplog):
    use(cache, ttl="1m")
    ask("1")
    ask("2", cache={"ttl": 120}, temperature=1)
    assert [said(answer, cache={"ttl": 0}, seed=1) for answer in "34"] == ["3", "4"]
    clock.advance(60)
    assert (said("5"), said("6", temperature=1)) == ("5", "2")
    assert said("7", cache={"s-maxage": -1}) == "7"
    assert "mneme" not in {record.name for record in caplog.records}


def test_a_call_may_leave_the_cache_alone(cache):
    use(cache)
    assert said("1", cache={"no-store": True}) == "1"
    assert said("2") == "2"
    assert said("3", cache={"no-cache": True}) == "3"
    assert said("4") == "3"
    use(cache, mode="default_off")
    assert said("5") == "5"
    assert said("6", cache={"use-cache": True}) == "3"


def test_long_conversations_may_be_passed_by(cache):
    use(cache, max_messages=1)
    assert [said(answer, [BRIEF, *QUESTION]) for answer in "12"] == ["1", "2"]
    assert [said(answer) for answer in "12"] == ["1", "1"]


def test_a_call_is_told_how_similar_the_question_was(cache):
    use(cache)
    for similarity in (0.0, 1.0):
        metadata = {"trace": "1"}
        ask("1", metadata=metadata)
        assert metadata["semantic-similarity"] == similarity


def test_it_says_what_it_stands_on(cache):
    use(cache, namespace="acme")
    assert repr(litellm.cache) == f"<LiteLLMCache on {cache!r}, namespace 'acme'>"


def test_tenants_are_kept_apart(cache):
    use(cache, namespace="acme")
    ask("1")
    use(cache, namespace="other")
    assert said("2") == "2"
    assert cache.list_namespaces() == ["acme", "other"]


def test_what_somebody_else_stored_is_no_answer(cache):
    use(cache)
    ask("1")
    [entry] = cache.entries()
    cache.put(entry.query, "text", scope=entry.scope)
    assert said("2") == "2"


def test_other_kinds_of_calls_are_passed_by(cache):
    use(cache)
    for one in ([1.0], [2.0]):
        assert (
            litellm.embedding(model="openai/m", input="x", mock_response=one, api_key="k").data[0]["embedding"] == one
        )
    assert cache.stats().entries == 0


def test_what_the_cache_cannot_take_is_passed_by(cache, caplog):
    use(cache)
    long = [{"role": "user", "content": "x" * 40_000}]
    assert said("1", long) == "1"
    assert len(said("x" * 5_000_000)) == 5_000_000
    cache.close()
    assert said("3") == "3"
    assert [record.mneme_event for record in caplog.records if record.name == "mneme"] == [
        *("cache_bypassed", "not_stored", "not_stored", "cache_bypassed", "not_stored")
    ]


@pytest.mark.parametrize("face", [SemanticCache, AsyncSemanticCache])
async def test_awaited_calls_are_answered_from_either_cache(face):
    cache = face(":memory:", HashEmbedder())
    use(cache, ttl="1h")

    async def aask(answer, messages=QUESTION, **more):
        about = {"mock_response": answer, "api_key": "k", **more}
        response = await litellm.acompletion(model="openai/m", messages=messages, **about)
        if more.get("stream"):
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in response])
        else:
            text = response.choices[0].message.content
        await settled()
        return text

    try:
        metadata = {"trace": "1"}
        assert [await aask(answer, metadata=metadata) for answer in "12"] == ["1", "1"]
        assert metadata["semantic-similarity"] == 1
        assert await aask("2", ALIKE) == "1"
        assert await aask("2", temperature=1) == "2"
        assert [await aask(answer, stream=True) for answer in ("Oslo is it.", "3", "4")] == ["Oslo is it."] * 3
        assert await aask(whole("Os", stop="length"), seed=1) == "Os"
        assert await aask("5", seed=1) == "5"
    finally:
        closing = cache.close()
        if closing is not None:
            await closing


async def test_an_awaited_cache_that_fails_is_passed_by(caplog):
    cache = AsyncSemanticCache(":memory:", HashEmbedder())
    use(cache)
    assert said("1") == "1"  # is not awaited
    await cache.close()
    response = await litellm.acompletion(model="openai/m", messages=QUESTION, mock_response="2", api_key="k")
    await settled()
    assert response.choices[0].message.content == "2"
    assert "use acompletion" in caplog.text
    assert caplog.text.count("could not be asked") == caplog.text.count("could not be stored") == 2


async def test_embeddings_that_are_awaited_are_passed_by():
    async with AsyncSemanticCache(":memory:", HashEmbedder()) as cache:
        use(cache)
        await litellm.cache.cache.async_set_cache_pipeline([("k", 1)])
        await litellm.cache.disconnect()
        assert (await cache.stats()).entries == 0


def test_the_deployments_of_a_router_are_one_model(cache):
    use(cache)
    metadata = {"model_group": "capitals"}
    assert said("1", metadata=metadata, api_base="http://one") == "1"
    assert said("2", metadata=metadata, api_base="http://other") == "1"
    assert said("2", metadata={"model_group": "rivers"}, api_base="http://one") == "2"


def test_something_that_is_no_cache_is_refused():
    with pytest.raises(TypeError, match="must be a SemanticCache or an AsyncSemanticCache, not dict"):
        LiteLLMCache({})


def test_what_a_hit_needs_is_asked_for_at_once(cache, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("litellm.llms.anthropic.messages", "fastapi"))]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("litellm.proxy")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(ImportError, match=r"without fastapi .*mneme-cache\[litellm\]"):
        LiteLLMCache(cache)
