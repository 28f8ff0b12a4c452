"""A cache in a Postgres database: `python postgres_store.py postgresql://user@host/database`.

Needs the extra `postgres`. Without an argument it takes the address from MNEME_POSTGRES_SERVER.
"""

import os
import sys

from mneme import PostgresStore, SemanticCache
from mneme.embedders import LocalEmbedder


def main() -> None:
    """Answer a question twice, the second time from the database."""
    dsn = sys.argv[1] if len(sys.argv) > 1 else os.environ["MNEME_POSTGRES_SERVER"]
    store = PostgresStore(dsn, schema="mneme_example", statement_timeout=10)
    with SemanticCache(store=store, embedder=LocalEmbedder(), similarity_threshold=0.6) as cache:
        cache.put("What are your opening hours?", "Nine to five.", ttl="1d")

    # Another process, another day: everything is in the database.
    store = PostgresStore(dsn, schema="mneme_example")
    with SemanticCache(store=store, embedder=LocalEmbedder(), similarity_threshold=0.6) as cache:
        hit = cache.get("When are you open?")
        print(hit and (hit.response, hit.layer, round(hit.similarity, 3)))
        print(cache.stats())


if __name__ == "__main__":
    main()
