"""An approximate index beside the exact one: what a graph finds, what it misses, and how long both take.

Needs the extra `hnsw`. The texts are sentences of Python's own reference, which every installation has.
"""

import re
import time
from pydoc_data.topics import topics  # what `help("for")` shows

from mneme import Hit, SemanticCache
from mneme.testing import HashEmbedder  # stands in for a model: similar words, similar vectors

GRAPH = {"M": 16, "ef_construction": 200, "ef": 64}


def sentences() -> list[str]:
    """Sentences of the reference, none twice."""
    paragraphs = (" ".join(part.split()) for text in topics.values() for part in text.split("\n\n"))
    parts = (s for text in paragraphs if text[:1].isalpha() for s in re.split(r"(?<=[.]) +(?=[A-Z])", text))
    return list(dict.fromkeys(s for s in parts if 6 <= len(s.split()) <= 40))


def timed(cache: SemanticCache, asked: list[str], vectors: list[object]) -> tuple[list[list[Hit]], float]:
    """The nearest ten of each, and the time that one lookup took."""
    started = time.perf_counter()
    found = [cache.lookup(text, k=10, embedding=vector) for text, vector in zip(asked, vectors, strict=True)]
    return found, (time.perf_counter() - started) / len(asked)


def main() -> None:
    """Fill both, ask both, compare."""
    embedder = HashEmbedder()
    texts = sentences()
    held = texts[::8]  # these are asked, and were never stored
    stored = [text for text in texts if text not in set(held)]
    vectors = list(embedder.embed_many(held))
    with (
        SemanticCache(":memory:", embedder, index_backend="numpy") as exact,
        SemanticCache(":memory:", embedder, index_backend="hnsw", index_options=GRAPH) as graph,
    ):
        for cache in (exact, graph):
            cache.put_many([(text, len(text)) for text in stored])
        print(f"{len(stored)} sentences in {exact.health().index_backend} and {graph.health().index_backend}")

        right, exact_seconds = timed(exact, held, vectors)
        near, graph_seconds = timed(graph, held, vectors)
        first = sum(a[0].query == b[0].query for a, b in zip(right, near, strict=True))
        ten = sum(len({h.query for h in a} & {h.query for h in b}) for a, b in zip(right, near, strict=True))
        print(f"exact {1e3 * exact_seconds:.2f} ms, graph {1e3 * graph_seconds:.2f} ms a lookup")
        print(
            f"the graph found the nearest one {first} times of {len(held)}, and {ten} of the {10 * len(held)} nearest"
        )
        assert first > 0.95 * len(held)
        # What it does find is scored as exactly as by the exact index.
        exactly = {h.query: h.similarity for h in right[0]}
        assert all(exactly.get(h.query, h.similarity) == h.similarity for h in near[0])


if __name__ == "__main__":
    main()
