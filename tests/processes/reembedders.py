"""What the processes do that are killed while they give entries vectors of another embedder. Runs outside pytest."""

import os
import signal
import sys
from pathlib import Path

from mneme import SemanticCache
from mneme.testing import HashEmbedder
from mneme.tools.migrate import reembed

ENTRIES = 300


class Turned(HashEmbedder):
    """Another model of the same dimension: none of its vectors is like one of `HashEmbedder`."""

    def __init__(self):
        super().__init__()
        self.fingerprint = "turned"

    def _vector(self, text):
        return -super()._vector(text)[::-1].copy()


def fill(path):
    with SemanticCache(path, HashEmbedder()) as cache:
        cache.put_many([(f"question number {n} of word{n}", f"answer {n}") for n in range(ENTRIES)])


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def run(path, how):
    """Say when each step is done; write besides, where a cache does it."""
    if how == "cache":
        with SemanticCache(path, HashEmbedder()) as cache:
            written = []

            def step(now):
                say("step", now.done)
                if len(written) < 3:
                    written.append(f"written meanwhile by {os.getpid()} at {now.done}")
                    cache.put(written[-1], "w")

            cache.reembed(Turned(), batch_size=16, progress=step)
            wait_for_the_end()
    else:
        target = path if how == "file" else f"{path}.new"
        reembed(path, target, Turned(), batch_size=16, progress=lambda now: say("step", now.done))
        wait_for_the_end()


def wait_for_the_end():
    """Who was fast enough is killed as well."""
    say("changed")
    while True:
        signal.pause()


def serve():
    """Fork a victim for each line read, so that Python and NumPy are started once."""
    for line in sys.stdin:
        path, how = line.rstrip("\n").split("\t")
        pid = os.fork()
        if pid == 0:
            try:
                run(path, how)
            except BaseException as error:  # noqa: BLE001 -- whatever it is, the parent shall hear of it
                say("failed", repr(error))
            finally:
                os._exit(1)
        say("pid", pid)
        os.waitpid(pid, 0)
        say("end")


def removed(path):
    for suffix in ("", "-wal", "-shm", "-index", ".new", ".new-wal", ".new-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
