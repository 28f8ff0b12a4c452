"""A chat client behind a cache, over HTTP: whole answers and streams, and what is never answered from a cache.

The server in this script speaks the API of OpenAI. Its model only reads: it answers with the sentence of this project's
pages that is nearest to the question. Set `URL` to a real server, and the client stays as it is.
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder
from mneme.integrations.httpx import CachingTransport

FOLDER = Path(__file__).parents[1] / "docs"
EMBEDDER = LocalEmbedder()


class Reader:
    """Answers with the nearest sentence of some pages."""

    def __init__(self, *pages: str) -> None:
        text = "\n\n".join((FOLDER / f"{page}.md").read_text(encoding="utf-8") for page in pages)
        prose = [
            part
            for part in re.sub(r"```.*?```", "", text, flags=re.DOTALL).split("\n\n")
            if part[:1].isupper() and part.rstrip().endswith(".")
        ]
        sentences = re.findall(r"[A-Z][^.?!|]{30,200}[.](?= )", " ".join(" ".join(prose).split()))
        self._sentences = sorted(set(sentences))
        self._vectors = EMBEDDER.embed_many(self._sentences)
        self.answered = 0

    def __call__(self, question: str) -> str:
        self.answered += 1
        return str(self._sentences[int(np.argmax(self._vectors @ EMBEDDER.embed(question)))])


class Server(BaseHTTPRequestHandler):
    """`POST /v1/chat/completions`, streamed or not; `max_tokens` cuts an answer off, as a model's does."""

    model: Reader

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = [turn["content"] for turn in asked["messages"] if turn["role"] == "user"]
        words = self.model(said[-1]).split()
        limit = asked.get("max_tokens", len(words))
        reason = "length" if limit < len(words) else "stop"
        words = words[:limit]
        if asked.get("stream"):
            parts: list[dict[str, Any]] = [{"delta": {"content": f"{word} "}, "finish_reason": None} for word in words]
            parts.append({"delta": {}, "finish_reason": reason})
            events = [
                json.dumps({"object": "chat.completion.chunk", "choices": [{"index": 0, **part}]}) for part in parts
            ]
            self.reply("text/event-stream", "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"]))
        else:
            message = {"role": "assistant", "content": " ".join(words)}
            body = {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": reason}]}
            self.reply("application/json", json.dumps(body))

    def reply(self, kind: str, body: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def chat(client: httpx.Client, question: str, *earlier: dict[str, Any], **options: Any) -> tuple[str, str]:
    """What the header `mneme` says, and the answer; that of a stream is put together from its events."""
    body = {"model": "reader", "messages": [*earlier, {"role": "user", "content": question}], **options}
    response = client.post("/v1/chat/completions", json=body)
    if options.get("stream"):
        events = [json.loads(event) for event in re.findall(r"^data: ({.*})$", response.text, flags=re.MULTILINE)]
        answer = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    else:
        answer = response.json()["choices"][0]["message"]["content"]
    print(f"{response.headers['mneme']}: {question} {options or ''}\n    {answer}")
    return response.headers["mneme"], answer


def talk(client: httpx.Client, model: Reader) -> None:
    """Ask; what the cache may answer, and what not."""
    question, again = "When is an expired entry removed?", "When are expired entries removed?"
    asked, answer = chat(client, question)
    assert (asked, chat(client, again)) == ("miss", ("hit", answer))
    status, whole = chat(client, question, stream=True)
    assert (status, chat(client, again, stream=True)) == ("miss", ("hit", whole))
    assert model.answered == 2

    system = {"role": "system", "content": "Answer a child."}
    assert chat(client, question, system)[0] == "miss"  # another system prompt, another scope
    earlier = ({"role": "user", "content": "What is a scope?"}, {"role": "assistant", "content": "A partition."})
    assert chat(client, question, *earlier)[0] == "miss"  # so is what was said before

    for _ in range(2):  # cut off: passed on, and not kept
        assert chat(client, "What is a namespace?", max_tokens=4)[0].startswith("pass")
    tool = {"role": "tool", "tool_call_id": "1", "content": "21 degrees"}
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    wants = {"role": "assistant", "content": None, "tool_calls": [call]}
    first = {"role": "user", "content": "What is the weather?"}
    body = {"model": "reader", "messages": [first, wants, tool]}
    status = client.post("/v1/chat/completions", json=body).headers["mneme"]
    print(f"{status}: {first['content']}")
    assert status.startswith("pass")


def main() -> None:
    """Start the server, and talk to it through a cache."""
    Server.model = Reader("security-and-privacy", "concepts", "freshness")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with (
            SemanticCache(":memory:", EMBEDDER) as cache,
            httpx.Client(transport=CachingTransport(cache, ttl="30d"), base_url=url, trust_env=False) as client,
        ):
            talk(client, Server.model)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    main()
