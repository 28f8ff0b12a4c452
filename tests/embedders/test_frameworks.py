"""Embeddings of LangChain and LlamaIndex, of the installed packages, as embedders of a cache."""

import asyncio

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings, FakeEmbeddings
from langchain_openai import AzureOpenAIEmbeddings
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.embeddings import MockEmbedding
from pydantic import BaseModel, Field, SecretStr

from mneme import AsyncSemanticCache, EmbedderMismatchError, SemanticCache, as_embedder
from mneme.embedders import LocalEmbedder, as_async_embedder
from mneme.errors import EmbedderDimensionError
from mneme.testing import AsyncTwin, HashEmbedder

QUESTION = "How do I reset my password?"


class Chain(BaseModel, Embeddings):
    """LangChain's on the local model, with the fields that such classes have."""

    model: str = "local"
    dimensions: int | None = None
    query_instruction: str = "Represent the question: "
    api_key: SecretStr = SecretStr("one")
    base_url: str | None = None
    max_retries: int = 2
    batch_size: int = 32
    model_kwargs: dict = Field(default_factory=dict)
    num_ctx: int | None = None
    truncation: bool = True
    client: object = None

    def embed_documents(self, texts):
        return LOCAL.embed_many(texts).tolist()

    def embed_query(self, text):
        raise AssertionError("a cache compares like with like")


class AsyncChain(Chain):
    async def aembed_documents(self, texts):
        await asyncio.sleep(0)
        return self.embed_documents(texts)

    async def aembed_query(self, text):
        raise AssertionError("a cache compares like with like")


class Index(BaseEmbedding):
    """LlamaIndex's on the local model."""

    model_name: str = "local"
    text_instruction: str | None = None
    additional_kwargs: dict = Field(default_factory=dict)
    api_base: str | None = None
    timeout: float = 60.0

    def _get_text_embedding(self, text):
        return LOCAL.embed(text).tolist()

    def _get_query_embedding(self, query):
        raise AssertionError("a cache compares like with like")

    async def _aget_query_embedding(self, query):
        raise AssertionError("a cache compares like with like")


class AsyncIndex(Index):
    async def _aget_text_embedding(self, text):
        await asyncio.sleep(0)
        return self._get_text_embedding(text)


LOCAL = LocalEmbedder()


def kinds(*classes):
    return pytest.mark.parametrize("kind", classes, ids=lambda kind: kind.__name__)


# --- blocking ---------------------------------------------------------------------------------------------------------


@kinds(Chain, Index)
def test_an_embedding_on_a_real_model_makes_the_vectors_of_that_model(kind):
    embedder = as_embedder(kind())
    texts = [QUESTION, "Where is my parcel?", "x"]
    np.testing.assert_allclose(embedder.embed_many(texts), LOCAL.embed_many(texts), rtol=1e-5)
    assert embedder.embed(QUESTION).dtype == np.float32
    with SemanticCache(":memory:", embedder) as cache:
        cache.put(QUESTION, "Open Settings.")
        hit = cache.get("How can I reset my password?")
        assert (hit.response, hit.layer) == ("Open Settings.", "semantic")


def test_batches_are_no_larger_than_llama_index_is_told():
    seen = []

    class Batches(Index):
        def _get_text_embeddings(self, texts):
            seen.append(len(texts))
            return super()._get_text_embeddings(texts)

    assert as_embedder(Batches(embed_batch_size=2)).embed_many(list("abcde")).shape == (5, LOCAL.dim)
    assert seen == [2, 2, 1]


@pytest.mark.parametrize(
    "fake",
    [FakeEmbeddings(size=8), DeterministicFakeEmbedding(size=8), MockEmbedding(8)],
    ids=lambda fake: type(fake).__name__,
)
def test_one_that_does_not_say_which_model_it_is_needs_a_fingerprint(fake):
    with pytest.raises(ValueError, match="does not say which model it is; pass fingerprint="):
        as_embedder(fake)
    embedder = as_embedder(fake, fingerprint="fake;dim=8")
    assert (embedder.fingerprint, embedder.dim) == ("fake;dim=8", 8)
    assert embedder.embed_many(["a", "b"]).shape == (2, 8)


def test_a_fake_that_is_the_same_for_the_same_text_is_an_embedder():
    with SemanticCache(":memory:", as_embedder(DeterministicFakeEmbedding(size=64), fingerprint="fake")) as cache:
        cache.put(QUESTION, "Open Settings.")
        assert cache.get(QUESTION).response == "Open Settings."
        assert cache.get("Where is my parcel?") is None


def test_a_mock_with_a_name_says_it():
    named = [as_embedder(MockEmbedding(dim, model_name="mock")).fingerprint for dim in (8, 8, 16)]
    assert named[0].startswith("llama_index.MockEmbedding:mock;settings=")
    assert named[0] == named[1] != named[2]


# --- fingerprints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Chain, {"model": "other"}),
        (Chain, {"dimensions": 128}),
        (Chain, {"num_ctx": 128}),
        (Chain, {"truncation": False}),
        (Chain, {"model_kwargs": {"revision": "2"}}),
        (Index, {"model_name": "other"}),
        (Index, {"text_instruction": "Represent the text: "}),
        (Index, {"additional_kwargs": {"dimensions": 128}}),
    ],
    ids=str,
)
def test_whatever_changes_a_vector_changes_the_fingerprint(kind, fields):
    plain, changed = as_embedder(kind()).fingerprint, as_embedder(kind(**fields)).fingerprint
    assert plain != changed
    assert changed == as_embedder(kind(**fields)).fingerprint


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Chain, {"api_key": "two"}),
        (Chain, {"base_url": "https://a.example", "max_retries": 5, "batch_size": 1}),
        (Chain, {"client": object()}),
        (Chain, {"model_kwargs": {"device": "cuda", "token": "secret"}}),
        (Index, {"api_base": "https://a.example", "timeout": 1.0, "embed_batch_size": 1, "num_workers": 2}),
    ],
    ids=lambda one: one.__name__ if isinstance(one, type) else "+".join(one),
)
def test_who_asks_and_how_it_travels_does_not(kind, fields):
    assert as_embedder(kind()).fingerprint == as_embedder(kind(**fields)).fingerprint


