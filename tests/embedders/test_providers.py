"""What all embedders over HTTP have in common, on Ollama, Cohere and Voyage as a strict server speaks them."""

import asyncio
import logging
import subprocess
import sys
import threading

import httpx
import httpx2
import numpy as np
import pytest

from mneme import (
    AsyncSemanticCache,
    EmbedderBackendError,
    EmbedderDimensionError,
    InputTooLongError,
    SemanticCache,
)
from mneme.embedders._exchange import Backoff, Lost
from mneme.embedders.cohere import AsyncCohereEmbedder, CohereEmbedder
from mneme.embedders.ollama import AsyncOllamaEmbedder, OllamaEmbedder
from mneme.embedders.voyage import AsyncVoyageEmbedder, VoyageEmbedder
from mneme.ports import AsyncEmbedder, Embedder
from servers._embeddings import KEY, WINDOW, providing, vector

LONG = "word " * (WINDOW + 1)
BUSY = (429, {"retry-after": "3"}, {"error": "busy", "message": "busy", "detail": "busy"})
DOWN = (503, {}, b"<html>out of order</html>")


class Kind:
    """One provider: its two classes, a model, and what the server needs to know."""

    def __init__(self, blocking, awaited, model, dim, path="", **options):
        self.classes, self.model, self.dim, self.path, self.options = (blocking, awaited), model, dim, path, options

    def make(self, provider, *, awaited=False, **options):
        options = {"url": provider.url + self.path, **self.options, **options}
        return self.classes[awaited](options.pop("model", self.model), options.pop("dim", self.dim), **options)


