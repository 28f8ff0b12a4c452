"""Made the golden archives of version 1, and what is in them. They are never made again: later versions must read them.

Run it in an empty directory: `python make_checkpoint_1.py`. A version that writes another format makes others beside
these, under a new name.
"""

import json
from pathlib import Path

import numpy as np

from mneme import MemoryStore, SemanticCache
from mneme._rules.keys import partition_of
from mneme.ports import Counters, Record, Selection, Usage
from mneme.testing import FakeClock

DIM = 6
PLACES = (("default", ""), ("shop", '"text"'), ("ünïcode 名", '{"model":"m"}'))


def record(number, **changes):
    vector = np.zeros(DIM, np.float32)
    vector[number % DIM] = 1.0
    namespace, scope = changes.pop("place", PLACES[number % 3])
    made = Record(
        key=bytes([number]) * 32,
        partition=partition_of(namespace, scope),
        namespace=namespace,
        scope=scope,
        query=f"question {number} 🙂",
        payload=bytes(range(number, number + 5)) * number,
        codec=("text", "bytes", "json", "codec:own")[number % 4],
        metadata="" if number % 2 else json.dumps({"n": number, "deep": [None, {"é": "é"}]}),
        tags=tuple(f"tag {n} é" for n in range(number % 4)),
        created_at=1_700_000_000.0 + number / 7,
        accessed_at=1_700_000_100.5 + number,
        expires_at=None if number % 2 else 4e9 + number,
        removable_at=None if number % 2 else 4e9 + 2 * number,
        compute_seconds=number / 3,
        cost=number / 11,
        vector=None if number % 5 == 4 else vector,
    )
    return made._replace(**changes)


def full():
    """Every kind of entry, counters, a note, and enough to fill several blocks."""
    rows = [record(number) for number in range(1, 41)]
    rows.append(record(41, payload=b"long " * 300_000, codec="bytes"))
    rows.append(record(42, place=("mneme:notes", "kind"), query="name", payload=b"a note", vector=None))
    return ("golden-1", DIM), rows, {"default": Counters(1, 2, 3, 4, 5, 6.5, 7.25), "gone": Counters(misses=3)}


def exact():
    """Of a cache that never had an embedder."""
    return (None, None), [record(number, vector=None) for number in range(1, 4)], {}


def empty():
    return ("golden-1", DIM), [], {}


def shown(found, counters):
    """What is in a store, as JSON."""
    rows = [
        {name: value for name, value in row._asdict().items() if name not in {"id", "seq", "vector"}}
        | {"vector": None if row.vector is None else row.vector.tolist()}
        for row in found
    ]
    for row in rows:
        row.update({name: row[name].hex() for name in ("key", "partition")}, tags=list(row["tags"]))
        row["payload"] = row["payload"].hex() if len(row["payload"]) < 1000 else len(row["payload"])
    named = {name: {key: getattr(one, key) for key in one.__slots__} for name, one in counters.items()}
    return {"entries": sorted(rows, key=lambda row: row["key"]), "counters": named}


def main(directory):
    for make in (full, exact, empty):
        identity, rows, counters = make()
        store = MemoryStore()
        with SemanticCache(store=store, clock=FakeClock(1_700_001_000.0)) as cache:
            store.open(*identity)
            store.write(rows)
            store.record(Usage({}, counters))
            cache._core.info = store.open(None, None)
            cache.dumps(directory / f"checkpoint-1-{make.__name__}.mneme")
            found = shown(store.scan(Selection(), limit=100, vectors=True), counters)
        text = json.dumps(found, indent=1, sort_keys=True) + "\n"
        (directory / f"checkpoint-1-{make.__name__}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path())
