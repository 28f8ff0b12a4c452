"""A cache in one file: an exact hit, a semantic hit, a miss, and why."""

import time

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder


def ask_model(question: str) -> str:
    """Stand in for a slow, paid call."""
    time.sleep(0.5)
    return f"An answer to {question!r}"


def main() -> None:
    """Ask the same thing in several ways."""
    with SemanticCache("quickstart.db", LocalEmbedder()) as cache:
        for question in (
            "How do I reset my password?",
            "how do I reset  my PASSWORD?",
            "I forgot my password, how can I reset it?",
            "How do I close my account?",
        ):
            started = time.perf_counter()
            answer = cache.get_or_compute(question, ask_model)
            print(f"{1000 * (time.perf_counter() - started):7.2f} ms  {question}\n            {answer}")

        opposite = "How do I open an account?"
        print(f"\nWhat would {opposite!r} match?")
        for candidate in cache.explain(opposite).candidates:
            print(f"  {candidate.similarity:.3f}  {candidate.reason:<16} {candidate.query}")

        stats = cache.stats()
        print(f"\n{stats.hits_exact} exact hits, {stats.hits_semantic} semantic, {stats.misses} misses")


if __name__ == "__main__":
    main()