KINDS = {
    "ollama": Kind(OllamaEmbedder, AsyncOllamaEmbedder, "all-minilm", 384),
    "cohere": Kind(CohereEmbedder, AsyncCohereEmbedder, "embed-english-v3.0", 1024, api_key=KEY),
    "voyage": Kind(VoyageEmbedder, AsyncVoyageEmbedder, "voyage-3.5", 1024, "/v1", api_key=KEY),
}


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch, tmp_path):
    """Every client reads all the world's certificates, which takes longer than the test; there is no TLS here."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))


@pytest.fixture
def provider():
    with providing() as provider:
        yield provider


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


class Waits(list):
    """In place of sleeping: what would have been waited."""

    def __call__(self, seconds):
        self.append(seconds)

    async def awaited(self, seconds):
        self.append(seconds)


# --- what goes well --------------------------------------------------------------------------------------------------


def test_texts_are_embedded_in_batches_and_come_back_in_order(kind, provider):
    texts = ["one", "two words", "three words here", "four", "five"]
    with kind.make(provider, batch=2) as embedder:
        assert isinstance(embedder, Embedder)
        vectors = embedder.embed_many(texts)
        assert (vectors.dtype, vectors.shape) == (np.float32, (5, kind.dim))
        for text, row in zip(texts, vectors, strict=True):
            assert np.allclose(row, vector(text, kind.dim))
        assert np.array_equal(embedder.embed("one"), vectors[0])
        assert embedder.embed_many([]).shape == (0, kind.dim)
    assert len(provider.requests) == 4


async def test_the_awaited_one_does_the_same(kind, provider):
    async with kind.make(provider, awaited=True, batch=2) as embedder:
        assert isinstance(embedder, AsyncEmbedder)
        vectors = await embedder.embed_many(["one", "two words", "three words here"])
        assert np.allclose(vectors[2], vector("three words here", kind.dim))
        assert np.array_equal(await embedder.embed("one"), vectors[0])
        assert (await embedder.embed_many([])).shape == (0, kind.dim)
        with pytest.raises(InputTooLongError):
            await embedder.embed(LONG)
    assert embedder.fingerprint == kind.make(provider).fingerprint


def test_a_cache_stands_on_it(kind, provider):
    with kind.make(provider) as embedder, SemanticCache(":memory:", embedder, similarity_threshold=0.7) as cache:
        cache.put_many([("how do I reset my password", "like this"), (LONG, "long")])
        assert cache.get("how do I reset my password please").layer == "semantic"
        assert cache.get(LONG).layer == "exact"


async def test_an_awaited_cache_stands_on_it(kind, provider):
    async with (
        kind.make(provider, awaited=True) as embedder,
        AsyncSemanticCache(":memory:", embedder, similarity_threshold=0.7) as cache,
    ):
        await cache.put("how do I reset my password", "like this")
        assert (await cache.get("how do I reset my password please")).layer == "semantic"


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_client_of_the_callers_is_used_and_stays_open(kind, provider, library):
    with library.Client(headers={"x-mine": "yes"}) as client:
        with kind.make(provider, client=client) as embedder:
            embedder.embed("text")
        assert not client.is_closed
    assert provider.headers[0]["x-mine"] == "yes"


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_an_awaited_client_of_the_callers_is_used_and_stays_open(kind, provider, library):
    async with library.AsyncClient(headers={"x-mine": "yes"}) as client:
        async with kind.make(provider, awaited=True, client=client) as embedder:
            await embedder.embed("text")
        assert not client.is_closed
    assert provider.headers[0]["x-mine"] == "yes"


# --- what is too long ------------------------------------------------------------------------------------------------


def test_a_text_that_would_be_cut_off_is_refused(kind, provider):
    with kind.make(provider) as embedder:
        with pytest.raises(InputTooLongError):
            embedder.embed(LONG)
        with pytest.raises(InputTooLongError):
            embedder.embed_many(["short", LONG])
    assert len(provider.requests) == 2, "asking again does not make it shorter"


@pytest.mark.parametrize("status", [400, 413, 500])
def test_too_long_is_told_by_what_is_said_and_not_by_the_status(kind, provider, status):
    said = "the input length exceeds the context length"  # Ollama has said so with all three
    provider.script = [(status, {}, {"error": said, "message": said, "detail": said})]
    with kind.make(provider, sleep=Waits()) as embedder, pytest.raises(InputTooLongError, match=said):
        embedder.embed("text")
    assert len(provider.requests) == 1


def test_a_limit_of_tokens_for_a_minute_is_not_a_text_that_is_too_long(kind, provider):
    said = "too many tokens in this minute"
    provider.script = [(429, {}, {"error": said, "message": said, "detail": said})]
    with kind.make(provider, max_retries=0) as embedder, pytest.raises(EmbedderBackendError, match="answered 429"):
        embedder.embed("text")


# --- again, and no more ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [DOWN, "drop", (500, {}, {"error": "x"}), (529, {}, {})])
def test_trouble_that_may_pass_is_asked_again_after_a_growing_wait(kind, provider, trouble, caplog):
    caplog.set_level(logging.INFO)
    waits = Waits()
    provider.script = [trouble, trouble, trouble]
    with kind.make(provider, max_retries=3, sleep=waits) as embedder:
        assert np.allclose(embedder.embed("text"), vector("text", kind.dim))
    assert len(provider.requests) == 4
    for wait, most in zip(waits, [0.5, 1.0, 2.0], strict=True):
        assert most / 2 <= wait <= most
    told = [record for record in caplog.records if record.name == "mneme"]
    assert [(record.mneme_event, record.mneme_seconds) for record in told] == [
        ("embedder_retried", wait) for wait in waits
    ]


async def test_the_awaited_one_asks_again_as_well(kind, provider):
    waits = Waits()
    provider.script = [DOWN, "drop"]
    async with kind.make(provider, awaited=True, sleep=waits.awaited) as embedder:
        assert np.allclose(await embedder.embed("text"), vector("text", kind.dim))
    assert len(waits) == 2


def test_it_gives_up_after_so_many_times_and_says_what_was_answered(kind, provider):
    waits = Waits()
    provider.script = [DOWN] * 3
    with (
        kind.make(provider, max_retries=2, sleep=waits) as embedder,
        pytest.raises(EmbedderBackendError, match=r"answered 503: <html>out of order</html> \(asked 3 times\)"),
    ):
        embedder.embed("text")
    assert (len(provider.requests), len(waits)) == (3, 2)


def test_a_server_that_is_not_there_is_named_with_the_cause(kind, provider):
    waits = Waits()
    with httpx.Client(transport=httpx.MockTransport(refuse)) as client:
        embedder = kind.make(provider, client=client, max_retries=1, sleep=waits)
        with pytest.raises(EmbedderBackendError, match=r"cannot be reached: ConnectError: refused") as caught:
            embedder.embed("text")
    assert isinstance(caught.value.__cause__, httpx.ConnectError)
    assert len(waits) == 1


def refuse(request):
    raise httpx.ConnectError("refused", request=request)


def test_a_server_that_hangs_is_given_up_and_asked_again(kind, provider):
    def hang(request):
        timeouts.append(request.extensions["timeout"]["read"])
        raise httpx.ReadTimeout("", request=request)

    timeouts, waits = [], Waits()
    with httpx.Client(transport=httpx.MockTransport(hang)) as client:
        embedder = kind.make(provider, client=client, timeout=1.5, sleep=waits)
        with pytest.raises(EmbedderBackendError, match=r"cannot be reached: ReadTimeout \(asked 3 times\)"):
            embedder.embed("text")
    assert timeouts == [1.5] * 3


def test_the_wait_that_the_provider_asks_for_is_kept(kind, provider):
    waits = Waits()
    dates = {"date": "Wed, 21 Oct 2015 07:28:00 GMT", "retry-after": "Wed, 21 Oct 2015 07:28:05 GMT"}
    past = {"date": dates["retry-after"], "retry-after": dates["date"]}
    provider.script = [BUSY, (503, dates, {}), (503, past, {}), (429, {"retry-after": "-1"}, {})]
    with kind.make(provider, max_retries=4, sleep=waits) as embedder:
        embedder.embed("text")
    assert waits == [3.0, 5.0, 0.0, 0.0]


def test_waits_are_shortened_by_chance_by_half_at_most():
    backoff = Backoff(3, 8.0, chance=[1.0, 0.5, 0.0].pop)
    assert [backoff.pause(2, Lost(OSError())) for _ in range(3)] == [1.0, 0.75, 0.5]


def test_a_wait_longer_than_allowed_is_not_begun(kind, provider):
    waits = Waits()
    provider.script = [BUSY]
    with (
        kind.make(provider, max_wait=2.5, sleep=waits) as embedder,
        pytest.raises(EmbedderBackendError, match=r"answered 429: busy$"),
    ):
        embedder.embed("text")
    assert (waits, len(provider.requests)) == ([], 1)


def test_a_wait_that_cannot_be_read_is_guessed(kind, provider):
    waits = Waits()
    provider.script = [(429, {"retry-after": "soon"}, {}), (429, {"retry-after": "nan"}, {})]
    with kind.make(provider, sleep=waits) as embedder:
        embedder.embed("text")
    assert all(0.25 <= wait <= 1.0 for wait in waits)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 422])
def test_a_refusal_is_not_asked_again(kind, provider, status):
    provider.script = [(status, {"location": "http://127.0.0.1:1/"}, {"error": "no", "message": "no", "detail": "no"})]
    with kind.make(provider, sleep=Waits()) as embedder, pytest.raises(EmbedderBackendError, match=f"{status}: no"):
        embedder.embed("text")
    assert len(provider.requests) == 1


async def test_a_cancelled_call_ends_at_once(kind, provider):
    provider.gate = threading.Event()
    async with kind.make(provider, awaited=True) as embedder:
        call = asyncio.create_task(embedder.embed("text"))
        await asyncio.to_thread(provider.asked.wait, 30)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        provider.gate.set()
        assert np.allclose(await embedder.embed("text"), vector("text", kind.dim))


async def test_a_wait_is_given_up_when_its_task_is_cancelled(kind, provider):
    began = asyncio.Event()

    async def wait_for_ever(_):
        began.set()
        await asyncio.Event().wait()

    provider.script = [DOWN]
    async with kind.make(provider, awaited=True, sleep=wait_for_ever) as embedder:
        call = asyncio.create_task(embedder.embed("text"))
        await began.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert len(provider.requests) == 1


# --- processes and loops ---------------------------------------------------------------------------------------------


def test_a_child_of_a_fork_shares_no_connection_with_its_parent(kind, provider, monkeypatch):
    with kind.make(provider) as embedder:
        embedder.embed("text")
        mine = embedder._client
        with monkeypatch.context() as child:
            child.setattr("os.getpid", lambda: -1)
            assert np.allclose(embedder.embed("text"), vector("text", kind.dim))
            theirs = embedder._client
            embedder.close()
        assert theirs is not mine
        assert theirs.is_closed
        assert not mine.is_closed
        mine.close()


def test_an_embedder_serves_one_event_loop_after_another(kind, provider):
    embedder = kind.make(provider, awaited=True)

    async def once():
        async with embedder:
            return await embedder.embed("text")

    for _ in range(2):
        assert np.allclose(asyncio.run(once()), vector("text", kind.dim))


def test_a_client_of_the_callers_is_kept_in_a_child_of_a_fork(kind, provider, monkeypatch):
    with httpx.Client() as client:
        embedder = kind.make(provider, client=client)
        embedder.embed("text")
        monkeypatch.setattr("os.getpid", lambda: -1)
        embedder.embed("text")
        assert embedder._client is client


# --- answers that are not believed -----------------------------------------------------------------------------------


def rows_of(document):
    """The list of vectors of any provider's answer, to be spoiled in place."""
    if "data" in document:
        return document["data"]
    found = document["embeddings"]
    return found["float"] if isinstance(found, dict) else found


