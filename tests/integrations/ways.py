"""Ways to ask a real model through a cache: each yields a function of an `Asked` that returns a text."""

import asyncio
import contextlib
from typing import Literal, NamedTuple

import anthropic
import dspy
import httpx
import httpx2
import instructor
import litellm
import openai
from langchain_openai import ChatOpenAI
from litellm.llms.custom_httpx.http_handler import HTTPHandler
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from mneme.integrations import anthropic as with_anthropic, httpx as with_httpx, httpx2 as with_httpx2
from mneme.integrations.dspy import DSPyCache
from mneme.integrations.langchain import LangChainCache
from mneme.integrations.litellm import LiteLLMCache
from mneme.integrations.openai import cached
from mneme.integrations.pydantic_ai import CachedModel

MODEL = "smollm2"
SYSTEM = "Answer in one short sentence."


class Asked(NamedTuple):
    """A question, and what else its answer depends on."""

    question: str
    system: str = SYSTEM
    temperature: float = 0.0

    def messages(self):
        return [{"role": "system", "content": self.system}, {"role": "user", "content": self.question}]

    def body(self, **more):
        about = {"model": MODEL, "temperature": self.temperature, "max_tokens": 16}
        return {**about, "messages": self.messages(), **more}


@contextlib.contextmanager
def _openai(address, cache):
    with (
        openai.OpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0) as plain,
        cached(plain, cache) as client,
    ):
        yield client


@contextlib.contextmanager
def openai_whole(address, cache):
    with _openai(address, cache) as client:
        yield lambda asked: client.chat.completions.create(**asked.body()).choices[0].message.content


@contextlib.contextmanager
def openai_stream(address, cache):
    def ask(asked):
        chunks = list(client.chat.completions.create(**asked.body(stream=True)))
        assert len(chunks) > 3
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    with _openai(address, cache) as client:
        yield ask


@contextlib.contextmanager
def openai_responses(address, cache):
    def ask(asked):
        about = {"instructions": asked.system, "temperature": asked.temperature, "max_output_tokens": 16}
        return client.responses.create(model=MODEL, input=asked.question, **about).output_text

    with _openai(address, cache) as client:
        yield ask


@contextlib.contextmanager
def _anthropic(address, cache):
    with (
        anthropic.Anthropic(base_url=address, api_key="k", max_retries=0) as plain,
        with_anthropic.cached(plain, cache) as client,
    ):
        yield client


def _to_claude(asked):
    messages = [{"role": "user", "content": asked.question}]
    # A temperature is no argument of this client any more.
    about = {"system": asked.system, "extra_body": {"temperature": asked.temperature}, "max_tokens": 16}
    return {"model": MODEL, "messages": messages, **about}


@contextlib.contextmanager
def anthropic_whole(address, cache):
    with _anthropic(address, cache) as client:
        yield lambda asked: client.messages.create(**_to_claude(asked)).content[0].text


@contextlib.contextmanager
def anthropic_stream(address, cache):
    def ask(asked):
        with client.messages.stream(**_to_claude(asked)) as stream:
            return stream.get_final_text()

    with _anthropic(address, cache) as client:
        yield ask


def _posting(post):
    return lambda asked: post(json=asked.body()).raise_for_status().json()["choices"][0]["message"]["content"]


@contextlib.contextmanager
def plain_httpx(address, cache):
    transport = with_httpx.CachingTransport(cache, httpx.HTTPTransport())
    with httpx.Client(transport=transport, timeout=60) as http:
        yield _posting(lambda **more: http.post(f"{address}/v1/chat/completions", **more))


@contextlib.contextmanager
def plain_httpx2(address, cache):
    transport = with_httpx2.CachingTransport(cache, httpx2.HTTPTransport())
    with httpx2.Client(transport=transport, timeout=60) as http:
        yield _posting(lambda **more: http.post(f"{address}/v1/chat/completions", **more))


