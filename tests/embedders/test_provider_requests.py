"""What each provider is asked, and what of it a fingerprint holds."""

import httpx
import numpy as np
import pytest

from mneme import EmbedderBackendError
from mneme.embedders.cohere import CohereEmbedder
from mneme.embedders.ollama import OllamaEmbedder
from mneme.embedders.voyage import VoyageEmbedder
from servers._embeddings import BATCH_TOKENS, KEY, providing, vector


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch, tmp_path):
    """Every client reads all the world's certificates, which takes longer than the test; there is no TLS here."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))


@pytest.fixture
def provider():
    with providing() as provider:
        yield provider


# --- Ollama ----------------------------------------------------------------------------------------------------------


def test_ollama_is_told_never_to_cut_off_and_what_else_was_asked_for(provider):
    options = {"num_ctx": 2048}
    with OllamaEmbedder(
        "nomic-embed-text", 256, url=f"{provider.url}/", dimensions=True, prefix="clustering: ", options=options,
        keep_alive="10m",
    ) as embedder:  # fmt: skip
        assert np.allclose(embedder.embed("text"), vector("clustering: text", 256))
    assert provider.requests == [
        {
            "model": "nomic-embed-text",
            "input": ["clustering: text"],
            "truncate": False,
            "dimensions": 256,
            "options": {"num_ctx": 2048},
            "keep_alive": "10m",
        }
    ]


def test_ollama_is_told_no_more_than_was_asked_for(provider):
    with OllamaEmbedder("all-minilm", 384, url=provider.url) as embedder:
        embedder.embed("text")
    assert provider.requests == [{"model": "all-minilm", "input": ["text"], "truncate": False}]


def test_a_model_that_ollama_does_not_have_comes_with_the_command_that_fetches_it(provider):
    with (
        OllamaEmbedder("nobody", 384, url=provider.url) as embedder,
        pytest.raises(EmbedderBackendError, match=r"answered 404: model 'nobody' not found; .*ollama pull nobody"),
    ):
        embedder.embed("text")


def test_the_fingerprint_of_ollama_holds_what_changes_a_vector_and_nothing_else():
    with httpx.Client() as client:

        def named(model="m", dim=8, **options):
            return OllamaEmbedder(model, dim, client=client, **options).fingerprint

        assert named() == "ollama:m:latest;dim=8"
        same = [
            named("m:latest"),
            named(url="http://elsewhere:1"),
            named(keep_alive=5, batch=1, timeout=3),
            named(options={"num_thread": 2, "num_ctx": 512}),
        ]
        assert set(same) == {named()}
        others = [
            named("m:q4"),
            named("registry.example:5000/m"),
            named(dim=4),
            named(prefix="query: "),
            named(options={"rope_frequency_base": 1e6}),
        ]
        assert len({named(), *others}) == 6
        assert named("registry.example:5000/m").startswith("ollama:registry.example:5000/m:latest;")


# --- Cohere ----------------------------------------------------------------------------------------------------------


def test_cohere_is_asked_for_floats_of_whole_texts(provider):
    with CohereEmbedder("embed-v4.0", 256, dimensions=True, api_key=KEY, url=provider.url) as embedder:
        assert np.allclose(embedder.embed("text"), vector("text", 256))
    assert provider.requests == [
        {
            "model": "embed-v4.0",
            "texts": ["text"],
            "input_type": "clustering",
            "embedding_types": ["float"],
            "truncate": "NONE",
            "output_dimension": 256,
        }
    ]


def test_cohere_gets_no_more_texts_at_once_than_it_takes(provider):
    with CohereEmbedder("embed-english-v3.0", 1024, api_key=KEY, url=provider.url) as embedder:
        assert embedder.embed_many([f"text {n}" for n in range(97)]).shape == (97, 1024)
        assert [len(request["texts"]) for request in provider.requests] == [96, 1]
    with pytest.raises(ValueError, match="batch is 97; Cohere takes at most 96"):
        CohereEmbedder("embed-english-v3.0", 1024, api_key=KEY, batch=97)


def test_the_fingerprint_of_cohere_holds_the_input_type():
    with httpx.Client() as client:

        def named(**options):
            return CohereEmbedder("embed-v4.0", 8, client=client, **options).fingerprint

        assert named() == "cohere:embed-v4.0;dim=8;input_type=clustering"
        assert named(input_type="search_query") == "cohere:embed-v4.0;dim=8;input_type=search_query"
        assert named(api_key="secret", url="https://gateway.example") == named()
        with pytest.raises(ValueError, match=r"input_type must be one of .*not 'query'"):
            named(input_type="query")


# --- Voyage ----------------------------------------------------------------------------------------------------------


def test_voyage_is_asked_for_whole_texts_without_an_instruction(provider):
    with VoyageEmbedder("voyage-3.5", 1024, api_key=KEY, url=f"{provider.url}/v1") as embedder:
        embedder.embed("text")
    assert provider.requests == [
        {"model": "voyage-3.5", "input": ["text"], "truncation": False, "output_dtype": "float"}
    ]


def test_voyage_shortens_and_rounds_if_it_is_asked_to(provider):
    with VoyageEmbedder(
        "voyage-3.5", 256, dimensions=True, output_dtype="int8", input_type="query", api_key=KEY,
        url=f"{provider.url}/v1",
    ) as embedder:  # fmt: skip
        assert np.allclose(embedder.embed("text") / 127, vector("text", 256), atol=0.005)
    asked = provider.requests[0]
    assert (asked["output_dimension"], asked["output_dtype"], asked["input_type"]) == (256, "int8", "query")


def test_voyage_gets_no_more_tokens_at_once_than_it_takes(provider):
    texts = ["é" * 15_000] * 9  # 30,000 bytes each, of which every tokenizer makes at most as many tokens
    with VoyageEmbedder("voyage-law-2", 1024, api_key=KEY, url=f"{provider.url}/v1") as embedder:
        assert embedder.embed_many(texts).shape == (9, 1024)
    assert [len(request["input"]) for request in provider.requests] == [3, 3, 3]
    assert all(sum(len(text.encode()) for text in request["input"]) <= BATCH_TOKENS for request in provider.requests)


def test_an_answer_of_voyage_with_an_index_twice_is_refused(provider):
    def repeat(document):
        document["data"][0]["index"] = document["data"][1]["index"]

    provider.spoil = repeat
    with (
        VoyageEmbedder("voyage-3.5", 1024, api_key=KEY, url=f"{provider.url}/v1") as embedder,
        pytest.raises(EmbedderBackendError, match="1 vectors for 2 texts"),
    ):
        embedder.embed_many(["one", "two"])


def test_the_fingerprint_of_voyage_holds_input_type_and_dtype():
    with httpx.Client() as client:

        def named(**options):
            return VoyageEmbedder("voyage-3.5", 8, client=client, **options).fingerprint

        assert named() == "voyage:voyage-3.5;dim=8;input_type=none"
        assert named(api_key="secret", batch=7) == named()
        assert len({named(), named(input_type="query"), named(output_dtype="int8")}) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_type": "search_query"}, "input_type must be None, 'query' or 'document'"),
        ({"output_dtype": "binary"}, "output_dtype must be 'float' or 'int8', not 'binary'"),
        ({"batch": 1001}, "batch is 1001; Voyage takes at most 1000"),
    ],
)
def test_what_voyage_does_not_take_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        VoyageEmbedder("voyage-3.5", 8, api_key=KEY, **options)
