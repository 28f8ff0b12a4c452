"""A process that writes is killed at a random moment: nothing it acknowledged is lost, and nothing is torn.

`MNEME_TORTURE_ROUNDS` sets how often.
"""

import hashlib
import os
import random
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mneme.ports import Selection
from mneme.stores import SQLiteStore
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record

ROUNDS = int(os.environ.get("MNEME_TORTURE_ROUNDS") or "50")
ROUNDS_PER_FILE = 10  # so that the making of a file is met as well

WORKER = """
import os, random, signal, sys
sys.path.insert(0, sys.argv[1])
from test_sqlite_kill import work
# One process imports everything and forks a worker for each line it reads, which is what is killed.
for line in sys.stdin:
    path, round, durability = line.rstrip("\\n").split("\\t")
    pid = os.fork()
    if pid == 0:
        try:
            work(path, int(round), durability)
        except BaseException as error:
            os.write(1, f"failed {error!r}\\n".encode())
        finally:
            os._exit(1)
    os.write(1, b"pid %d\\n" % pid)
    os.waitpid(pid, 0)
    os.write(1, b"end\\n")
"""


def steps(number):
    """What the worker of a round does, for ever: tags of batches to write, with their sizes, or to delete (size 0)."""
    choice = random.Random(number)
    written = []
    step = 0
    while True:
        step += 1
        if len(written) > 3 and choice.random() < 0.25:
            yield written.pop(choice.randrange(len(written))), 0
        else:
            again = written and choice.random() < 0.2
            tag = choice.choice(written) if again else f"{number}/{step}"
            size = choice.choice((1, 1, 1, 7, 60))
            yield tag, size
            if not again:
                written.append(tag)


def batch(tag, size, step):
    """Records of one batch. Payloads are large enough for the log to be carried over into the file now and then."""
    return [
        a_record(
            n,
            key=hashlib.sha256(f"{tag}/{n}".encode()).digest(),
            tags=(tag,),
            scope=tag[-1],
            payload=b"%d " % step * 700,
        )
        for n in range(size)
    ]


def work(path, number, durability):
    store = SQLiteStore(path, durability=durability)
    store.open(FINGERPRINT, DIM)
    os.write(1, b"opened\n")
    for step, (tag, size) in enumerate(steps(number), 1):
        if size:
            highest = store.write(batch(tag, size, step))[-1].seq
        else:
            store.delete(Selection(tags=[tag]))
            highest = store.changes(0, limit=10**9)[-1].seq
        os.write(1, b"done %d %d\n" % (step, highest))


class Worker:
    """The process that forks the workers, and what the current one said."""

    def __enter__(self):
        here = Path(__file__).parent
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, here], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
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
            assert more, "the worker is gone"
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode().split()

    def run_and_kill(self, path, number, durability, choice):
        """Have a worker start, kill it, and return how many steps it acknowledged, and the highest number."""
        self.process.stdin.write(f"{path}\t{number}\t{durability}\n".encode())
        patience = choice.choice((0, 1, 2, choice.randrange(40), choice.randrange(40)))
        pid, lines, step, highest = 0, 0, 0, 0
        while True:
            if pid and lines >= patience:
                # Somewhere within the next few milliseconds of work; when it speaks before, so much the better.
                select.select([self.process.stdout], [], [], choice.random() * 0.004)
                os.kill(pid, signal.SIGKILL)
                patience = 10**9
            match self.line():
                case ["pid", which]:
                    pid = int(which)
                case ["opened"]:
                    lines += 1
                case ["done", count, seq]:
                    lines, step, highest = lines + 1, int(count), int(seq)
                case ["end"]:
                    return step, highest
                case said:
                    pytest.fail(" ".join(said))


def contents(path):
    """The size of every batch in the file and the step it was written in, after a check of the file."""
    store = SQLiteStore(path)
    highest = store.open(FINGERPRINT, DIM).seq
    assert store.check() == []
    found = {}
    for record in store.scan(Selection(), limit=10**9):
        found.setdefault(record.tags[0], []).append(int(record.payload.split(maxsplit=1)[0]))
    assert len(store.vectors(limit=10**9).ids) == sum(map(len, found.values()))
    store.close()
    return found, highest


def after(model, number, count):
    """What the file holds after so many steps of a round."""
    model = {tag: list(batch) for tag, batch in model.items()}
    for step, (tag, size) in zip(range(1, count + 1), steps(number), strict=False):
        if size:
            old = model.get(tag, [])
            model[tag] = [step] * size + old[size:]
        else:
            model.pop(tag, None)
    return model


@pytest.mark.torture
@pytest.mark.timeout(60 + 2 * ROUNDS)
@pytest.mark.parametrize("durability", ["normal", "full"])
def test_a_killed_writer_loses_nothing_it_acknowledged_and_tears_nothing(tmp_path, durability):
    rounds = ROUNDS // 2 if durability == "normal" else ROUNDS - ROUNDS // 2
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    choice = random.Random(seed)
    total = half = 0
    with Worker() as worker:
        for turn in range(rounds):
            path = tmp_path / f"cache{turn // ROUNDS_PER_FILE}.db"
            if turn % ROUNDS_PER_FILE == 0:
                model = {}
            number = seed + turn
            acknowledged, highest = worker.run_and_kill(path, number, durability, choice)
            found, seq = contents(path)
            assert seq >= highest
            # What was under way when the worker died happened whole or not at all.
            one_more = after(model, number, acknowledged + 1)
            model = after(model, number, acknowledged)
            assert found in (model, one_more)
            half += found != model
            model = found
            total += acknowledged
    print(f"{rounds} kills, {total} transactions acknowledged, {half} found whole that had not been acknowledged")
    assert total > rounds
    assert {path.name for path in tmp_path.iterdir()} == {f"cache{n}.db" for n in range(-(-rounds // ROUNDS_PER_FILE))}
