"""`as_embedder` on functions, and on stand-ins with the methods that the libraries really have."""

import functools
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from mneme.embedders import as_embedder
from mneme.errors import EmbedderDimensionError, InputTooLongError
from mneme.ports import AsyncEmbedder, Embedder
from mneme.testing import AsyncTwin, HashEmbedder


def letters(text):
    """A vector of three numbers."""
    return [float(len(text)), float(text.count("a")), 1.0]


# --- what is an embedder already -------------------------------------------------------------------------------------


@pytest.mark.parametrize("embedder", [HashEmbedder(), AsyncTwin(HashEmbedder())])
def test_an_embedder_is_returned_as_it_is(embedder):
    assert as_embedder(embedder) is embedder
    assert as_embedder(embedder, fingerprint=embedder.fingerprint, dim=64) is embedder


def test_looking_at_an_embedder_does_not_read_its_dimension():
    class Paid(HashEmbedder):
        @property
        def dim(self):
            raise AssertionError("this would call a paid service")

        @dim.setter
        def dim(self, value):
            pass

    embedder = Paid()
    assert as_embedder(embedder) is embedder


def test_an_embedder_cannot_be_given_another_name_or_dimension():
    with pytest.raises(ValueError, match=r"calls itself 'mneme-testing-hash-1;dim=64' already"):
        as_embedder(HashEmbedder(), fingerprint="other")
    with pytest.raises(ValueError, match="dim is 32, but HashEmbedder makes vectors of 64"):
        as_embedder(HashEmbedder(), dim=32)


# --- functions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [list, tuple, np.array, lambda x: np.array(x, dtype=np.float64)])
def test_a_function_may_return_a_list_a_tuple_or_an_array(shape):
    embedder = as_embedder(lambda text: shape(letters(text)), fingerprint="letters")
    assert isinstance(embedder, Embedder)
    vector = embedder.embed("banana")
    assert (vector.dtype, vector.tolist()) == (np.float32, [6.0, 3.0, 1.0])
    assert not hasattr(embedder, "embed_many")


def test_a_function_needs_a_fingerprint_and_is_told_why():
    with pytest.raises(ValueError, match=r"letters needs a fingerprint: nothing else can tell.*fingerprint='"):
        as_embedder(letters)


def test_the_fingerprint_is_taken_as_it_is():
    assert as_embedder(letters, fingerprint="letters;v2").fingerprint == "letters;v2"


def test_the_dimension_is_found_once_by_a_probe_when_asked_for():
    seen = []

    def embed(text):
        seen.append(text)
        return letters(text)

    embedder = as_embedder(embed, fingerprint="letters")
    assert seen == []
    assert (embedder.dim, embedder.dim) == (3, 3)
    assert len(seen) == 1


