"""Providers of embeddings on this host: Ollama, Cohere, Voyage AI and Amazon Bedrock, as their documentation has them.

Stricter than they are: a field, a header or a number that is not documented is refused, with the provider's own shape
of an error. Vectors are those of `HashEmbedder`, so that the order of an answer can be told from them.
"""

import base64
import contextlib
import json
import os
import re
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import numpy as np

from mneme.testing import HashEmbedder

KEY = "key-f00d"
WINDOW = 40
"""Tokens that every model here takes; a token is a word."""
BATCH_TOKENS = 120_000
NATIVE = {"all-minilm:latest": 384, "nomic-embed-text:latest": 768, "embed-english-v3.0": 1024, "embed-v4.0": 1536}
NATIVE |= {"voyage-law-2": 1024, "voyage-3.5": 1024}
NATIVE |= {"amazon.titan-embed-text-v1": 1536, "amazon.titan-embed-text-v2:0": 1024}
NATIVE |= {"cohere.embed-english-v3": 1024, "cohere.embed-v4:0": 1536}


class RefusedError(Exception):
    """Raised by what checks a request: status, what is said, and the kind of error where a provider has kinds."""

    def __init__(self, status, said, kind="ValidationException"):
        super().__init__(said)
        self.status, self.said, self.kind = status, said, kind


def vector(text, dim):
    """What this provider answers for *text*."""
    return HashEmbedder(dim).embed(text)


