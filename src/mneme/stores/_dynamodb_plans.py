"""What a verb changes, worked out from a directory: which ids, which sequence numbers, which entries. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mneme.errors import EmbedderMismatchError
from mneme.ports import Counters, Record, Removed, Selection, Usage, Written
from mneme.stores._dynamodb_directory import Directory, values_of
from mneme.stores._dynamodb_log import Entry, Step, rows_of

__all__ = ["Plan", "binding", "deletion", "latest_of", "refuse_other", "usage_step", "writing"]


class Plan(NamedTuple):
    """What a commit is to change, and what it will have done."""

    step: Step | None
    """`None` if nothing is to be changed."""
    written: Sequence[Written] = ()
    removed: Sequence[Removed] = ()
    outdated: Sequence[Entry] = ()
    """Entries as they were before, whose data nobody needs afterwards."""


def latest_of(records: Sequence[Record]) -> dict[int, Record]:
    """Those records, by position, that no later one in the same batch replaces."""
    last = {bytes(record.key): position for position, record in enumerate(records)}
    return {position: records[position] for position in sorted(last.values())}


def writing(directory: Directory, records: Sequence[Record], drafts: Mapping[int, Entry]) -> Plan:
    """Write *records*, of which those in *drafts*, by position, are staged."""
    seq = directory.seq
    ids: dict[bytes, int] = {}
    written: list[Written] = []
    outdated: list[Entry] = []
    for record in records:
        seq += 1
        key = bytes(record.key)
        known = ids.get(key)
        if known is None and (old := directory.find(key)) is not None:
            known = old.id
            outdated.append(old)
        ids[key] = seq if known is None else known
        written.append(Written(ids[key], seq, replaced=known is not None))
    entries = [draft._replace(id=written[position].id, seq=written[position].seq) for position, draft in drafts.items()]
    places, groups = rows_of(entries)
    return Plan({"seq": seq, "places": places, "groups": groups}, written=written, outdated=outdated)


def deletion(directory: Directory, selection: Selection) -> Plan:
    entries = list(directory.select(selection))
    if selection.least_recent is not None:
        count = max(selection.least_recent, 0)
        entries = heapq.nsmallest(count, entries, key=lambda entry: (entry.accessed_at, entry.id))
        entries.sort(key=lambda entry: entry.id)
    if not entries:
        return Plan(None)
    seq = directory.seq
    removed = [
        Removed(entry.id, entry.key, entry.place.namespace, number) for number, entry in enumerate(entries, seq + 1)
    ]
    step = {"seq": seq + len(entries), "gone": [entry.id for entry in entries]}
    return Plan(step, removed=removed, outdated=entries)


def usage_step(directory: Directory, usage: Usage) -> Plan:
    accessed = {entry_id: float(at) for entry_id, at in usage.accessed.items() if directory.find(entry_id) is not None}
    counters = {name: values_of(counters) for name, counters in usage.counters.items() if counters != Counters()}
    step: Step = {}
    if accessed:
        step["accessed"] = [list(accessed), list(accessed.values())]
    if counters:
        step["counters"] = counters
    return Plan(step or None)


def binding(directory: Directory, fingerprint: str, dim: int, where: str) -> Plan:
    refuse_other(directory, fingerprint, dim, where)
    return Plan(None if directory.fingerprint is not None else {"bind": [fingerprint, dim]})


def refuse_other(directory: Directory, fingerprint: str, dim: int, where: str) -> None:
    if directory.fingerprint is not None and (directory.fingerprint, directory.dim) != (fingerprint, dim):
        raise EmbedderMismatchError(
            f"{where} holds vectors of {directory.fingerprint!r} (dim {directory.dim}), not of {fingerprint!r} "
            f"(dim {dim}): use the same embedder, embed it anew, or choose another prefix"
        )
