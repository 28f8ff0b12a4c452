"""A cache in one file: durable, shared by two processes, checked, copied while it is in use, and made smaller again.

What is kept is where Python's own reference, which every installation has, says something: the answer to "where is
this explained?".
"""

import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from pydoc_data.topics import topics  # what `help("for")` shows

from mneme import SemanticCache, SQLiteStore
from mneme.testing import HashEmbedder  # stands in for a model: similar words, similar vectors

OTHER_PROCESS = """
from mneme import SemanticCache
from mneme.testing import HashEmbedder

with SemanticCache("reference.db", HashEmbedder(), multi_process_mode="stale-tolerant") as cache:
    cache.put("What is new in this project?", "CHANGELOG", tags=["project"])
"""


def openings() -> list[tuple[str, str]]:
    """The first sentence of each topic, and the topic."""
    found = {}
    for topic, text in topics.items():
        for paragraph in text.split("\n\n"):
            plain = " ".join(paragraph.split())
            if plain[:1].isalpha() and len(plain.split()) >= 8:
                found[re.split(r"(?<=[.:]) ", plain)[0]] = topic
                break
    return list(found.items())


def main() -> None:
    """Fill a file, share it, check it, copy it, clean it."""
    sentences = openings()
    # "full" waits for the disk on every write: nothing acknowledged is lost, even if the power is.
    store = SQLiteStore("reference.db", durability="full", busy_timeout=10)
    with SemanticCache(
        store=store, embedder=HashEmbedder(), multi_process_mode="stale-tolerant", stale_check_interval=0
    ) as cache:
        cache.put_many([{"query": s, "response": topic, "tags": ["reference"], "ttl": "30d"} for s, topic in sentences])
        print(f"{cache.stats().entries} entries of {len(sentences)} topics")

        sentence, topic = sentences[7]
        hit = cache.get(sentence.rsplit(" ", 2)[0], similarity_threshold=0.7)  # the last two words are missing
        print(f"{sentence[:50]!r}... is in {hit.response!r}" if hit else "not found")
        assert hit is not None
        assert hit.response == topic

        # Another process writes to the file; this one sees it before its next answer.
        subprocess.run([sys.executable, "-c", OTHER_PROCESS], check=True)  # noqa: S603 -- the text above
        hit = cache.get("what is new in this project?")
        assert hit is not None
        print("from the other process:", hit.response)

        # SQLite copies a file that is in use. A copy of `reference.db` alone would lack what is in its log.
        with sqlite3.connect("reference.db") as source, sqlite3.connect("copy.db") as target:
            source.backup(target)
        source.close()
        target.close()

        removed = cache.invalidate(tags=["reference"])
        assert cache.check() == []

    # Deleting leaves the size as it is. `compact`, or `vacuum`, gives the space back; closing empties the log.
    before = Path("reference.db").stat().st_size
    with SemanticCache("reference.db", HashEmbedder()) as cache:
        cache.compact()
    print(f"removed {removed} entries: {before} bytes, then {Path('reference.db').stat().st_size}")
    assert Path("reference.db").stat().st_size < before

    with SemanticCache("copy.db", HashEmbedder()) as copy:
        assert copy.stats().entries == len(sentences) + 1
        assert copy.check() == []
        print("the copy is whole:", copy.stats().entries, "entries")


if __name__ == "__main__":
    main()
