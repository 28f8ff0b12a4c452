"""Models: both wire formats against a server of ours, turns at the one in this process, and what goes wrong."""

import base64
import contextlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from showcase import models
from showcase.models import EndpointModel, LocalModel, ModelError, NoModel, local, thoughts, wire
from showcase.models.asker import Asker
from showcase.models.turns import Turns

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]


class Endpoint:
    """A server of models: `replies` by path; a reply is a status and a body, or lines to be streamed."""

    def __init__(self, replies):
        self.replies = replies
        self.requests = []
        self.cut = False
        """Close a stream after its first line."""

    def take(self, method, path, headers, body):
        self.requests.append((method, path, dict(headers), json.loads(body) if body else None))
        return self.replies.get(path, (404, {"error": {"message": "no such path"}}))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._reply("GET", b"")

    def do_POST(self):
        self._reply("POST", self.rfile.read(int(self.headers["content-length"])))

    def _reply(self, method, body):
        endpoint = self.server.endpoint
        status, said = endpoint.take(method, self.path, self.headers, body)
        self.send_response(status)
        if isinstance(said, list):
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for line in said[:1] if endpoint.cut else said:
                data = line.encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            if endpoint.cut:
                self.close_connection = True
            else:
                self.wfile.write(b"0\r\n\r\n")
        else:
            data = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)


class Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing it waits for the threads that still close their connections


@contextlib.contextmanager
def serving(replies):
    with Server(("127.0.0.1", 0), Handler) as server:
        server.endpoint = Endpoint(replies)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.endpoint, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def asking(address, **options):
    model = EndpointModel(address, **options)
    try:
        yield model
    finally:
        model.close()


def sse(*chunks, end=True):
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return [": ping\n\n", *lines, *(["data: [DONE]\n\n"] if end else [])]


def delta(text="", ended=None):
    return {"choices": [{"index": 0, "delta": {"content": text} if text else {}, "finish_reason": ended}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 12}}
MODELS = (200, {"object": "list", "data": [{"id": "nemotron"}, {"id": "other"}]})
OPENAI = {
    "/v1/models": MODELS,
    "/v1/chat/completions": (200, sse(delta("Because "), delta("of light."), delta(ended="stop"), USAGE)),
}


def ndjson(*chunks):
    return [json.dumps(chunk) + "\n" for chunk in chunks]


