"""Retrieval behind a cache: what was found for a question is kept until one of the documents it came from changes.

The documents are this project's own pages. BM25 finds candidates among their paragraphs, and a model ranks them: the
slow half, which a paraphrase need not pay for again. Each result is tagged with its documents.
"""

import math
import re
import time
from collections import Counter
from pathlib import Path

import numpy as np

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder
from mneme.testing import FakeClock

PAGES = (
    "certificates",
    "concepts",
    "embedders",
    "encryption",
    "eviction",
    "freshness",
    "guards",
    "postgres",
    "sqlite",
    "stores",
)
FOLDER = Path(__file__).parents[1] / "docs"


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def passages(page: str) -> list[str]:
    """The paragraphs of a Markdown page under their headings: no code, no tables, nothing very short.

    None with symbols either: the model has no tokens for them, and refuses what it cannot read.
    """
    heading, found = "", []
    for part in re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL).split("\n\n"):
        text = " ".join(part.split())
        if text.startswith("#"):
            heading = text.lstrip("# ")
        elif text[0:1].isalpha() and 10 <= len(words(text)) <= 120 and max(text) < "\u2190":
            found.append(f"{heading}: {text}")
    return found


class Retriever:
    """Paragraphs of documents by BM25, and the best of them by a model, too; both rankings count the same."""

    def __init__(self, documents: dict[str, str], embedder: LocalEmbedder) -> None:
        self.documents = documents
        self.calls = 0
        self._embedder = embedder

    def __call__(self, question: str) -> list[dict[str, str]]:
        """The three best paragraphs, each with the document it is from."""
        self.calls += 1
        texts = [(name, text) for name, page in self.documents.items() for text in passages(page)]
        bags = [Counter(words(text)) for _, text in texts]
        scores = bm25(words(question), bags)
        first = sorted(range(len(texts)), key=lambda i: -scores[i])[:24]
        nearness = self._embedder.embed_many([texts[i][1] for i in first]) @ self._embedder.embed(question)
        second = np.argsort(np.argsort(-nearness))
        best = sorted(range(len(first)), key=lambda rank: 1 / (60 + rank) + 1 / (60 + second[rank]), reverse=True)[:3]
        return [{"document": texts[first[rank]][0], "text": texts[first[rank]][1]} for rank in best]


def bm25(question: list[str], bags: list[Counter[str]], k1: float = 1.2, b: float = 0.75) -> list[float]:
    """How well each bag of words answers the question's words (Robertson and Zaragoza 2009)."""
    lengths = [bag.total() for bag in bags]
    mean = sum(lengths) / len(lengths)
    scores = [0.0] * len(bags)
    for word in set(question):
        holding = sum(word in bag for bag in bags)
        rarity = math.log(1 + (len(bags) - holding + 0.5) / (holding + 0.5))
        for i, bag in enumerate(bags):
            scores[i] += rarity * bag[word] * (k1 + 1) / (bag[word] + k1 * (1 - b + b * lengths[i] / mean))
    return scores


def retrieve(cache: SemanticCache, retriever: Retriever, question: str) -> list[dict[str, str]]:
    """Ask the cache, then the retriever. Only when something was found is it known which tags the entry needs."""
    hit = cache.get(question)
    if hit is not None:
        return list(hit.response)
    found = retriever(question)
    cache.put(question, found, tags=sorted({one["document"] for one in found}), ttl="1d")
    return found


def main() -> None:
    """Ask, ask in other words, change a document, add another."""
    embedder = LocalEmbedder()
    retriever = Retriever({page: (FOLDER / f"{page}.md").read_text(encoding="utf-8") for page in PAGES}, embedder)
    clock = FakeClock()
    with SemanticCache(":memory:", embedder, clock=clock) as cache:

        def ask(question: str) -> list[dict[str, str]]:
            calls, started = retriever.calls, time.perf_counter()
            found = retrieve(cache, retriever, question)
            how = "retrieved" if retriever.calls > calls else "from cache"
            print(f"{1000 * (time.perf_counter() - started):7.1f} ms  {how:10}  {question}")
            print(f"                        {found[0]['document']}: {found[0]['text'][:90]}...")
            return found

        keys = ask("How do I change the encryption key?")
        assert ask("How can I change the encryption key?") == keys
        evicted = ask("Which entries go first with the policy SIEVE?")
        assert retriever.calls == 2

        # A result holds copies of paragraphs: when their document changes, it goes, whatever question it answered.
        note = "To change the encryption key, call the new rotation service of your company first."
        retriever.documents["encryption"] += f"\n\n## Changing the encryption key\n\n{note}\n"
        print("encryption.md has changed; results removed:", cache.invalidate(tags=["encryption"]))
        assert ask("How can I change the encryption key?")[0]["text"].endswith(note)
        assert ask("Which entries go first with the policy SIEVE?") == evicted
        assert retriever.calls == 3

        # No tag tells that a new document would be found now: that is what the TTL is for.
        new = "Which entries go first with the policy SIEVE is decided by the landlord."
        retriever.documents["house-rules"] = f"## Eviction from a full house\n\n{new}\n"
        assert ask("Which entries go first with the policy SIEVE?") == evicted
        clock.advance(24 * 3600)
        print("a day later:")
        later = ask("Which entries go first with the policy SIEVE?")
        assert "house-rules" in [one["document"] for one in later]


if __name__ == "__main__":
    main()
