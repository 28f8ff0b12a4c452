"""Four processes write to one store and four read it; some are killed. Nobody serves what is long gone, all agree."""

import json
import random
import subprocess
import sys
from bisect import bisect_right
from collections import defaultdict
from pathlib import Path

import pytest

from mneme.ports import Selection
from processes.followers import INTERVALS, store_at

TESTS = Path(__file__).parent.parent
WRITERS = READERS = 4
SLACK = 0.1
"""For a wall clock that is being adjusted. Nothing else may take longer than the interval, however busy the machine.

Where there is no interval no clock is asked, and nothing that was there when a call began may be missed."""


def start(call):
    code = f"import sys; sys.path.insert(0, {str(TESTS)!r}); from processes.followers import *; {call}"
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def notes(path, kind):
    """Every line that a process of this kind noted; one that was killed may have left its last one unfinished."""
    for file in sorted(path.parent.glob(f"{path.name}.{kind}*")):
        for line in file.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


class Fleet:
    """The processes of one run."""

    def __init__(self, path, where, mode, number):
        self.path = path
        self.where = where
        self.mode = mode
        self.number = number
        self.processes = {}
        self.started = 0

    def start(self, kind, who, first=0):
        self.started += 1
        common = f"{str(self.path)!r}, {self.where!r}, {self.mode!r}, {who}, {self.started}"
        if kind == "writer":
            call = f"write({common}, first={first}, number={self.number})"
        else:
            call = f"read({common}, writers={WRITERS})"
        self.processes[kind, who] = start(call)

    def line(self, key):
        line = self.processes[key].stdout.readline()
        assert line, self.processes[key].stderr.read()
        return line.strip()

    def kill(self, key):
        process = self.processes.pop(key)
        process.kill()
        process.communicate()

    def end(self):
        for process in self.processes.values():
            process.kill()
            process.communicate()


def last_version(path, writer):
    begun = [line[2] for line in notes(path, f"writer{writer}") if line[0] == "begin"]
    return max(begun, default=0)


@pytest.mark.torture
@pytest.mark.parametrize(
    ("kind_of_store", "mode"),
    [("file", "stale-tolerant"), ("file", "mmap-shared"), ("redis", "stale-tolerant"), ("postgres", "stale-tolerant")],
)
def test_processes_that_follow_each_other_serve_nothing_that_is_long_gone_and_agree_in_the_end(
    kind_of_store, mode, cache_path, server_of, torture_rounds
):
    where = str(cache_path) if kind_of_store == "file" else server_of(kind_of_store)
    number = 4 * torture_rounds
    draw = random.Random(5)
    fleet = Fleet(cache_path, where, mode, number)
    try:
        for who in range(WRITERS):
            fleet.start("writer", who)
        for who in range(READERS):
            fleet.start("reader", who)
        for key in fleet.processes:
            assert fleet.line(key) == "opened"
        for _ in range(3):  # some die in the middle of something, and others take their places
            kind = draw.choice(["writer", "reader"])
            key = kind, draw.randrange(4)
            fleet.kill(key)
            fleet.start(*key, first=last_version(cache_path, key[1]) + 1 if kind == "writer" else 0)
            assert fleet.line(key) == "opened"
        for who in range(WRITERS):
            assert fleet.line(("writer", who)) == "done"
        beliefs = {}
        for process in fleet.processes.values():
            process.stdin.write("finish\n")
            process.stdin.flush()
        for key in fleet.processes:
            beliefs[key] = json.loads(fleet.line(key))
        for process in fleet.processes.values():
            _, complaints = process.communicate(timeout=60)
            assert process.returncode == 0, complaints
    finally:
        fleet.end()
    reads, hits = judge(cache_path, age=INTERVALS[mode] + SLACK if INTERVALS[mode] else 0.0)
    store = store_at(where)
    store.open(None, None)
    held = {record.query: json.loads(record.payload)[0] for record in store.scan(Selection(), limit=10_000)}
    assert store.check() == []
    store.delete(Selection())  # a server is there for other tests too
    store.close()
    for key, belief in beliefs.items():
        assert belief["found"] == {query: [version, version] for query, version in held.items()}, key
        assert (belief["entries"], belief["problems"], belief["healthy"]) == (len(held), [], True), key
    counted = f"{WRITERS * number} writes, {reads} reads, {hits} hits"
    print(f"{kind_of_store}, {mode}, {WRITERS} writers and {READERS} readers: {counted}, none stale")
    assert hits > 100


def judge(path, *, age):
    """Hold every read against what was done before it; how many reads and hits there were."""
    done, begun = defaultdict(list), defaultdict(list)
    for what, query, *rest in notes(path, "writer"):
        if what != "saw":
            version, kind, moment = rest
            (done if what == "done" else begun)[query].append((moment, version, kind))
    for changes in (*done.values(), *begun.values()):
        changes.sort()
    reads = hits = 0
    for what, query, seen, before, after in (
        line for kind in ("writer", "reader") for line in notes(path, kind) if line[0] == "saw"
    ):
        assert what == "saw"
        reads += 1
        hits += seen is not None
        # What was done by then, must be known to everybody.
        latest = bisect_right(done[query], (before - age, float("inf"), "")) - 1
        _, version, kind = done[query][latest] if latest >= 0 else (0, -1, "delete")
        if seen is not None:
            assert seen >= version, f"{query}: {seen} was served when {version} ({kind}) had long been there"
            assert (seen, "delete") != (version, kind)
        later = [one for moment, one, _ in begun[query] if one > version and moment <= after]
        if not later:
            assert seen == (version if kind == "put" else None), f"{query}: {seen} instead of {version} ({kind})"
    return reads, hits
