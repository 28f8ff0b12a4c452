"""A cache in one file: an exact hit, a semantic hit, a miss, and why.

What is asked is Python's own reference, which every installation has. Finding a paragraph in it takes some hundredths
of a second, and stands for whatever is slow with you: a model, a search, a service.
"""

import math
import re
import time
from collections import Counter
from pydoc_data.topics import topics  # what `help("for")` shows

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder


def words(text: str) -> Counter[str]:
    """The words of a text, without short ones and without endings."""
    return Counter(word[:5] for word in re.findall(r"[a-z]{4,}", text.lower()))


def search(question: str) -> str:
    """The paragraph of the reference that answers best, by BM25."""
    paragraphs = dict.fromkeys(" ".join(part.split()) for text in topics.values() for part in text.split("\n\n"))
    bags = [(text, words(text)) for text in paragraphs if len(text.split()) >= 8]
    mean = sum(bag.total() for _, bag in bags) / len(bags)
    rarity = {word: math.log(len(bags) / (1 + sum(word in bag for _, bag in bags))) for word in words(question)}

    def score(bag: Counter[str]) -> float:
        norm = 0.3 + 0.9 * bag.total() / mean
        return sum(rare * bag[word] * 2.2 / (bag[word] + norm) for word, rare in rarity.items())

    return max(bags, key=lambda one: score(one[1]))[0]


def main() -> None:
    """Ask the same thing in several ways."""
    with SemanticCache("quickstart.db", LocalEmbedder()) as cache:
        for question in (
            "How do I define a function?",
            "how do I define  a FUNCTION?",
            "How can a function be defined?",
            "What does the break statement do?",
        ):
            started = time.perf_counter()
            answer = cache.get_or_compute(question, search)
            print(f"{1000 * (time.perf_counter() - started):7.2f} ms  {question}\n            {answer[:90]}")

        other = "How do I define a class?"
        print(f"\nWhat would {other!r} match?")
        for candidate in cache.explain(other).candidates:
            print(f"  {candidate.similarity:.3f}  {candidate.reason:<16} {candidate.query}")

        stats = cache.stats()
        print(f"\n{stats.hits_exact} exact hits, {stats.hits_semantic} semantic, {stats.misses} misses")


if __name__ == "__main__":
    main()