def shorten(document):
    del rows_of(document)[0]


def poison(document):
    row = rows_of(document)[0]
    (row["embedding"] if isinstance(row, dict) else row)[0] = float("nan")


def blank(document):
    row = rows_of(document)[0]
    (row["embedding"] if isinstance(row, dict) else row)[0] = None


def garble(document):
    row = rows_of(document)[0]
    (row["embedding"] if isinstance(row, dict) else row)[0] = "x"


def empty(document):
    document.clear()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shorten, r"answered with(out vectors| 1 vectors for 2 texts)"),
        (poison, "no finite number"),
        (blank, "no finite number"),
        (garble, "something else than vectors"),
        (empty, r"answered without vectors: \{\}"),
    ],
)
def test_an_answer_that_is_no_vectors_is_refused(kind, provider, spoil, message):
    provider.spoil = spoil
    with kind.make(provider) as embedder, pytest.raises(EmbedderBackendError, match=message):
        embedder.embed_many(["one", "two"])


def test_an_answer_that_is_no_json_is_refused(kind, provider):
    provider.script = [(200, {"content-type": "text/html"}, b"<html>welcome</html>")]
    with kind.make(provider) as embedder, pytest.raises(EmbedderBackendError, match="answered without vectors: <html>"):
        embedder.embed("text")


