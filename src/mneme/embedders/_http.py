"""Both faces of an embedder that is a provider's HTTP interface, on httpx or httpx2."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from mneme.embedders._exchange import Answer, Backoff, Flow, Lost, Request, Wait, Wire, embedding
from mneme.embedders._lifted import check_count, check_seconds
from mneme.ports import Matrix, Vector

__all__ = ["AsyncHttpEmbedder", "HttpEmbedder", "endpoint", "key_of"]

_Self = TypeVar("_Self", bound="_Http")
_LIBRARIES = ("httpx", "httpx2")


class _Http:
    """What both faces have."""

    _client_class = ""

    def __init__(
        self,
        wire: Wire,
        url: str,
        dim: int,
        fingerprint: str,
        *,
        headers: Mapping[str, str],
        client: Any,
        timeout: float | None,
        default_timeout: float,
        max_retries: int,
        max_wait: float,
        sleep: Callable[[float], Any],
    ) -> None:
        check_count("dim", dim)
        check_count("batch", wire.batch)
        if timeout is not None:
            check_seconds(timeout, "timeout")
        check_seconds(max_wait, "max_wait")
        _check_retries(max_retries)
        if not fingerprint.strip():
            raise ValueError("fingerprint is blank; name the model and everything else that changes its vectors")
        self._wire = wire
        self._url = url
        self._dim = dim
        self._fingerprint = fingerprint
        self._backoff = Backoff(max_retries, max_wait)
        self._sleep = sleep
        self._sending: dict[str, Any] = {"headers": dict(headers)}
        self._owned = client is None
        self._timeout = timeout or default_timeout
        self._home: object = None
        if client is None:
            self._http = _library()
            self._client = self._new_client()
            return
        self._http = _library_of(client, self._client_class)
        self._client = client
        if timeout is not None:
            self._sending["timeout"] = timeout

    @property
    def dim(self) -> int:
        """As given."""
        return self._dim

    @property
    def fingerprint(self) -> str:
        """Provider, model, dimension, and what else changes a vector, unless a fingerprint was given."""
        return self._fingerprint

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._fingerprint!r}>"

    def _new_client(self) -> Any:
        return getattr(self._http, self._client_class)(timeout=self._timeout)

    def _client_at(self, home: object) -> Any:
        """The client to use at *home*: a process, and an event loop if there is one.

        One of its own is not taken from one to another. A child of a fork would share connections with its parent, and
        each might read the other's answers; connections of a loop that has ended cannot be used at all.
        """
        if self._owned and self._home != home:
            if self._home is not None:
                self._left = self._client  # neither used nor closed: its connections are not this home's
                self._client = self._new_client()
            self._home = home
        return self._client

    def _flow(self, texts: Sequence[str]) -> Flow:
        return embedding(self._wire, texts, self._dim, self._backoff)


class HttpEmbedder(_Http):
    """The blocking face."""

    _client_class = "Client"

    def embed(self, text: str) -> Vector:
        """The vector of *text*. Raises like `embed_many`."""
        vector: Vector = self.embed_many([text])[0]
        return vector

    def embed_many(self, texts: Sequence[str]) -> Matrix:
        """The vectors of *texts*, a row each, in as many requests as the provider's limits ask for.

        Raises:
            InputTooLongError: The provider refuses one of them as too long.
            EmbedderDimensionError: Its vectors do not have `dim` numbers.
            EmbedderBackendError: It cannot be reached, refuses, or answers what are no vectors.
        """
        flow = self._flow(texts)
        answer: Answer | Lost | None = None
        try:
            while True:
                step = flow.send(answer)
                answer = None if isinstance(step, Wait) else self._send(step)
                if isinstance(step, Wait):
                    self._sleep(step.seconds)
        except StopIteration as end:
            matrix: Matrix = end.value
            return matrix

    def close(self) -> None:
        """Close its connections, unless the client was given. Again is harmless."""
        if self._owned and self._home in {None, os.getpid()}:
            self._client.close()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, request: Request) -> Answer | Lost:
        try:
            return _answer(self._client_at(os.getpid()).post(self._url, json=request.body, **self._sending))
        except self._http.RequestError as error:
            return Lost(error)


class AsyncHttpEmbedder(_Http):
    """The awaited face."""

    _client_class = "AsyncClient"

    async def embed(self, text: str) -> Vector:
        """The vector of *text*. Raises like `embed_many`."""
        vector: Vector = (await self.embed_many([text]))[0]
        return vector

    async def embed_many(self, texts: Sequence[str]) -> Matrix:
        """The vectors of *texts*, a row each, in as many requests as the provider's limits ask for, one after another.

        A cancelled call gives its request or its wait up at once.

        Raises:
            InputTooLongError: The provider refuses one of them as too long.
            EmbedderDimensionError: Its vectors do not have `dim` numbers.
            EmbedderBackendError: It cannot be reached, refuses, or answers what are no vectors.
        """
        flow = self._flow(texts)
        answer: Answer | Lost | None = None
        try:
            while True:
                step = flow.send(answer)
                answer = None if isinstance(step, Wait) else await self._send(step)
                if isinstance(step, Wait):
                    await self._sleep(step.seconds)
        except StopIteration as end:
            matrix: Matrix = end.value
            return matrix

    async def close(self) -> None:
        """Close its connections, unless the client was given. Again is harmless."""
        if self._owned and self._home in {None, _here()}:
            await self._client.aclose()

    async def __aenter__(self: _Self) -> _Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _send(self, request: Request) -> Answer | Lost:
        try:
            return _answer(await self._client_at(_here()).post(self._url, json=request.body, **self._sending))
        except self._http.RequestError as error:
            return Lost(error)


def _here() -> tuple[int, object]:
    return os.getpid(), asyncio.get_running_loop()


def _answer(response: Any) -> Answer:
    try:
        document = response.json()
    except ValueError:  # UnicodeDecodeError is one
        document = None
    # An answer that is used is large, and not read twice.
    text = "" if document is not None and response.is_success else response.text
    return Answer(response.status_code, response.headers, document, text)


def endpoint(url: str, path: str) -> str:
    """*path* below *url*, which may end in a slash."""
    if not isinstance(url, str):
        raise TypeError(f"url must be a str, not {type(url).__name__}")
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # no port, or half an address of IPv6
        sound = False
    if not sound:
        shown = url.rpartition("@")[2]  # what is before it may be a password
        raise ValueError(f"url must begin with http:// or https:// and name a host, not {shown!r}") from None
    return url.rstrip("/") + path


def key_of(given: str | None, variable: str, provider: str, client: Any) -> str | None:
    """The key that was given, or that the environment holds unless *client* sends one. Never part of a message."""
    own = getattr(client, "headers", None)
    if given is None and isinstance(own, Mapping) and "authorization" in own:
        return None  # a gateway's, say, which the provider's key is not for
    key = os.environ.get(variable) if given is None else given
    if key is not None and not isinstance(key, str):
        raise TypeError(f"api_key must be a str, not {type(key).__name__}")
    key = key.strip() if key is not None else ""  # one that was read from a file ends in a line feed
    if not key:
        if client is not None:
            return None
        raise ValueError(f"{provider} needs a key: pass api_key=, or set {variable}")
    if not (key.isascii() and key.isprintable()):
        raise ValueError(f"the key for {provider} has characters that no header can hold; copy it anew")
    return key


def _check_retries(value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"max_retries must be an int, not {type(value).__name__}")
    if value < 0:
        raise ValueError(f"max_retries must be at least 0, not {value}")


def _library() -> ModuleType:
    for name in _LIBRARIES:
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    raise ImportError("this embedder needs httpx; run: pip install 'mneme-cache[httpx]'", name="httpx")


def _library_of(client: Any, wanted: str) -> ModuleType:
    """The library whose client it is."""
    for kind in type(client).__mro__:
        root = kind.__module__.partition(".")[0]
        if root in _LIBRARIES and kind.__name__ == wanted:
            return importlib.import_module(root)
    kind_given = type(client).__qualname__ if not inspect.isclass(client) else f"the class {client.__qualname__}"
    raise TypeError(f"client must be an httpx.{wanted} or an httpx2.{wanted}, not {kind_given}")
