"""Archives that an older version made are read for ever, to the last bit."""

import json
from pathlib import Path

import pytest

from golden.make_checkpoint_1 import shown
from mneme import MemoryStore, SemanticCache
from mneme.ports import Counters, Selection

GOLDEN = Path(__file__).parents[1] / "golden"
ARCHIVES = sorted(GOLDEN.glob("*.mneme"))


def test_there_are_golden_archives():
    assert [path.name for path in ARCHIVES[:3]] == [f"checkpoint-1-{kind}.mneme" for kind in ("empty", "exact", "full")]


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.stem)
def test_a_golden_archive_holds_what_it_held_when_it_was_made(path):
    expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    store = MemoryStore()
    with SemanticCache.loads(path, store=store) as cache:
        counters = {part.namespace: part.counters for part in store.summary() if part.counters != Counters()}
        found = shown(store.scan(Selection(), limit=1000, vectors=True), counters)
        assert cache.stats().embedder_fingerprint == (None if "exact" in path.name else "golden-1")
    # Counters that came later are 0.
    for one in expected["counters"].values():
        one |= {name: 0 for name in Counters.__slots__ if name not in one}
    for row in found["entries"]:
        for name in row.keys() - expected["entries"][0].keys():  # and fields that did have their default
            assert not row.pop(name)
    assert found == expected
