"""Every client and framework before a real model: SmolLM2 on llama.cpp, by HTTP."""

import asyncio

import pytest

from integrations import async_ways, ways
from integrations.litellm_alone import WARNS, alone
from integrations.ways import Asked
from mneme import AsyncSemanticCache, SemanticCache
from mneme.embedders import LocalEmbedder
from servers.language_model import tokens

pytestmark = WARNS

QUESTION = "What is the capital of Norway?"
PARAPHRASE = "Which city is the capital of Norway?"
ANOTHER = "What is the capital of Sweden?"
OTHERS = (Asked(ANOTHER), Asked(QUESTION, system="Be polite."), Asked(QUESTION, temperature=0.01))


@pytest.fixture(scope="module")
def address(server_of):
    return server_of("language_model")


@pytest.fixture(autouse=True)
def litellm_alone(monkeypatch):
    with alone(monkeypatch):
        yield


@pytest.fixture(scope="module")
def embedder():
    return LocalEmbedder()


@pytest.mark.parametrize("way", ways.WAYS, ids=lambda way: way.__name__)
def test_a_paraphrase_is_answered_without_the_model_and_anything_else_by_it(way, address, embedder):
    def asking(asked):
        before = tokens(address)
        return ask(asked), tokens(address) - before

    with SemanticCache(":memory:", embedder) as cache, way(address, cache) as ask:
        first, made = asking(Asked(QUESTION))
        assert first
        assert made > 0
        assert asking(Asked(PARAPHRASE)) == (first, 0)
        for other in OTHERS:
            assert asking(other)[1] > 0, other
        assert asking(Asked(QUESTION)) == (first, 0)


@pytest.mark.parametrize("way", async_ways.WAYS, ids=lambda way: way.__name__)
async def test_an_awaited_paraphrase_is_answered_without_the_model_and_anything_else_by_it(way, address, embedder):
    async def asking(asked):
        before = await asyncio.to_thread(tokens, address)
        return await ask(asked), await asyncio.to_thread(tokens, address) - before

    async with AsyncSemanticCache(":memory:", embedder) as cache, way(address, cache) as ask:
        first, made = await asking(Asked(QUESTION))
        assert first
        assert made > 0
        assert await asking(Asked(PARAPHRASE)) == (first, 0)
        for other in OTHERS:
            assert (await asking(other))[1] > 0, other
        assert await asking(Asked(QUESTION)) == (first, 0)
