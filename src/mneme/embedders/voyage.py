"""Embeddings of Voyage AI over its HTTP interface. Extra `voyage`.

Over plain HTTP: Voyage's own client brings LangChain, tokenizers, aiohttp and Pillow with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from mneme.embedders._exchange import Wire
from mneme.embedders._http import AsyncHttpEmbedder, HttpEmbedder, endpoint, key_of

if TYPE_CHECKING:
    import httpx
    import httpx2

__all__ = ["AsyncVoyageEmbedder", "VoyageEmbedder"]

_URL = "https://api.voyageai.com/v1"
_KEY = "VOYAGE_API_KEY"
_TIMEOUT = 10.0
_MOST = 1000
"""Texts that Voyage takes in one request."""
_BATCH_BYTES = 110_000
"""Of 120,000 tokens that every model takes in one request; each text may gain some by its input type."""

_INPUT_TYPES = (None, "query", "document")
_DTYPES = ("float", "int8")


class VoyageEmbedder(HttpEmbedder):
    """An embedder on Voyage AI's models. A text longer than the model's window raises `InputTooLongError`.

    Questions that are asked and questions that are stored are embedded alike: by default without an *input_type*, which
    is for searching documents by queries and puts a sentence that says so before every text.

    Thread safety: may be called from any number of threads.

    Args:
        model: Such as `"voyage-3.5"`.
        dim: Length of its vectors.
        input_type: `None`, `"query"` or `"document"`.
        dimensions: Ask for vectors of length *dim*, which recent models can: 256, 512, 1024 or 2048.
        output_dtype: `"float"`, or `"int8"` for a quarter of the traffic and a little less precision.
        api_key: By default that of *client*, or what the environment has as `VOYAGE_API_KEY`.
        url: Of a gateway.
        batch: Texts in one request, at most 1000. There are fewer where they are long.
        client: An `httpx.Client` or `httpx2.Client` to use, which stays yours to close. Without it one is made.
        timeout: Seconds for each step of a request. By default the client's own, or 10.
        max_retries: How often a request is sent again after no connection, no answer, or one that may pass: 429, 5xx.
        max_wait: Seconds to wait before that at most. A provider that asks for a longer wait is not asked again.
        fingerprint: Instead of one made of all that changes a vector.
        sleep: Waits.

    Raises:
        ImportError: Neither httpx nor httpx2 is installed: `pip install 'mneme-cache[voyage]'`.
        TypeError: An argument has the wrong type.
        ValueError: There is no key; a number or the address is out of range; input type or dtype are unknown.
    """

    def __init__(
        self,
        model: str,
        dim: int,
        *,
        input_type: str | None = None,
        dimensions: bool = False,
        output_dtype: str = "float",
        api_key: str | None = None,
        url: str = _URL,
        batch: int = 128,
        client: httpx.Client | httpx2.Client | None = None,
        timeout: float | None = None,
        max_retries: int = 2,
        max_wait: float = 8.0,
        fingerprint: str | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        key = key_of(api_key, _KEY, "Voyage", client)
        super().__init__(
            _wire(model, dim if dimensions else None, input_type, output_dtype, batch=batch, key=key),
            endpoint(url, "/embeddings"),
            dim,
            fingerprint or _fingerprint(model, dim, input_type, output_dtype),
            headers={"authorization": f"Bearer {key}"} if key else {},
            client=client,
            timeout=timeout,
            default_timeout=_TIMEOUT,
            max_retries=max_retries,
            max_wait=max_wait,
            sleep=sleep,
        )


class AsyncVoyageEmbedder(AsyncHttpEmbedder):
    """The same on `httpx.AsyncClient` or `httpx2.AsyncClient`, awaited, for `AsyncSemanticCache`."""

    def __init__(
        self,
        model: str,
        dim: int,
        *,
        input_type: str | None = None,
        dimensions: bool = False,
        output_dtype: str = "float",
        api_key: str | None = None,
        url: str = _URL,
        batch: int = 128,
        client: httpx.AsyncClient | httpx2.AsyncClient | None = None,
        timeout: float | None = None,
        max_retries: int = 2,
        max_wait: float = 8.0,
        fingerprint: str | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        key = key_of(api_key, _KEY, "Voyage", client)
        super().__init__(
            _wire(model, dim if dimensions else None, input_type, output_dtype, batch=batch, key=key),
            endpoint(url, "/embeddings"),
            dim,
            fingerprint or _fingerprint(model, dim, input_type, output_dtype),
            headers={"authorization": f"Bearer {key}"} if key else {},
            client=client,
            timeout=timeout,
            default_timeout=_TIMEOUT,
            max_retries=max_retries,
            max_wait=max_wait,
            sleep=sleep,
        )


def _wire(
    model: str, dimensions: int | None, input_type: str | None, output_dtype: str, *, batch: int, key: str | None
) -> Wire:
    if input_type not in _INPUT_TYPES:
        raise ValueError(f"input_type must be None, 'query' or 'document', not {input_type!r}")
    if output_dtype not in _DTYPES:
        raise ValueError(
            f"output_dtype must be 'float' or 'int8', not {output_dtype!r}: the angle between vectors of another type "
            f"is not that between the texts"
        )
    if batch > _MOST:
        raise ValueError(f"batch is {batch}; Voyage takes at most {_MOST} texts in one request")
    asking: dict[str, Any] = {"model": model, "truncation": False, "output_dtype": output_dtype}
    if input_type is not None:
        asking["input_type"] = input_type
    if dimensions is not None:
        asking["output_dimension"] = dimensions
    return Wire(
        provider="Voyage",
        body=lambda texts: {**asking, "input": texts},
        vectors=_vectors,
        complaint="detail",
        batch=batch,
        batch_bytes=_BATCH_BYTES,
        secret=key,
        remedies={401: f"check the key: api_key=, or {_KEY}"},
    )


def _vectors(document: Any) -> Sequence[Any]:
    """By index: nothing says that they come in order."""
    found: dict[int, Any] = {}
    for one in document["data"]:
        found[one["index"]] = one["embedding"]
    return [found[number] for number in range(len(found))]


def _fingerprint(model: str, dim: int, input_type: str | None, output_dtype: str) -> str:
    name = f"voyage:{model};dim={dim};input_type={input_type or 'none'}"
    return name if output_dtype == "float" else f"{name};dtype={output_dtype}"
