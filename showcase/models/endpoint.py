"""A model that answers over HTTP: anything OpenAI-compatible, or Ollama. Which of the two it is, is found by asking."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import httpx

from showcase.models import wire
from showcase.models.base import Answer, Message, ModelError, never, unheard
from showcase.models.thoughts import Spoken, without_thoughts

__all__ = ["EndpointModel"]

# To be connected; and between two pieces of an answer, the first of which may take a large model long.
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_LONGEST = 180.0
# Models that think first need many, and cannot be told from others.
_MOST_TOKENS = 4000


class EndpointModel:
    """The model behind *endpoint*. It is not asked for anything before it is needed, and may come up later.

    Args:
        endpoint: `http://host:port/v1`, or `http://host:11434` of an Ollama.
        model: Its name there; by default the first of those that there are.
        api_key: Sent as a bearer token.
        client: For tests.

    Raises:
        ValueError: *endpoint* is no address, or *api_key* cannot be sent.
    """

    def __init__(
        self, endpoint: str, model: str | None = None, api_key: str | None = None, client: httpx.Client | None = None
    ) -> None:
        # The address is shown, and stands in what httpx says of failures: without a name and a password in it.
        self._base, auth = _apart(endpoint.rstrip("/"))
        self._client = client or httpx.Client(headers=_headers(api_key), auth=auth, timeout=_TIMEOUT)
        self._wanted = model
        self._lock = threading.Lock()
        self._dialect: wire.Dialect | None = None
        self.name = model or ""
        self.description = f"{self.name or 'a model'}, at {self._base}"
        self.trouble: str | None = None

    def answer(
        self,
        messages: Sequence[Message],
        *,
        say: Callable[[str], None] = unheard,
        stopped: Callable[[], bool] = never,
        most_tokens: int | None = None,
    ) -> Answer:
        begun = time.perf_counter()
        with self._failures():
            answer = self._answer(self._found(), messages, say, stopped, most_tokens or _MOST_TOKENS)
        self.trouble = None
        return Answer(answer.text, answer.tokens, time.perf_counter() - begun, whole=answer.whole)

    def probe(self) -> None:
        try:
            with self._failures():
                self._found(again=True)
        except ModelError as error:
            self.trouble = str(error)
        else:
            self.trouble = None

    def close(self) -> None:
        self._client.close()

    def _found(self, *, again: bool = False) -> wire.Dialect:
        """What is spoken there, and the model's name: asked for once, unless that failed."""
        with self._lock:
            if self._dialect is None or again:
                dialect = wire.dialect_of(self._client, self._base)
                self.name = self._wanted or self._first(dialect.models(self._client))
                self.description = f"{self.name}, at {self._base} ({dialect.title})"
                self._dialect = dialect
            return self._dialect

    def _first(self, models: Sequence[str]) -> str:
        if not models:
            raise self._failed("it has no models; load one there, or name one with --model")
        return models[0]

    def _answer(
        self,
        dialect: wire.Dialect,
        messages: Sequence[Message],
        say: Callable[[str], None],
        stopped: Callable[[], bool],
        most_tokens: int,
    ) -> Answer:
        pieces: list[str] = []
        spoken = Spoken()
        counted, ended = 0, None
        latest = time.monotonic() + _LONGEST
        with self._client.stream(
            "POST", dialect.chat_url, json=dialect.request(self.name, messages, most_tokens)
        ) as reply:
            if reply.status_code != httpx.codes.OK:
                reply.read()
                raise self._failed(f"it answered {reply.status_code}: {wire.complaint(reply)}")
            for piece in dialect.pieces(reply.iter_lines()):
                if piece.text:
                    pieces.append(piece.text)
                    if heard := spoken.hear(piece.text):
                        say(heard)
                counted = piece.tokens or counted
                ended = piece.ended or ended
                if stopped():
                    break
                if time.monotonic() > latest:
                    raise self._failed(f"an answer took more than {_LONGEST:g} seconds")
        if ended is None and not stopped():
            raise self._failed("the answer broke off before its end")
        return Answer(without_thoughts("".join(pieces)), counted or len(pieces), 0.0, whole=ended == "stop")

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Raises `ModelError` for whatever an endpoint does, or another server that is no endpoint at all."""
        try:
            yield
        except httpx.HTTPError as error:
            raise self._failed(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
            # Not its repr, which may hold all that was answered.
            why = f"it answered in a form that is not understood ({type(error).__name__}: {error})"
            raise self._failed(why) from error

    def _failed(self, why: str) -> ModelError:
        self.trouble = f"The model at {self._base} does not answer: {why}. Is it running, and is the address right?"
        return ModelError(self.trouble)


def _apart(endpoint: str) -> tuple[str, tuple[str, str] | None]:
    """An address, and the name and the password that stood before its host."""
    try:
        url = httpx.URL(endpoint)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        shown = "no address" if "@" in endpoint else repr(endpoint)
        raise ValueError(f"the endpoint is {shown}; it must look like http://localhost:8000/v1")
    if not url.userinfo:
        return endpoint, None
    return str(url.copy_with(userinfo=b"")), (url.username, url.password)


def _headers(api_key: str | None) -> dict[str, str]:
    """The key as a header. One that cannot stand there is refused here: what sends it would say the whole key."""
    key = (api_key or "").strip()
    if not key:
        return {}
    if not key.isascii() or not key.isprintable():
        raise ValueError("the API key has characters that cannot be sent; give it as it was issued")
    return {"authorization": f"Bearer {key}"}
