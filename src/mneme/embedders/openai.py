"""Embeddings of OpenAI, and of the many servers that speak its API: vLLM, Ollama, LM Studio, gateways. Extra `openai`.

The client retries with backoff and gives up after its time-out: set `max_retries` and `timeout` on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import openai

from mneme.embedders._shape import as_matrix
from mneme.errors import EmbedderBackendError, InputTooLongError
from mneme.ports import Matrix, Vector

__all__ = ["AsyncOpenAIEmbedder", "OpenAIEmbedder"]

_TOO_LONG = ("maximum context length", "maximum input length", "context_length_exceeded", "input is too long")
"""What servers say, in small letters, to a text that they would have to cut off."""


class _OpenAI:
    """What both faces have."""

    def __init__(self, client: Any, model: str, dim: int, *, dimensions: bool, batch: int, name: str | None) -> None:
        if dim < 1 or batch < 1:
            raise ValueError(f"dim and batch must be at least 1, not {dim} and {batch}")
        self._client = client
        self._batch = batch
        self._dim = dim
        self._asking: dict[str, Any] = {"model": model, "encoding_format": "float"}
        if dimensions:
            self._asking["dimensions"] = dim
        host = urlsplit(str(client.base_url)).netloc.rpartition("@")[2]
        self._fingerprint = name or f"openai:{host}:{model};dim={dim}"

    @property
    def dim(self) -> int:
        """As given."""
        return self._dim

    @property
    def fingerprint(self) -> str:
        """The server's host, the model and the dimension, unless a fingerprint was given."""
        return self._fingerprint

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._fingerprint!r}>"

    def _batches(self, texts: Sequence[str]) -> Iterator[list[str]]:
        for start in range(0, len(texts), self._batch):
            yield list(texts[start : start + self._batch])

    def _matrix(self, answers: Sequence[Any], number: int) -> Matrix:
        rows = [one.embedding for answer in answers for one in sorted(answer.data or (), key=lambda one: one.index)]
        if len(rows) != number:
            raise EmbedderBackendError(f"the server answered with {len(rows)} vectors for {number} texts")
        if not rows:
            return np.empty((0, self._dim), np.float32)
        return as_matrix(rows, self._fingerprint, number, self._dim)


def _says_too_long(error: openai.BadRequestError) -> bool:
    said = f"{error.code} {error.message}".lower()
    return any(words in said for words in _TOO_LONG)


class OpenAIEmbedder(_OpenAI):
    """An embedder on `openai.OpenAI`. Never cuts off by itself; what the server refuses as too long raises
    `InputTooLongError`.

    A server that cuts off silently cannot be noticed: Ollama does, and is better asked by `mneme.embedders.ollama`.

    Args:
        client: Stays yours to close.
        model: As the server calls it.
        dim: Length of its vectors.
        dimensions: Ask the server to shorten vectors to *dim*, which models such as text-embedding-3 can.
        batch: Texts in one request.
        fingerprint: Instead of one made of host, model and dimension: for a server that moves to another address.

    Raises:
        ValueError: A number is less than 1.
        EmbedderBackendError: On use: the server answers with fewer vectors than it was asked for.
    """

    def __init__(
        self,
        client: openai.OpenAI,
        model: str,
        dim: int,
        *,
        dimensions: bool = False,
        batch: int = 256,
        fingerprint: str | None = None,
    ) -> None:
        super().__init__(client, model, dim, dimensions=dimensions, batch=batch, name=fingerprint)

    def embed(self, text: str) -> Vector:
        """The vector of *text*. Raises what the client raises."""
        vector: Vector = self.embed_many([text])[0]
        return vector

    def embed_many(self, texts: Sequence[str]) -> Matrix:
        """The vectors of *texts*, a row each, in requests of `batch`."""
        try:
            answers = [self._client.embeddings.create(input=some, **self._asking) for some in self._batches(texts)]
        except openai.BadRequestError as error:
            if _says_too_long(error):
                raise InputTooLongError(str(error)) from error
            raise
        return self._matrix(answers, len(texts))


class AsyncOpenAIEmbedder(_OpenAI):
    """The same on `openai.AsyncOpenAI`, awaited, for `AsyncSemanticCache`."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        model: str,
        dim: int,
        *,
        dimensions: bool = False,
        batch: int = 256,
        fingerprint: str | None = None,
    ) -> None:
        super().__init__(client, model, dim, dimensions=dimensions, batch=batch, name=fingerprint)

    async def embed(self, text: str) -> Vector:
        """The vector of *text*. Raises what the client raises."""
        vector: Vector = (await self.embed_many([text]))[0]
        return vector

    async def embed_many(self, texts: Sequence[str]) -> Matrix:
        """The vectors of *texts*, a row each, in requests of `batch`."""
        try:
            answers = [
                await self._client.embeddings.create(input=some, **self._asking) for some in self._batches(texts)
            ]
        except openai.BadRequestError as error:
            if _says_too_long(error):
                raise InputTooLongError(str(error)) from error
            raise
        return self._matrix(answers, len(texts))
