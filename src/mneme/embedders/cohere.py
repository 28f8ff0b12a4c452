"""Embeddings of Cohere over its interface version 2. Extra `cohere`.

Over plain HTTP: Cohere's own client brings tokenizers, a client of a model hub and a codec of Avro with it, none of
which an embedding takes. On Amazon's Bedrock the same models are reached by `mneme.embedders.bedrock`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from mneme.embedders._exchange import Wire
from mneme.embedders._http import AsyncHttpEmbedder, HttpEmbedder, endpoint, key_of

if TYPE_CHECKING:
    import httpx
    import httpx2

__all__ = ["AsyncCohereEmbedder", "CohereEmbedder"]

_URL = "https://api.cohere.com"
_KEY = "CO_API_KEY"
_TIMEOUT = 10.0
_BATCH = 96
"""Texts that Cohere takes in one request."""

INPUT_TYPES = ("clustering", "search_query", "search_document", "classification")


class CohereEmbedder(HttpEmbedder):
    """An embedder on Cohere's models. A text longer than the model's window raises `InputTooLongError`.

    Questions that are asked and questions that are stored get the same *input_type*: a cache compares like with like,
    and vectors of two types would be further apart than the texts are.

    Thread safety: may be called from any number of threads.

    Args:
        model: Such as `"embed-v4.0"`.
        dim: Length of its vectors.
        input_type: `"clustering"`, `"search_query"`, `"search_document"` or `"classification"`.
        dimensions: Ask for vectors of length *dim*, which embed-v4.0 and later can.
        api_key: By default that of *client*, or what the environment has as `CO_API_KEY`.
        url: Of a gateway or a deployment of your own.
        batch: Texts in one request, at most 96.
        client: An `httpx.Client` or `httpx2.Client` to use, which stays yours to close. Without it one is made.
        timeout: Seconds for each step of a request. By default the client's own, or 10.
        max_retries: How often a request is sent again after no connection, no answer, or one that may pass: 429, 5xx.
        max_wait: Seconds to wait before that at most. A provider that asks for a longer wait is not asked again.
        fingerprint: Instead of one made of all that changes a vector.
        sleep: Waits.

    Raises:
        ImportError: Neither httpx nor httpx2 is installed: `pip install 'mneme-cache[cohere]'`.
        TypeError: An argument has the wrong type.
        ValueError: There is no key; a number or the address is out of range; the input type is unknown.
    """

    def __init__(
        self,
        model: str,
        dim: int,
        *,
        input_type: str = "clustering",
        dimensions: bool = False,
        api_key: str | None = None,
        url: str = _URL,
        batch: int = _BATCH,
        client: httpx.Client | httpx2.Client | None = None,
        timeout: float | None = None,
        max_retries: int = 2,
        max_wait: float = 8.0,
        fingerprint: str | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        key = key_of(api_key, _KEY, "Cohere", client)
        super().__init__(
            _wire(model, dim if dimensions else None, input_type, batch, key),
            endpoint(url, "/v2/embed"),
            dim,
            fingerprint or f"cohere:{model};dim={dim};input_type={input_type}",
            headers={"authorization": f"Bearer {key}"} if key else {},
            client=client,
            timeout=timeout,
            default_timeout=_TIMEOUT,
            max_retries=max_retries,
            max_wait=max_wait,
            sleep=sleep,
        )


class AsyncCohereEmbedder(AsyncHttpEmbedder):
    """The same on `httpx.AsyncClient` or `httpx2.AsyncClient`, awaited, for `AsyncSemanticCache`."""

    def __init__(
        self,
        model: str,
        dim: int,
        *,
        input_type: str = "clustering",
        dimensions: bool = False,
        api_key: str | None = None,
        url: str = _URL,
        batch: int = _BATCH,
        client: httpx.AsyncClient | httpx2.AsyncClient | None = None,
        timeout: float | None = None,
        max_retries: int = 2,
        max_wait: float = 8.0,
        fingerprint: str | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        key = key_of(api_key, _KEY, "Cohere", client)
        super().__init__(
            _wire(model, dim if dimensions else None, input_type, batch, key),
            endpoint(url, "/v2/embed"),
            dim,
            fingerprint or f"cohere:{model};dim={dim};input_type={input_type}",
            headers={"authorization": f"Bearer {key}"} if key else {},
            client=client,
            timeout=timeout,
            default_timeout=_TIMEOUT,
            max_retries=max_retries,
            max_wait=max_wait,
            sleep=sleep,
        )


def _wire(model: str, dimensions: int | None, input_type: str, batch: int, key: str | None) -> Wire:
    check_input_type(input_type)
    if batch > _BATCH:
        raise ValueError(f"batch is {batch}; Cohere takes at most {_BATCH} texts in one request")
    asking: dict[str, Any] = {
        "model": model,
        "input_type": input_type,
        "embedding_types": ["float"],
        "truncate": "NONE",
    }
    if dimensions is not None:
        asking["output_dimension"] = dimensions
    return Wire(
        provider="Cohere",
        body=lambda texts: {**asking, "texts": texts},
        vectors=lambda document: document["embeddings"]["float"],
        complaint="message",
        batch=batch,
        secret=key,
        remedies={401: f"check the key: api_key=, or {_KEY}"},
    )


def check_input_type(input_type: str) -> None:
    """Refuse what is no input type of texts."""
    if input_type not in INPUT_TYPES:
        raise ValueError(f"input_type must be one of {', '.join(INPUT_TYPES)}, not {input_type!r}")
