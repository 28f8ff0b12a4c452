"""Vectors in float32, float16 and int8: the same answers to the last digit, in a third of the memory.

The texts are sentences of Python's own reference, which every installation has. Each is stored under itself; what is
asked is the same sentence with some words left out.
"""

import re
from pydoc_data.topics import topics  # what `help("for")` shows

from mneme import Hit, SemanticCache
from mneme.embedders import LocalEmbedder
from mneme.ports import VectorDType

TOPICS = ("assert", "assignment", "break", "class", "comparisons", "import", "for", "function", "global", "lambda")
DTYPES: tuple[VectorDType, ...] = ("float32", "float16", "int8")


def sentences() -> list[tuple[str, str]]:
    """Sentences of the reference with the topic that each is from, none twice."""
    found = {}
    for topic in TOPICS:
        for paragraph in topics[topic].split("\n\n"):
            if paragraph[:1].isalpha():
                for sentence in re.split(r"(?<=[.]) +(?=[A-Z])", " ".join(paragraph.split())):
                    if 8 <= len(sentence.split()) <= 40:
                        found[sentence] = topic
    return list(found.items())[:240]


def shortened(sentence: str) -> str:
    """Every sixth word left out: another text, and nearly the same meaning."""
    return " ".join(word for n, word in enumerate(sentence.split(), start=1) if n % 6)


def seen(hit: Hit | None) -> tuple[str, str, float] | None:
    """What decides whether two answers are the same."""
    return None if hit is None else (hit.response, hit.query, hit.similarity)


def main() -> None:
    """Fill three caches with the same vectors, ask all the same, compare."""
    embedder = LocalEmbedder()
    stored = sentences()
    vectors = embedder.embed_many([sentence for sentence, _ in stored])
    asked = [shortened(sentence) for sentence, _ in stored[::4]]
    asked_vectors = embedder.embed_many(asked)

    answers, memory = {}, {}
    for dtype in DTYPES:
        with SemanticCache(f"{dtype}.db", embedder, vector_dtype=dtype, guards=()) as cache:
            cache.put_many(
                [{"query": s, "response": topic, "embedding": v} for (s, topic), v in zip(stored, vectors, strict=True)]
            )
            answers[dtype] = [seen(hit) for hit in cache.get_many(asked, embeddings=asked_vectors)]
            memory[dtype] = cache.stats().index_memory_bytes
        served = sum(answer is not None for answer in answers[dtype])
        print(f"{dtype:8} {memory[dtype] / len(stored):7.0f} bytes an entry, {served} of {len(asked)} served")

    assert answers["float16"] == answers["float32"]
    assert answers["int8"] == answers["float32"]
    print("the same answers, with the same similarities")

    # A cache that is open can be changed over; the file holds float32 whatever the index does.
    with SemanticCache("float32.db", embedder, guards=()) as cache:
        before = cache.stats().index_memory_bytes
        cache.requantize("int8")
        print(f"requantized: {before} bytes, then {cache.stats().index_memory_bytes}")
        assert [seen(hit) for hit in cache.get_many(asked, embeddings=asked_vectors)] == answers["float32"]


if __name__ == "__main__":
    main()
