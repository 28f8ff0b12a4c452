"""Embedders for tests: fast, deterministic, and made to be slow or to fail on command. No model, no dependency.

All of them count their calls: `calls` is how often they were called, a batch being one call, and `texts` is what for.
They may be called from several threads at once.
"""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from mneme.ports import Embedder, Matrix, Vector

__all__ = ["AsyncTwin", "FailingEmbedder", "HashEmbedder", "ScriptedEmbedder", "SlowEmbedder"]

_PATIENCE = 60.0
"""Seconds after which a test that forgot to open a gate fails instead of hanging."""


class _Counting:
    """Counts calls, and lets a test wait until there were so many."""

    def __init__(self) -> None:
        self.calls: int = 0
        """How often the embedder was called; a batch is one call."""
        self.texts: list[str] = []
        """Every text it was called for, in order of arrival."""
        self._arrival = threading.Condition()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {getattr(self, 'fingerprint', '')!r}>"

    def _count(self, texts: Sequence[str]) -> int:
        """Note one call; its number, from 1."""
        with self._arrival:
            self.calls += 1
            self.texts.extend(texts)
            self._arrival.notify_all()
            return self.calls

    def wait_for_calls(self, number: int, *, patience: float = _PATIENCE) -> None:
        """Return once there were *number* calls, finished or not.

        Raises:
            TimeoutError: There were fewer after *patience* seconds.
        """
        with self._arrival:
            if not self._arrival.wait_for(lambda: self.calls >= number, patience):
                raise TimeoutError(f"waited {patience} s for {number} calls of the embedder, saw {self.calls}")


class HashEmbedder(_Counting):
    """Texts that share words and letters get similar vectors; equal texts equal ones, in every process.

    A bag of hashed words and their letter triples, of unit length. It knows nothing of meaning: "begin" and "start"
    have nothing in common. Never fails, whatever the text.
    """

    def __init__(self, dim: int = 64) -> None:
        super().__init__()
        if dim < 2:
            raise ValueError(f"dim must be at least 2, not {dim!r}")
        self.dim: int = dim
        self.fingerprint: str = f"mneme-testing-hash-1;dim={dim}"

    def embed(self, text: str) -> Vector:
        """The vector of *text*."""
        self._count([text])
        return self._vector(text)

    def embed_many(self, texts: Sequence[str]) -> Matrix:
        """The vectors of *texts*, a row each."""
        self._count(texts)
        return np.array([self._vector(text) for text in texts], dtype=np.float32).reshape(len(texts), self.dim)

    def _vector(self, text: str) -> Vector:
        vector: Vector = np.zeros(self.dim, dtype=np.float32)
        for feature, weight in _features(text):
            number = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
            vector[(number >> 1) % self.dim] += weight if number & 1 else -weight
        length = float(np.linalg.norm(vector))
        if length == 0.0:  # no word in it, or its features cancel out
            vector[zlib.crc32(text.encode("utf-8", "surrogatepass")) % self.dim] = length = 1.0
        vector /= length
        return vector


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in re.findall(r"\w+", text.casefold()):
        yield word, 1.0
        framed = f"^{word}$"
        for start in range(len(framed) - 2):
            yield framed[start : start + 3], 0.3


class ScriptedEmbedder(_Counting):
    """Gives each text the vector that the test wrote down for it, as it is: of any length, or not finite."""

    def __init__(
        self,
        mapping: Mapping[str, Sequence[float] | Vector],
        dim: int | None = None,
        *,
        fingerprint: str = "mneme-testing-scripted-1",
    ) -> None:
        super().__init__()
        if dim is None and not mapping:
            raise ValueError("an empty mapping does not say how long its vectors are: pass dim=")
        self._vectors: dict[str, Vector] = {
            text: np.array(vector, dtype=np.float32) for text, vector in mapping.items()
        }
        self.dim: int = len(next(iter(self._vectors.values()))) if dim is None else dim
        self.fingerprint: str = fingerprint

    def embed(self, text: str) -> Vector:
        """The vector written down for *text*.

        Raises:
            LookupError: There is none.
        """
        self._count([text])
        return self._vector(text)

    def embed_many(self, texts: Sequence[str]) -> Matrix:
        """The vectors of *texts*, a row each; `LookupError` if one has none."""
        self._count(texts)
        return np.array([self._vector(text) for text in texts], dtype=np.float32).reshape(len(texts), self.dim)

    def _vector(self, text: str) -> Vector:
        vector = self._vectors.get(text)
        if vector is None:
            raise LookupError(f"no vector was written down for {text!r}; there are vectors for {sorted(self._vectors)}")
        return np.array(vector)


