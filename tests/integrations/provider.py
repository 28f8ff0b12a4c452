"""A provider of language models on this host: speaks the wire formats of OpenAI and Anthropic, and counts who asks."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
ANTHROPIC_TOOL = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


class Provider:
    """`requests` came in; `stop`, `status` and `cut` spoil the answers to come."""

    def __init__(self):
        self.requests = []
        self.headers = []
        self.stop = None
        """Why the model stops, in place of the usual."""
        self.status = 200
        self.refused = None
        """An authorization that is answered with 401."""
        self.cut = False
        """Close a stream before its end."""
        self.gate = None
        """To be waited for before an answer is sent."""
        self.asked = threading.Event()
        """Set when a request has come in."""
        self._lock = threading.Lock()

    def take(self, path, headers, body):
        with self._lock:
            self.requests.append({"path": path, **body})
            self.headers.append(headers)
            self.asked.set()
            return len(self.requests)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        provider = self.server.provider
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        number = provider.take(self.path, dict(self.headers), body)
        if provider.gate is not None:
            provider.gate.wait(30)
        path = self.path.partition("?")[0]
        shape = next((shape for end, shape in SHAPES.items() if path.endswith(end)), None)
        if provider.refused is not None and self.headers["authorization"] == provider.refused:
            self._send(401, {"error": {"type": "invalid_key", "message": "not you"}})
        elif path.endswith("/embeddings") and provider.status == 200:
            self._send(*embeddings(body))
        elif provider.status != 200:
            self._send(provider.status, {"error": {"type": "server_error", "message": "out of order"}})
        elif shape is None:
            self._send(200, {"data": number})
        elif body.get("stream"):
            self._stream(shape[1](body, number, provider.stop), cut=provider.cut)
        else:
            self._send(200, shape[0](body, number, provider.stop))

    def _stream(self, events, *, cut):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in events[: len(events) // 2] if cut else events:
            data = event.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        if cut:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _send(self, status, document):
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for them

    def handle_error(self, request, client_address):
        pass  # a client that went away


@contextlib.contextmanager
def serving():
    server = Server(("127.0.0.1", 0), Handler)
    server.provider = Provider()
    server.provider.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def embeddings(body):
    if any(len(text) > 200 for text in body["input"]):
        said = "This model's maximum context length is 200 tokens"
        return 400, {"error": {"message": said, "type": "invalid_request_error", "param": None, "code": None}}
    dim = body.get("dimensions", 8)
    data = [
        {"object": "embedding", "index": index, "embedding": [1.0, float(len(text)), *[0.5] * (dim - 2)]}
        for index, text in enumerate(body["input"])
    ]
    return 200, {"object": "list", "model": body["model"], "data": data[::-1], "usage": {}}


# --- the shapes, as their providers document them ---------------------------------------------------------------------


def _wants_tool(body):
    return bool(body.get("tools"))


def _in_fields(body, text):
    """The text in the form that DSPy asks for, if the question does not say otherwise."""
    said = body["messages"][-1]["content"] if "messages" in body else ""
    if "starting with the field `[[ ## answer ## ]]`" not in str(said) or "mumble" in said:
        return text
    return f"[[ ## answer ## ]]\n{text}\n\n[[ ## completed ## ]]"


def chat(body, number, stop):
    function = {"name": "weather", "arguments": '{"city":"Oslo"}'}
    called = {"id": f"call_{number}", "type": "function", "function": function}
    reply = {"role": "assistant", "content": _in_fields(body, f"answer {number}"), "refusal": None}
    if _wants_tool(body):
        reply = {"role": "assistant", "content": None, "refusal": None, "tool_calls": [called]}
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1700000000,
        "model": body["model"],
        "choices": [
            {
                "index": 0,
                "message": reply,
                "logprobs": None,
                "finish_reason": stop or ("tool_calls" if _wants_tool(body) else "stop"),
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
    }


def chat_chunks(body, number, stop):
    if _wants_tool(body):
        deltas = [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "index": 0,
                        "id": f"call_{number}",
                        "type": "function",
                        "function": {"name": "weather", "arguments": ""},
                    }
                ],
            },
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '"Oslo"}'}}]},
        ]
    else:
        deltas = [{"role": "assistant", "content": ""}, {"content": "answer"}, {"content": f" {number} ✓"}]
    chunks = [{"delta": delta, "finish_reason": None} for delta in deltas]
    chunks.append({"delta": {}, "finish_reason": stop or ("tool_calls" if _wants_tool(body) else "stop")})
    events = [
        {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion.chunk",
            "created": 1700000000,
            "model": body["model"],
            "choices": [{"index": 0, **chunk}],
        }
        for chunk in chunks
    ]
    return [f"data: {json.dumps(event)}\n\n" for event in events] + ["data: [DONE]\n\n"]


def message(body, number, stop):
    content = [{"type": "text", "text": f"answer {number}"}]
    if _wants_tool(body):
        content = [{"type": "tool_use", "id": f"toolu_{number}", "name": "weather", "input": {"city": "Oslo"}}]
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": stop or ("tool_use" if _wants_tool(body) else "end_turn"),
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 5},
    }


def message_events(body, number, stop):
    whole = message(body, number, stop)
    start = {**whole, "content": [], "stop_reason": None}
    if _wants_tool(body):
        block = {"type": "tool_use", "id": f"toolu_{number}", "name": "weather", "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in ('{"city":', ' "Oslo"}')]
    else:
        block = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": part} for part in ("answer", f" {number}")]
    events = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ]
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]


def response(body, number, stop):
    text = {"type": "output_text", "text": f"answer {number}", "annotations": []}
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1700000000,
        "status": stop or "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": body["model"],
        "output": [
            {"id": f"msg_{number}", "type": "message", "status": "completed", "role": "assistant", "content": [text]}
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "metadata": {},
    }


def response_events(whole):
    number = whole["id"].rpartition("_")[2]
    at = {"item_id": f"msg_{number}", "output_index": 0, "content_index": 0}
    events = [
        {"type": "response.created", "response": {**whole, "status": "in_progress", "output": []}},
        {"type": "response.output_text.delta", "delta": f"answer {number}", "logprobs": [], **at},
        {"type": "response.completed" if whole["status"] == "completed" else "response.incomplete", "response": whole},
    ]
    return [
        f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n"
        for number, event in enumerate(events)
    ]


SHAPES = {
    "/chat/completions": (chat, chat_chunks),
    "/messages": (message, message_events),
    "/responses": (response, lambda body, number, stop: response_events(response(body, number, stop))),
}
"""By the end of the path: a whole answer, and a stream."""
