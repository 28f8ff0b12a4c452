"""Embeddings of Ollama over its own interface, `/api/embed`, which refuses a text that is too long. Extra `ollama`.

Over plain HTTP: Ollama's client has no time-out and does not retry, and adds nothing else to one request.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from mneme.embedders._exchange import Wire
from mneme.embedders._http import AsyncHttpEmbedder, HttpEmbedder, endpoint

if TYPE_CHECKING:
    import httpx
    import httpx2

__all__ = ["AsyncOllamaEmbedder", "OllamaEmbedder"]

_URL = "http://localhost:11434"
_TIMEOUT = 60.0
"""Seconds. The first request after a pause loads the model."""

_IRRELEVANT = frozenset(
    {"low_vram", "main_gpu", "num_batch", "num_ctx", "num_gpu", "num_thread", "numa", "use_mlock", "use_mmap"}
)
"""Options that change how fast, or how long a text may be, and no vector."""


class OllamaEmbedder(HttpEmbedder):
    """An embedder on a model that Ollama serves. A text longer than the model's window raises `InputTooLongError`.

    Ollama is told never to cut off, which its interface in the shape of OpenAI's cannot be told. Two servers give the
    same vectors for the same model, so the fingerprint does not hold the address. A tag can be pulled again with other
    weights: name a tag that stays, or change *fingerprint* then.

    Thread safety: may be called from any number of threads.

    Args:
        model: As Ollama calls it; without a tag it is the one with `:latest`.
        dim: Length of its vectors.
        url: Where Ollama listens.
        dimensions: Ask for vectors shortened to *dim*, which models trained for it can.
        prefix: Goes before every text. Models such as nomic-embed-text were trained with one for each task, and Ollama
            adds none: `"clustering: "` there.
        options: The model's, as Ollama takes them.
        keep_alive: How long the model stays loaded after a request: seconds, or text such as `"10m"`.
        batch: Texts in one request.
        client: An `httpx.Client` or `httpx2.Client` to use, which stays yours to close. Without it one is made.
        timeout: Seconds for each step of a request. By default the client's own, or 60.
        max_retries: How often a request is sent again after no connection, no answer, or one that may pass: 429, 5xx.
        max_wait: Seconds to wait before that at most. A provider that asks for a longer wait is not asked again.
        fingerprint: Instead of one made of all that changes a vector.
        sleep: Waits.

    Raises:
        ImportError: Neither httpx nor httpx2 is installed: `pip install 'mneme-cache[ollama]'`.
        TypeError: An argument has the wrong type.
        ValueError: A number or the address is out of range.
    """

    def __init__(
        self,
        model: str,
        dim: int,
        *,
        url: str = _URL,
        dimensions: bool = False,
        prefix: str = "",
        options: Mapping[str, Any] | None = None,
        keep_alive: float | str | None = None,
        batch: int = 32,
        client: httpx.Client | httpx2.Client | None = None,
        timeout: float | None = None,
        max_retries: int = 2,
        max_wait: float = 8.0,
        fingerprint: str | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__(
            _wire(
                model, dim if dimensions else None, prefix=prefix, options=options, keep_alive=keep_alive, batch=batch
            ),
            endpoint(url, "/api/embed"),
            dim,
            fingerprint or _fingerprint(model, dim, prefix, options),
            headers={},
            client=client,
            timeout=timeout,
            default_timeout=_TIMEOUT,
            max_retries=max_retries,
            max_wait=max_wait,
            sleep=sleep,
        )


class AsyncOllamaEmbedder(AsyncHttpEmbedder):
    """The same on `httpx.AsyncClient` or `httpx2.AsyncClient`, awaited, for `AsyncSemanticCache`."""

    def __init__(
        self,
        model: str,
        dim: int,
        *,
        url: str = _URL,
        dimensions: bool = False,
        prefix: str = "",
        options: Mapping[str, Any] | None = None,
        keep_alive: float | str | None = None,
        batch: int = 32,
        client: httpx.AsyncClient | httpx2.AsyncClient | None = None,
        timeout: float | None = None,
        max_retries: int = 2,
        max_wait: float = 8.0,
        fingerprint: str | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        super().__init__(
            _wire(
                model, dim if dimensions else None, prefix=prefix, options=options, keep_alive=keep_alive, batch=batch
            ),
            endpoint(url, "/api/embed"),
            dim,
            fingerprint or _fingerprint(model, dim, prefix, options),
            headers={},
            client=client,
            timeout=timeout,
            default_timeout=_TIMEOUT,
            max_retries=max_retries,
            max_wait=max_wait,
            sleep=sleep,
        )


def _wire(
    model: str,
    dimensions: int | None,
    *,
    prefix: str,
    options: Mapping[str, Any] | None,
    keep_alive: float | str | None,
    batch: int,
) -> Wire:
    asking: dict[str, Any] = {"model": model, "truncate": False}
    if dimensions is not None:
        asking["dimensions"] = dimensions
    if options:
        asking["options"] = dict(options)
    if keep_alive is not None:
        asking["keep_alive"] = keep_alive
    return Wire(
        provider="Ollama",
        body=lambda texts: {**asking, "input": [prefix + text for text in texts]},
        vectors=lambda document: document["embeddings"],
        complaint="error",
        batch=batch,
        remedies={404: f"fetch the model: ollama pull {model}"},
    )


def _fingerprint(model: str, dim: int, prefix: str, options: Mapping[str, Any] | None) -> str:
    tagged = model if ":" in model.rpartition("/")[2] else f"{model}:latest"
    said = {key: value for key, value in (options or {}).items() if key not in _IRRELEVANT}
    name = f"ollama:{tagged};dim={dim}"
    name += f";prefix={json.dumps(prefix)}" if prefix else ""
    return name + (f";options={json.dumps(said, sort_keys=True)}" if said else "")
