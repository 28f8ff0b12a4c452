"""A process that forks while caches are open: the child must open its own, and the parent does not notice."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent


def run(call):
    code = f"import sys; sys.path.insert(0, {str(TESTS)!r}); from processes.forks import *; {call}"
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    assert "ResourceWarning" not in done.stderr, done.stderr


if hasattr(os, "fork"):

    @pytest.mark.parametrize("store", ["memory", "sqlite", "another"])
    @pytest.mark.parametrize(
        ("face", "leave"),
        [("sync", "_exit"), ("sync", "exit"), ("async", "_exit")],  # asyncio's own loop does not bear the fourth
    )
    def test_in_a_forked_child_every_verb_says_that_the_cache_is_to_be_opened_anew(cache_path, face, store, leave):
        run(f"fork_with_an_open_cache({str(cache_path)!r}, {face!r}, {store!r}, {leave!r})")

    def test_no_lock_that_another_thread_held_hangs_the_child(cache_path):
        run(f"fork_while_other_threads_hold_every_lock({str(cache_path)!r})")

    def test_a_child_that_was_forked_while_computing_has_its_value_and_stores_nothing(cache_path):
        run(f"fork_while_computing({str(cache_path)!r})")

    def test_workers_of_multiprocessing_open_caches_of_their_own(cache_path):
        run(f"fork_workers({str(cache_path)!r})")
