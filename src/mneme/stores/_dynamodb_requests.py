"""Requests that get through: in batches of the size that DynamoDB takes, and again while it is busy."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from mneme.errors import CorruptCacheError, StoreBackendError
from mneme.stores._dynamodb_connection import Connection
from mneme.stores._dynamodb_statements import Item, Key, Layout, as_key, key_item

__all__ = ["Patience", "RefusedError", "Requests", "TableMissingError"]

T = TypeVar("T")

_GET, _PUT = 100, 25
"""Items in one request at most."""
_PUT_BYTES = 650_000
"""DynamoDB takes 16 MB. But a request of more than 1 MB, in a form that is longer than the data, holds up a loop."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 2.0
_BROKEN_LIMIT = 2
"""So often a request is repeated whose connection broke: one that had been idle for long breaks once."""

_BUSY = {
    "InternalServerError",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "ThrottlingError",
    "TransactionConflict",
    "TransactionConflictException",
    "TransactionInProgressException",
    "ProvisionedThroughputExceeded",
}


class RefusedError(Exception):
    """The condition of a request was not met: someone else was first."""


class TableMissingError(StoreBackendError):
    """There is no such table."""


class Patience:
    """Pauses that grow and are never of the same length, until a limit is reached."""

    def __init__(self, connection: Connection, limit: float) -> None:
        self._connection = connection
        self._limit = limit
        self._until = time.monotonic() + limit
        self._longest = _FIRST_PAUSE
        self.broken = 0

    async def pause(self, why: object) -> None:
        """Wait a moment; `StoreBackendError` that says *why* if that was long enough."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise StoreBackendError(f"DynamoDB did not do what was asked within {self._limit:g} seconds: {why}")
        await self._connection.sleep(min(left, random.uniform(0, self._longest)))  # noqa: S311 -- no secret
        self._longest = min(2 * self._longest, _LONGEST_PAUSE)


class Requests:
    """What may be asked of one cache in one table."""

    def __init__(self, connection: Connection, layout: Layout, retry_seconds: float) -> None:
        self._connection = connection
        self._layout = layout
        self._limit = retry_seconds

    def patience(self) -> Patience:
        return Patience(self._connection, self._limit)

    async def start(self) -> None:
        try:
            await self._connection.start()
        except Exception as error:
            from botocore.exceptions import BotoCoreError  # noqa: PLC0415 -- an extra

            if isinstance(error, BotoCoreError):
                raise StoreBackendError(
                    f"no client for DynamoDB can be made: {error}; pass region_name=, or set AWS_DEFAULT_REGION"
                ) from error
            raise

    async def call(self, operation: str, arguments: Mapping[str, Any], patience: Patience | None = None) -> Item:
        """The answer to one request.

        Raises:
            RefusedError: Its condition was not met.
            StoreBackendError: DynamoDB cannot be reached, is busy for too long, or does not allow it.
        """
        patience = patience or self.patience()
        answer = None
        while answer is None:
            answer = await self._tried(operation, arguments, patience)
        return answer

    async def _tried(self, operation: str, arguments: Mapping[str, Any], patience: Patience) -> Item | None:
        try:
            return await self._connection.call(operation, arguments)
        except Exception as error:  # noqa: BLE001 -- what is no error of the client is raised again
            await self._consider(operation, error, patience)
            return None

    async def get(self, key: Key) -> Item | None:
        item: Item | None = (await self.call("get_item", self._layout.get(key))).get("Item")
        return item

    async def fetch(self, keys: Iterable[Key], *, without: str | None = None) -> dict[Key, Item]:
        """The items that are there, all but one attribute of them."""
        found: dict[Key, Item] = {}
        for batch in _batches(list(dict.fromkeys(keys)), _GET):
            patience = self.patience()
            wanted = list(batch)
            while wanted:
                answer = await self.call("batch_get_item", self._layout.batch_get(wanted, without), patience)
                items = answer["Responses"].get(self._layout.table, [])
                found.update((as_key(item), item) for item in items)
                left = answer.get("UnprocessedKeys", {}).get(self._layout.table, {}).get("Keys", [])
                wanted = [as_key(key) for key in left]
                if wanted and not items:
                    await patience.pause("it left keys of a batch unread")
        return found

    async def query(self, pk: str, low: str, high: str, names: Sequence[str] | None = None) -> list[Item]:
        """The items of *pk* from *low* to *high*, in order; of each all attributes or those named."""
        request = self._layout.query(pk, low, high, names)
        found: list[Item] = []
        while True:
            answer = await self.call("query", request)
            found += answer["Items"]
            if not answer.get("LastEvaluatedKey"):
                return found
            request = request | {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    async def put_all(self, items: Iterable[Item]) -> None:
        await self._write_all([{"PutRequest": {"Item": item}} for item in items])

    async def delete_all(self, keys: Iterable[Key]) -> None:
        await self._write_all([{"DeleteRequest": {"Key": key_item(key)}} for key in keys])

    async def _write_all(self, requests: Sequence[Item]) -> None:
        for batch in _by_bytes(requests):
            patience = self.patience()
            left = batch
            while left:
                answer = await self.call("batch_write_item", self._layout.batch_write(left), patience)
                unwritten = answer.get("UnprocessedItems", {}).get(self._layout.table, [])
                if unwritten and len(unwritten) == len(left):
                    await patience.pause("it left items of a batch unwritten")
                left = unwritten

    async def _consider(self, operation: str, error: Exception, patience: Patience) -> None:
        """Wait before *operation* is tried again, or raise what *error* means."""
        from botocore.exceptions import (  # noqa: PLC0415 -- an extra
            BotoCoreError,
            ClientError,
            ConnectionError as ConnectionFailedError,
            HTTPClientError,
        )

        if isinstance(error, ClientError):
            codes = _codes(error)
            if codes and codes <= _BUSY | {"None"}:
                await patience.pause(error)
                return
            _raise_meaning(codes, operation, self._layout, error)
        if isinstance(error, ConnectionFailedError | HTTPClientError | OSError):
            patience.broken += 1
            if patience.broken > _BROKEN_LIMIT:
                raise StoreBackendError(
                    f"DynamoDB cannot be reached: {error}; check region, endpoint and network"
                ) from error
            await patience.pause(error)
            return
        if isinstance(error, BotoCoreError):
            raise StoreBackendError(
                f"DynamoDB cannot be asked: {error}; check region and credentials (the AWS_ variables, or a profile)"
            ) from error
        raise error


def _codes(error: Any) -> set[str]:
    """What was wrong; of a transaction, what was wrong with its parts."""
    reasons = error.response.get("CancellationReasons") or []
    codes = {str(reason.get("Code")) for reason in reasons}
    codes = codes or {str(error.response.get("Error", {}).get("Code"))}
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return {"InternalServerError"} if not reasons and status >= 500 else codes


def _raise_meaning(codes: set[str], operation: str, layout: Layout, error: Exception) -> NoReturn:
    if codes & {"ConditionalCheckFailed", "ConditionalCheckFailedException"}:
        raise RefusedError(str(error)) from error
    if "ResourceNotFoundException" in codes:
        raise TableMissingError(
            f"there is no DynamoDB table {layout.table!r}: make it (its key is pk and sk, both strings), "
            "or pass create_table=True"
        ) from error
    if operation == "get_item" and "ValidationException" in codes:
        raise CorruptCacheError(
            f"the DynamoDB table {layout.table!r} is not made for mneme, whose tables have the key pk and sk, both "
            f"strings: {error}"
        ) from error
    raise StoreBackendError(f"DynamoDB refused {operation} on table {layout.table!r}: {error}") from error


def _batches(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _by_bytes(requests: Sequence[Item]) -> Iterator[list[Item]]:
    batch: list[Item] = []
    size = 0
    for request in requests:
        weight = sum(
            len(part) for kind in request.values() for value in kind.get("Item", {}).values() for part in value.values()
        )
        if batch and (len(batch) == _PUT or size + weight > _PUT_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(request)
        size += weight
    if batch:
        yield batch
