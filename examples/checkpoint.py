"""A cache is copied while it is in use, moved to another store, and a damaged copy is refused."""

import threading
from pathlib import Path

from mneme import CheckpointError, MemoryStore, SemanticCache
from mneme.embedders import LocalEmbedder

embedder = LocalEmbedder()
archive = Path("answers.mneme")

with SemanticCache("answers.db", embedder) as cache:
    cache.put_many([(f"What is {n} times {n}?", str(n * n)) for n in range(50)], ttl="30d")

    # Another thread goes on writing; the archive is the state at one moment all the same.
    ending = threading.Event()

    def work() -> None:
        number = 50
        while not ending.is_set():
            cache.put(f"What is {number} times {number}?", str(number * number))
            number += 1

    writer = threading.Thread(target=work)
    writer.start()
    done = cache.dumps(archive)
    ending.set()
    writer.join()
    print(f"{done.entries} entries in {done.bytes:,} bytes, of the {cache.stats().entries} there are now")

# Into another store: here into memory, just as well into Redis, Postgres or DynamoDB.
with SemanticCache.loads(archive, store=MemoryStore(), embedder=embedder) as copy:
    hit = copy.get("What is 7 times 7?")
    print("from the copy:", hit and hit.response, copy.check())

# One bit is enough.
damaged = bytearray(archive.read_bytes())
damaged[len(damaged) // 2] ^= 1
Path("damaged.mneme").write_bytes(damaged)
try:
    SemanticCache.loads("damaged.mneme", "never.db", embedder)
except CheckpointError as error:
    print("refused:", error)
print("made anyway:", Path("never.db").exists())