class Provider:
    """`requests` came in, with `headers`; `script` is what happens next in place of an answer, one for each request.

    An item of it is `"drop"` for a connection that ends without an answer, or a status, headers and a document.
    """

    def __init__(self):
        self.requests = []
        self.headers = []
        self.script = []
        self.gate = None
        """To be waited for before an answer is sent."""
        self.asked = threading.Event()
        self.spoil = None
        """Changes an answer."""
        self.busy = self.most_busy = 0
        self.lock = threading.Lock()
        self.busier = threading.Condition(self.lock)
        """Notified when a request has come in."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        provider = self.server.provider
        raw = self.rfile.read(int(self.headers["content-length"]))
        with provider.lock:
            provider.requests.append(json.loads(raw))
            provider.headers.append({name.lower(): value for name, value in self.headers.items()})
            provider.busy += 1
            provider.most_busy = max(provider.busy, provider.most_busy)
            planned = provider.script.pop(0) if provider.script else None
            provider.asked.set()
            provider.busier.notify_all()
        if provider.gate is not None:
            provider.gate.wait(30)
        with provider.lock:
            provider.busy -= 1
        if planned == "drop":
            self.close_connection = True
        elif planned is not None:
            self._send(*planned)
        else:
            self._answer(json.loads(raw))

    def _answer(self, body):
        path = unquote(self.path)
        speak, complain = next(
            (both for pattern, both in SPEAKERS.items() if re.fullmatch(pattern, path)), (unknown, ollama_error)
        )
        try:
            document = speak(body, {name.lower(): value for name, value in self.headers.items()}, path)
        except RefusedError as refused:
            self._send(refused.status, *complain(refused))
            return
        if self.server.provider.spoil is not None:
            self.server.provider.spoil(document)
        self._send(200, {}, document)

    def _send(self, status, headers, document):
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a client that gave up
            self.send_response_only(status)
            usual = {"content-type": "application/json", "date": self.date_time_string()}
            for name, value in {**usual, **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)


# --- what is checked everywhere --------------------------------------------------------------------------------------


def checked(speak):
    """*speak*, for requests whose body is said to be JSON."""

    def check(body, headers, path):
        if headers.get("content-type") != "application/json":
            raise RefusedError(415, "content-type must be application/json")
        return speak(body, headers, path)

    return check


def unknown(body, headers, path):
    raise RefusedError(404, f"404 page not found: {path}")


def fields(body, status, *, needed=(), known=()):
    for name in needed:
        if name not in body:
            raise RefusedError(status, f"missing required field: {name}")
    for name in body:
        if name not in {*needed, *known}:
            raise RefusedError(status, f"unknown field: {name}")


def strings(value, status, most, complaint):
    if not isinstance(value, list) or not value or not all(isinstance(text, str) for text in value):
        raise RefusedError(status, "invalid input type")
    if len(value) > most:
        raise RefusedError(status, complaint.format(most=most, given=len(value)))
    return value


def bearer(headers, said):
    if headers.get("authorization") != f"Bearer {KEY}":
        raise RefusedError(401, f"{said}: {headers.get('authorization')}")


def tokens(text):
    return len(text.split())


def floats(texts, dim):
    return [vector(text, dim).tolist() for text in texts]


# --- Ollama ----------------------------------------------------------------------------------------------------------


def ollama(body, headers, path):
    known = ("truncate", "options", "keep_alive", "dimensions")
    fields(body, 400, needed=("model", "input"), known=known)
    tagged = body["model"] if ":" in body["model"] else f"{body['model']}:latest"
    if tagged not in NATIVE:
        raise RefusedError(404, f"model '{body['model']}' not found")
    texts = strings(body["input"], 400, 10_000, "")
    if any(tokens(text) > WINDOW for text in texts):
        if body.get("truncate", True) is not False:
            texts = [" ".join(text.split()[:WINDOW]) for text in texts]
        else:
            raise RefusedError(400, "the input length exceeds the context length")
    options = body.get("options", {})
    for name in options:
        if name not in {"num_ctx", "num_thread", "num_gpu", "num_batch", "seed", "temperature"}:
            raise RefusedError(400, f"invalid option: {name}")
    if not isinstance(body.get("keep_alive", "5m"), (int, float, str)):
        raise RefusedError(400, "invalid keep_alive")
    dim = body.get("dimensions", NATIVE[tagged])
    return {
        "model": body["model"],
        "embeddings": floats(texts, min(dim, NATIVE[tagged])),
        "total_duration": 14143917,
        "load_duration": 1019500,
        "prompt_eval_count": sum(map(tokens, texts)),
    }


def ollama_error(refused):
    return {}, {"error": refused.said}


# --- Cohere ----------------------------------------------------------------------------------------------------------


def cohere(body, headers, path):
    bearer(headers, "invalid api token")
    fields(
        body,
        400,
        needed=("model", "input_type", "texts"),
        known=("embedding_types", "output_dimension", "truncate", "max_tokens"),
    )
    if body["model"] not in NATIVE:
        raise RefusedError(404, f"model '{body['model']}' not found, make sure the correct model ID was used")
    dim = NATIVE[body["model"]]
    if "output_dimension" in body:
        if body["model"] != "embed-v4.0" or body["output_dimension"] not in {256, 512, 1024, 1536}:
            raise RefusedError(400, "invalid request: output_dimension is not supported by this model")
        dim = body["output_dimension"]
    said = "invalid request: total number of texts must be at most {most} - received {given}"
    texts = cohere_texts(body, strings(body["texts"], 400, 96, said))
    return {
        "id": "da6e531f-54c5-4a73-bf92-f60566d8d753",
        "embeddings": {"float": floats(texts, dim)},
        "texts": texts,
        "response_type": "embeddings_by_type",
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": sum(map(tokens, texts))}},
    }


def cohere_texts(body, texts):
    if body["input_type"] not in {"search_document", "search_query", "classification", "clustering"}:
        raise RefusedError(400, "invalid request: valid input_type must be provided with the provided model")
    if body.get("embedding_types", ["float"]) != ["float"]:
        raise RefusedError(400, "invalid request: only floats here")
    if body.get("truncate", "END") != "NONE":
        return [" ".join(text.split()[:WINDOW]) for text in texts]
    for text in texts:
        if tokens(text) > WINDOW:
            raise RefusedError(
                400, f"too many tokens: total number of tokens must be at most {WINDOW}, got {tokens(text)}"
            )
    return texts


def cohere_error(refused):
    return {}, {"id": "0c5d8a0e-6d4f-4f65-b4d2-7b5c6d0c2a3e", "message": refused.said}


# --- Voyage AI -------------------------------------------------------------------------------------------------------


def voyage(body, headers, path):
    bearer(headers, "Provided API key is invalid")
    known = ("input_type", "truncation", "output_dimension", "output_dtype", "encoding_format")
    fields(body, 400, needed=("model", "input"), known=known)
    if body["model"] not in NATIVE:
        raise RefusedError(400, f"Model {body['model']} is not supported.")
    dim = body.get("output_dimension") or NATIVE[body["model"]]
    if dim != NATIVE[body["model"]] and (body["model"] != "voyage-3.5" or dim not in {256, 512, 1024, 2048}):
        raise RefusedError(400, f"Model {body['model']} does not support output_dimension={dim}.")
    if body.get("input_type") not in {None, "query", "document"}:
        raise RefusedError(400, "Value 'input_type' must be one of null, query, document.")
    texts = strings(body["input"], 400, 1000, "The batch size limit is {most}. Your batch size is {given}.")
    for number, text in enumerate(texts):
        if tokens(text) > WINDOW and body.get("truncation", True) is False:
            raise RefusedError(
                400,
                f"Request to model '{body['model']}' failed. The example at index {number} in your batch has too many "
                f"tokens and does not fit into the model's context window of {WINDOW} tokens. Please lower the number "
                f"of tokens in the listed example(s) or use truncation.",
            )
    total = sum(len(text.encode()) for text in texts)  # the worst that a tokenizer does
    if total > BATCH_TOKENS:
        raise RefusedError(
            400,
            f"Request to model '{body['model']}' failed. The max allowed tokens per submitted batch is {BATCH_TOKENS}. "
            f"Your batch has {total} tokens after truncation. Please lower the number of tokens in the batch.",
        )
    data = [
        {"object": "embedding", "embedding": voyage_vector(vector(text, dim), body), "index": index}
        for index, text in enumerate(texts)
    ]
    return {"object": "list", "data": data[::-1], "model": body["model"], "usage": {"total_tokens": total}}


def voyage_vector(row, body):
    dtype = body.get("output_dtype") or "float"
    if dtype not in {"float", "int8"}:
        raise RefusedError(400, f"Value 'output_dtype' is {dtype}, which is not spoken here.")
    row = np.round(row * 127).astype(np.int8) if dtype == "int8" else row
    return base64.b64encode(row.tobytes()).decode() if body.get("encoding_format") == "base64" else row.tolist()


def voyage_error(refused):
    return {}, {"detail": refused.said}


# --- Amazon Bedrock --------------------------------------------------------------------------------------------------


def bedrock(body, headers, path):
    if "/bedrock/aws4_request" not in headers.get("authorization", ""):
        raise RefusedError(403, "Missing Authentication Token", "MissingAuthenticationTokenException")
    model = path.removeprefix("/model/").removesuffix("/invoke")
    model = re.sub(r"^(arn:.*/)?((us|eu|apac|global)\.)?", "", model)
    if model not in NATIVE:
        raise RefusedError(400, "The provided model identifier is invalid.")
    return (bedrock_cohere if model.startswith("cohere") else bedrock_titan)(body, model)


def bedrock_titan(body, model):
    known = () if model.endswith("v1") else ("dimensions", "normalize", "embeddingTypes")
    fields(body, 400, needed=("inputText",), known=known)
    count = tokens(body["inputText"])
    if count > WINDOW:
        raise RefusedError(
            400,
            f"400 Bad Request: Too many input tokens. Max input tokens: {WINDOW}, request input token count: {count}",
        )
    dim = body.get("dimensions", NATIVE[model])
    if dim not in {256, 512, NATIVE[model]}:
        raise RefusedError(
            400, f"Malformed input request: #/dimensions: {dim} is not a valid enum value, please reformat"
        )
    row = vector(body["inputText"], dim).tolist()
    answer = {"embedding": row, "inputTextTokenCount": count}
    return answer if model.endswith("v1") else {**answer, "embeddingsByType": {"float": row}}


def bedrock_cohere(body, model):
    known = ("truncate", "embedding_types", *(() if "v3" in model else ("output_dimension", "max_tokens")))
    fields(body, 400, needed=("texts", "input_type"), known=known)
    said = "Malformed input request: #/texts: expected maximum item count: {most}, found: {given}, please reformat"
    texts = strings(body["texts"], 400, 96, said)
    for number, text in enumerate(texts):
        if "v3" in model and len(text) > 2048:
            said = f"#/texts/{number}: expected maxLength: 2048, actual: {len(text)}"
            raise RefusedError(400, f"Malformed input request: {said}, please reformat your input and try again.")
    texts = cohere_texts(body, texts)
    rows = floats(texts, body.get("output_dimension", NATIVE[model]))
    typed = "embedding_types" in body
    return {
        "id": "3f5b5a4e-3c8e-4b8d-9a51-0d3f9a2c7b11",
        "texts": texts,
        "embeddings": {"float": rows} if typed else rows,
        "response_type": "embeddings_by_type" if typed else "embeddings_floats",
    }


def bedrock_error(refused):
    return {"x-amzn-errortype": refused.kind}, {"message": refused.said}


SPEAKERS = {
    r"/api/embed": (checked(ollama), ollama_error),
    r"/v2/embed": (checked(cohere), cohere_error),
    r"/v1/embeddings": (checked(voyage), voyage_error),
    r"/model/[^?]+/invoke": (checked(bedrock), bedrock_error),
}
"""By path: what answers, and how it refuses."""


class Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for them

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.open = []

    def process_request(self, request, client_address):
        self.open.append(request)
        super().process_request(request, client_address)

    def hang_up(self):
        """End the connections that clients have left open."""
        for request in self.open:
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that went away
            super().handle_error(request, client_address)


@contextlib.contextmanager
def providing():
    """A provider in a thread of this process."""
    server = Server(("127.0.0.1", 0), Handler)
    server.provider = Provider()
    server.provider.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.provider
    finally:
        server.shutdown()
        thread.join()
        server.hang_up()
        server.server_close()


if __name__ == "__main__":
    alone = Server(("127.0.0.1", 0), Handler)
    alone.provider = Provider()
    threading.Thread(target=alone.serve_forever, daemon=True).start()
    print(alone.server_port, flush=True)
    while os.getppid() == int(sys.argv[1]):  # it ends with its parent, however that ends
        time.sleep(1)