def test_many_threads_that_ask_for_the_dimension_pay_for_one_probe():
    arrived, go, seen = threading.Semaphore(0), threading.Event(), []

    def embed(text):
        seen.append(text)
        arrived.release()
        assert go.wait(60)
        return letters(text)

    embedder = as_embedder(embed, fingerprint="letters")
    dims = []
    threads = [threading.Thread(target=lambda: dims.append(embedder.dim)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert arrived.acquire(timeout=60)
    go.set()
    for thread in threads:
        thread.join()
    assert (dims, len(seen)) == ([3] * 4, 1)


def test_the_first_vector_tells_the_dimension_as_well():
    seen = []

    def embed(text):
        seen.append(text)
        return letters(text)

    embedder = as_embedder(embed, fingerprint="letters")
    embedder.embed("x")
    assert embedder.dim == 3
    assert seen == ["x"]


def test_a_vector_of_another_length_is_refused():
    embedder = as_embedder(lambda text: [1.0] * len(text), fingerprint="odd")
    embedder.embed("abc")
    with pytest.raises(EmbedderDimensionError, match="returned 4 numbers for one text instead of 3"):
        embedder.embed("abcd")


def test_the_vector_is_a_copy_that_the_function_may_not_overwrite():
    buffer = np.zeros(2, dtype=np.float32)

    def embed(text):
        buffer[:] = len(text)
        return buffer

    embedder = as_embedder(embed, fingerprint="reuses its buffer")
    first = embedder.embed("a")
    embedder.embed("abc")
    assert first.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("rubbish", "message"),
    [
        (None, "returned NoneType instead of a vector"),
        ("0.1, 0.2", "returned str instead of a vector"),
        ([["a", "b"]], "NumPy cannot read as numbers"),
        ([[1.0, 2.0]], r"shape \(1, 2\) for one text"),
        (3.0, r"shape \(\) for one text"),
        ({"embedding": [1.0]}, "returned dict"),
    ],
)
def test_rubbish_is_named_with_the_remedy(rubbish, message):
    with pytest.raises(TypeError, match=message):
        as_embedder(lambda _: rubbish, fingerprint="rubbish").embed("text")


def test_an_empty_vector_is_refused():
    with pytest.raises(EmbedderDimensionError, match="0 numbers"):
        as_embedder(lambda _: [], fingerprint="empty").embed("text")


def test_an_error_of_the_function_comes_through():
    def embed(text):
        raise InputTooLongError("too long for me")

    with pytest.raises(InputTooLongError, match="too long for me"):
        as_embedder(embed, fingerprint="strict").embed("text")


# --- coroutine functions ---------------------------------------------------------------------------------------------


async def awaited(text):
    return letters(text)


class Client:
    async def __call__(self, text):
        return letters(text)


@pytest.mark.parametrize("function", [awaited, functools.partial(awaited), Client(), Client().__call__])
async def test_a_coroutine_function_makes_an_asynchronous_embedder(function):
    embedder = as_embedder(function, fingerprint="letters", dim=3)
    assert isinstance(embedder, AsyncEmbedder)
    assert (await embedder.embed("banana")).tolist() == [6.0, 3.0, 1.0]
    assert (embedder.dim, embedder.fingerprint) == (3, "letters")


def test_a_coroutine_function_needs_its_dimension():
    with pytest.raises(ValueError, match=r"awaited is a coroutine function.*Pass dim="):
        as_embedder(awaited, fingerprint="letters")


async def test_a_coroutine_function_that_lies_about_its_dimension_is_found_out():
    with pytest.raises(EmbedderDimensionError, match="3 numbers for one text instead of 4"):
        await as_embedder(awaited, fingerprint="letters", dim=4).embed("text")


def test_a_function_that_hides_that_it_is_asynchronous_is_found_out():
    with pytest.raises(TypeError, match="returned something to await; declare it with `async def`"):
        as_embedder(lambda text: awaited(text), fingerprint="hidden").embed("text")  # noqa: PLW0108 - hides it


# --- objects with embed(text) ----------------------------------------------------------------------------------------


class Homemade:
    dim = 3

    def embed(self, text):
        return letters(text)


def test_an_object_with_embed_needs_only_the_fingerprint():
    embedder = as_embedder(Homemade(), fingerprint="homemade")
    assert (embedder.embed("banana").tolist(), embedder.dim) == ([6.0, 3.0, 1.0], 3)
    with pytest.raises(ValueError, match=r"Homemade\.embed needs a fingerprint"):
        as_embedder(Homemade())


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rubbish", [None, 3, "all-MiniLM-L6-v2", object(), []])
def test_anything_else_is_refused_by_type_with_the_remedy(rubbish):
    with pytest.raises(TypeError, match=f"of {type(rubbish).__name__}; pass a function from text to vector"):
        as_embedder(rubbish, fingerprint="x")


def test_a_class_is_not_an_instance():
    with pytest.raises(TypeError, match="HashEmbedder is a class; pass an instance"):
        as_embedder(HashEmbedder)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"fingerprint": 3}, TypeError),
        ({"fingerprint": " "}, ValueError),
        ({"fingerprint": "x", "dim": 0}, ValueError),
        ({"fingerprint": "x", "dim": 3.0}, TypeError),
        ({"fingerprint": "x", "dim": True}, TypeError),
    ],
)
def test_bad_arguments_are_refused(arguments, error):
    with pytest.raises(error, match=r"fingerprint|dim"):
        as_embedder(letters, **arguments)


# --- libraries -------------------------------------------------------------------------------------------------------


class Words:
    """A tokenizer of transformers: numbers between two marks, and another for words that it does not know."""

    all_special_ids = (100, 101, 102)
    unk_token_id, cls_token_id, sep_token_id = all_special_ids
    bos_token_id = eos_token_id = pad_token_id = mask_token_id = None

    def __call__(self, text, *, truncation, verbose):
        assert (truncation, verbose) == (False, False)
        return {"input_ids": [101, *(len(word) if word.isascii() else 100 for word in text.split()), 102]}


