"""Titan and Cohere on Amazon Bedrock: the real clients of boto3 and aiobotocore against a server that speaks it."""

import asyncio
import contextlib
import contextvars
import functools
import gc
import threading
import weakref

import boto3
import numpy as np
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.config import Config
from botocore.exceptions import ClientError

from mneme import (
    AsyncSemanticCache,
    EmbedderBackendError,
    EmbedderDimensionError,
    InputTooLongError,
    SemanticCache,
)
from mneme.embedders.bedrock import AsyncBedrockEmbedder, BedrockEmbedder
from mneme.ports import AsyncEmbedder, Embedder
from servers._embeddings import WINDOW, providing, vector

TITAN, OLD_TITAN = "amazon.titan-embed-text-v2:0", "amazon.titan-embed-text-v1"
COHERE, NEW_COHERE = "cohere.embed-english-v3", "cohere.embed-v4:0"
MODELS = {TITAN: 1024, OLD_TITAN: 1536, COHERE: 1024, NEW_COHERE: 1536}
LONG = "word " * (WINDOW + 1)
ACCESS = {"region_name": "eu-central-1", "aws_access_key_id": "AKIATEST", "aws_secret_access_key": "a-secret"}
ONCE = {"max_attempts": 0}
THROTTLED = (400, {"x-amzn-errortype": "ThrottlingException"}, {"message": "slower"})

session = functools.cache(lambda: boto3.Session(**ACCESS))  # reads descriptions of AWS for a while


@pytest.fixture
def provider():
    with providing() as provider:
        yield provider


@pytest.fixture
def client(provider):
    config = Config(retries=ONCE)
    with contextlib.closing(session().client("bedrock-runtime", endpoint_url=provider.url, config=config)) as client:
        yield client


@contextlib.asynccontextmanager
async def awaited(provider):
    names = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "a-secret", "region_name": "eu-central-1"}
    making = get_session().create_client(
        "bedrock-runtime", endpoint_url=provider.url, config=AioConfig(retries=ONCE), **names
    )
    async with making as client:
        yield client


# --- the models ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "dim"), MODELS.items())
def test_texts_come_back_as_vectors_in_order(client, model, dim):
    embedder = BedrockEmbedder(client, model, dim)
    assert isinstance(embedder, Embedder)
    texts = [f"text number {n}" for n in range(10)]
    vectors = embedder.embed_many(texts)
    assert (vectors.dtype, vectors.shape) == (np.float32, (10, dim))
    for text, row in zip(texts, vectors, strict=True):
        assert np.allclose(row, vector(text, dim))
    assert np.array_equal(embedder.embed(texts[3]), vectors[3])
    assert embedder.embed_many([]).shape == (0, dim)


async def test_the_awaited_one_does_the_same(provider):
    async with awaited(provider) as client:
        for model, dim in MODELS.items():
            embedder = AsyncBedrockEmbedder(client, model, dim)
            assert isinstance(embedder, AsyncEmbedder)
            vectors = await embedder.embed_many(["one", "two words", "three words here"])
            assert np.allclose(vectors[1], vector("two words", dim))
            assert np.array_equal(await embedder.embed("one"), vectors[0])
            assert (await embedder.embed_many([])).shape == (0, dim)
            with pytest.raises(InputTooLongError):
                await embedder.embed(LONG)


def test_each_family_is_asked_in_its_own_way(client, provider):
    BedrockEmbedder(client, OLD_TITAN, 1536).embed("text")
    BedrockEmbedder(client, TITAN, 256, dimensions=True).embed("text")
    BedrockEmbedder(client, COHERE, 1024).embed("text")
    BedrockEmbedder(client, NEW_COHERE, 512, dimensions=True, input_type="search_query").embed("text")
    cohere = {"texts": ["text"], "truncate": "NONE", "embedding_types": ["float"]}
    assert provider.requests == [
        {"inputText": "text"},
        {"inputText": "text", "normalize": True, "dimensions": 256},
        {**cohere, "input_type": "clustering"},
        {**cohere, "input_type": "search_query", "output_dimension": 512},
    ]
    assert {headers["accept"] for headers in provider.headers} == {"application/json"}