def test_fingerprints_are_short_stable_and_keep_secrets():
    fields = {"api_key": "s3cret", "model_kwargs": {"revision": "2", "token": "s3cret", "headers": {"a": "s3cret"}}}
    plain, said = as_embedder(Chain()).fingerprint, as_embedder(Chain(**fields)).fingerprint
    assert plain.endswith('.Chain:local;query_instruction="Represent the question: "')
    assert said.startswith(plain + ";settings=")
    assert len(said) < len(plain) + 30
    assert said == as_embedder(Chain(model_kwargs={"revision": "2"})).fingerprint


def test_a_field_that_a_new_release_brings_changes_nothing_until_it_is_set():
    class Chain2(Chain):
        matryoshka: bool = False

    Chain2.__qualname__ = Chain.__qualname__
    assert as_embedder(Chain2()).fingerprint == as_embedder(Chain()).fingerprint
    assert as_embedder(Chain2(matryoshka=True)).fingerprint != as_embedder(Chain()).fingerprint


def test_on_azure_the_deployment_is_the_model():
    def named(**fields):
        fields = {"azure_endpoint": "https://azure.example", "api_key": "secret", "api_version": "1"} | fields
        return as_embedder(AzureOpenAIEmbeddings(**fields)).fingerprint

    assert named(azure_deployment="small") != named(azure_deployment="large")
    assert named(azure_deployment="small") == named(azure_deployment="small", api_key="another", timeout=3)


def test_one_that_only_keeps_vectors_is_known_by_the_one_behind():
    class Keeping(Embeddings):
        underlying_embeddings = Chain()

        def embed_documents(self, texts):
            return self.underlying_embeddings.embed_documents(texts)

        def embed_query(self, text):
            raise AssertionError

    assert as_embedder(Keeping()).fingerprint == as_embedder(Chain()).fingerprint


def test_a_cache_refuses_the_vectors_of_another_model(tmp_path):
    with SemanticCache(tmp_path / "cache.db", as_embedder(Chain())) as cache:
        cache.put(QUESTION, "Open Settings.")
    with pytest.raises(EmbedderMismatchError):
        SemanticCache(tmp_path / "cache.db", as_embedder(Chain(num_ctx=64))).get(QUESTION)


# --- awaited ----------------------------------------------------------------------------------------------------------


@kinds(AsyncChain, AsyncIndex)
async def test_an_embedding_that_can_be_awaited_is(kind):
    embedder = as_async_embedder(kind(), dim=LOCAL.dim)
    assert embedder.fingerprint == as_embedder(kind()).fingerprint
    texts = [QUESTION, "Where is my parcel?"]
    np.testing.assert_allclose(await embedder.embed_many(texts), LOCAL.embed_many(texts), rtol=1e-5)
    assert (await embedder.embed_many([])).shape == (0, LOCAL.dim)
    async with AsyncSemanticCache(":memory:", embedder) as cache:
        await cache.put(QUESTION, "Open Settings.")
        assert (await cache.get("How can I reset my password?")).response == "Open Settings."


@kinds(Chain, Index)
async def test_one_that_blocks_is_run_in_threads(kind):
    with pytest.raises(TypeError, match=r"of its own: what it inherits blocks\. Use as_embedder"):
        as_async_embedder(kind(), dim=LOCAL.dim)
    async with AsyncSemanticCache(":memory:", as_embedder(kind())) as cache:
        await cache.put(QUESTION, "Open Settings.")
        assert (await cache.get("How can I reset my password?")).response == "Open Settings."


async def test_the_dimension_is_read_where_it_is_said_and_asked_for_where_not():
    with pytest.raises(ValueError, match="does not say how long its vectors are; pass dim="):
        as_async_embedder(AsyncChain())
    said = as_async_embedder(AsyncChain(dimensions=3))
    assert (said.dim, as_async_embedder(AsyncChain(dimensions=3), dim=4).dim) == (3, 4)
    with pytest.raises(EmbedderDimensionError, match="384 numbers for each text instead of 3"):
        await said.embed(QUESTION)
    mock = as_async_embedder(MockEmbedding(8), fingerprint="mock")
    assert (mock.dim, mock.fingerprint, len(await mock.embed("a"))) == (8, "mock", 8)
    assert repr(mock) == "<embedder 'mock' on llama_index.MockEmbedding>"


@pytest.mark.parametrize("other", [LOCAL, AsyncTwin(HashEmbedder()), print, Chain])
def test_anything_else_is_sent_to_as_embedder(other):
    with pytest.raises(TypeError, match="is no embedding of LangChain's or LlamaIndex's; use as_embedder"):
        as_async_embedder(other)


def test_an_awaited_one_needs_a_name_and_a_right_dimension():
    with pytest.raises(ValueError, match="does not say which model it is"):
        as_async_embedder(MockEmbedding(8))
    with pytest.raises(ValueError, match="dim must be at least 1"):
        as_async_embedder(AsyncChain(), dim=0)
