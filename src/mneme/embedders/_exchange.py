"""How a provider of embeddings is asked: in batches, again where that may help, and believing no answer unseen.

A flow yields what is to be done, a request or a wait, and is sent the answer. So it is written once for both faces, and
neither sends nor waits itself.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias

import numpy as np

from mneme.embedders._shape import as_matrix
from mneme.errors import EmbedderBackendError, InputTooLongError
from mneme.log import log_fields
from mneme.ports import Matrix

__all__ = [
    "Answer",
    "Backoff",
    "Flow",
    "Lost",
    "Request",
    "Wait",
    "Wire",
    "batches",
    "check_texts",
    "embedding",
    "read",
    "says_too_long",
    "shown",
]

logger: logging.Logger = logging.getLogger("mneme")

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
"""Answers that may be others a moment later."""

_TOO_LONG = (
    "context length",
    "context window",
    "input is too long",
    "input length",
    "max input tokens",
    "max allowed tokens per submitted batch",
    "maximum number of tokens",
    "maximum token length",
    "model token limit",
    "size limit exceeded",
    "expected maxlength",
    "too many tokens",
    "too many input tokens",
)
"""What providers say, in small letters, to a text that they would have to cut off."""

_SHOWN = 300
"""Characters of an answer that an error message repeats."""


@dataclass(frozen=True, slots=True)
class Wire:
    """How one provider is spoken to."""

    provider: str
    body: Callable[[list[str]], dict[str, Any]]
    """The request that embeds these texts."""
    vectors: Callable[[Any], Sequence[Any]]
    """The vectors in an answer, in the order of the texts. What it raises makes the answer unusable."""
    complaint: str
    """Under which key an error says what is wrong."""
    batch: int
    """Texts in one request."""
    batch_bytes: int | None = None
    """Bytes of text in one request, where a provider counts tokens: no token is shorter than a byte."""
    secret: str | None = field(default=None, repr=False)
    """Is taken out of whatever is shown."""
    remedies: Mapping[int, str] | None = None
    """What to do, by status."""


@dataclass(frozen=True, slots=True)
class Request:
    """To be sent, and answered with `Answer` or `Lost`."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wait:
    """To be waited."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    document: Any = field(repr=False)
    """`None` if it is not JSON. Like the text it may repeat the key."""
    text: str = field(repr=False)
    """May be left out where the document is all there is to say."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Nothing came back: no connection, or not in time."""

    error: Exception


Flow: TypeAlias = Generator["Request | Wait", "Answer | Lost | None", Matrix]


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often and after what time to ask again: twice as long each time, shortened by chance so that many clients
    do not come back together, or as long as the provider says.
    """

    retries: int
    longest: float
    first: float = 0.5
    chance: Callable[[], float] = random.random

    def pause(self, attempt: int, answer: Answer | Lost) -> float | None:
        """Seconds to wait before attempt number *attempt* + 1; `None` to give up."""
        if attempt > self.retries or (isinstance(answer, Answer) and answer.status not in _AGAIN):
            return None
        told = _retry_after(answer.headers) if isinstance(answer, Answer) else None
        if told is not None:  # sooner is useless, and whoever waits for the cache does not wait longer than was said
            return told if told <= self.longest else None
        pause = min(self.longest, self.first * 2.0 ** (attempt - 1))
        return pause * (1.0 - self.chance() / 2.0)


def embedding(wire: Wire, texts: Sequence[str], dim: int, backoff: Backoff) -> Flow:
    """The vectors of *texts*, a row each.

    Raises:
        InputTooLongError: The provider refuses a text as too long.
        EmbedderDimensionError: Its vectors do not have *dim* numbers.
        EmbedderBackendError: It cannot be reached, refuses, or answers what are no vectors.
    """
    check_texts(texts)
    rows: list[Matrix] = []
    for some in batches(texts, wire.batch, wire.batch_bytes):
        answer = yield from _answered(wire, some, backoff)
        rows.append(read(wire, answer, len(some), dim))
    return np.concatenate(rows) if rows else np.empty((0, dim), np.float32)


def check_texts(texts: Sequence[str]) -> None:
    """Refuse what is no text."""
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"a text to embed must be a str, not {type(text).__name__}")


def batches(texts: Sequence[str], most: int, most_bytes: int | None = None) -> Iterator[list[str]]:
    """*texts* in order, in lists of at most *most*, and of at most *most_bytes* where more than one text is in it."""
    batch: list[str] = []
    size = 0
    for text in texts:
        length = len(text.encode("utf-8", "surrogatepass")) if most_bytes is not None else 0
        if batch and (len(batch) == most or (most_bytes is not None and size + length > most_bytes)):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += length
    if batch:
        yield batch


def _answered(wire: Wire, texts: list[str], backoff: Backoff) -> Generator[Request | Wait, Answer | Lost | None, Any]:
    request = Request(wire.body(texts))
    attempt = 1
    while True:
        answer = yield request
        assert answer is not None  # noqa: S101 - a driver answers every request
        if isinstance(answer, Answer) and 200 <= answer.status < 300:
            return answer.text if answer.document is None else answer.document
        said = _complaint(wire, answer)
        if isinstance(answer, Answer) and answer.status != 429 and says_too_long(said):
            raise InputTooLongError(f"{wire.provider}: {said}")
        pause = backoff.pause(attempt, answer)
        if pause is None:
            raise EmbedderBackendError(_failure(wire, answer, said, attempt)) from _cause(answer)
        extra = log_fields("embedder_retried", error=_cause(answer), seconds=pause)
        logger.info("%s did not embed (%s); it is asked again in %.1f s", wire.provider, said, pause, extra=extra)
        yield Wait(pause)
        attempt += 1


def says_too_long(said: str) -> bool:
    """Whether a provider's complaint is about the length of a text."""
    said = said.lower()
    return any(words in said for words in _TOO_LONG)


