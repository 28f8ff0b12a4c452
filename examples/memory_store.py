"""A cache in memory before a search that is slow: bounded, gone with the process, and kept in a file when it is wanted.

What is searched is Python's own reference, which every installation has: BM25 over its paragraphs.
"""

import math
import re
import time
from collections import Counter
from pathlib import Path
from pydoc_data.topics import topics  # what `help("for")` shows

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder

QUESTIONS = (
    "How do I define a function?",
    "how do I define  a FUNCTION?",
    "How can I define a function?",
    "What does the break statement do?",
    "What happens at a break statement?",
    "When is the else clause of a loop executed?",
    "How do I define a function?",
)


def words(text: str) -> Counter[str]:
    """The words of a text, without short ones and without endings."""
    return Counter(word[:5] for word in re.findall(r"[a-z]{4,}", text.lower()))


class Reference:
    """Finds the paragraph of the reference that answers best, by BM25; reads all of it for every question."""

    def __init__(self) -> None:
        paragraphs = (" ".join(part.split()) for text in topics.values() for part in text.split("\n\n"))
        self.bags = [(text, words(text)) for text in dict.fromkeys(paragraphs) if len(text.split()) >= 8]
        self.mean = sum(bag.total() for _, bag in self.bags) / len(self.bags)
        self.calls = 0

    def __call__(self, question: str) -> str:
        self.calls += 1
        rarity = {w: math.log(len(self.bags) / (1 + sum(w in bag for _, bag in self.bags))) for w in words(question)}

        def score(bag: Counter[str]) -> float:
            norm = 0.3 + 0.9 * bag.total() / self.mean
            return sum(rare * bag[word] * 2.2 / (bag[word] + norm) for word, rare in rarity.items())

        return max(self.bags, key=lambda one: score(one[1]))[0]


def main() -> None:
    """Answer a burst of questions, look at what it took, keep what was found."""
    search = Reference()
    embedder = LocalEmbedder()
    with SemanticCache(":memory:", embedder, max_entries=1000, default_ttl="1h") as cache:
        for question in QUESTIONS:
            started = time.perf_counter()
            answer = cache.get_or_compute(question, search)
            print(f"{1000 * (time.perf_counter() - started):7.2f} ms  {question}\n            {answer[:90]}")
        stats = cache.stats()
        print(f"{search.calls} searches for {len(QUESTIONS)} questions; {stats.memory_bytes_estimate} bytes in memory")
        assert search.calls < len(QUESTIONS)
        assert stats.hits_exact >= 2
        kept = cache.dumps("burst.mneme")

    # The cache is closed, and what was in memory is gone, but for the archive.
    Path("kept.db").unlink(missing_ok=True)  # of an earlier run: an archive goes to a new file
    with SemanticCache.loads("burst.mneme", "kept.db", embedder) as cache:
        hit = cache.get("How do I define a function?")
        assert hit is not None
        print(f"{kept.entries} entries kept in kept.db; asked again: {hit.layer}, {hit.response[:60]!r}")


if __name__ == "__main__":
    main()
