"""The clients of OpenAI and Anthropic with a cache before them."""

import anthropic
import openai
import pytest

from integrations.provider import ANTHROPIC_TOOL, TOOL, serving
from mneme import AsyncSemanticCache, SemanticCache
from mneme.integrations import anthropic as with_anthropic, openai as with_openai
from mneme.testing import HashEmbedder

QUESTION = [{"role": "user", "content": "What is the weather in Oslo?"}]


@pytest.fixture
def provider():
    with serving() as provider:
        yield provider


@pytest.fixture
def cache():
    with SemanticCache(":memory:", HashEmbedder()) as cache:
        yield cache


@pytest.fixture
def client(provider, cache):
    with (
        openai.OpenAI(base_url=provider.url, api_key="k", max_retries=0) as plain,
        with_openai.cached(plain, cache) as client,
    ):
        yield client


@pytest.fixture
def claude(provider, cache):
    with (
        anthropic.Anthropic(base_url=provider.url.removesuffix("/v1"), api_key="k", max_retries=0) as plain,
        with_anthropic.cached(plain, cache) as client,
    ):
        yield client


def test_an_openai_client_gets_the_same_object_from_the_cache(client, provider):
    first = client.chat.completions.create(model="m", messages=QUESTION)
    again = client.chat.completions.with_raw_response.create(model="m", messages=QUESTION)
    assert again.headers["mneme"] == "hit"
    assert again.parse() == first
    assert first.choices[0].message.content == "answer 1"
    assert len(provider.requests) == 1


def test_an_openai_client_gets_the_same_stream_from_the_cache(client, provider):
    def chunks(**more):
        return list(client.chat.completions.create(model="m", messages=QUESTION, stream=True, **more))

    first = chunks()
    assert chunks() == first
    assert "".join(chunk.choices[0].delta.content or "" for chunk in first) == "answer 1 ✓"
    called = chunks(tools=[TOOL])
    assert chunks(tools=[TOOL]) == called
    assert [chunk.choices[0].finish_reason for chunk in called][-1] == "tool_calls"
    assert len(provider.requests) == 2


def test_an_openai_client_gets_the_same_response_and_its_events_from_the_cache(client, provider):
    first = client.responses.create(model="m", input="What is the weather in Oslo?")
    assert client.responses.create(model="m", input="what is the weather in oslo?") == first
    assert first.output_text == "answer 1"
    events = list(client.responses.create(model="m", input="What is the weather in Oslo?", stream=True))
    assert list(client.responses.create(model="m", input="What is the weather in Oslo?", stream=True)) == events
    assert events[-1].type == "response.completed"
    assert len(provider.requests) == 2


def test_an_anthropic_client_gets_the_same_message_and_stream_from_the_cache(claude, provider):
    asked = {"model": "m", "max_tokens": 50, "messages": QUESTION}
    first = claude.messages.create(**asked)
    assert claude.messages.create(**asked) == first
    assert first.content[0].text == "answer 1"
    events = list(claude.messages.create(**asked, stream=True))
    assert list(claude.messages.create(**asked, stream=True)) == events
    with claude.messages.stream(**asked) as stream:  # another way to read the same
        assert stream.get_final_text() == "answer 2"
    with claude.messages.stream(**asked, tools=[ANTHROPIC_TOOL]) as stream:
        called = stream.get_final_message()
    with claude.messages.stream(**asked, tools=[ANTHROPIC_TOOL]) as stream:
        assert stream.get_final_message() == called
    assert called.content[0].input == {"city": "Oslo"}
    assert len(provider.requests) == 3


def test_errors_are_those_of_the_client(client, claude, provider):
    provider.status = 503
    for _ in range(2):
        with pytest.raises(openai.InternalServerError, match="out of order"):
            client.chat.completions.create(model="m", messages=QUESTION)
        with pytest.raises(openai.InternalServerError, match="out of order"):
            client.chat.completions.create(model="m", messages=QUESTION, stream=True)
        with pytest.raises(anthropic.InternalServerError, match="out of order"):
            claude.messages.create(model="m", max_tokens=5, messages=QUESTION)
    assert len(provider.requests) == 6


def test_a_client_is_opted_in_by_itself(provider, cache):
    with openai.OpenAI(base_url=provider.url, api_key="k") as plain, with_openai.cached(plain, cache):
        for _ in range(2):
            plain.chat.completions.create(model="m", messages=QUESTION)
    assert len(provider.requests) == 2


async def test_the_awaited_clients_do_the_same(provider):
    async with (
        AsyncSemanticCache(":memory:", HashEmbedder()) as cache,
        openai.AsyncOpenAI(base_url=provider.url, api_key="k") as plain,
        with_openai.cached(plain, cache, namespace="acme", ttl="1h") as client,
        anthropic.AsyncAnthropic(base_url=provider.url.removesuffix("/v1"), api_key="k") as plain_claude,
        with_anthropic.cached(plain_claude, cache) as claude,
    ):
        first = await client.chat.completions.create(model="m", messages=QUESTION)
        assert await client.chat.completions.create(model="m", messages=QUESTION) == first
        streams = []
        for _ in range(2):
            stream = await client.chat.completions.create(model="m", messages=QUESTION, stream=True)
            streams.append([chunk async for chunk in stream])
        assert streams[0] == streams[1]
        message = await claude.messages.create(model="m", max_tokens=5, messages=QUESTION)
        assert await claude.messages.create(model="m", max_tokens=5, messages=QUESTION) == message
        assert await cache.list_namespaces() == ["acme", "default"]
    assert len(provider.requests) == 3


async def test_a_client_and_a_cache_of_different_kinds_are_refused(cache):
    async with AsyncSemanticCache(":memory:", HashEmbedder()) as awaited:
        for module, plain, asyncio_one in (
            (with_openai, openai.OpenAI, openai.AsyncOpenAI),
            (with_anthropic, anthropic.Anthropic, anthropic.AsyncAnthropic),
        ):
            with plain(api_key="k") as client, pytest.raises(TypeError, match="needs a SemanticCache"):
                module.cached(client, awaited)
            async with asyncio_one(api_key="k") as client:
                with pytest.raises(TypeError, match="needs an AsyncSemanticCache"):
                    module.cached(client, cache)