def _complaint(wire: Wire, answer: Answer | Lost) -> str:
    """What went wrong, in the provider's own words."""
    if isinstance(answer, Lost):
        said: Any = f"{type(answer.error).__name__}: {answer.error}".rstrip(": ")
    else:
        document = answer.document
        said = document.get(wire.complaint) if isinstance(document, Mapping) else None
        said = answer.text if said is None else said
    return shown(said, wire.secret)


def shown(said: object, secret: str | None) -> str:
    """*said* on one line, not too long, and without the key: some providers repeat it."""
    line = " ".join(str(said).split())
    if secret:
        line = line.replace(secret, "[key]")
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."


def _failure(wire: Wire, answer: Answer | Lost, said: str, attempts: int) -> str:
    times = "" if attempts == 1 else f" (asked {attempts} times)"
    if isinstance(answer, Lost):
        return f"{wire.provider} cannot be reached: {said}{times}"
    remedy = (wire.remedies or {}).get(answer.status)
    return f"{wire.provider} answered {answer.status}: {said}{times}" + (f"; {remedy}" if remedy else "")


def _cause(answer: Answer | Lost) -> Exception | None:
    return answer.error if isinstance(answer, Lost) else None


def read(wire: Wire, document: Any, number: int, dim: int) -> Matrix:
    """The vectors in an answer to *number* texts. Raises like `embedding`."""
    try:
        vectors = wire.vectors(document)
        found = len(vectors)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise EmbedderBackendError(
            f"{wire.provider} answered without vectors: {shown(document, wire.secret)}"
        ) from error
    if found != number:
        raise EmbedderBackendError(f"{wire.provider} answered with {found} vectors for {number} texts")
    try:
        matrix = as_matrix(vectors, wire.provider, number, dim)
    except TypeError as error:
        raise EmbedderBackendError(f"{wire.provider} answered with something else than vectors: {error}") from error
    if not np.isfinite(matrix).all():
        raise EmbedderBackendError(f"{wire.provider} answered with a vector that holds what is no finite number")
    return matrix


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the provider asks for, as a number or as a date, which is held against the date of its answer."""
    told = headers.get("retry-after")
    if told is None:
        return None
    try:
        return max(0.0, float(told)) if float(told) < float("inf") else None
    except ValueError:
        pass
    try:
        wait = parsedate_to_datetime(told) - parsedate_to_datetime(headers["date"])
        return max(0.0, wait.total_seconds())
    except (KeyError, TypeError, ValueError, IndexError):
        return None
