"""What is asked of DynamoDB: the names of keys, and the arguments of requests. Pure, and without a connection.

One table, whose key is `pk` and `sk`, both strings. Under a prefix of its own each cache has

    PREFIX#head              one item: how many commits there are, and the snapshot to begin reading from
    PREFIX#log               an item for each commit since the snapshot; what is longer is in pages
    PREFIX#page              pages of commits and of the snapshot
    PREFIX#data#SEGMENT#n    an item for each entry: query, response, vector
    PREFIX#part#SEGMENT#n    what of an entry is too long for its item

Only the head and the log decide what the cache holds. Pages, data and parts are written under names that were never
used before, are never changed, and mean nothing until a commit names them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

__all__ = [
    "FORMAT",
    "PIECE",
    "SHARDS",
    "VERSION",
    "Head",
    "Item",
    "Key",
    "Layout",
    "as_key",
    "epoch_of",
    "key_item",
    "new_name",
    "pieces",
    "segment_of",
]

Item: TypeAlias = dict[str, Any]
"""As the client takes and gives it: `{"pk": {"S": "..."}, ...}`."""
Key: TypeAlias = tuple[str, str]
"""Values of `pk` and `sk`."""

FORMAT = "mneme"
VERSION = 1
PIECE = 300_000
"""Bytes in one item at most; DynamoDB takes 400 KB with names and keys."""
SHARDS = 4
"""A segment of the data is spread over so many partition keys, for the sake of large batches."""
_SEGMENT_BITS = 12
_OWN_NAMES = ("format", "version", "store", "commit", "epoch", "snapshot", "upto", "pages", "size")


class Head(NamedTuple):
    """The item by which everyone knows where the log ends."""

    store: str
    """Drawn when the store was made: a table made anew is another store."""
    commit: int
    """Number of the latest commit."""
    epoch: int
    """Raised by every collection of garbage. What was staged in an earlier epoch can no longer be committed."""
    snapshot: str
    """Name of the snapshot, empty for none."""
    upto: int
    """Number of the latest commit that is in the snapshot. The log is complete after it."""
    pages: int
    size: int
    """Bytes of the snapshot."""


def new_name(epoch: int, base: int) -> str:
    """A name that was never used: what is staged together is named alike. *base* is the latest sequence number."""
    return f"{epoch:08x}-{base:014x}-{uuid.uuid4().hex[:16]}"


def epoch_of(name: str) -> int:
    return int(name[:8], 16)


def segment_of(name: str) -> int:
    return int(name[9:23], 16) >> _SEGMENT_BITS


def as_key(item: Mapping[str, Any]) -> Key:
    return item["pk"]["S"], item["sk"]["S"]


def pieces(blob: bytes) -> list[bytes]:
    return [blob[start : start + PIECE] for start in range(0, len(blob), PIECE)] or [b""]


class Layout:
    """Keys and requests of one cache in one table."""

    def __init__(self, table: str, prefix: str) -> None:
        self.table = table
        self.prefix = prefix
        self.head: Key = (f"{prefix}#head", "head")
        self.log: str = f"{prefix}#log"
        self.page: str = f"{prefix}#page"

    def logged(self, commit: int) -> Key:
        return self.log, f"{commit:016d}"

    def paged(self, name: str, count: int) -> list[Key]:
        return [(self.page, f"{name}#{number:06d}") for number in range(count)]

    def data(self, name: str, number: int) -> Key:
        return self.shard("data", segment_of(name), int(name[9:23], 16) + number), f"{name}#{number:06d}"

    def parts(self, name: str, number: int, count: int) -> list[Key]:
        pk = self.shard("part", segment_of(name), int(name[9:23], 16) + number)
        return [(pk, f"{name}#{number:06d}#{part:04d}") for part in range(count)]

    def shard(self, kind: str, segment: int, number: int) -> str:
        return f"{self.prefix}#{kind}#{segment:08x}#{number % SHARDS}"

    # --- requests ----------------------------------------------------------------------------------------------------

    def get(self, key: Key) -> dict[str, Any]:
        return {"TableName": self.table, "Key": key_item(key), "ConsistentRead": True}

    def batch_get(self, keys: Iterable[Key], without: str | None) -> dict[str, Any]:
        wanted: dict[str, Any] = {"Keys": [key_item(key) for key in keys], "ConsistentRead": True}
        if without is not None:
            names = ["pk", "sk", *_OWN_NAMES, *(name for name in ("key", "text", "body", "vector") if name != without)]
            wanted |= _projection(names)
        return {"RequestItems": {self.table: wanted}}

    def batch_write(self, requests: Sequence[Item]) -> dict[str, Any]:
        return {"RequestItems": {self.table: list(requests)}}

    def query(self, pk: str, low: str, high: str, names: Sequence[str] | None = None) -> dict[str, Any]:
        request: dict[str, Any] = {
            "TableName": self.table,
            "KeyConditionExpression": "pk = :pk AND sk BETWEEN :low AND :high",
            "ExpressionAttributeValues": {":pk": {"S": pk}, ":low": {"S": low}, ":high": {"S": high}},
            "ConsistentRead": True,
        }
        return request if names is None else request | _projection(names)

    def found(self, store: str) -> dict[str, Any]:
        """Put the head of a new store, unless there is one."""
        item = key_item(self.head) | {
            "format": {"S": FORMAT},
            "version": {"N": str(VERSION)},
            "store": {"S": store},
            "commit": {"N": "0"},
            "epoch": {"N": "0"},
            "snapshot": {"S": ""},
            "upto": {"N": "0"},
            "pages": {"N": "0"},
            "size": {"N": "0"},
        }
        return {"TableName": self.table, "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}

    def commit(self, store: str, epoch: int, number: int, record: Item) -> dict[str, Any]:
        """Make *record* commit *number*: refused unless the one before is the latest, and this epoch still is."""
        update = {
            "TableName": self.table,
            "Key": key_item(self.head),
            "UpdateExpression": "SET #commit = :number",
            "ConditionExpression": "#store = :store AND #epoch = :epoch AND #commit = :before",
            "ExpressionAttributeNames": {"#store": "store", "#epoch": "epoch", "#commit": "commit"},
            "ExpressionAttributeValues": {
                ":store": {"S": store},
                ":epoch": {"N": str(epoch)},
                ":before": {"N": str(number - 1)},
                ":number": {"N": str(number)},
            },
        }
        put = {"TableName": self.table, "Item": key_item(self.logged(number)) | record}
        return {"TransactItems": [{"Update": update}, {"Put": put}]}

    def move_snapshot(self, head: Head) -> dict[str, Any]:
        """Name the snapshot of *head* in place of an older one; says which that was."""
        return {
            "TableName": self.table,
            "Key": key_item(self.head),
            "UpdateExpression": "SET #snapshot = :snapshot, #upto = :upto, #pages = :pages, #size = :size",
            "ConditionExpression": "#store = :store AND #epoch = :epoch AND #upto < :upto",
            "ExpressionAttributeNames": {
                f"#{name}": name for name in ("snapshot", "upto", "pages", "size", "store", "epoch")
            },
            "ExpressionAttributeValues": {
                ":snapshot": {"S": head.snapshot},
                ":upto": {"N": str(head.upto)},
                ":pages": {"N": str(head.pages)},
                ":size": {"N": str(head.size)},
                ":store": {"S": head.store},
                ":epoch": {"N": str(head.epoch)},
            },
            "ReturnValues": "ALL_OLD",
        }

    def next_epoch(self, head: Head) -> dict[str, Any]:
        return {
            "TableName": self.table,
            "Key": key_item(self.head),
            "UpdateExpression": "SET #epoch = :next",
            "ConditionExpression": "#store = :store AND #epoch = :epoch",
            "ExpressionAttributeNames": {"#store": "store", "#epoch": "epoch"},
            "ExpressionAttributeValues": {
                ":store": {"S": head.store},
                ":epoch": {"N": str(head.epoch)},
                ":next": {"N": str(head.epoch + 1)},
            },
        }

    def create_table(self) -> dict[str, Any]:
        return {
            "TableName": self.table,
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            "AttributeDefinitions": [
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            "BillingMode": "PAY_PER_REQUEST",
        }


def key_item(key: Key) -> Item:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def _projection(names: Sequence[str]) -> dict[str, Any]:
    # Through placeholders, because many plain words are reserved.
    return {
        "ProjectionExpression": ", ".join(f"#{name}" for name in names),
        "ExpressionAttributeNames": {f"#{name}": name for name in names},
    }
