"""Embeddings over the API of OpenAI, from a server that speaks it."""

import numpy as np
import openai
import pytest

from integrations.provider import serving
from mneme import AsyncSemanticCache, EmbedderBackendError, EmbedderDimensionError, InputTooLongError, SemanticCache
from mneme.embedders.openai import AsyncOpenAIEmbedder, OpenAIEmbedder
from mneme.ports import AsyncEmbedder, Embedder


@pytest.fixture
def provider():
    with serving() as provider:
        yield provider


@pytest.fixture
def client(provider):
    with openai.OpenAI(base_url=provider.url, api_key="k", max_retries=0) as client:
        yield client


def test_texts_are_embedded_in_batches_and_come_back_in_order(client, provider):
    embedder = OpenAIEmbedder(client, "m", 8, batch=2)
    assert isinstance(embedder, Embedder)
    vectors = embedder.embed_many(["a", "bb", "ccc"])
    assert (vectors.dtype, vectors.shape) == (np.float32, (3, 8))
    assert vectors[:, 1].tolist() == [1.0, 2.0, 3.0]
    assert [request["input"] for request in provider.requests] == [["a", "bb"], ["ccc"]]
    assert embedder.embed("dddd")[1] == 4.0
    assert embedder.embed_many([]).shape == (0, 8)
    assert len(provider.requests) == 3


def test_the_fingerprint_holds_what_changes_a_vector(client, provider):
    host = provider.url.split("/")[2]
    assert OpenAIEmbedder(client, "m", 8).fingerprint == f"openai:{host}:m;dim=8"
    assert OpenAIEmbedder(client, "m", 8, fingerprint="ours").fingerprint == "ours"
    assert OpenAIEmbedder(client, "m", 4, dimensions=True).fingerprint != OpenAIEmbedder(client, "m", 8).fingerprint


def test_vectors_are_shortened_by_the_server_if_it_is_asked_to(client, provider):
    assert OpenAIEmbedder(client, "m", 4, dimensions=True).embed("a").shape == (4,)
    assert provider.requests[-1]["dimensions"] == 4
    with pytest.raises(EmbedderDimensionError):
        OpenAIEmbedder(client, "m", 4).embed("a")


def test_a_text_that_the_server_refuses_as_too_long_lives_on_the_exact_layer(client):
    embedder = OpenAIEmbedder(client, "m", 8)
    with pytest.raises(InputTooLongError, match="maximum context length"):
        embedder.embed("x" * 300)
    with SemanticCache(":memory:", embedder) as cache:
        cache.put("x" * 300, "answer")
        assert cache.get("x" * 300).layer == "exact"


def test_other_errors_are_those_of_the_client(client, provider):
    provider.status = 503
    with pytest.raises(openai.InternalServerError):
        OpenAIEmbedder(client, "m", 8).embed("a")


def test_an_answer_with_a_vector_too_few_is_refused(client, monkeypatch):
    whole = client.embeddings.create

    def cut(**asking):
        answer = whole(**asking)
        del answer.data[0]
        return answer

    monkeypatch.setattr(client.embeddings, "create", cut)
    with pytest.raises(EmbedderBackendError, match="1 vectors for 2 texts"):
        OpenAIEmbedder(client, "m", 8).embed_many(["a", "bb"])


@pytest.mark.parametrize("numbers", [(0, 1), (8, 0)])
def test_numbers_below_one_are_refused(client, numbers):
    with pytest.raises(ValueError, match="at least 1"):
        OpenAIEmbedder(client, "m", numbers[0], batch=numbers[1])


async def test_the_awaited_one_does_the_same(provider):
    async with openai.AsyncOpenAI(base_url=provider.url, api_key="k", max_retries=0) as client:
        embedder = AsyncOpenAIEmbedder(client, "m", 8)
        assert isinstance(embedder, AsyncEmbedder)
        with pytest.raises(InputTooLongError):
            await embedder.embed("x" * 300)
        async with AsyncSemanticCache(":memory:", embedder) as cache:
            assert await cache.put_many([("a", "1"), ("bb", "2")]) == 2
            assert (await cache.get("a")).response == "1"
    assert [request["input"] for request in provider.requests] == [["x" * 300], ["a", "bb"]]