def test_vectors_of_another_length_are_refused(kind, provider):
    with kind.make(provider, dim=kind.dim - 1) as embedder, pytest.raises(EmbedderDimensionError, match=str(kind.dim)):
        embedder.embed("text")


def test_a_failing_provider_makes_a_miss_and_a_failing_put(kind, provider):
    with kind.make(provider, max_retries=0) as embedder, SemanticCache(":memory:", embedder) as cache:
        cache.put("known", "answer")
        provider.script = [DOWN, DOWN]
        assert cache.get("another question") is None
        with pytest.raises(EmbedderBackendError):
            cache.put("a third", "answer")
        assert cache.get("known").layer == "exact"


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["cohere", "voyage"])
def keyed(request):
    return KINDS[request.param]


def test_a_key_is_never_shown(keyed, provider, caplog):
    caplog.set_level(logging.DEBUG)
    provider.script = [(503, {}, {"message": "key-secret is busy", "detail": "key-secret is busy"})]
    with keyed.make(provider, api_key="key-secret", sleep=Waits()) as embedder:
        with pytest.raises(EmbedderBackendError, match=r"answered 401.*\[key\].*check the key: api_key=") as caught:
            embedder.embed("text")
        shown = [repr(embedder), embedder.fingerprint, str(caught.value), repr(caught.value), caplog.text]
    assert "is busy" in caplog.text
    assert not [text for text in shown if "secret" in text]
    assert provider.headers[0]["authorization"] == "Bearer key-secret"


def test_a_key_is_taken_from_the_environment(keyed, provider, monkeypatch):
    for variable in ("CO_API_KEY", "VOYAGE_API_KEY"):
        monkeypatch.setenv(variable, f"{KEY}\n")
    with keyed.make(provider, api_key=None) as embedder:
        embedder.embed("text")