class _Wrapping(_Counting):
    """Stands before another embedder and passes for it."""

    def __init__(self, inner: Embedder) -> None:
        super().__init__()
        self.inner = inner

    @property
    def dim(self) -> int:
        return self.inner.dim

    @property
    def fingerprint(self) -> str:
        return self.inner.fingerprint

    def embed(self, text: str) -> Vector:
        """The vector that the embedder behind gives *text*."""
        self._before(self._count([text]))
        return self.inner.embed(text)

    def embed_many(self, texts: Sequence[str]) -> Matrix:
        """The vectors of *texts*, a row each, in one call."""
        self._before(self._count(texts))
        return _many(self.inner, texts)

    def _before(self, number: int) -> None:
        """What is done before the call of this number is passed on."""
        raise NotImplementedError


class SlowEmbedder(_Wrapping):
    """Holds every call back until *gate* lets it pass: an event that the test sets, or a function that returns.

    `wait_for_calls` tells the test that so many calls have arrived at the gate; nothing sleeps.
    """

    def __init__(self, inner: Embedder, gate: threading.Event | Callable[[], object]) -> None:
        super().__init__(inner)
        self._gate = gate

    def _before(self, number: int) -> None:
        if not isinstance(self._gate, threading.Event):
            self._gate()
        elif not self._gate.wait(_PATIENCE):
            raise TimeoutError(f"call {number} waited {_PATIENCE} s before a gate that nobody opened")


class FailingEmbedder(_Wrapping):
    """Raises *error* on the calls named in *failures*: their numbers from 1, or a function that is given the number."""

    def __init__(
        self,
        inner: Embedder,
        failures: Collection[int] | Callable[[int], bool],
        *,
        error: BaseException | type[BaseException] | None = None,
    ) -> None:
        super().__init__(inner)
        self._failures = failures
        self._error = RuntimeError("the embedder failed, as the test told it to") if error is None else error

    def _before(self, number: int) -> None:
        fails = self._failures(number) if callable(self._failures) else number in self._failures
        if fails:
            raise self._error


class AsyncTwin:
    """An `AsyncEmbedder` that awaits *gate*, if there is one, and then asks a fake, which counts the calls.

    The fake runs on the event loop: it must not block. A gate is a coroutine function, such as `asyncio.Event().wait`.
    """

    def __init__(self, inner: Embedder, *, gate: Callable[[], Awaitable[object]] | None = None) -> None:
        self.inner = inner
        self.arrived: int = 0
        """How many calls have reached the gate."""
        self._gate = gate

    @property
    def dim(self) -> int:
        return self.inner.dim

    @property
    def fingerprint(self) -> str:
        return self.inner.fingerprint

    async def embed(self, text: str) -> Vector:
        """The vector that the fake gives *text*."""
        await self._pass()
        return self.inner.embed(text)

    async def embed_many(self, texts: Sequence[str]) -> Matrix:
        """The vectors of *texts*, a row each, in one call."""
        await self._pass()
        return _many(self.inner, texts)

    async def _pass(self) -> None:
        self.arrived += 1
        if self._gate is not None:
            await self._gate()


def _many(inner: Embedder, texts: Sequence[str]) -> Matrix:
    batch: Callable[[Sequence[str]], Matrix] | None = getattr(inner, "embed_many", None)
    if batch is not None:
        return batch(texts)
    return np.array([inner.embed(text) for text in texts], dtype=np.float32).reshape(len(texts), inner.dim)
