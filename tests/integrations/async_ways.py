"""The same as `ways`, awaited."""

import contextlib

import httpx
import httpx2
import litellm
import openai

from integrations.litellm_alone import settled
from integrations.ways import langchain_model, litellm_body, said
from mneme.integrations import httpx as with_httpx, httpx2 as with_httpx2
from mneme.integrations.langchain import AsyncLangChainCache
from mneme.integrations.litellm import LiteLLMCache
from mneme.integrations.openai import cached


@contextlib.asynccontextmanager
async def _openai(address, cache):
    async with (
        openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0) as plain,
        cached(plain, cache) as client,
    ):
        yield client


@contextlib.asynccontextmanager
async def openai_whole(address, cache):
    async def ask(asked):
        return (await client.chat.completions.create(**asked.body())).choices[0].message.content

    async with _openai(address, cache) as client:
        yield ask


@contextlib.asynccontextmanager
async def openai_stream(address, cache):
    async def ask(asked):
        stream = await client.chat.completions.create(**asked.body(stream=True))
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async with _openai(address, cache) as client:
        yield ask


@contextlib.asynccontextmanager
async def plain_httpx(address, cache):
    transport = with_httpx.AsyncCachingTransport(cache, httpx.AsyncHTTPTransport())
    async with httpx.AsyncClient(transport=transport, timeout=60) as http:
        yield _posting(http, address)


@contextlib.asynccontextmanager
async def plain_httpx2(address, cache):
    transport = with_httpx2.AsyncCachingTransport(cache, httpx2.AsyncHTTPTransport())
    async with httpx2.AsyncClient(transport=transport, timeout=60) as http:
        yield _posting(http, address)


def _posting(http, address):
    async def ask(asked):
        response = await http.post(f"{address}/v1/chat/completions", json=asked.body())
        return response.raise_for_status().json()["choices"][0]["message"]["content"]

    return ask


@contextlib.asynccontextmanager
async def langchain(address, cache):
    async def ask(asked):
        model = langchain_model(address, asked, AsyncLangChainCache(cache), http_async_client=http)
        return (await model.ainvoke(said(asked))).content

    async with httpx2.AsyncClient() as http:
        yield ask


@contextlib.asynccontextmanager
async def litellm_whole(address, cache):
    async def ask(asked):
        response = await litellm.acompletion(**litellm_body(asked), client=client)
        await settled()
        return response.choices[0].message.content

    litellm.cache = LiteLLMCache(cache)
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0) as client:
        yield ask


@contextlib.asynccontextmanager
async def litellm_stream(address, cache):
    async def ask(asked):
        stream = await litellm.acompletion(**litellm_body(asked, stream=True), client=client)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        await settled()
        return text

    litellm.cache = LiteLLMCache(cache)
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0) as client:
        yield ask


WAYS = [openai_whole, openai_stream, plain_httpx, plain_httpx2, langchain, litellm_whole, litellm_stream]
