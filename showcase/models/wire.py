"""The two wire formats: chat completions as OpenAI has them, and Ollama's own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from showcase.models.base import Message

__all__ = ["Dialect", "Ollama", "OpenAI", "Piece", "complaint", "dialect_of"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A line of a streamed answer."""

    text: str = ""
    tokens: int | None = None
    """How many there were in all, where the line says it."""
    ended: str | None = None
    """Why the answer is over: "stop" if it came to its own end."""


class Dialect(Protocol):
    """How an endpoint is spoken with."""

    title: str

    @property
    def chat_url(self) -> str: ...

    def models(self, client: httpx.Client) -> list[str]:
        """The names of the models that there are."""
        ...

    def request(self, model: str, messages: Sequence[Message], most_tokens: int) -> dict[str, Any]: ...

    def pieces(self, lines: Iterable[str]) -> Iterator[Piece]: ...


class OpenAI:
    """`/v1/chat/completions`, as vLLM, llama.cpp, LM Studio, NIM and OpenAI speak it."""

    title = "OpenAI-compatible"

    def __init__(self, base: str) -> None:
        self._base = base

    @property
    def chat_url(self) -> str:
        return f"{self._base}/chat/completions"

    def models(self, client: httpx.Client) -> list[str]:
        reply = client.get(f"{self._base}/models")
        reply.raise_for_status()
        return [str(model["id"]) for model in reply.json()["data"]]

    def request(self, model: str, messages: Sequence[Message], most_tokens: int) -> dict[str, Any]:
        return {
            "model": model,
            "messages": list(messages),
            "max_tokens": most_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def pieces(self, lines: Iterable[str]) -> Iterator[Piece]:
        for line in lines:
            data = line.removeprefix("data:").strip()
            if data == line.strip() or data == "[DONE]":  # an empty line, a comment, or the end
                continue
            chunk = json.loads(data)
            if "error" in chunk:
                raise ValueError(str(chunk["error"]))
            for choice in chunk.get("choices") or ():
                yield Piece(choice.get("delta", {}).get("content") or "", ended=choice.get("finish_reason"))
            if usage := chunk.get("usage"):
                yield Piece(tokens=usage.get("completion_tokens"))


class Ollama:
    """`/api/chat` of an Ollama. Its OpenAI-compatible side would do; its own says more when something is wrong."""

    title = "Ollama"

    def __init__(self, base: str) -> None:
        self._base = base

    @property
    def chat_url(self) -> str:
        return f"{self._base}/api/chat"

    def models(self, client: httpx.Client) -> list[str]:
        reply = client.get(f"{self._base}/api/tags")
        reply.raise_for_status()
        return [str(model["name"]) for model in reply.json()["models"]]

    def request(self, model: str, messages: Sequence[Message], most_tokens: int) -> dict[str, Any]:
        options = {"temperature": 0, "num_predict": most_tokens}
        return {"model": model, "messages": list(messages), "stream": True, "options": options}

    def pieces(self, lines: Iterable[str]) -> Iterator[Piece]:
        for line in lines:
            if not line.strip():
                continue
            chunk = json.loads(line)
            if "error" in chunk:
                raise ValueError(str(chunk["error"]))
            ended = (chunk.get("done_reason") or "stop") if chunk.get("done") else None
            yield Piece((chunk.get("message") or {}).get("content") or "", chunk.get("eval_count"), ended)


def dialect_of(client: httpx.Client, base: str) -> Dialect:
    """What is spoken at *base*: Ollama tells its version at a path that no other has.

    Raises:
        httpx.HTTPError: Nobody answers there.
    """
    root = base.removesuffix("/v1")
    reply = client.get(f"{root}/api/version")
    try:
        said = reply.json() if reply.is_success else None
    except ValueError:
        said = None
    return Ollama(root) if isinstance(said, dict) and set(said) == {"version"} else OpenAI(base)


def complaint(reply: httpx.Response) -> str:
    """What a refusal says, for people: one line, no longer than a line should be."""
    try:
        said = reply.json()
        error = said.get("error", said)
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError):
        text = reply.text
    text = " ".join(text.split())
    return text if len(text) <= 300 else f"{text[:300]}…"
