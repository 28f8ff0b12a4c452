"""The log that all who share a cache agree on. One conditional request makes a commit, whatever its size.

Who wants to commit stages what is long under a name of its own, and then asks DynamoDB, in one transaction, to raise
the number in the head from the one it knows and to put its record under that number. If anyone else was first, that is
refused: the directory is brought up to date, and what is to be changed is worked out anew. Nobody holds a lock, so
nobody can die with one; what a dead writer has staged, no commit ever names.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from mneme.errors import CorruptCacheError, SchemaMigrationError, StoreBackendError
from mneme.stores import _dynamodb_log as log
from mneme.stores._dynamodb_connection import Connection
from mneme.stores._dynamodb_directory import Directory
from mneme.stores._dynamodb_plans import Plan
from mneme.stores._dynamodb_requests import RefusedError, Requests
from mneme.stores._dynamodb_statements import FORMAT, VERSION, Head, Item, Key, Layout, epoch_of, new_name, pieces

__all__ = ["Journal"]

T = TypeVar("T")

CHECKPOINT = 2**20
"""Bytes of log after which a snapshot is made, or so many as the latest snapshot has, if that is more."""
_ITEM_OVERHEAD = 200
_LOOKS = 8
"""So often a commit is looked for before it is missing."""


class Journal:
    """Keeps a directory up to date, and changes it."""

    def __init__(self, connection: Connection, requests: Requests, layout: Layout) -> None:
        self._connection = connection
        self._requests = requests
        self._layout = layout
        self._mutex = threading.Lock()  # never held while a request is on its way
        self._directory = Directory()
        self._head: Head | None = None  # the latest one seen
        self._grown = 0  # bytes of log since the snapshot

    # --- reading -----------------------------------------------------------------------------------------------------

    async def open(self) -> Head:
        """Find the store, or make it; its head."""
        item = await self._requests.get(self._layout.head)
        if item is None:
            remains = await self._remains()
            item = await self._requests.get(self._layout.head)  # another opener may be at work
            if remains and item is None:
                raise CorruptCacheError(
                    f"the DynamoDB table {self._layout.table!r} holds a log under {self._layout.prefix!r}, but no "
                    "head: restore the table, or use another prefix"
                )
        if item is None:
            with contextlib.suppress(RefusedError):  # another opener made it
                await self._requests.call("put_item", self._layout.found(uuid.uuid4().hex))
            item = await self._requests.get(self._layout.head)
        head = self._understood(item)
        await self.catch_up(head)
        return head

    def look(self, work: Callable[[Directory], T]) -> T:
        """What *work* makes of the directory as it is; it must not keep it."""
        with self._mutex:
            return work(self._directory)

    async def sync(self) -> Head:
        """Bring the directory up to date with everything that was committed before this call."""
        known = self.look(lambda directory: directory.commit)
        return await self.catch_up_with(await self._requests.get(self._layout.head), known)

    async def catch_up_with(self, item: Item | None, known: int) -> Head:
        """The same, with a head that was read already, when the directory was at commit *known*."""
        head = self._understood(item)
        if head.commit < known:
            raise StoreBackendError(
                f"the DynamoDB table {self._layout.table!r} went back from commit {known} to {head.commit}: it was "
                "restored from a backup; open a new store"
            )
        await self.catch_up(head)
        return head

    async def catch_up(self, head: Head) -> None:
        """Apply what the log has up to the commit that *head* names."""
        patience = self._requests.patience()
        for _ in range(_LOOKS):
            if await self._followed(head):
                return
            # Either someone made a snapshot and cut the log meanwhile; or a query did not see all of a transaction
            # yet, of which the head was seen already: it is only promised that it sees nothing that was not committed.
            again = self._understood(await self._requests.get(self._layout.head))
            if (again.upto, again.snapshot) == (head.upto, head.snapshot):
                await patience.pause("its log is behind its head")
            head = again
        raise CorruptCacheError(
            f"the store is damaged: commits after {self.look(lambda directory: directory.commit)} are not in its log, "
            f"which says there are {head.commit}"
        )

    async def replayed(self, head: Head) -> Directory | None:
        """A directory made anew from what is stored, as of *head*; `None` if that is no longer there."""
        directory = Directory()
        if head.snapshot:
            blob = await self._pages(head.snapshot, head.pages)
            if blob is None:
                return None
            for part in log.unframed(blob):
                directory.apply(log.decode(part))
            directory.settle()
            directory.commit = head.upto
        steps = await self._steps(directory.commit, head.commit)
        if steps is None:
            return None
        for number, (step, name, _) in enumerate(steps, directory.commit + 1):
            _apply(directory, number, step, name)
        return directory

    async def _followed(self, head: Head) -> bool:
        number = self.look(lambda directory: directory.commit)
        if head.commit <= number:
            return True
        if head.upto > number:
            directory = await self.replayed(head)
            if directory is None:
                return False
            with self._mutex:
                if self._directory.commit < directory.commit:
                    self._directory = directory
            return True
        steps = await self._steps(number, head.commit)
        if steps is None:
            return False
        for next_number, (step, name, size) in enumerate(steps, number + 1):
            self._applied(next_number, step, name, size)
        return True

    async def _steps(self, after: int, upto: int) -> list[tuple[log.Step, str, int]] | None:
        """The commits after one number up to another, with names and sizes; `None` if any is not there."""
        pk, low = self._layout.logged(after + 1)
        items = await self._requests.query(pk, low, self._layout.logged(upto)[1])
        if [item["sk"]["S"] for item in items] != [self._layout.logged(n)[1] for n in range(after + 1, upto + 1)]:
            return None
        steps = []
        for item in items:
            blob = item["body"]["B"] if "body" in item else await self._pages(item["at"]["S"], int(item["pages"]["N"]))
            if blob is None:
                return None
            steps.append((log.decode(blob), item["name"]["S"], len(blob) + _ITEM_OVERHEAD))
        return steps

    async def _pages(self, name: str, count: int) -> bytes | None:
        keys = self._layout.paged(name, count)
        found = await self._requests.query(self._layout.page, keys[0][1], keys[-1][1])
        return b"".join(item["body"]["B"] for item in found) if len(found) == count else None

    def _applied(self, number: int, step: log.Step, name: str, size: int) -> None:
        with self._mutex:
            if self._directory.commit == number - 1:
                _apply(self._directory, number, step, name)
                self._grown += size

    def _understood(self, item: Item | None) -> Head:
        where = f"the DynamoDB table {self._layout.table!r} under {self._layout.prefix!r}"
        if item is None:
            raise StoreBackendError(f"the store in {where} is gone; open a new one")
        try:
            if item["format"]["S"] != FORMAT:
                raise KeyError(FORMAT)  # noqa: TRY301 -- told of below
            version = int(item["version"]["N"])
            if version > VERSION:
                raise SchemaMigrationError(
                    f"{where} holds a cache of schema version {version}; this mneme knows {VERSION}: use a newer one"
                )
            head = Head(
                item["store"]["S"],
                int(item["commit"]["N"]),
                int(item["epoch"]["N"]),
                item["snapshot"]["S"],
                int(item["upto"]["N"]),
                int(item["pages"]["N"]),
                int(item["size"]["N"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptCacheError(f"{where} holds something that is not a mneme cache; use another prefix") from error
        with self._mutex:
            known = self._head
            if known is not None and (known.store != head.store):
                raise StoreBackendError(f"the store in {where} was replaced by another; open a new one")
            if known is None or head.upto > known.upto:
                self._grown = 0
            if known is None or (head.epoch, head.commit, head.upto) >= (known.epoch, known.commit, known.upto):
                self._head = head
        return head

    async def _remains(self) -> bool:
        first, last = self._layout.logged(0)[1], self._layout.logged(10**16 - 1)[1]
        return bool(await self._requests.query(self._layout.log, first, last, ["sk"]))

    # --- writing -----------------------------------------------------------------------------------------------------

    async def commit(
        self,
        plan: Callable[[Directory, str], Plan],
        stage: Callable[[str], Awaitable[Sequence[Key]]] | None = None,
    ) -> Plan:
        """Change the store as *plan* says, which is asked again whenever someone else was first.

        *stage* writes what the step of the plan refers to, under the name that it is given.
        """
        while True:
            name = self.look(lambda directory: new_name(self._epoch, directory.seq))
            staged = await stage(name) if stage is not None else ()
            planned = await self._committed(plan, name)
            if planned is not None:
                return planned
            await self._requests.delete_all(staged)  # garbage was collected meanwhile: stage it again

    @property
    def _epoch(self) -> int:
        return self._head.epoch if self._head is not None else 0

    async def _committed(self, plan: Callable[[Directory, str], Plan], name: str) -> Plan | None:
        """The plan that was carried out; `None` if what is staged as *name* can no longer be committed."""
        async with self._connection.turn():
            patience = self._requests.patience()
            while True:
                number, planned = self.look(lambda directory: (directory.commit + 1, plan(directory, name)))
                if planned.step is None:
                    return planned
                record, size, pages = await self._record(planned.step, name, number)
                try:
                    await self._requests.call("transact_write_items", self._commit_of(name, number, record))
                except RefusedError as error:
                    head = await self.sync()
                    if self.look(lambda directory: name in directory.recent):
                        return planned  # an answer was lost: it was this one
                    await self._tidy(pages)
                    if head.epoch != epoch_of(name):
                        return None
                    await patience.pause(error)
                else:
                    self._applied(number, planned.step, name, size)
                    return planned

    def _commit_of(self, name: str, number: int, record: Item) -> dict[str, Any]:
        store = self._head.store if self._head is not None else ""
        return self._layout.commit(store, epoch_of(name), number, record)

    async def _record(self, step: log.Step, name: str, number: int) -> tuple[Item, int, list[Key]]:
        blob = log.encode(step)
        record: Item = {"name": {"S": name}}
        parts = pieces(blob)
        if len(parts) == 1:
            return record | {"body": {"B": blob}}, len(blob) + _ITEM_OVERHEAD, []
        at = f"{name}.{number:x}"
        keys = await self._put_pages(at, parts)
        return record | {"at": {"S": at}, "pages": {"N": str(len(parts))}}, len(blob), keys

    async def _put_pages(self, name: str, parts: Sequence[bytes]) -> list[Key]:
        keys = self._layout.paged(name, len(parts))
        await self._requests.put_all(
            {"pk": {"S": pk}, "sk": {"S": sk}, "body": {"B": part}} for (pk, sk), part in zip(keys, parts, strict=True)
        )
        return keys

    async def _tidy(self, keys: Sequence[Key]) -> None:
        with contextlib.suppress(StoreBackendError):  # garbage that stays is found by `compact`
            await self._requests.delete_all(keys)

    # --- snapshots ---------------------------------------------------------------------------------------------------

    async def checkpoint_if_due(self) -> None:
        """Make a snapshot if the log has grown long. What fails is tried again after the next commit."""
        size = self._head.size if self._head is not None else 0
        if self._grown >= max(CHECKPOINT, size):
            with contextlib.suppress(StoreBackendError):
                await self.checkpoint()

    async def checkpoint(self) -> int:
        """Make a snapshot, name it in the head, and cut off the log that it makes superfluous; bytes given back."""
        head = await self.sync()
        number, steps = self.look(lambda directory: (directory.commit, list(directory.snapshot())))
        if number <= head.upto:
            return 0
        blob = log.framed(log.encode(step) for step in steps)
        name, parts = new_name(head.epoch, 0), pieces(blob)
        keys = await self._put_pages(name, parts)
        moved = head._replace(snapshot=name, upto=number, pages=len(parts), size=len(blob))
        try:
            answer = await self._requests.call("update_item", self._layout.move_snapshot(moved))
        except RefusedError:
            current = await self.sync()
            if current.snapshot != name:  # else an answer was lost
                await self._tidy(keys)
                return 0
            before = head
        else:
            before = self._understood(answer["Attributes"])
        await self.sync()
        await self._requests.delete_all(self._layout.paged(before.snapshot, before.pages) if before.snapshot else ())
        return before.size + await self.cut_log(number) - len(blob)

    async def cut_log(self, number: int) -> int:
        """Remove the log up to commit *number*, which is in the snapshot; how many bytes."""
        keys: list[Key] = []
        size = 0
        low, high = self._layout.logged(0)[1], self._layout.logged(number)[1]
        for item in await self._requests.query(self._layout.log, low, high):
            size += len(item["body"]["B"]) if "body" in item else 0
            if "at" in item:
                keys += self._layout.paged(item["at"]["S"], int(item["pages"]["N"]))
            keys.append((item["pk"]["S"], item["sk"]["S"]))
        await self._requests.delete_all(keys)
        return size

    async def pages_of_log(self, head: Head) -> set[Key]:
        """Where the commits after the snapshot lie that are too long for the log."""
        low, high = self._layout.logged(head.upto + 1)[1], self._layout.logged(10**16 - 1)[1]
        found: set[Key] = set()
        for item in await self._requests.query(self._layout.log, low, high, ["at", "pages"]):
            if "at" in item:
                found.update(self._layout.paged(item["at"]["S"], int(item["pages"]["N"])))
        return found

    async def next_epoch(self) -> Head:
        """From now on nothing can be committed that was staged before."""
        patience = self._requests.patience()
        while True:
            head = await self.sync()
            try:
                await self._requests.call("update_item", self._layout.next_epoch(head))
            except RefusedError as error:
                await patience.pause(error)
            else:
                return await self.sync()


def _apply(directory: Directory, number: int, step: log.Step, name: str) -> None:
    directory.apply(step)
    directory.commit = number
    directory.recent.append(name)
