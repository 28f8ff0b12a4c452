"""A disk that is full, and other processes at the same file."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mneme import SemanticCache, SQLiteStore, StoreBackendError
from mneme.testing import HashEmbedder

TESTS = Path(__file__).parent.parent


def run(call):
    code = f"import sys; sys.path.insert(0, {str(TESTS)!r}); from processes.victims import *; {call}"
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_on_a_full_disk_what_is_stored_goes_on_answering(cache_path):
    victim = run(f"run_out_of_space({str(cache_path)!r})")
    _, complaints = victim.communicate(timeout=60)
    assert victim.returncode == 0, complaints
    told = json.loads(Path(f"{cache_path}.json").read_text(encoding="utf-8"))
    assert all(str(cache_path) in error for error in told["errors"])
    assert all("full" in error or "disk" in error for error in told["errors"])
    with SemanticCache(cache_path, HashEmbedder()) as cache:
        assert cache.check() == []
        assert {entry.query: entry.response for entry in cache.entries(limit=1000)} == told["kept"]


def test_processes_that_write_to_one_file_do_not_corrupt_it(cache_path):
    """One process at a time is what is promised; more of them may be refused, but harm nothing."""
    names = ("ann", "bob", "eve")
    writers = [run(f"write_beside_others({str(cache_path)!r}, {name!r}, 150)") for name in names]
    for writer in writers:
        assert writer.stdout.readline() == "opened\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        _, complaints = writer.communicate(timeout=90)
        assert writer.returncode == 0, complaints
    expected = {}
    for name in names:
        told = json.loads(Path(f"{cache_path}.{name}.json").read_text(encoding="utf-8"))
        assert all("locked" in error for error in told["errors"])
        expected.update(told["written"])
    with SemanticCache(cache_path, HashEmbedder()) as cache:
        assert cache.check() == []
        found = {
            entry.query: {"value": entry.response, "namespace": entry.namespace, "scope": entry.scope}
            for entry in cache.entries(limit=10_000)
        }
        assert found == expected
        for query, one in expected.items():
            place = {"namespace": one["namespace"], "scope": one["scope"]}
            assert cache.get(f"{query}?", similarity_threshold=0.99, **place).response == one["value"]


def test_while_another_process_holds_the_file_writes_fail_clearly_and_reads_go_on(cache_path):
    store = SQLiteStore(cache_path, busy_timeout=0.01)
    with SemanticCache(store=store, embedder=HashEmbedder(), hot_bytes=0) as cache:
        cache.put("known question", "answer")
        other = sqlite3.connect(cache_path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for verb, arguments in [
            ("put", ("another question", "answer")),
            ("put_many", ([("another question", "answer")],)),
            ("delete", ("known question",)),
            ("clear", ()),
        ]:
            with pytest.raises(StoreBackendError, match="locked; another process is writing to it"):
                getattr(cache, verb)(*arguments)
        assert cache.get("known question").response == "answer"
        assert cache.get("known question?").response == "answer"
        assert cache.get_or_compute("another question", lambda _: "computed") == "computed"
        assert cache.stats().entries == 1
        other.execute("ROLLBACK")
        other.close()
        assert cache.put("another question", "answer")
        assert cache.check() == []


def test_a_file_made_by_one_process_is_found_by_the_next(cache_path):
    maker = run(f"SemanticCache({str(cache_path)!r}, HashEmbedder()).put('from the first process', ['answer'])")
    _, complaints = maker.communicate(timeout=60)  # which ends without closing
    assert maker.returncode == 0, complaints
    with SemanticCache(cache_path, HashEmbedder(), guards=()) as cache:  # which know that order means something
        assert cache.get("from the FIRST process").response == ["answer"]
        assert cache.get("process, the first: from", similarity_threshold=0.95).layer == "semantic"
