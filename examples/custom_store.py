"""A store of your own, by changing one that exists: it keeps a journal of what was written and removed.

A store written from scratch, and the contract suite run on it, are in docs/custom-store.md.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from mneme import SemanticCache, SQLiteStore
from mneme.embedders import LocalEmbedder
from mneme.ports import Record, Removed, Selection, Written


class JournalStore(SQLiteStore):
    """An `SQLiteStore` that adds a line to a journal once a change is durable."""

    def __init__(self, path: str, journal: str) -> None:
        """Keep entries at *path*, and the journal at *journal*."""
        super().__init__(path)
        self._journal = Path(journal)

    def write(self, records: Sequence[Record]) -> list[Written]:
        """Write, then tell."""
        written = super().write(records)
        for record, done in zip(records, written, strict=True):
            self._note(did="replace" if done.replaced else "add", id=done.id, query=record.query)
        return written

    def delete(self, selection: Selection) -> list[Removed]:
        """Delete, then tell."""
        removed = super().delete(selection)
        for one in removed:
            self._note(did="remove", id=one.id)
        return removed

    def _note(self, **what: object) -> None:
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(what) + "\n")


def main() -> None:
    """Use it like any other."""
    with SemanticCache(store=JournalStore("journaled.db", "journal.jsonl"), embedder=LocalEmbedder()) as cache:
        cache.put("What are your opening hours?", "Nine to five.")
        cache.put("What are your opening hours?", "Nine to six.")
        hit = cache.get("When are you open?", similarity_threshold=0.6)
        print(hit and (hit.response, round(hit.similarity, 3)))
        cache.clear()
    print(Path("journal.jsonl").read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
