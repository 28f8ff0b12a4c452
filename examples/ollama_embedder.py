"""A cache on an embedding model that Ollama serves: `ollama pull nomic-embed-text` first.

Needs the extra `ollama`. Without an argument it takes Ollama's address from MNEME_OLLAMA_SERVER, or Ollama's usual one.
"""

import os
import sys

from mneme import SemanticCache
from mneme.embedders.ollama import OllamaEmbedder


def answer(question: str) -> str:
    print(f"  computed for {question!r}")
    return "Under Settings, Security, Reset password."


def main(url: str) -> None:
    # The model was trained with a word for each task before every text; this one is for telling what belongs together.
    with (
        OllamaEmbedder("nomic-embed-text", dim=768, url=url, prefix="clustering: ") as embedder,
        SemanticCache(":memory:", embedder, similarity_threshold=0.8) as cache,
    ):
        print(embedder.fingerprint)
        for question in (
            "How do I reset my password?",
            "how do I reset my password",
            "How do I reset my password, please?",
        ):
            print(question, "->", cache.get_or_compute(question, answer))
        # Longer than the model's window: Ollama refuses it instead of cutting it off, and it lives on the exact layer.
        long = "a b c d e " * 3000
        cache.put(long, "Please ask shorter.")
        print(len(long), "characters ->", cache.get(long).layer)


if __name__ == "__main__":
    address = os.environ.get("MNEME_OLLAMA_SERVER", "http://localhost:11434")
    main(sys.argv[1] if len(sys.argv) > 1 else address)
