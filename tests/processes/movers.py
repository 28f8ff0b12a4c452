"""What the processes do that are killed while they export or import. Runs outside pytest."""

import os
import signal
import sys
from pathlib import Path

from mneme import SemanticCache, SQLiteStore
from mneme.testing import HashEmbedder


def serve():
    """For each line of stdin, a child that exports or imports again and again until it is killed."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for line in sys.stdin:
        what, source, target = line.rstrip("\n").split("\t")
        pid = os.fork()
        if pid == 0:
            try:
                move(what, source, target)
            finally:
                os._exit(1)
        say("pid", pid)
        _, status = os.waitpid(pid, 0)
        say("end", os.WTERMSIG(status) if os.WIFSIGNALED(status) else "alive")


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def move(what, source, target):
    if what == "export":
        with SemanticCache(source, HashEmbedder()) as cache:
            say("opened")
            while True:
                cache.dumps(target)
                say("done")
    elif what == "import":
        number = 0
        say("opened")
        while True:
            SemanticCache.loads(source, f"{target}-{number}", HashEmbedder()).close()
            number += 1
            say("done")
    else:
        say("opened")
        while True:
            with SemanticCache.loads(source, store=SQLiteStore(target), merge=Path(target).exists()) as cache:
                say("done")
                cache.clear()