@contextlib.contextmanager
def langchain(address, cache):
    def ask(asked):
        model = langchain_model(address, asked, LangChainCache(cache), http_client=http)
        return model.invoke(said(asked)).content

    with httpx2.Client() as http:
        yield ask


def langchain_model(address, asked, cache, **http):
    about = {"temperature": asked.temperature, "max_tokens": 16}
    return ChatOpenAI(base_url=f"{address}/v1", api_key="k", model=MODEL, cache=cache, **about, **http)


def said(asked):
    return [("system", asked.system), ("human", asked.question)]


class City(BaseModel):
    name: Literal["Oslo", "Stockholm"]


@contextlib.contextmanager
def instructor_around_a_cached_client(address, cache):
    def ask(asked):
        return client.create(response_model=City, **asked.body(max_tokens=64)).name

    with _openai(address, cache) as inner:
        client = instructor.from_openai(inner, mode=instructor.Mode.JSON_SCHEMA)
        yield ask


@contextlib.contextmanager
def pydantic_ai(address, cache):
    def ask(asked):
        async def run():
            async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0) as client:
                model = OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=client))
                agent = Agent(
                    CachedModel(model, cache),
                    instructions=asked.system,
                    model_settings={"temperature": asked.temperature, "max_tokens": 16},
                )
                return (await agent.run(asked.question)).output

        return asyncio.run(run())

    yield ask


@contextlib.contextmanager
def litellm_whole(address, cache):
    def ask(asked):
        return litellm.completion(**litellm_body(asked), client=client).choices[0].message.content

    litellm.cache = LiteLLMCache(cache)
    with openai.OpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0) as client:
        yield ask


@contextlib.contextmanager
def litellm_stream(address, cache):
    def ask(asked):
        chunks = list(litellm.completion(**litellm_body(asked, stream=True), client=client))
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    litellm.cache = LiteLLMCache(cache)
    with openai.OpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0) as client:
        yield ask


@contextlib.contextmanager
def litellm_over_a_cached_client(address, cache):
    def ask(asked):
        return litellm.completion(**litellm_body(asked), client=client).choices[0].message.content

    with _openai(address, cache) as client:
        yield ask


@contextlib.contextmanager
def litellm_responses(address, cache):
    def ask(asked):
        about = {"instructions": asked.system, "temperature": asked.temperature, "max_output_tokens": 16}
        where = {"model": f"openai/{MODEL}", "api_base": f"{address}/v1", "api_key": "k", "client": client}
        return litellm.responses(input=asked.question, **about, **where).output[0].content[0].text

    litellm.cache = LiteLLMCache(cache)
    client = HTTPHandler()
    yield ask
    client.close()


def litellm_body(asked, **more):
    return {**asked.body(**more), "model": f"openai/{MODEL}"}


@contextlib.contextmanager
def dspy_program(address, cache):
    def ask(asked):
        with dspy_context(address, asked) as program:
            return program(question=asked.question).name

    with using(cache):
        yield ask


@contextlib.contextmanager
def using(cache):
    before = vars(dspy).get("cache")
    dspy.cache = DSPyCache(cache)
    yield
    vars(dspy).pop("cache")
    if before is not None:
        dspy.cache = before


@contextlib.contextmanager
def dspy_context(address, asked):
    about = {"temperature": asked.temperature, "max_tokens": 64, "num_retries": 0}
    lm = dspy.LM(f"openai/{MODEL}", api_base=f"{address}/v1", api_key="k", **about)
    form = {"type": "json_schema", "json_schema": {"name": "City", "schema": City.model_json_schema()}}
    signature = dspy.Signature("question -> name", asked.system)
    with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
        yield dspy.Predict(signature, response_format=form)
    lm.close()


WAYS = [
    openai_whole,
    openai_stream,
    openai_responses,
    anthropic_whole,
    anthropic_stream,
    plain_httpx,
    plain_httpx2,
    langchain,
    pydantic_ai,
    instructor_around_a_cached_client,
    litellm_whole,
    litellm_stream,
    litellm_over_a_cached_client,
    litellm_responses,
    dspy_program,
]
