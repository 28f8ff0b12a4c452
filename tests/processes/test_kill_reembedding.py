"""A process that gives entries vectors of another embedder is killed at random moments, again and again.

In place the file answers all the time, by the old vectors or by the new ones; nothing is lost, and what was embedded is
not embedded again. `MNEME_TORTURE_ROUNDS` sets how often.
"""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mneme import EmbedderMismatchError, SemanticCache, SQLiteStore
from mneme.testing import HashEmbedder
from processes.reembedders import ENTRIES, Turned, fill, removed


class Nursery:
    """Starts victims, and kills them."""

    def __enter__(self):
        tests = Path(__file__).parent.parent
        code = f"import sys; sys.path.insert(0, {str(tests)!r}); from processes.reembedders import serve; serve()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.lines = os.fdopen(os.dup(self.process.stdout.fileno()), encoding="utf-8")
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()
        self.lines.close()

    def run_and_kill(self, path, how, draw):
        """What the victim said before it was killed."""
        self.process.stdin.write(f"{path}\t{how}\n".encode())
        patience, said, pid = draw.randrange(24), [], 0
        for line in self.lines:
            match line.split():
                case ["pid", which]:
                    pid = int(which)
                case ["end"]:
                    return said
                case ["failed", *why]:
                    pytest.fail(" ".join(why))
                case words:
                    said.append(words)
            if pid and (len(said) >= patience or ["changed"] in said[-1:]) and patience < 10**9:
                time.sleep(draw.random() * 0.004)  # not to wait for anything: the moment is to be a random one
                os.kill(pid, signal.SIGKILL)
                patience = 10**9
        pytest.fail("the process that starts the victims is gone")


def answers(path, embedder):
    """Whether the file is that embedder's, and then answers every question by its meaning, and passes every check."""
    try:
        cache = SemanticCache(path, embedder, similarity_threshold=0.9)
    except EmbedderMismatchError:
        return False
    with cache:
        assert cache.check() == []
        for n in range(0, ENTRIES, 7):
            hit = cache.get(f"question number {n} of word{n}!")
            assert (hit.response, hit.layer) == (f"answer {n}", "semantic")
        cache._core.usage.take(0)
    return True


def is_staging(path):
    connection = sqlite3.connect(path)
    try:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        return names & {"staged_vectors", "unstaged", "retired_vectors"}
    finally:
        connection.close()


@pytest.mark.torture
@pytest.mark.parametrize("how", ["cache", "file"])
def test_a_file_that_is_killed_in_between_answers_by_the_old_vectors_or_by_the_new_ones(tmp_path, torture_rounds, how):
    path, rounds, done = tmp_path / "cache.db", 0, 0
    with Nursery() as nursery:
        while rounds < torture_rounds:
            fill(path)
            furthest = 0
            while True:
                rounds += 1
                said = nursery.run_and_kill(path, how, random.Random(rounds))
                steps = [int(step) for word, step in (words for words in said if words[0] == "step")]
                assert not steps or steps[0] >= furthest  # it goes on where it was
                furthest = max([furthest, *(step - 32 for step in steps)])
                old, new = answers(path, HashEmbedder()), answers(path, Turned())
                assert old != new
                assert new or ["changed"] not in said
                if new:
                    break
                assert rounds < 100 * torture_rounds
            with SemanticCache(path, Turned()) as cache:
                assert cache.reembed(Turned()).embedded == 0  # and tidies up
                missing = {f"question number {n} of word{n}" for n in range(ENTRIES)}
                assert missing <= {entry.query for entry in cache.entries(limit=10**6)}
            assert not is_staging(path)
            done += 1
            removed(path)
    print(f"re-embedding in place, {how}: {rounds} rounds, {done} files changed over")


@pytest.mark.torture
def test_a_target_whose_filling_is_killed_again_and_again_ends_up_whole(tmp_path, torture_rounds):
    path, rounds, done = tmp_path / "cache.db", 0, 0
    with Nursery() as nursery:
        while rounds < torture_rounds:
            fill(path)
            furthest = 0
            while True:
                rounds += 1
                said = nursery.run_and_kill(path, "target", random.Random(rounds))
                steps = [int(words[1]) for words in said if words[0] == "step"]
                assert not steps or steps[0] >= furthest
                furthest = max([furthest, *(step - 16 for step in steps)])
                assert answers(path, HashEmbedder())
                if ["changed"] in said:
                    break
            assert answers(f"{path}.new", Turned())
            with SemanticCache(f"{path}.new", Turned()) as cache:
                assert cache.stats().entries == ENTRIES
            done += 1
            removed(path)
    print(f"re-embedding into another file: {rounds} rounds, {done} targets filled")


def test_the_table_of_what_lacks_a_vector_is_kept_by_whoever_writes(tmp_path):
    """A process that knows nothing of the re-embedding writes with SQLite's own means: the file's triggers see it."""
    path = tmp_path / "cache.db"
    fill(path)
    store = SQLiteStore(path)
    store.open(None, None)
    store.begin_reembedding("turned", 64)
    while entries := store.unstaged():
        store.stage(entries, [None] * len(entries))
    store.close()
    with SemanticCache(path, HashEmbedder()) as cache:
        cache.put("question number 1 of word1", "replaced")
        cache.put("new", 1)
    store = SQLiteStore(path)
    store.open(None, None)
    assert store.begin_reembedding("turned", 64) == 2
    assert not store.switch_embedder()
    store.close()
