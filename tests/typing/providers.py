"""Embedders of providers as their users write them. Type-checked by mypy and pyright, never run."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import asyncio

import httpx
import httpx2

from mneme import AsyncEmbedder, AsyncSemanticCache, Embedder, SemanticCache
from mneme.embedders.bedrock import AsyncBedrockEmbedder, BedrockEmbedder
from mneme.embedders.cohere import AsyncCohereEmbedder, CohereEmbedder
from mneme.embedders.ollama import AsyncOllamaEmbedder, OllamaEmbedder
from mneme.embedders.openai import AsyncOpenAIEmbedder, OpenAIEmbedder
from mneme.embedders.voyage import AsyncVoyageEmbedder, VoyageEmbedder

blocking: list[type[Embedder]] = [OllamaEmbedder, CohereEmbedder, VoyageEmbedder, BedrockEmbedder, OpenAIEmbedder]
awaited: list[type[AsyncEmbedder]] = [
    AsyncOllamaEmbedder,
    AsyncCohereEmbedder,
    AsyncVoyageEmbedder,
    AsyncBedrockEmbedder,
    AsyncOpenAIEmbedder,
]

OllamaEmbedder("m", 3, client=httpx.Client(), options={"num_ctx": 2048}, keep_alive="10m", sleep=lambda _: None)
CohereEmbedder("m", 3, client=httpx2.Client(), input_type="search_query", timeout=2.5)
AsyncVoyageEmbedder("m", 3, client=httpx2.AsyncClient(), sleep=asyncio.sleep)
VoyageEmbedder("m", 3, client=httpx.AsyncClient())  # type: ignore[arg-type] # the other face

with OllamaEmbedder("m", 3) as one, SemanticCache("a.db", one) as cache:
    name: str = one.fingerprint


async def ask() -> None:
    async with AsyncOllamaEmbedder("m", 3) as one, AsyncSemanticCache("a.db", one) as cache:
        await cache.get(one.fingerprint)
