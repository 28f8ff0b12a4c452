"""Reading the data of entries: one by one, or as runs where most of what lies between is wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from mneme.errors import CorruptCacheError
from mneme.stores._dynamodb_directory import Directory
from mneme.stores._dynamodb_journal import Journal
from mneme.stores._dynamodb_log import Entry
from mneme.stores._dynamodb_requests import Requests
from mneme.stores._dynamodb_rows import Content, content_of
from mneme.stores._dynamodb_statements import Item, Key, Layout

__all__ = ["Contents", "Where"]

Where: TypeAlias = tuple[str, int]
"""`name` and `number` of an entry: what is there never changes, it only goes."""

_RUN = 8
"""Wanted items of one partition key that are worth a query."""


class Contents:
    """The data of entries, as of one state of the directory."""

    def __init__(self, requests: Requests, journal: Journal, layout: Layout) -> None:
        self._requests = requests
        self._journal = journal
        self._layout = layout

    async def read(
        self, choose: Callable[[Directory], Sequence[Entry | None]], *, vectors: bool = False, texts: bool = True
    ) -> tuple[Sequence[Entry | None], dict[Where, Content]]:
        """What *choose* picks from the directory, brought up to date, and the data of all of it.

        The head is read in the same request as the data, so that one is enough if nothing was committed since. What is
        gone by then was replaced or deleted: the choice is made again.
        """
        held: dict[Where, Content] = {}
        current = False
        while True:
            known, dense, chosen = self._journal.look(
                lambda directory: (directory.commit, *_with_density(directory, choose(directory)))
            )
            wanted = {(e.name, e.number): e for e in chosen if e is not None and (e.name, e.number) not in held}
            if current and not wanted:
                return chosen, held
            if dense and not current:
                await self._journal.sync()
                current = True
                continue
            head = None if current else self._layout.head
            items, found = await self._fetch(
                list(wanted.values()), dense=dense, vectors=vectors, texts=texts, head=head
            )
            held |= found
            if head is not None:
                current = True
                await self._journal.catch_up_with(items.get(head), known)
            elif len(found) < len(wanted):
                await self._journal.sync()
                if self._journal.look(lambda directory: directory.commit) == known:
                    lost = next(entry for where, entry in wanted.items() if where not in found)
                    raise CorruptCacheError(
                        f"the store is damaged: the data of entry {lost.id} are gone; `check` says what else"
                    )

    async def _fetch(
        self, entries: Sequence[Entry], *, dense: bool, vectors: bool, texts: bool, head: Key | None
    ) -> tuple[dict[Key, Item], dict[Where, Content]]:
        keys = {self._layout.data(entry.name, entry.number): entry for entry in entries}
        items: dict[Key, Item] = {}
        if dense:
            by_pk: dict[str, list[str]] = {}
            for pk, sk in keys:
                by_pk.setdefault(pk, []).append(sk)
            names = ["pk", "sk", *(("text", "body") if texts else ()), *(("vector",) if vectors else ())]
            for pk, sks in by_pk.items():
                if len(sks) >= _RUN:
                    for item in await self._requests.query(pk, min(sks), max(sks), names):
                        items[(pk, item["sk"]["S"])] = item
        parts = {
            where: self._layout.parts(entry.name, entry.number, entry.parts) if texts else []
            for where, entry in keys.items()
        }
        single = [key for key in keys if key not in items]
        single += [part for where in keys for part in parts[where]]
        if head is not None:
            single.insert(0, head)
        items |= await self._requests.fetch(single, without=None if vectors else "vector")
        found: dict[Where, Content] = {}
        for key, entry in keys.items():
            if key in items and all(part in items for part in parts[key]):
                item = items[key] if texts else {"text": {"S": ""}} | items[key]
                found[entry.name, entry.number] = content_of(item, [items[part] for part in parts[key]])
        return items, found


def _with_density(directory: Directory, chosen: Sequence[Entry | None]) -> tuple[bool, Sequence[Entry | None]]:
    """Whether half of the entries from the first to the last of these are among them."""
    ids = [entry.id for entry in chosen if entry is not None]
    dense = len(ids) > 4 * _RUN and len(ids) * 2 >= directory.between(min(ids), max(ids))
    return dense, chosen
