"""Whether what is stored fits together, and what of it nobody needs."""

from __future__ import annotations

from functools import partial

import numpy as np

from mneme.stores._dynamodb_directory import Directory
from mneme.stores._dynamodb_journal import Journal
from mneme.stores._dynamodb_log import Entry
from mneme.stores._dynamodb_requests import Requests
from mneme.stores._dynamodb_rows import vector_of
from mneme.stores._dynamodb_statements import SHARDS, Head, Item, Key, Layout, as_key, epoch_of, new_name, segment_of

__all__ = ["collect_garbage", "inconsistencies"]

_UNIT_TOLERANCE = 1e-3
_FIRST, _LAST = " ", "~"
"""Every sort key lies between these."""


async def inconsistencies(journal: Journal, requests: Requests, layout: Layout) -> list[str]:
    """Every inconsistency found, a sentence each. What was replaced or deleted meanwhile is passed over."""
    head = await journal.sync()
    found, entries, dim = await _replayed(journal, head)
    data: dict[str, list[Entry]] = {}
    parts: dict[str, list[Entry]] = {}
    for entry in entries:
        data.setdefault(layout.data(entry.name, entry.number)[0], []).append(entry)
        for pk, _ in layout.parts(entry.name, entry.number, min(entry.parts, 1)):
            parts.setdefault(pk, []).append(entry)
    unsound: list[tuple[Entry, str]] = []
    for pk, lying in data.items():
        items = {as_key(item): item for item in await requests.query(pk, _FIRST, _LAST)}
        for entry in lying:
            item = items.get(layout.data(entry.name, entry.number))
            unsound += [(entry, sentence) for sentence in _unsound(entry, item, dim)]
    for pk, lying in parts.items():
        keys = {as_key(item) for item in await requests.query(pk, _FIRST, _LAST, ["pk", "sk"])}
        for entry in lying:
            if not keys.issuperset(layout.parts(entry.name, entry.number, entry.parts)):
                unsound.append((entry, f"Parts of the data of entry {entry.id} are missing."))
    if unsound:
        await journal.sync()
    return found + [sentence for entry, sentence in unsound if journal.look(partial(_still_there, entry))]


async def collect_garbage(journal: Journal, requests: Requests, layout: Layout) -> int:
    """Remove what no commit names; how many bytes.

    First a new epoch begins, in which nothing that was staged before can be committed any more. So what has the name of
    an earlier epoch, and is not in the directory by then, never will be.
    """
    await journal.next_epoch()
    size = max(await journal.checkpoint(), 0)
    head = await journal.sync()
    size += await journal.cut_log(head.upto)  # what is left of it by one who died after making a snapshot
    entries = journal.look(lambda directory: {entry.id: entry for entry in directory.after(0)})
    used: set[Key] = set(layout.paged(head.snapshot, head.pages)) if head.snapshot else set()
    used |= await journal.pages_of_log(head)
    for entry in entries.values():
        used.add(layout.data(entry.name, entry.number))
        used.update(layout.parts(entry.name, entry.number, entry.parts))
    for pk in [layout.page, *_shards(journal, layout, "data"), *_shards(journal, layout, "part")]:
        keys = [as_key(item) for item in await requests.query(pk, _FIRST, _LAST, ["pk", "sk"])]
        garbage = [key for key in keys if key not in used and epoch_of(key[1]) < head.epoch]
        if garbage:
            size += sum(map(_bytes_in, (await requests.fetch(garbage)).values()))
            await requests.delete_all(garbage)
    return size


async def _replayed(journal: Journal, head: Head) -> tuple[list[str], list[Entry], int | None]:
    """In what the directory differs from what is stored; what is stored."""
    while True:
        fresh = await journal.replayed(head)
        if fresh is not None and (mine := journal.look(partial(_compared, fresh))) is not None:
            return mine, list(fresh.after(0)), fresh.dim
        head = await journal.sync()


def _compared(fresh: Directory, directory: Directory) -> list[str] | None:
    return fresh.differences(directory) if directory.commit == fresh.commit else None


def _still_there(entry: Entry, directory: Directory) -> bool:
    now = directory.find(entry.id)
    return now is not None and (now.name, now.number) == (entry.name, entry.number)


def _unsound(entry: Entry, item: Item | None, dim: int | None) -> list[str]:
    if item is None:
        return [f"The data of entry {entry.id} are missing."]
    found = []
    if item["key"]["B"] != entry.key:
        found.append(f"The data of entry {entry.id} are those of another key.")
    if ("vector" in item) != entry.vector:
        found.append(f"Entry {entry.id} and its data do not agree whether it has a vector.")
    if "vector" in item:
        blob = item["vector"]["B"]
        if dim is None or len(blob) != 4 * dim:
            found.append(f"The vector of entry {entry.id} does not have the dimension of the store.")
        else:
            with np.errstate(invalid="ignore", over="ignore"):
                length = float(np.linalg.norm(vector_of(blob).astype(np.float64)))
            if not abs(length - 1.0) <= _UNIT_TOLERANCE:
                found.append(f"The vector of entry {entry.id} is not of unit length, or not finite.")
    return found


def _shards(journal: Journal, layout: Layout, kind: str) -> list[str]:
    """Every partition key under which data can lie, by the sequence numbers that names are drawn from."""
    highest = segment_of(new_name(0, journal.look(lambda directory: directory.seq)))
    return [layout.shard(kind, segment, number) for segment in range(highest + 1) for number in range(SHARDS)]


def _bytes_in(item: Item) -> int:
    return sum(len(part) for value in item.values() for part in value.values() if isinstance(part, str | bytes))
