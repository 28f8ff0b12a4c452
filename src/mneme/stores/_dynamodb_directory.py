"""What the log comes down to: every entry but its data, held in memory. Changed by applying steps, and by nothing else.

It answers whatever can be answered without the data, and is never wrong, only behind: whoever asks brings it up to date
first. Not safe for threads by itself.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any

from mneme.errors import CorruptCacheError
from mneme.ports import HISTORY, Change, Counters, NamespaceSummary, Ref, Selection
from mneme.stores._dynamodb_log import Entry, Place, Step, entries_of, rows_of

__all__ = ["Directory", "values_of"]

_ROWS = 2000
"""Rows in one step of a snapshot."""
_RECENT = 512
_SPARE = 1024


class Directory:
    """All entries as of one commit."""

    def __init__(self) -> None:
        self.commit = 0
        self.seq = 0
        self.fingerprint: str | None = None
        self.dim: int | None = None
        self.mark: str | None = None
        self.recent: deque[str] = deque(maxlen=_RECENT)
        """Names of the latest commits: by them a writer that got no answer finds out whether it was heard."""
        self._forgotten = 0
        self._entries: dict[int, Entry] = {}
        self._by_key: dict[bytes, int] = {}
        self._by_seq: dict[int, int] = {}
        self._ids: list[int] = []  # sorted; those that are gone are left in for a while
        self._seqs: list[int] = []  # the same
        self._deleted: list[Change] = []
        self._counters: dict[str, Counters] = {}
        self._places: dict[Place, Place] = {}

    def __len__(self) -> int:
        return len(self._entries)

    # --- changing ----------------------------------------------------------------------------------------------------

    def apply(self, step: Step) -> None:
        """Make the change that *step* describes."""
        if "groups" in step:
            for entry in entries_of(step, self._places):
                self._put(entry)
        self.seq = step.get("seq", self.seq)
        if "gone" in step:
            self._delete(step["gone"])
        if "accessed" in step:
            self._touch(*step["accessed"])
        for name, values in step.get("counters", {}).items():
            self._counters[name] = self._counters.get(name, Counters()) + Counters(*values)
        self.fingerprint, self.dim = step.get("bind", (self.fingerprint, self.dim))
        self.mark = step.get("mark", self.mark)
        for seq, entry_id, key in step.get("deleted", ()):
            self._deleted.append(Change(seq, entry_id, bytes.fromhex(key), deleted=True))
        self._forgotten = step.get("forgotten", self._forgotten)
        self.recent.extend(step.get("recent", ()))

    def settle(self) -> None:
        """Put in order what a snapshot lists in another."""
        self._ids = sorted(self._entries)
        self._entries = {entry_id: self._entries[entry_id] for entry_id in self._ids}
        self._seqs = sorted(self._by_seq)

    def snapshot(self) -> Iterator[Step]:
        """Steps that make an empty directory into this one, once it is settled."""
        first: Step = {"seq": self.seq, "forgotten": self._forgotten, "recent": list(self.recent)}
        if self.fingerprint is not None:
            first["bind"] = [self.fingerprint, self.dim]
        if self.mark is not None:
            first["mark"] = self.mark
        first["counters"] = {name: values_of(counters) for name, counters in self._counters.items()}
        yield first
        for start in range(0, len(self._deleted), _ROWS):
            yield {"deleted": [[c.seq, c.id, c.key.hex()] for c in self._deleted[start : start + _ROWS]]}
        entries = iter(self._entries.values())
        while rows := list(islice(entries, _ROWS)):
            places, groups = rows_of(rows)
            yield {"places": places, "groups": groups}

    def _put(self, entry: Entry) -> None:
        old = self._entries.get(entry.id)
        if old is None:
            insort(self._ids, entry.id)  # nearly always at the end
        else:
            del self._by_seq[old.seq]
        self._entries[entry.id] = entry
        self._by_key[entry.key] = entry.id
        self._by_seq[entry.seq] = entry.id
        self._seqs.append(entry.seq)
        if len(self._seqs) > 2 * len(self._by_seq) + _SPARE:
            self._seqs = [seq for seq in self._seqs if seq in self._by_seq]

    def _touch(self, ids: Sequence[int], times: Sequence[float]) -> None:
        for entry_id, accessed_at in zip(ids, times, strict=True):
            if entry_id in self._entries:
                self._entries[entry_id] = self._entries[entry_id]._replace(accessed_at=accessed_at)

    def _delete(self, ids: Sequence[int]) -> None:
        for seq, entry_id in enumerate(ids, self.seq - len(ids) + 1):
            entry = self._entries.pop(entry_id, None)
            if entry is None:
                raise CorruptCacheError(f"the store is damaged: its log deletes entry {entry_id}, which is not there")
            del self._by_key[entry.key], self._by_seq[entry.seq]
            self._deleted.append(Change(seq, entry_id, entry.key, deleted=True))
        old = bisect_right(self._deleted, self.seq - HISTORY, key=attrgetter("seq"))
        if old:
            self._forgotten = self._deleted[old - 1].seq
            del self._deleted[:old]
        if len(self._ids) > 2 * len(self._entries) + _SPARE:
            self._ids = sorted(self._entries)
            self._seqs = [seq for seq in self._seqs if seq in self._by_seq]

    # --- looking -----------------------------------------------------------------------------------------------------

    def find(self, ref: Ref) -> Entry | None:
        entry_id = ref if isinstance(ref, int) else self._by_key.get(ref, 0)
        return self._entries.get(entry_id)

    def after(self, entry_id: int) -> Iterator[Entry]:
        """Entries with a higher id, in order."""
        for position in range(bisect_right(self._ids, entry_id), len(self._ids)):
            entry = self._entries.get(self._ids[position])
            if entry is not None:
                yield entry

    def between(self, first: int, last: int) -> int:
        """About how many entries have an id from *first* to *last*."""
        return bisect_right(self._ids, last) - bisect_right(self._ids, first - 1)

    def select(self, selection: Selection, after: int = 0) -> Iterator[Entry]:
        """Entries that *selection* means with an id above *after*, in order of id. Its limit is not looked at."""
        tags = None if selection.tags is None else set(selection.tags)
        for entry in self._candidates(selection, after):
            if (
                selection.namespace in {None, entry.place.namespace}
                and selection.partition in {None, entry.place.partition}
                and (tags is None or not tags.isdisjoint(entry.tags))
                and (selection.created_before is None or entry.created_at < selection.created_before)
                and (
                    selection.removable_by is None
                    or (entry.removable_at is not None and entry.removable_at <= selection.removable_by)
                )
            ):
                yield entry

    def _candidates(self, selection: Selection, after: int) -> Iterator[Entry]:
        if selection.refs is None:
            return self.after(after)
        found = {entry.id: entry for ref in selection.refs if (entry := self.find(ref)) is not None}
        return iter([found[entry_id] for entry_id in sorted(found) if entry_id > after])

    def changes(self, since: int, limit: int) -> list[Change] | None:
        if since < self._forgotten:
            return None
        start = bisect_right(self._deleted, since, key=attrgetter("seq"))
        found = self._deleted[start : start + limit]
        found += islice(self._written(since), limit)
        return sorted(found)[:limit]

    def _written(self, since: int) -> Iterator[Change]:
        for position in range(bisect_right(self._seqs, since), len(self._seqs)):
            entry_id = self._by_seq.get(self._seqs[position])
            if entry_id is not None:
                entry = self._entries[entry_id]
                yield Change(entry.seq, entry.id, entry.key, deleted=False)

    def summary(self) -> list[NamespaceSummary]:
        totals: dict[str, list[Any]] = {
            name: [0, 0, None] for name, counters in self._counters.items() if counters != Counters()
        }
        for entry in self._entries.values():
            total = totals.setdefault(entry.place.namespace, [0, 0, None])
            total[0] += 1
            total[1] += entry.size
            if total[2] is None or entry.created_at < total[2]:
                total[2] = entry.created_at
        return [
            NamespaceSummary(name, entries, size, oldest, self._counters.get(name, Counters()))
            for name, (entries, size, oldest) in sorted(totals.items())
        ]

    def differences(self, other: Directory) -> list[str]:
        """In what this directory differs from another of the same commit, a sentence each."""
        pairs = {
            "entries": (self._entries, other._entries),
            "keys": (self._by_key, other._by_key),
            "sequence numbers": (self._by_seq, other._by_seq),
            "deletions": (self._deleted, other._deleted),
            "counters": (self._counters, other._counters),
            "bindings": (
                (self.seq, self.fingerprint, self.dim, self.mark, self._forgotten),
                (other.seq, other.fingerprint, other.dim, other.mark, other._forgotten),
            ),
        }
        return [f"The {what} in memory are not those of the log." for what, (one, two) in pairs.items() if one != two]


def values_of(counters: Counters) -> list[Any]:
    return [
        counters.hits_exact,
        counters.hits_semantic,
        counters.misses,
        counters.evictions,
        counters.expirations,
        counters.seconds_saved,
        counters.cost_saved,
    ]
