"""One cache for several processes, in a DynamoDB table.

    python dynamodb_store.py [ENDPOINT]

Region and credentials come from the environment, and so does the endpoint if it is not given. The table is made if it
is missing.
"""

import sys

from mneme import DynamoDBStore, SemanticCache
from mneme.testing import HashEmbedder


def opened(endpoint: str | None) -> SemanticCache:
    """A cache in the table, as every process would open it."""
    store = DynamoDBStore("mneme-example", prefix="support", endpoint_url=endpoint, create_table=True)
    return SemanticCache(store=store, embedder=HashEmbedder(), default_ttl="1d")


def main(endpoint: str | None) -> None:
    """Write with one store, and read with another."""
    with opened(endpoint) as cache:
        cache.put_many(
            [
                ("How do I reset my password?", "Use the link on the sign-in page."),
                ("Where is my invoice?", "Under Account, Billing."),
            ],
            tags=["help"],
        )
    with opened(endpoint) as cache:
        hit = cache.get("how do I reset my password?")
        print(f"{hit.layer}: {hit.response}" if hit else "nothing is known of it")
        print(f"removed: {cache.invalidate(tags=['help'])}, sound: {cache.check() == []}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
