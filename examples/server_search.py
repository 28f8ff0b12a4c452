"""Search in the server: caches without a vector in memory, on Redis with its query engine.

    python server_search.py redis://localhost:6379/0

Postgres with pgvector does the same: take `PostgresStore` instead. The texts are the openings of the topics of Python's
own reference, which every installation has.
"""

import os
import sys
from pydoc_data.topics import topics  # what `help("for")` shows

from mneme import RedisStore, SemanticCache
from mneme.testing import HashEmbedder  # stands in for a model: similar words, similar vectors


def opened(url: str) -> SemanticCache:
    """A cache as every process would open it: the server holds the vectors, and searches them."""
    store = RedisStore(url, prefix="mneme-example-search", search_ef=200)
    return SemanticCache(store=store, embedder=HashEmbedder(), index_backend="store", similarity_threshold=0.7)


def openings() -> dict[str, str]:
    """The first words of each topic, and the topic."""
    found = {}
    for topic, text in topics.items():
        plain = next((" ".join(p.split()) for p in text.split("\n\n") if p[:1].isalpha() and len(p.split()) > 8), None)
        if plain:
            found[" ".join(plain.split()[:14])] = topic
    return found


def main(url: str) -> None:
    """Write with one cache, and find by meaning with another one at once."""
    sentences = openings()
    with opened(url) as writer, opened(url) as reader:
        writer.clear()
        writer.put_many(list(sentences.items()))
        found = 0
        for sentence, topic in sentences.items():
            hit = reader.get(" ".join(sentence.split()[:-1]))  # never stored in these words
            found += hit is not None and hit.layer == "semantic" and hit.response == topic
        stats = reader.stats()
        print(
            f"{found} of {len(sentences)} found by meaning, {stats.index_memory_bytes} bytes of vectors in this process"
        )
        assert found > 0.9 * len(sentences)
        assert stats.index_memory_bytes == 0

        writer.delete(next(iter(sentences)))
        assert reader.get(" ".join(next(iter(sentences)).split()[:-1])) is None  # seen at once
        print("removed:", writer.clear())


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MNEME_REDIS_SEARCH_SERVER", "redis://localhost:6379/0"))