class SentenceTransformer:
    """Cuts off silently, is callable, and stands on a tokenizer that is told to cut off or not."""

    def __init__(self, *, name="all-MiniLM-L6-v2", dim=3, window=6, prompts=None, default_prompt_name=None):
        self.max_seq_length = window
        self.prompts = prompts or {"query": "", "document": ""}
        self.default_prompt_name = default_prompt_name
        self.truncate_dim = None
        self.batches = []
        self.busy = threading.Lock()
        self._dim = dim
        self._first = SimpleNamespace(auto_model=SimpleNamespace(config=SimpleNamespace(_name_or_path=name)))

    def __call__(self, features):
        raise AssertionError("the forward pass of the model is not for texts")

    def __getitem__(self, number):
        return [self._first][number]

    def get_sentence_embedding_dimension(self):
        return self._dim

    @property
    def tokenizer(self):
        return Words()

    def encode(self, sentences, *, batch_size=32, show_progress_bar=None, convert_to_numpy=True):
        assert self.busy.acquire(blocking=False), "called from two threads at once"
        try:
            assert isinstance(sentences, list)
            self.batches.append(sentences)
            time.sleep(0)  # let another thread run, if it may
            words = [" ".join(sentence.split()[: self.max_seq_length - 2]) for sentence in sentences]
            return np.array([letters(text) for text in words], dtype=np.float32)
        finally:
            self.busy.release()


def test_sentence_transformers():
    model = SentenceTransformer()
    embedder = as_embedder(model)
    assert isinstance(embedder, Embedder)
    assert embedder.dim == 3
    assert model.batches == []
    assert embedder.embed("banana").tolist() == [6.0, 3.0, 1.0]
    assert embedder.embed_many(["a", "bb"]).tolist() == [[1.0, 1.0, 1.0], [2.0, 0.0, 1.0]]
    assert model.batches == [["banana"], ["a", "bb"]]
    assert embedder.fingerprint.endswith(".SentenceTransformer:all-MiniLM-L6-v2")


def test_sentence_transformers_never_cuts_off():
    embedder = as_embedder(SentenceTransformer())
    embedder.embed("one two three four")
    with pytest.raises(InputTooLongError, match=r"7 tokens.*cut it off after 6"):
        embedder.embed("one two three four five")
    with pytest.raises(InputTooLongError):
        embedder.embed_many(["short", "one two three four five"])


def test_sentence_transformers_counts_the_prompt_and_knows_it_by_its_fingerprint():
    plain = as_embedder(SentenceTransformer())
    prompted = as_embedder(SentenceTransformer(prompts={"query": "query: "}, default_prompt_name="query"))
    prompted.embed("one two three")
    with pytest.raises(InputTooLongError):
        prompted.embed("one two three four")
    assert plain.fingerprint != prompted.fingerprint
    assert prompted.fingerprint.endswith(';prompt="query: "')
    unused = as_embedder(SentenceTransformer(prompts={"query": "query: ", "new in a release": ""}))
    assert unused.fingerprint == plain.fingerprint, "what is not used changes no vector"


def test_sentence_transformers_is_not_asked_for_texts_that_look_the_same_to_its_model():
    embedder = as_embedder(SentenceTransformer())
    with pytest.raises(InputTooLongError, match="has no token for a word of the text"):
        embedder.embed("reset 🎉")
    with pytest.raises(InputTooLongError, match="no token for anything in ' '"):
        embedder.embed(" ")


def test_a_token_for_what_is_unknown_that_ends_every_text_says_nothing(monkeypatch):
    monkeypatch.setattr(Words, "unk_token_id", Words.sep_token_id)
    assert as_embedder(SentenceTransformer()).embed("banana").shape == (3,)


@pytest.mark.parametrize(("setting", "value"), [("backend", "onnx"), ("dtype", "torch.bfloat16"), ("truncate_dim", 2)])
def test_the_fingerprint_of_sentence_transformers_holds_how_it_computes(setting, value):
    model = SentenceTransformer()
    setattr(model, setting, value)
    assert f";{setting}=" in as_embedder(model).fingerprint
    usual = SentenceTransformer()
    usual.backend, usual.dtype = "torch", "torch.float32"
    assert as_embedder(usual).fingerprint == as_embedder(SentenceTransformer()).fingerprint


@pytest.mark.parametrize("window", [None, float("inf")])
def test_sentence_transformers_without_a_window_takes_any_text(window):
    model = SentenceTransformer(window=window)
    model.encode = lambda sentences, **_: np.array([letters(text) for text in sentences])
    assert as_embedder(model).embed("word " * 1000).shape == (3,)


def test_sentence_transformers_is_called_by_one_thread_at_a_time():
    embedder = as_embedder(SentenceTransformer())
    failures = []

    def work():
        try:
            for _ in range(200):
                embedder.embed("banana")
        except AssertionError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_model_without_a_name_needs_a_fingerprint():
    with pytest.raises(ValueError, match=r"SentenceTransformer does not say which model it is; pass fingerprint="):
        as_embedder(SentenceTransformer(name=None))
    named = as_embedder(SentenceTransformer(name=None), fingerprint="my model")
    assert named.fingerprint == "my model"


