"""Embeddings of the Titan and Cohere models on Amazon Bedrock, by `InvokeModel`. Extra `bedrock`.

The client retries with backoff and gives up after its time-outs: `retries=` and `read_timeout=` of its `Config`.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import re
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from botocore.exceptions import ClientError

from mneme.embedders._exchange import Wire, batches, check_texts, read, says_too_long
from mneme.embedders._lifted import check_count
from mneme.embedders.cohere import check_input_type
from mneme.errors import EmbedderBackendError, InputTooLongError
from mneme.ports import Matrix, Vector

__all__ = ["AsyncBedrockEmbedder", "BedrockEmbedder"]

_FAMILIES = {
    "titan-v1": r"amazon\.titan-embed-(text-v1|g1-text)",
    "titan-v2": r"amazon\.titan-embed-text-v2",
    "cohere": r"cohere\.embed-",
}
"""How a model is spoken to, by what its id contains."""


class _Bedrock:
    """What both faces have."""

    def __init__(
        self,
        client: Any,
        model: str,
        dim: int,
        *,
        awaited: bool,
        family: str | None,
        input_type: str | None,
        dimensions: bool,
        concurrency: int,
        fingerprint: str | None,
    ) -> None:
        check_count("dim", dim)
        check_count("concurrency", concurrency)
        _check_client(client, awaited=awaited)
        family = family or _family_of(model)
        self._client = client
        self._model = model
        self._dim = dim
        self._concurrency = concurrency
        if family == "cohere":
            input_type = input_type or "clustering"
            check_input_type(input_type)
            self._wire = _cohere(input_type, dim if dimensions else None)
        elif input_type is not None:
            raise ValueError(f"input_type is {input_type!r}, but Titan models have none")
        else:
            self._wire = _titan(family, dim if dimensions else None)
        typed = f";input_type={input_type}" if input_type else ""
        self._fingerprint = fingerprint or f"bedrock:{_plain(model)};dim={dim}{typed}"

    @property
    def dim(self) -> int:
        """As given."""
        return self._dim

    @property
    def fingerprint(self) -> str:
        """The model without its region, the dimension and the input type, unless a fingerprint was given."""
        return self._fingerprint

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._fingerprint!r}>"

    def _batches(self, texts: Sequence[str]) -> list[list[str]]:
        check_texts(texts)
        return list(batches(texts, self._wire.batch))

    def _request(self, texts: list[str]) -> dict[str, Any]:
        body = json.dumps(self._wire.body(texts))
        return {"modelId": self._model, "body": body, "contentType": "application/json", "accept": "application/json"}

    def _matrix(self, raw: bytes, number: int) -> Matrix:
        try:
            document = json.loads(raw)
        except ValueError as error:
            raise EmbedderBackendError(f"Bedrock answered what is no JSON ({error})") from error
        return read(self._wire, document, number, self._dim)

    def _joined(self, parts: list[Matrix]) -> Matrix:
        return np.concatenate(parts) if parts else np.empty((0, self._dim), np.float32)


class BedrockEmbedder(_Bedrock):
    """An embedder on `boto3.client("bedrock-runtime")`. A text that Bedrock refuses as too long raises
    `InputTooLongError`.

    Titan takes one text in a request, Cohere 96. A batch goes out in several requests at a time, in threads that end
    with the call.

    Thread safety: may be called from any number of threads, as the client may.

    Args:
        client: Stays yours to close. Its retries and time-outs hold.
        model: Id or ARN of a model or an inference profile.
        dim: Length of its vectors.
        family: `"titan-v1"`, `"titan-v2"` or `"cohere"`, where the id does not say it: provisioned throughput, say.
        input_type: Of Cohere's models, for questions that are asked and that are stored: `"clustering"` by default.
        dimensions: Ask for vectors of length *dim*, which Titan v2 and Cohere v4 can.
        concurrency: Requests at a time, for one batch.
        fingerprint: Instead of one made of model, dimension and input type.

    Raises:
        TypeError: *client* is no such client.
        ValueError: A number is out of range, the model of no family that is known, or an option not for it.
    """

    def __init__(
        self,
        client: Any,
        model: str,
        dim: int,
        *,
        family: str | None = None,
        input_type: str | None = None,
        dimensions: bool = False,
        concurrency: int = 4,
        fingerprint: str | None = None,
    ) -> None:
        super().__init__(
            client,
            model,
            dim,
            awaited=False,
            family=family,
            input_type=input_type,
            dimensions=dimensions,
            concurrency=concurrency,
            fingerprint=fingerprint,
        )

    def embed(self, text: str) -> Vector:
        """The vector of *text*. Raises like `embed_many`."""
        vector: Vector = self.embed_many([text])[0]
        return vector

    def embed_many(self, texts: Sequence[str]) -> Matrix:
        """The vectors of *texts*, a row each.

        Raises:
            InputTooLongError: Bedrock refuses one of them as too long.
            EmbedderDimensionError: Its vectors do not have `dim` numbers.
            EmbedderBackendError: It answers what are no vectors.
        """
        parts = self._batches(texts)
        if len(parts) < 2 or self._concurrency == 1:
            return self._joined([self._ask(some) for some in parts])
        with ThreadPoolExecutor(min(self._concurrency, len(parts)), "mneme-bedrock") as pool:
            # A context for each: one cannot be entered twice at a time.
            calls = deque(pool.submit(contextvars.copy_context().run, self._ask, some) for some in parts)
            answers: list[Matrix] = []
            try:
                while calls:  # no name for a call: its error would hold this frame, and the frame the error
                    answers.append(calls.popleft().result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            return self._joined(answers)

    def _ask(self, texts: list[str]) -> Matrix:
        try:
            raw = self._client.invoke_model(**self._request(texts))["body"].read()
        except ClientError as error:
            if _says_too_long(error):
                raise InputTooLongError(str(error)) from error
            raise
        return self._matrix(raw, len(texts))


class AsyncBedrockEmbedder(_Bedrock):
    """The same on a client of aiobotocore, awaited, for `AsyncSemanticCache`. A batch goes out in tasks that end with
    the call, cancelled with it if need be.
    """

    def __init__(
        self,
        client: Any,
        model: str,
        dim: int,
        *,
        family: str | None = None,
        input_type: str | None = None,
        dimensions: bool = False,
        concurrency: int = 4,
        fingerprint: str | None = None,
    ) -> None:
        super().__init__(
            client,
            model,
            dim,
            awaited=True,
            family=family,
            input_type=input_type,
            dimensions=dimensions,
            concurrency=concurrency,
            fingerprint=fingerprint,
        )

    async def embed(self, text: str) -> Vector:
        """The vector of *text*. Raises like `embed_many`."""
        vector: Vector = (await self.embed_many([text]))[0]
        return vector

    async def embed_many(self, texts: Sequence[str]) -> Matrix:
        """The vectors of *texts*, a row each. Raises like the blocking one."""
        turn = asyncio.Semaphore(self._concurrency)

        async def ask(some: list[str]) -> Matrix:
            async with turn:
                return await self._ask(some)

        calls = [asyncio.ensure_future(ask(some)) for some in self._batches(texts)]
        try:
            return self._joined(list(await asyncio.gather(*calls)))
        finally:
            await _ended(calls)

    async def _ask(self, texts: list[str]) -> Matrix:
        try:
            answer = await self._client.invoke_model(**self._request(texts))
            async with answer["body"] as stream:
                raw = await stream.read()
        except ClientError as error:
            if _says_too_long(error):
                raise InputTooLongError(str(error)) from error
            raise
        return self._matrix(raw, len(texts))


async def _ended(calls: Sequence[asyncio.Future[Matrix]]) -> None:
    """Cancel what is left of *calls*, and wait until none of them runs."""
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


# --- how the models are spoken to ------------------------------------------------------------------------------------


def _titan(family: str, dimensions: int | None) -> Wire:
    if family not in _FAMILIES:
        raise ValueError(f"family must be one of {', '.join(_FAMILIES)}, not {family!r}")
    if family == "titan-v1" and dimensions is not None:
        raise ValueError("dimensions=True is for Titan v2; vectors of v1 have 1536 numbers")
    asking: dict[str, Any] = {} if family == "titan-v1" else {"normalize": True}
    if dimensions is not None:
        asking["dimensions"] = dimensions
    return Wire(
        provider="Bedrock",
        body=lambda texts: {**asking, "inputText": texts[0]},
        vectors=lambda document: [document["embedding"]],
        complaint="message",
        batch=1,
    )


def _cohere(input_type: str, dimensions: int | None) -> Wire:
    asking: dict[str, Any] = {"input_type": input_type, "truncate": "NONE", "embedding_types": ["float"]}
    if dimensions is not None:
        asking["output_dimension"] = dimensions
    return Wire(
        provider="Bedrock",
        body=lambda texts: {**asking, "texts": texts},
        vectors=lambda document: document["embeddings"]["float"],
        complaint="message",
        batch=96,
    )


def _family_of(model: str) -> str:
    for family, pattern in _FAMILIES.items():
        if re.search(pattern, model):
            return family
    known = ", ".join(_FAMILIES)
    raise ValueError(
        f"{model!r} is no Titan or Cohere model for embeddings; if it stands for one, say family=: {known}"
    )


def _plain(model: str) -> str:
    """The model's id, without the ARN around it and the regions of an inference profile: the vectors are the same."""
    name = model.rpartition("/")[2]
    return re.sub(r"^[a-z-]+\.(?=(amazon|cohere)\.)", "", name) if "." in name else model


def _check_client(client: Any, *, awaited: bool) -> None:
    wanted = "a client of aiobotocore" if awaited else "boto3.client('bedrock-runtime')"
    found = any(kind.__module__.partition(".")[0] == "aiobotocore" for kind in type(client).__mro__)
    if found != awaited or isinstance(client, type) or not callable(getattr(client, "invoke_model", None)):
        raise TypeError(f"client must be {wanted}, not {type(client).__qualname__}")


def _says_too_long(error: ClientError) -> bool:
    told = error.response.get("Error", {})
    return told.get("Code") == "ValidationException" and says_too_long(str(told.get("Message", "")))