OLLAMA = {
    "/api/version": (200, {"version": "0.12.3"}),
    "/api/tags": (200, {"models": [{"name": "llama3.2:1b"}]}),
    "/api/chat": (
        200,
        ndjson(
            {"message": {"role": "assistant", "content": "Because "}, "done": False},
            {"message": {"role": "assistant", "content": "of light."}, "done": False},
            {"message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 12},
        ),
    ),
}


# --- the two wire formats --------------------------------------------------------------------------------------------


def test_an_openai_compatible_endpoint_streams_its_answer():
    with serving(OPENAI) as (endpoint, address), asking(f"{address}/v1", api_key="secret") as model:
        pieces = []
        answer = model.answer(CHAT, say=pieces.append, most_tokens=77)
    assert pieces == ["Because ", "of light."]
    assert (answer.text, answer.tokens, answer.whole) == ("Because of light.", 12, True)
    assert model.name == "nemotron"
    assert "OpenAI-compatible" in model.description
    method, path, headers, body = endpoint.requests[-1]
    assert (method, path, headers["authorization"]) == ("POST", "/v1/chat/completions", "Bearer secret")
    assert body["messages"] == CHAT
    assert (body["model"], body["max_tokens"], body["stream"]) == ("nemotron", 77, True)


@pytest.mark.parametrize("suffix", ["", "/", "/v1"])
def test_an_ollama_is_told_from_others_by_asking(suffix):
    with serving(OLLAMA) as (endpoint, address), asking(address + suffix) as model:
        pieces = []
        answer = model.answer(CHAT, say=pieces.append, most_tokens=77)
    assert pieces == ["Because ", "of light."]
    assert (answer.text, answer.tokens, answer.whole) == ("Because of light.", 12, True)
    assert model.name == "llama3.2:1b"
    assert "Ollama" in model.description
    _, path, _, body = endpoint.requests[-1]
    assert path == "/api/chat"
    assert body["options"]["num_predict"] == 77


@pytest.mark.parametrize("key", ["secret\n", " secret "], ids=["line end", "blanks"])
def test_blanks_around_a_key_are_not_sent(key):
    with serving(OPENAI) as (endpoint, address), asking(f"{address}/v1", api_key=key) as model:
        model.answer(CHAT)
    assert endpoint.requests[-1][2]["authorization"] == "Bearer secret"


@pytest.mark.parametrize("key", ["sec\nret", "secr\N{LATIN SMALL LETTER E WITH ACUTE}t"], ids=["two lines", "letter"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_repeated(key):
    with pytest.raises(ValueError, match="cannot be sent") as refused:
        EndpointModel("http://127.0.0.1:9/v1", api_key=key)
    assert "sec" not in str(refused.value)


def test_a_name_and_a_password_in_the_address_are_sent_and_never_shown():
    refused = {"/v1/models": (401, {"error": {"message": "who are you?"}})}
    with serving(refused) as (endpoint, address), asking(f"{address}/v1".replace("//", "//me:pass-word@")) as model:
        before = model.description
        model.probe()
        shown = f"{before} {model.description} {model.trouble}"
    sent = {name.lower(): value for name, value in endpoint.requests[-1][2].items()}
    assert base64.b64encode(b"me:pass-word").decode() in sent["authorization"]
    assert "401" in shown
    assert "pass-word" not in shown


@pytest.mark.parametrize(
    "said",
    ["<html>Somebody else's page</html>", {"data": None}, {"data": [{}]}, []],
    ids=["page", "none", "id", "list"],
)
def test_what_is_no_endpoint_at_all_is_said_to_be_none(said):
    with serving({"/v1/models": (200, said)}) as (_, address), asking(f"{address}/v1") as model:
        model.probe()
        assert "in a form that is not understood" in model.trouble


def test_an_answer_too_deep_to_be_read_is_not_understood():
    chat = (200, [f"data: {'[' * 100_000}\n\n"])
    with (
        serving(OPENAI | {"/v1/chat/completions": chat}) as (_, address),
        asking(f"{address}/v1") as model,
        pytest.raises(ModelError, match="not understood"),
    ):
        model.answer(CHAT)


def test_what_is_spoken_is_asked_for_once():
    with serving(OPENAI) as (endpoint, address), asking(f"{address}/v1") as model:
        model.answer(CHAT)
        model.answer(CHAT)
        assert [path for _, path, _, _ in endpoint.requests].count("/v1/models") == 1


def test_a_model_that_was_named_is_the_one_that_is_asked():
    with serving(OPENAI) as (endpoint, address), asking(f"{address}/v1", model="other") as model:
        model.answer(CHAT)
        assert endpoint.requests[-1][3]["model"] == "other"


@pytest.mark.parametrize(
    ("replies", "path", "chat"),
    [
        (OPENAI, "/v1/chat/completions", sse(delta("Half an ans"), delta(ended="length"), USAGE)),
        (
            OLLAMA,
            "/api/chat",
            ndjson({"message": {"content": "Half an ans"}}, {"done": True, "done_reason": "length", "eval_count": 3}),
        ),
    ],
    ids=["openai", "ollama"],
)
def test_an_answer_that_was_cut_off_says_so(replies, path, chat):
    with serving(replies | {path: (200, chat)}) as (_, address), asking(f"{address}/v1") as model:
        answer = model.answer(CHAT)
    assert (answer.text, answer.whole) == ("Half an ans", False)


def test_a_caller_that_does_not_wait_any_longer_ends_the_stream():
    with serving(OPENAI) as (_, address), asking(f"{address}/v1") as model:
        pieces = []
        answer = model.answer(CHAT, say=pieces.append, stopped=lambda: bool(pieces))
    assert pieces == ["Because "]
    assert not answer.whole


def test_thoughts_are_no_part_of_an_answer():
    def thought(text):
        return {"choices": [{"index": 0, "delta": {"reasoning_content": text}, "finish_reason": None}]}

    pieces = [" ", "<thi", "nk>Because it", " is </th", "ink>\n\nYes, ", "it is."]
    chunks = [thought("Well, "), thought("now."), *map(delta, pieces), delta(ended="stop"), USAGE]
    with (
        serving(OPENAI | {"/v1/chat/completions": (200, sse(*chunks))}) as (_, address),
        asking(f"{address}/v1") as model,
    ):
        heard = []
        answer = model.answer(CHAT, say=heard.append)
    assert heard == ["Yes, ", "it is."]
    assert (answer.text, answer.whole) == ("Yes, it is.", True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<b>not a thought</b>", "<b>not a thought</b>"),
        ("<thin air", "<thin air"),
        ("thoughts without a beginning</think>said", "said"),
        ("<think>never said", ""),
        ("a < b", "a < b"),
    ],
)
def test_what_is_no_thought_is_said(text, said):
    assert thoughts.without_thoughts(text) == said
    spoken = thoughts.Spoken()
    heard = "".join(spoken.hear(letter) for letter in text)
    assert heard == ("" if text.startswith("<think>") else text)


def test_a_real_server_of_llama_cpp_is_understood(server_of):
    with asking(f"{server_of('language_model')}/v1") as model:
        pieces = []
        question = {"role": "user", "content": "What is the capital of France?"}
        answer = model.answer(
            [{"role": "system", "content": "Answer in one or two short sentences."}, question], say=pieces.append
        )
    assert "".join(pieces).strip() == answer.text
    assert len(pieces) > 3
    assert "Paris" in answer.text
    assert answer.whole
    assert answer.tokens >= len(pieces)


# --- what goes wrong -------------------------------------------------------------------------------------------------


def trouble(replies, *, cut=False, suffix="/v1"):
    with serving(replies) as (endpoint, address), asking(address + suffix) as model:
        endpoint.cut = cut
        with pytest.raises(ModelError) as caught:
            model.answer(CHAT)
        assert model.trouble == str(caught.value)
    return str(caught.value)


def test_an_endpoint_where_nobody_listens_is_named():
    with serving({}) as (_, address):
        pass  # the port is free again
    with asking(f"{address}/v1") as model:
        with pytest.raises(ModelError, match=f"{address}/v1 does not answer: .*[Cc]onnect"):
            model.answer(CHAT)
        model.probe()
        assert "does not answer" in model.trouble


def test_a_refusal_is_quoted():
    refused = (401, {"error": {"message": "wrong  key\n" + "x" * 1000}})
    said = trouble(OPENAI | {"/v1/chat/completions": refused})
    assert "answered 401: wrong key xxx" in said
    assert len(said) < 600
    assert "answered 500: no JSON" in trouble(OPENAI | {"/v1/chat/completions": (500, "no JSON")})
    assert "model 'x' not found" in trouble(OLLAMA | {"/api/chat": (404, {"error": "model 'x' not found"})})


def test_an_endpoint_without_models_says_what_to_do():
    assert "no models" in trouble(OPENAI | {"/v1/models": (200, {"data": []})})
    assert "no models" in trouble(OLLAMA | {"/api/tags": (200, {"models": []})})


@pytest.mark.parametrize("said", ["<html>", "[]", '{"data": 3}', '{"data": [{}]}'], ids=str)
def test_an_endpoint_that_speaks_something_else_is_said_not_to_be_understood(said):
    assert "not understood" in trouble({"/v1/models": (200, said)})


@pytest.mark.parametrize(
    "lines", [["data: {not json\n\n"], ["data: 17\n\n"], sse({"error": {"message": "out of memory"}})], ids=str
)
def test_a_stream_that_makes_no_sense_is_no_answer(lines):
    trouble(OPENAI | {"/v1/chat/completions": (200, lines)})


def test_a_stream_that_breaks_off_is_no_answer():
    assert "broke off" in trouble(OPENAI | {"/v1/chat/completions": (200, sse(delta("Because "), end=False))})
    trouble(OPENAI, cut=True)
    trouble(OLLAMA, cut=True)


def test_trouble_is_over_with_the_next_answer():
    with serving({}) as (endpoint, address), asking(f"{address}/v1") as model:
        model.probe()
        assert model.trouble
        endpoint.replies = OPENAI
        model.answer(CHAT)
        assert model.trouble is None
        endpoint.replies = {}
        model.probe()
        assert model.trouble


def test_a_time_out_is_no_answer():
    def slow(request):
        raise httpx.ReadTimeout("took too long", request=request)

    client = httpx.Client(transport=httpx.MockTransport(slow))
    with (
        asking("http://127.0.0.1:9/v1", client=client) as model,
        pytest.raises(ModelError, match="ReadTimeout: took too long"),
    ):
        model.answer(CHAT)


@pytest.mark.parametrize("address", ["", "localhost:8000", "ftp://host/v1", "http://"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError, match="must look like http://localhost:8000/v1"):
        EndpointModel(address)


def test_a_complaint_of_any_shape_is_one_short_line():
    for said in ({"error": "a"}, {"error": {"message": "a"}}, {"detail": "a"}, [1], "a\nb"):
        line = wire.complaint(
            httpx.Response(400, json=said) if not isinstance(said, str) else httpx.Response(400, text=said)
        )
        assert "\n" not in line


# --- the one in this process -----------------------------------------------------------------------------------------


class Llama:
    """Stands in for llama.cpp: says these chunks until it is told to stop."""

    def __init__(self, *chunks):
        self.chunks = chunks
        self.said = 0

    def handle_chat_completions(self, request, callback):
        for chunk in self.chunks:
            self.said += 1
            if callback(chunk):
                return


def in_process(*chunks):
    model = LocalModel.__new__(LocalModel)
    model._server = Llama(*chunks)
    model._turns = Turns()
    model.trouble = None
    return model


def test_the_local_model_streams_and_counts():
    pieces = []
    answer = in_process(delta("Because "), delta("of light."), delta(ended="stop"), USAGE).answer(
        CHAT, say=pieces.append
    )
    assert pieces == ["Because ", "of light."]
    assert (answer.text, answer.tokens, answer.whole) == ("Because of light.", 12, True)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("One is 3.5 of it. Two is it! Three never comes. Nor four.", "One is 3.5 of it. Two is it!"),
        ("A paragraph: so.\n\nAnother never comes", "A paragraph: so."),
        ("\n\n1. A list\n2. of two. \n\n3. and never three", "1. A list\n2. of two."),
    ],
)
def test_the_local_model_is_ended_after_two_sentences_or_a_paragraph(text, kept):
    for pieces in (re.findall(r"\S+ ?|\s", text), re.findall(r" ?\S+|\s", text), list(text)):
        model, heard = in_process(*map(delta, pieces), delta(ended="length")), []
        answer = model.answer(CHAT, say=heard.append)
        assert (answer.text, answer.whole) == (kept, True)
        assert "".join(heard).strip() == kept
        assert model._server.said < len(pieces)


def test_a_failure_of_the_local_model_is_told():
    with pytest.raises(ModelError, match="context is full"):
        in_process({"error": "context is full"}).answer(CHAT)
    with pytest.raises(ModelError, match="not a chunk"):
        in_process("not a chunk").answer(CHAT)


def test_what_a_listener_raises_does_not_go_through_the_model():
    def fails(_):
        raise RuntimeError("nobody listens")

    with pytest.raises(ModelError, match="nobody listens"):
        in_process(delta("Because ")).answer(CHAT, say=fails)


def test_turns_are_taken_in_the_order_of_arrival():
    turns, order, threads = Turns(), [], []
    with turns.turn(lambda: False):
        for number in range(5):

            def wait(number=number):
                with turns.turn(lambda: False):
                    order.append(number)

            threads.append(threading.Thread(target=wait))
            threads[-1].start()
            while turns.length < number + 2:
                pass  # until it stands in the queue
        assert order == []
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]
    assert turns.length == 0


