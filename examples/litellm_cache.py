"""LiteLLM before a real model, through a cache: `python litellm_cache.py http://localhost:11434 smollm2:135m`.

Any server will do that speaks the API of OpenAI below `/v1`: Ollama, llama.cpp, vLLM.
"""

import os
import sys
import time

import litellm

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder
from mneme.integrations.litellm import LiteLLMCache

SYSTEM = {"role": "system", "content": "Answer in one short sentence."}


def ask(url: str, model: str, question: str, **options: object) -> bool:
    """Whether the answer came from the cache."""
    metadata: dict[str, object] = {"asked by": "the example"}  # where LiteLLM says how similar the question was
    started = time.perf_counter()
    reply = litellm.completion(
        model=f"openai/{model}",
        api_base=f"{url}/v1",
        api_key="none",
        messages=[SYSTEM, {"role": "user", "content": question}],
        temperature=0,
        max_tokens=40,
        metadata=metadata,
        **options,
    )
    seconds = time.perf_counter() - started
    print(f"{seconds:6.3f} s  {question}  similarity: {metadata.get('semantic-similarity', 'not asked')}")
    print(f"          {reply.choices[0].message.content.strip()}")
    return bool(reply._hidden_params.get("cache_hit"))  # noqa: SLF001 -- as LiteLLM's documentation says


def main(url: str, model: str) -> None:
    """Ask the same in other words; and with another seed, which is another question."""
    with SemanticCache(":memory:", LocalEmbedder()) as cache:
        litellm.cache = LiteLLMCache(cache, ttl="30d")
        assert not ask(url, model, "What is the capital of Norway?")
        assert ask(url, model, "Which city is the capital of Norway?")
        assert not ask(url, model, "What is the capital of Sweden?")
        assert not ask(url, model, "What is the capital of Norway?", seed=7)
        assert not ask(url, model, "What is the capital of Norway?", cache={"no-cache": True})
        print(f"{cache.stats().hits_semantic} answer from the cache, {cache.stats().entries} entries")
        litellm.cache = None


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        given[0] if given else os.environ.get("MNEME_LANGUAGE_MODEL_SERVER", "http://localhost:11434"),
        given[1] if len(given) > 1 else "smollm2",
    )
