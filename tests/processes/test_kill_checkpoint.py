"""A process is killed while it exports or imports: there is a whole archive at its path or none, and a whole cache.

`MNEME_TORTURE_ROUNDS` sets how often.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mneme import SemanticCache, SQLiteStore
from mneme.testing import HashEmbedder

ENTRIES = 3000


class Nursery:
    """Starts victims, and kills them."""

    def __enter__(self):
        tests = Path(__file__).parent.parent
        code = f"import sys; sys.path.insert(0, {str(tests)!r}); from processes.movers import serve; serve()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.lines = iter(self.process.stdout.readline, b"")
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()

    def run_and_kill(self, what, source, target, draw):
        """Kill it while it works; how often it had finished before."""
        self.process.stdin.write(f"{what}\t{source}\t{target}\n".encode())
        pid, finished, patience = 0, 0, draw.choice([0, 0, 1])
        for line in self.lines:
            match line.decode().split():
                case ["pid", which]:
                    pid = int(which)
                case ["opened"]:
                    pass
                case ["done"]:
                    finished += 1
                case ["end", how]:
                    assert how == str(int(signal.SIGKILL))
                    return finished
                case said:
                    pytest.fail(" ".join(said))
            if finished >= patience and pid and line.split()[0] in (b"opened", b"done"):
                time.sleep(draw.random() * 0.15)  # not to wait for anything: the moment is to be a random one
                os.kill(pid, signal.SIGKILL)
                patience = 10**9
        pytest.fail("the process that starts the victims is gone")
        return 0


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "cache.db"
    with SemanticCache(path, HashEmbedder()) as cache:
        cache.put_many([(f"query {number}", f"response {number} " + "x" * (number % 500)) for number in range(ENTRIES)])
    return path


@pytest.fixture(scope="module")
def archive(source):
    path = source.with_name("cache.mneme")
    with SemanticCache(source, HashEmbedder()) as cache:
        cache.dumps(path)
    return path


def rounds(torture_rounds):
    return max(5, torture_rounds // 5)


@pytest.mark.torture
def test_a_killed_export_leaves_a_whole_archive_or_none(source, tmp_path, torture_rounds):
    finished = whole = 0
    with Nursery() as nursery:
        for number in range(rounds(torture_rounds)):
            target = tmp_path / f"{number % 7}.mneme"
            there = target.exists()
            done = nursery.run_and_kill("export", source, target, random.Random(number))
            finished += done
            assert target.exists() or not (there or done)
            if target.exists():
                whole += 1
                with SemanticCache.loads(target, ":memory:") as cache:
                    assert cache.stats().entries == ENTRIES
    drafts = [path for path in tmp_path.iterdir() if path.suffix == ".new"]
    assert {path.suffix for path in tmp_path.iterdir()} <= {".mneme", ".new"}
    print(f"export: {rounds(torture_rounds)} rounds, {finished} finished, {whole} archives whole, {len(drafts)} drafts")
    with SemanticCache(source, HashEmbedder()) as cache:
        assert cache.check() == []


@pytest.mark.torture
def test_a_killed_import_leaves_a_whole_cache_or_none_and_can_be_repeated(archive, tmp_path, torture_rounds):
    finished = whole = 0
    with Nursery() as nursery:
        for number in range(rounds(torture_rounds)):
            target = tmp_path / f"{number}.db"
            done = nursery.run_and_kill("import", archive, target, random.Random(number))
            finished += done
            caches = [path for path in tmp_path.glob(f"{number}.db-*") if path.name[-1].isdigit()]
            assert len(caches) in (done, done + 1)
            for path in caches:
                whole += 1
                with SemanticCache(path, HashEmbedder()) as cache:
                    assert cache.stats().entries == ENTRIES
            path = tmp_path / f"{number}.db-{done if len(caches) == done else 'again'}"
            with SemanticCache.loads(archive, path, HashEmbedder()) as cache:
                assert cache.stats().entries == ENTRIES
                assert cache.get("query 7").response.startswith("response 7 ")
            for left in tmp_path.iterdir():
                left.unlink()
    print(f"import: {rounds(torture_rounds)} rounds, {finished} finished, {whole} caches whole")


@pytest.mark.torture
def test_an_import_into_a_store_that_was_killed_is_completed_by_merging(archive, tmp_path, torture_rounds):
    partly = 0
    with Nursery() as nursery:
        for number in range(rounds(torture_rounds)):
            target = tmp_path / f"{number}.db"
            SQLiteStore(target).open(None, None)
            nursery.run_and_kill("into", archive, target, random.Random(number))
            with SemanticCache(target) as cache:
                assert cache.check() == []
                partly += 0 < cache.stats().entries < ENTRIES
            with SemanticCache.loads(archive, store=SQLiteStore(target), merge=True) as cache:
                assert cache.stats().entries == ENTRIES
                assert cache.check() == []
    print(f"import into a store: {rounds(torture_rounds)} rounds, {partly} caught half-way")