def test_who_does_not_wait_any_longer_leaves_the_queue():
    model = in_process(delta("Because."), delta(ended="stop"))
    with model._turns.turn(lambda: False):
        answer = model.answer(CHAT, stopped=lambda: True)
    assert (answer.text, answer.whole, model._server.said) == ("", False, 0)
    assert model.answer(CHAT).text == "Because."


# --- which one -------------------------------------------------------------------------------------------------------


def test_without_an_endpoint_and_without_a_local_model_it_is_said_what_is_missing(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(local, "import_module", missing)
    model = models.choose(None)
    assert isinstance(model, NoModel)
    assert "make showcase" in model.trouble
    assert "MNEME_SHOWCASE_ENDPOINT" in model.trouble
    model.probe()
    with pytest.raises(ModelError, match="No module named 'xllamacpp'"):
        model.answer(CHAT)
    model.close()


def test_an_endpoint_is_taken_at_its_word():
    model = models.choose("http://127.0.0.1:9/v1", "nemotron", "key")
    assert isinstance(model, EndpointModel)
    assert model.name == "nemotron"
    assert "key" not in model.description
    model.close()


def test_an_asker_replies_with_what_the_model_said():
    reply = Asker(in_process(delta("Ja."), delta(ended="stop"))).ask("Translate.", "Yes.")
    assert (reply.text, reply.whole) == ("Ja.", True)