def test_cohere_gets_as_many_texts_at_once_as_it_takes_and_titan_one(client, provider):
    assert BedrockEmbedder(client, COHERE, 1024).embed_many(["text"] * 100).shape == (100, 1024)
    assert sorted(len(request["texts"]) for request in provider.requests) == [4, 96]


def test_requests_go_out_side_by_side_but_no_more_than_so_many(client, provider):
    provider.gate = threading.Event()
    calls = []
    embedder = BedrockEmbedder(client, TITAN, 1024, concurrency=3)
    caller = threading.Thread(target=lambda: calls.append(embedder.embed_many(["text"] * 7)))
    caller.start()
    with provider.busier:
        assert provider.busier.wait_for(lambda: provider.busy == 3, timeout=30)
    provider.gate.set()
    caller.join()
    assert (calls[0].shape, provider.most_busy, len(provider.requests)) == ((7, 1024), 3, 7)


def test_requests_know_in_whose_context_they_are(client):
    caller, seen = contextvars.ContextVar("caller"), []
    client.meta.events.register("before-call.bedrock-runtime.InvokeModel", lambda **_: seen.append(caller.get(None)))
    caller.set("shop")
    BedrockEmbedder(client, TITAN, 1024).embed_many(["text"] * 3)
    assert seen == ["shop"] * 3


async def test_the_awaited_requests_go_out_side_by_side_too(provider):
    async with awaited(provider) as client:
        provider.gate = threading.Event()
        call = asyncio.create_task(AsyncBedrockEmbedder(client, TITAN, 1024, concurrency=3).embed_many(["text"] * 7))
        await asyncio.to_thread(wait_until_busy, provider, 3)
        provider.gate.set()
        assert (await call).shape == (7, 1024)
    assert provider.most_busy == 3


def wait_until_busy(provider, number):
    with provider.busier:
        assert provider.busier.wait_for(lambda: provider.busy == number, timeout=30)


async def test_a_cancelled_call_cancels_its_requests(provider):
    async with awaited(provider) as client:
        provider.gate = threading.Event()
        call = asyncio.create_task(AsyncBedrockEmbedder(client, TITAN, 1024, concurrency=2).embed_many(["text"] * 5))
        await asyncio.to_thread(wait_until_busy, provider, 2)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        provider.gate.set()
    assert len(provider.requests) == 2


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "dim"), MODELS.items())
def test_a_text_that_would_be_cut_off_is_refused(client, model, dim):
    embedder = BedrockEmbedder(client, model, dim)
    with pytest.raises(InputTooLongError, match=r"(?i)too many"):
        embedder.embed_many(["short", LONG, "short"])
    with SemanticCache(":memory:", embedder) as cache:
        cache.put_many([(LONG, "long"), ("a short question", "short")])
        assert cache.get(LONG).layer == "exact"
        assert cache.stats().entries == 2


def test_more_characters_than_bedrock_lets_through_are_too_long_as_well(client):
    with pytest.raises(InputTooLongError, match="expected maxLength: 2048, actual: 2049"):
        BedrockEmbedder(client, COHERE, 1024).embed("x" * 2049)


def test_other_errors_are_those_of_the_client_and_show_no_secret(client, provider):
    refused = (400, {"x-amzn-errortype": "ThrottlingException"}, {"message": "Too many tokens, please wait"})
    provider.script = [refused]
    with pytest.raises(client.exceptions.ThrottlingException) as caught:
        BedrockEmbedder(client, TITAN, 1024).embed("text")
    assert "secret" not in str(caught.value)
    del caught  # its frames hold the connection open
    with pytest.raises(ClientError, match="model identifier is invalid"):
        BedrockEmbedder(client, "amazon.titan-embed-text-v2:9", 1024).embed("text")


def test_one_request_that_fails_ends_a_batch_with_its_error(client, provider):
    provider.script = [THROTTLED]
    with pytest.raises(ClientError, match="slower"):
        BedrockEmbedder(client, TITAN, 1024, concurrency=2).embed_many(["text"] * 50)
    assert len(provider.requests) < 50


