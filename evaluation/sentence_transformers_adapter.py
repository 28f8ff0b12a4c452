"""Tries `as_embedder` on sentence-transformers itself, which is too heavy for the tests: they have a stand-in.

    pip install sentence-transformers numpy
    PYTHONPATH=src python evaluation/sentence_transformers_adapter.py all-MiniLM-L6-v2

The argument is a name on the hub, or a directory. It needs a model of BERT's kind with a window of 256 tokens.
"""

from __future__ import annotations

import sys
import threading

import numpy as np
import sentence_transformers
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers

from mneme import InputTooLongError, SemanticCache, as_embedder


def main(name: str) -> None:
    print(f"sentence-transformers {sentence_transformers.__version__}, torch {torch.__version__}")
    model = SentenceTransformer(name, device="cpu")
    embedder = as_embedder(model)
    print(embedder.fingerprint, embedder.dim)
    texts = ["How do I reset my password?", "Where is my order?", "word " * 200]
    assert np.allclose(embedder.embed_many(texts), model.encode(texts), atol=1e-6)
    assert np.allclose(embedder.embed(texts[0]), model.encode(texts[0]), atol=1e-5)

    # It cuts off and says nothing, and knows no emoji: different texts get one vector.
    assert np.allclose(*model.encode(["word " * 300 + "yes", "word " * 300 + "no"]), atol=1e-6)
    assert np.allclose(*model.encode(["reset 🎉", "reset 🚀"]), atol=1e-6)
    assert embedder.embed("word " * 254).shape == (embedder.dim,)
    refused(embedder, "word " * 255, "257 tokens")
    refused(embedder, "reset 🎉", "no token for a word")
    refused(embedder, "", "no token for anything")

    prompted = SentenceTransformer(name, device="cpu", prompts={"query": "query: "}, default_prompt_name="query")
    asked = as_embedder(prompted)
    assert asked.fingerprint.endswith(';prompt="query: "')
    assert np.allclose(asked.embed("text"), embedder.embed("query: text"), atol=1e-5)
    refused(asked, "word " * 253, "257 tokens")

    shorter = as_embedder(SentenceTransformer(name, device="cpu", truncate_dim=64))
    assert (shorter.dim, shorter.embed("text").shape) == (64, (64,))
    assert shorter.fingerprint.endswith(";truncate_dim=64")
    half = as_embedder(SentenceTransformer(name, device="cpu", model_kwargs={"torch_dtype": torch.bfloat16}))
    assert half.fingerprint.endswith(';dtype="torch.bfloat16"')
    assert half.embed("text").dtype == np.float32

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "my": 1, "order": 2}, unk_token="[UNK]"))  # noqa: S106 - no password
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    static = as_embedder(
        SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=8)], device="cpu"), fingerprint="static"
    )
    assert static.embed("my order").shape == (8,)
    refused(static, "my card", "no token for 'card'")

    in_threads(embedder, model.encode(texts[:1])[0], texts[0])
    with SemanticCache(":memory:", embedder) as cache:
        cache.put(texts[0], "Under Settings, Security.")
        assert cache.get("how can I reset my password").layer == "semantic"
    print("as it should be")


def refused(embedder: object, text: str, why: str) -> None:
    said = "nothing"
    try:
        embedder.embed(text)  # type: ignore[attr-defined] # whatever as_embedder returns
    except InputTooLongError as error:
        said = str(error)
    assert why in said, said


def in_threads(embedder: object, expected: np.ndarray, text: str) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                assert np.allclose(embedder.embed(text), expected, atol=1e-5)  # type: ignore[attr-defined] # as above
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


if __name__ == "__main__":
    main(*sys.argv[1:])
