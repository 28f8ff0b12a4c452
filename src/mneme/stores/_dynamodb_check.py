"""Whether what is stored fits together, and what of it nobody needs."""

from __future__ import annotations

import numpy as np

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
    """Every inconsistency found, a sentence each. Tells only of what was so before and after it was looked at."""
    head = await journal.sync()
    found, entries = await _differences(journal, head)
    for pk in _shards(journal, layout, "data"):
        items = {as_key(item): item for item in await requests.query(pk, _FIRST, _LAST)}
        wanted = {key: e for e in entries.values() if (key := layout.data(e.name, e.number))[0] == pk}
        dim = journal.look(lambda directory: directory.dim)
        for key, entry in wanted.items():
            for sentence in _unsound(entry, items.get(key), dim):
                if await _still_there(journal, entry):
                    found.append(sentence)
    for pk in _shards(journal, layout, "part"):
        keys = {as_key(item) for item in await requests.query(pk, _FIRST, _LAST, ["pk", "sk"])}
        for entry in entries.values():
            parts = layout.parts(entry.name, entry.number, entry.parts)
            if parts and parts[0][0] == pk and not keys.issuperset(parts) and await _still_there(journal, entry):
                found.append(f"Parts of the data of entry {entry.id} are missing.")
    return found


async def collect_garbage(journal: Journal, requests: Requests, layout: Layout) -> int:
    """Remove what no commit names; how many bytes.

    First a new epoch begins, in which nothing that was staged before can be committed any more. So what has the name of
    an earlier epoch, and is not in the directory by then, never will be.
    """
    head = await journal.next_epoch()
    size = max(await journal.checkpoint(), 0)
    head = await journal.sync()
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


async def _differences(journal: Journal, head: Head) -> tuple[list[str], dict[int, Entry]]:
    while True:
        fresh = await journal.replayed(head)
        if fresh is not None:
            mine = journal.look(lambda directory: fresh.differences(directory) if directory.commit == fresh.commit else None)
            if mine is not None:
                return mine, {entry.id: entry for entry in fresh.after(0)}
        head = await journal.sync()


async def _still_there(journal: Journal, entry: Entry) -> bool:
    await journal.sync()
    now = journal.look(lambda directory: directory.find(entry.id))
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
