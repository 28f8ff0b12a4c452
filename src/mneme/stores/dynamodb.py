"""The store that keeps everything in one DynamoDB table, for many processes at once. The faces; the verbs are written
once, in `_dynamodb_verbs`, and how a change is made whole is in `_dynamodb_journal`.
"""

from __future__ import annotations

from typing import Any

from mneme.stores._dynamodb_connection import AsyncioConnection, BlockingConnection
from mneme.stores._dynamodb_options import checked_reach, checked_seconds, checked_word
from mneme.stores._dynamodb_statements import Layout
from mneme.stores._dynamodb_verbs import DynamoDBVerbs
from mneme.stores._twin import BlockingTwin, finished

__all__ = ["AsyncDynamoDBStore", "DynamoDBStore"]


class DynamoDBStore(BlockingTwin):
    """Keeps entries in one DynamoDB table, under a prefix of its own; many processes may use it at once.

    Durability: that of DynamoDB. What is acknowledged is in three places.

    Atomicity: every verb is one conditional request to DynamoDB, besides what is staged before it, which nobody sees.
    Whoever comes second is refused, looks again, and tries again; there are no locks. Reads are strongly consistent.

    Thread safety: all verbs, from any thread. A store does not survive a fork: open another in the child.

    What is known of an entry without reading it is held in memory, about 1 kB for each.

    Args:
        table: Name of the table. Its key is `pk` and `sk`, both strings.
        prefix: What the partition keys of this cache begin with: several caches may share a table.
        client: A DynamoDB client of boto3 to use, which stays open when the store is closed. Without it one is made,
            with the credentials that boto3 finds.
        region_name: The region, if not the one that boto3 finds.
        endpoint_url: The address, if not that of the region.
        create_table: Make the table on `open` if there is none, billed on demand.
        timeout: Seconds to wait for a connection, and for each answer.
        retry_seconds: For how long a request is repeated while DynamoDB is busy, before `StoreBackendError`.
        max_connections: So many connections are kept.

    Raises:
        ImportError: boto3 is not installed: `pip install 'mneme-cache[dynamodb]'`.
    """

    def __init__(
        self,
        table: str,
        *,
        prefix: str = "mneme",
        client: Any = None,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        create_table: bool = False,
        timeout: float = 5.0,
        retry_seconds: float = 10.0,
        max_connections: int = 32,
    ) -> None:
        layout = Layout(checked_word("table", table), checked_word("prefix", prefix))
        reach = checked_reach(client, region_name, endpoint_url, timeout, max_connections)
        limit = checked_seconds("retry_seconds", retry_seconds)
        self._store = DynamoDBVerbs(BlockingConnection(reach), layout, create_table=create_table, retry_seconds=limit)
        super().__init__(self._store)

    @property
    def table(self) -> str:
        """The name of the table."""
        return self._store.table

    @property
    def prefix(self) -> str:
        """What the partition keys of this cache begin with."""
        return self._store.prefix

    def exists(self) -> bool:
        """Whether there is a cache here, or anything else where one would be. Makes nothing, and need not be open.

        Raises:
            StoreBackendError: The server cannot be asked.
        """
        return finished(self._store.exists())

    def marked(self) -> str | None:
        return finished(self._store.marked())

    def mark(self, text: str) -> None:
        finished(self._store.mark(text))


class AsyncDynamoDBStore(DynamoDBVerbs):
    """A `DynamoDBStore` whose verbs are awaited, on aiobotocore. The options, the promises and the data are the same.

    It belongs to the event loop in which it was opened. A verb that is cancelled has happened or has not.

    Args:
        table: As for `DynamoDBStore`, like all that is not mentioned here.
        prefix: As there.
        client: A DynamoDB client of aiobotocore to use, which stays open when the store is closed.
        region_name: As there.
        endpoint_url: As there.
        create_table: As there.
        timeout: As there.
        retry_seconds: As there.
        max_connections: So many requests at most are under way; others wait.

    Raises:
        ImportError: aiobotocore is not installed: `pip install 'mneme-cache[dynamodb]'`.
    """

    def __init__(
        self,
        table: str,
        *,
        prefix: str = "mneme",
        client: Any = None,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        create_table: bool = False,
        timeout: float = 5.0,
        retry_seconds: float = 10.0,
        max_connections: int = 32,
    ) -> None:
        layout = Layout(checked_word("table", table), checked_word("prefix", prefix))
        reach = checked_reach(client, region_name, endpoint_url, timeout, max_connections)
        limit = checked_seconds("retry_seconds", retry_seconds)
        super().__init__(AsyncioConnection(reach), layout, create_table=create_table, retry_seconds=limit)
