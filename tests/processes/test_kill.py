"""A process with a whole cache in it is killed at a random moment: nothing acknowledged is lost, and nothing is torn.

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

from processes.victims import CAP, open_cache, place_of, steps, value_of

ROUNDS_PER_FILE = 10


class Nursery:
    """Starts victims, and kills them."""

    def __enter__(self):
        tests = Path(__file__).parent.parent
        code = f"import sys; sys.path.insert(0, {str(tests)!r}); from processes.victims import serve; serve()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.buffer = b""
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()

    def line(self):
        while b"\n" not in self.buffer:
            more = os.read(self.process.stdout.fileno(), 65536)
            assert more, "the process that starts the victims is gone"
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode().split()

    def run_and_kill(self, path, number, evicting, draw):
        """How many steps the victim acknowledged before it was killed."""
        self.process.stdin.write(f"{path}\t{number}\t{evicting}\n".encode())
        patience = draw.choice([0, 1, 2, draw.randrange(60), draw.randrange(60)])
        pid, lines, acknowledged = 0, 0, 0
        while True:
            if pid and lines >= patience:
                time.sleep(draw.random() * 0.004)  # not to wait for anything: the moment is to be a random one
                os.kill(pid, signal.SIGKILL)
                patience = 10**9
            match self.line():
                case ["pid", which]:
                    pid = int(which)
                case ["opened"]:
                    lines += 1
                case ["done", step]:
                    lines, acknowledged = lines + 1, int(step)
                case ["end"]:
                    return acknowledged
                case said:
                    pytest.fail(" ".join(said))


class Ledger:
    """What must be in the file, least recently used first."""

    def __init__(self, *, evicting):
        self.evicting = evicting
        self.entries = {}

    def after(self, verb, queries, number, step):
        """The contents after one more step, before and after what it evicts."""
        entries = dict(self.entries)
        for query in queries:
            entries.pop(query, None)
            if verb not in ("delete", "invalidate"):
                entries[query] = value_of(query, number, step)
        surplus = max(0, len(entries) - CAP) if self.evicting and verb not in ("delete", "invalidate") else 0
        return entries, dict(list(entries.items())[surplus:])


def contents(path, *, evicting):
    """What a newly opened cache holds, once it passed every check and found each entry on both layers."""
    with open_cache(path, 0, evicting=evicting) as cache:
        assert cache.check() == []
        entries = cache.entries(limit=10**6)
        assert cache.stats().entries == len(entries)
        by_place = {}
        for entry in entries:
            assert entry.tags == (entry.query,)
            assert {"namespace": entry.namespace, "scope": entry.scope} == place_of(entry.query)
            by_place.setdefault((entry.namespace, str(entry.scope)), []).append(entry)
        for same in by_place.values():
            place = place_of(same[0].query)
            exact = cache.get_many([entry.query for entry in same], **place)
            assert [(hit.layer, hit.response) for hit in exact] == [("exact", entry.response) for entry in same]
            similar = cache.get_many([f"{entry.query}?" for entry in same], similarity_threshold=0.999, **place)
            assert [(hit.layer, hit.response) for hit in similar] == [("semantic", entry.response) for entry in same]
        # Nothing of this was an access worth keeping: the order of use is the writers' affair.
        cache._core.usage.take(0)
    return {entry.query: entry.response for entry in entries}


@pytest.mark.torture
@pytest.mark.parametrize("evicting", [False, True], ids=["growing", "evicting"])
def test_what_a_killed_cache_acknowledged_is_there_and_nothing_is_torn(tmp_path, torture_rounds, evicting):
    acknowledged = in_flight = 0
    lost, torn = [], []
    with Nursery() as nursery:
        for number in range(1, torture_rounds + 1):
            if number % ROUNDS_PER_FILE == 1:
                path, ledger = tmp_path / f"cache-{number}.db", Ledger(evicting=evicting)
            count = nursery.run_and_kill(path, number, evicting, random.Random(number))
            plan = steps(number)
            for step, (verb, queries) in zip(range(1, count + 1), plan, strict=False):
                _, ledger.entries = ledger.after(verb, queries, number, step)
            before = ledger.entries
            written, evicted = ledger.after(*next(plan), number, count + 1)
            found = contents(path, evicting=evicting)
            # The step that was cut short happened or did not; an eviction is a transaction of its own.
            states = [before, written, evicted]
            acknowledged += count
            in_flight += found != before
            lost += [query for query in before if all(state.get(query) != found.get(query) for state in states)]
            if found not in states:
                torn.append(f"round {number}: {sorted(found)} is none of {[sorted(state) for state in states]}")
            # In the order of use, which a file does not show.
            ledger.entries = next((state for state in states if state == found), found)
    kind = "evicting" if evicting else "growing"
    print(
        f"whole cache, {kind}: {torture_rounds} rounds, {acknowledged} acknowledged writes, {len(lost)} lost, "
        f"{len(torn)} torn; {in_flight} writes had happened when they were cut short"
    )
    assert (lost, torn) == ([], [])
    assert acknowledged > torture_rounds