def test_without_a_key_it_says_where_to_put_one(keyed, provider, monkeypatch):
    for variable in ("CO_API_KEY", "VOYAGE_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ValueError, match=r"needs a key: pass api_key=, or set (CO|VOYAGE)_API_KEY"):
        keyed.make(provider, api_key=None)
    with httpx.Client(headers={"authorization": f"Bearer {KEY}"}) as client:
        keyed.make(provider, api_key=None, client=client).embed("text")


def test_a_key_in_the_environment_does_not_go_where_the_client_has_one_of_its_own(keyed, provider, monkeypatch):
    for variable in ("CO_API_KEY", "VOYAGE_API_KEY"):
        monkeypatch.setenv(variable, "secret")
    with httpx.Client(headers={"Authorization": f"Bearer {KEY}"}) as client:
        keyed.make(provider, api_key=None, client=client).embed("text")
    assert [sent["authorization"] for sent in provider.headers] == [f"Bearer {KEY}"]


def test_a_traceback_with_variables_does_not_show_a_key(keyed, provider):
    with (
        keyed.make(provider, api_key="key-secret", sleep=Waits()) as embedder,
        pytest.raises(EmbedderBackendError) as caught,
    ):
        embedder.embed("text")
    frames = [entry for entry in caught.traceback if "/mneme/embedders/" in str(entry.path)]
    assert len(frames) > 3
    assert not [entry.name for entry in frames if "secret" in repr(entry.locals)]


@pytest.mark.parametrize("key", ["clé-secret", "a\nsecret"])
def test_a_key_that_no_header_can_hold_is_refused_unseen(keyed, provider, key):
    with pytest.raises(ValueError, match="no header can hold") as caught:
        keyed.make(provider, api_key=key)
    assert "secret" not in str(caught.value)


# --- bad arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dim": 0}, ValueError, "dim must be at least 1"),
        ({"dim": 3.0}, TypeError, "dim must be an int"),
        ({"batch": 0}, ValueError, "batch must be at least 1"),
        ({"timeout": 0}, ValueError, "timeout must be"),
        ({"max_wait": -1}, ValueError, "max_wait must be"),
        ({"max_retries": -1}, ValueError, "max_retries must be at least 0, not -1"),
        ({"max_retries": 1.5}, TypeError, "max_retries must be an int"),
        ({"url": "localhost:11434"}, ValueError, "must begin with http"),
        ({"url": "ftp://me:secret@host"}, ValueError, "not 'host'"),
        ({"url": "http://me:secret@host:x"}, ValueError, "not 'host:x'"),
        ({"url": 3}, TypeError, "url must be a str"),
        ({"fingerprint": " "}, ValueError, "fingerprint is blank"),
        ({"client": object()}, TypeError, r"httpx\.Client or an httpx2\.Client, not object"),
        ({"client": httpx.Client}, TypeError, "the class Client"),
    ],
)
def test_bad_arguments_are_refused_with_the_remedy(kind, provider, options, error, message):
    with pytest.raises(error, match=message):
        kind.make(provider, **options)


async def test_a_client_of_the_other_face_is_refused(kind, provider):
    async with httpx.AsyncClient() as client:
        with pytest.raises(TypeError, match=r"httpx\.Client or .*not AsyncClient"):
            kind.make(provider, client=client)
    with httpx2.Client() as client, pytest.raises(TypeError, match=r"httpx\.AsyncClient or .*not Client"):
        kind.make(provider, awaited=True, client=client)


@pytest.mark.parametrize("text", [None, b"bytes", 3])
def test_a_text_that_is_no_text_is_refused(kind, provider, text):
    with kind.make(provider) as embedder, pytest.raises(TypeError, match="a text to embed must be a str"):
        embedder.embed(text)
    assert provider.requests == []


def test_a_fingerprint_that_was_given_is_kept(kind, provider):
    with kind.make(provider, fingerprint="ours;v2") as embedder:
        assert embedder.fingerprint == "ours;v2"


def test_without_a_library_it_says_what_to_install(kind, provider, monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    with kind.make(provider) as embedder:  # the other one will do
        embedder.embed("text")
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ImportError, match=r"pip install 'mneme-cache\[httpx\]'"):
        kind.make(provider)


def test_importing_the_modules_imports_no_library():
    script = (
        "import sys, mneme.embedders.ollama, mneme.embedders.cohere, mneme.embedders.voyage\n"
        "sys.exit(bool({'httpx', 'httpx2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