class StaticModel:
    """model2vec."""

    dim = 3

    def __init__(self, base_model_name="potion-base-8M", *, normalize=True):
        self.base_model_name = base_model_name
        self.normalize = normalize
        self.max_length = 512

    def encode(self, sentences, *, show_progress_bar=False, max_length=512, batch_size=1024, use_multiprocessing=True):
        assert max_length is None, "it would cut off silently"
        assert not use_multiprocessing
        return np.array([letters(text) for text in sentences])


def test_model2vec():
    embedder = as_embedder(StaticModel())
    assert (embedder.dim, embedder.embed("banana").tolist()) == (3, [6.0, 3.0, 1.0])
    assert embedder.embed_many(["a", "bb"]).shape == (2, 3)
    assert embedder.fingerprint.endswith(".StaticModel:potion-base-8M;normalize=true")
    assert embedder.fingerprint != as_embedder(StaticModel(normalize=False)).fingerprint


class Embeddings:
    """LangChain."""

    def __init__(self, **settings):
        self.__dict__.update(settings)

    def embed_documents(self, texts):
        assert isinstance(texts, list)
        return [letters(text) for text in texts]

    def embed_query(self, text):
        raise AssertionError("query and document may differ; a cache compares like with like")


def test_langchain():
    embedder = as_embedder(Embeddings(model="text-embedding-3-small", dimensions=3))
    assert embedder.fingerprint.endswith(".Embeddings:text-embedding-3-small;dimensions=3")
    assert (embedder.dim, embedder.embed("banana").tolist()) == (3, [6.0, 3.0, 1.0])
    assert embedder.embed_many(["a", "bb"]).shape == (2, 3)


def test_settings_of_speed_are_no_part_of_the_fingerprint_and_those_of_meaning_are():
    def fingerprint(**encode_kwargs):
        return as_embedder(Embeddings(model_name="m", encode_kwargs=encode_kwargs)).fingerprint

    assert fingerprint(batch_size=8, device="cuda") == fingerprint()
    assert fingerprint(normalize_embeddings=True) != fingerprint()


def test_langchain_without_a_name_needs_a_fingerprint():
    with pytest.raises(ValueError, match="Embeddings does not say which model it is"):
        as_embedder(Embeddings())


class BaseEmbedding:
    """LlamaIndex: callable, too, as a transformation of nodes."""

    def __init__(self, model_name="unknown"):
        self.model_name = model_name

    def __call__(self, nodes):
        raise AssertionError("this is for nodes")

    def get_text_embedding(self, text):
        return letters(text)

    def get_text_embedding_batch(self, texts, *, show_progress=False):
        return [letters(text) for text in texts]

    def get_query_embedding(self, query):
        raise AssertionError("a cache compares like with like")


def test_llama_index():
    embedder = as_embedder(BaseEmbedding("text-embedding-ada-002"))
    assert (embedder.dim, embedder.embed("banana").tolist()) == (3, [6.0, 3.0, 1.0])
    assert embedder.fingerprint.endswith(".BaseEmbedding:text-embedding-ada-002")
    with pytest.raises(ValueError, match="BaseEmbedding does not say which model it is"):
        as_embedder(BaseEmbedding())


class WordLlamaInference:
    """WordLlama."""

    embedding = np.zeros((10, 3), dtype=np.float32)

    def embed(self, texts, *, norm=False, return_np=True):
        return np.array([letters(text) for text in texts])

    def rank(self, query, docs):
        raise AssertionError("not asked for")


def test_wordllama():
    embedder = as_embedder(WordLlamaInference(), fingerprint="l2_supercat_256")
    assert (embedder.dim, embedder.embed("banana").tolist()) == (3, [6.0, 3.0, 1.0])
    with pytest.raises(ValueError, match="does not say which model"):
        as_embedder(WordLlamaInference())


def test_an_empty_batch_has_no_rows_and_calls_nothing():
    model = SentenceTransformer()
    assert as_embedder(model).embed_many([]).shape == (0, 3)
    assert model.batches == []


def test_a_library_that_returns_too_few_rows_is_found_out():
    model = Embeddings(model="m")
    model.embed_documents = lambda texts: [letters(text) for text in texts[1:]]
    with pytest.raises(TypeError, match=r"shape \(1, 3\) for a batch of 2 texts"):
        as_embedder(model).embed_many(["a", "b"])


def test_a_given_dimension_must_agree_with_the_model():
    with pytest.raises(ValueError, match=r"dim is 4, but .*StaticModel makes vectors of 3"):
        as_embedder(StaticModel(), dim=4)