async def test_one_awaited_request_that_fails_ends_a_batch_with_its_error(provider):
    provider.script = [THROTTLED]
    async with awaited(provider) as client:
        with pytest.raises(ClientError, match="slower"):
            await AsyncBedrockEmbedder(client, TITAN, 1024, concurrency=2).embed_many(["text"] * 50)
    assert len(provider.requests) < 50


@contextlib.contextmanager
def without_collector():
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_an_error_is_gone_when_nobody_has_it_and_its_connection_with_it(client, provider):
    provider.script = [THROTTLED] * 2
    embedder = BedrockEmbedder(client, TITAN, 1024, concurrency=2)
    with without_collector():
        try:
            embedder.embed_many(["one", "two"])
        except ClientError as error:
            seen = weakref.ref(error)
        assert seen() is None


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"embedding": [float("nan")] * 1024}, "no finite number"),
        ({"message": "soon"}, "answered without vectors"),
        (b"<html>", "no JSON"),
        (["a"], "answered without vectors"),
    ],
)
def test_an_answer_that_is_no_vector_is_refused(client, provider, document, message):
    provider.script = [(200, {}, document)]
    with pytest.raises(EmbedderBackendError, match=message):
        BedrockEmbedder(client, TITAN, 1024).embed("text")


def test_vectors_of_another_length_are_refused(client):
    with pytest.raises(EmbedderDimensionError, match="1024 numbers for each text instead of 512"):
        BedrockEmbedder(client, TITAN, 512).embed("text")


# --- names -----------------------------------------------------------------------------------------------------------


def test_the_fingerprint_is_that_of_the_model_wherever_it_runs(client):
    def named(model, dim=8, **options):
        return BedrockEmbedder(client, model, dim, **options).fingerprint

    assert named(TITAN) == "bedrock:amazon.titan-embed-text-v2:0;dim=8"
    assert named(COHERE) == "bedrock:cohere.embed-english-v3;dim=8;input_type=clustering"
    profile = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.cohere.embed-v4:0"
    assert named(profile) == named("eu.cohere.embed-v4:0") == named(NEW_COHERE)
    rented = "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefghijkl"
    assert named(rented, family="titan-v2") == f"bedrock:{rented};dim=8"
    assert len({named(TITAN), named(TITAN, 4), named(COHERE), named(COHERE, input_type="search_query")}) == 4
    assert named(TITAN, fingerprint="ours") == "ours"


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("meta.llama3", {}, r"'meta.llama3' is no Titan or Cohere model .* say family=: titan-v1, titan-v2, cohere"),
        (TITAN, {"family": "nova"}, "family must be one of .*not 'nova'"),
        (TITAN, {"input_type": "clustering"}, "Titan models have none"),
        (COHERE, {"input_type": "query"}, "input_type must be one of"),
        (OLD_TITAN, {"dimensions": True}, "dimensions=True is for Titan v2"),
        (TITAN, {"concurrency": 0}, "concurrency must be at least 1"),
    ],
)
def test_what_bedrock_does_not_take_is_refused(client, model, options, message):
    with pytest.raises(ValueError, match=message):
        BedrockEmbedder(client, model, 8, **options)


async def test_a_client_of_the_other_face_is_refused(client, provider):
    with pytest.raises(TypeError, match="a client of aiobotocore, not BedrockRuntime"):
        AsyncBedrockEmbedder(client, TITAN, 8)
    async with awaited(provider) as other:
        with pytest.raises(TypeError, match=r"boto3\.client"):
            BedrockEmbedder(other, TITAN, 8)
    with pytest.raises(TypeError, match="not object"):
        BedrockEmbedder(object(), TITAN, 8)


async def test_an_awaited_cache_stands_on_it(provider):
    async with awaited(provider) as client:
        embedder = AsyncBedrockEmbedder(client, TITAN, 1024)
        async with AsyncSemanticCache(":memory:", embedder, similarity_threshold=0.7) as cache:
            await cache.put_many([("how do I reset my password", "like this"), (LONG, "long")])
            assert (await cache.get("how do I reset my password please")).layer == "semantic"
            assert (await cache.get(LONG)).layer == "exact"
