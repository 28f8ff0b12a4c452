"""Several Postgres stores on one schema at once: in one process, in several, and on both faces."""

import asyncio
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import mneme
from mneme import AsyncPostgresStore, PostgresStore
from mneme.ports import Counters, Selection, Usage
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record, history
from stores.postgres_schemas import beside, new_schema, wait_for_waiting


@pytest.fixture
def address(server_of):
    return server_of("postgres")


@pytest.fixture
def schema():
    return new_schema()


@pytest.fixture
def two(address, schema):
    stores = [PostgresStore(address, schema=schema) for _ in range(2)]
    for store in stores:
        store.open(FINGERPRINT, DIM)
    yield stores
    for store in stores:
        store.close()


def test_each_sees_what_the_other_does_at_once(two):
    one, other = two
    (first,) = one.write([a_record(1)])
    assert other.read([a_record(1).key])[0].id == first.id
    (second,) = other.write([a_record(1, query="new")])
    assert (second.id, second.seq, second.replaced) == (first.id, first.seq + 1, True)
    assert one.read([first.id])[0].query == "new"
    one.record(Usage({first.id: 9.0}, {"main": Counters(misses=1)}))
    other.record(Usage({}, {"main": Counters(misses=2)}))
    assert one.summary() == other.summary()
    assert one.summary()[0].counters.misses == 3
    (removed,) = one.delete(Selection())
    assert removed.seq == second.seq + 1
    assert other.changes(second.seq) == one.changes(second.seq) != []
    assert other.write([a_record(1)])[0].seq == removed.seq + 1


def write_much(store, worker):
    """240 records, some of which are replaced or deleted again; 215 sequence numbers."""
    for step in range(60):
        base = 1000 * worker + 3 * step
        store.write([a_record(base), a_record(base + 1), a_record(base + 2)])
        if step % 3 == 0:
            store.write([a_record(base)])
        if step % 4 == 0:
            store.delete(Selection(refs=[a_record(base + 1).key]))


def follow(store, done):
    """What `changes` says is alive, id by sequence number, and the last number, once *done* is set and all is read."""
    alive, last, ended = {}, 0, False
    while not ended:
        ended = done.is_set()  # and then once more
        while changes := history(store, last, limit=7):
            numbers = [change.seq for change in changes]
            assert numbers == sorted(set(numbers))
            assert numbers[0] > last
            last = numbers[-1]
            alive.update((change.id, change.seq) for change in changes)
            for change in changes:
                if change.deleted:
                    del alive[change.id]
    return alive, last


def test_a_reader_that_sees_a_number_sees_everything_below_it(two):
    """Nothing ever turns up behind where a follower has been."""
    done = threading.Event()
    with ThreadPoolExecutor(8) as threads:
        followers = [threads.submit(follow, two[number % 2], done) for number in range(3)]
        try:
            for writer in [threads.submit(write_much, two[worker % 2], worker) for worker in range(4)]:
                writer.result()
        finally:
            done.set()
        outcomes = [follower.result() for follower in followers]
    stored = {record.id: record.seq for record in two[0].scan(Selection(), limit=10_000)}
    for alive, last in outcomes:
        assert alive == stored
        assert last == 4 * 215  # every number was given to something
    assert two[1].check() == []


def test_a_later_writer_has_the_higher_number_however_long_the_earlier_one_takes(two, address, schema):
    """The earlier one has its number and is not committed; the later one waits for it."""
    one, other = two
    with beside(address, schema) as gate, ThreadPoolExecutor(2) as threads:
        gate.execute("BEGIN")
        gate.execute("LOCK TABLE {s}.vectors IN SHARE MODE")
        early = threads.submit(one.write, [a_record(1), a_record(3)])
        wait_for_waiting(address, f'"{schema}".meta m CROSS JOIN')
        late = threads.submit(other.write, [a_record(2, vector=None)])
        wait_for_waiting(address, f'"{schema}".write_one')
        assert one.changes(0) == []
        gate.execute("COMMIT")
        assert [each.seq for each in (*early.result(), *late.result())] == [1, 2, 3]


async def test_both_faces_share_a_schema(two, address, schema):
    store = AsyncPostgresStore(address, schema=schema)
    await store.open(FINGERPRINT, DIM)
    written = await asyncio.gather(
        *(store.write([a_record(number)]) for number in range(40)),
        *(asyncio.to_thread(two[0].write, [a_record(number)]) for number in range(40, 80)),
    )
    assert sorted(each.seq for (each,) in written) == list(range(1, 81))
    assert await store.changes(0) == two[1].changes(0)
    await store.close()


_WRITER = f"""
import json, sys
sys.path.insert(0, {str(Path(mneme.__file__).parents[1])!r})
from mneme import PostgresStore
from mneme.ports import Counters, Selection, Usage
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record
address, schema, worker = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = PostgresStore(address, schema=schema)
store.open(FINGERPRINT, DIM)
print("opened", flush=True)
sys.stdin.readline()
numbers, last = [], 0
for step in range(50):
    batch = [a_record(1000 * worker + 2 * step + part, scope=str(step % 5)) for part in range(2)]
    batch.append(a_record(step, namespace="shared", query=f"by {{worker}}"))  # the same keys as the others
    written = store.write(batch)
    numbers += [each.seq for each in written]
    store.record(Usage({{written[0].id: 5.0}}, {{"main": Counters(misses=1), f"own {{worker}}": Counters(misses=1)}}))
    if step % 5 == 0:
        numbers += [each.seq for each in store.delete(Selection(refs=[written[1].id]))]
    seen = store.changes(last, limit=100_000)
    assert [change.seq for change in seen] == sorted(change.seq for change in seen)
    assert all(change.seq > last for change in seen)
    last = max(last, *(change.seq for change in seen))
    assert last >= numbers[-1]
store.close()
print(json.dumps(numbers))
"""


def test_four_processes_write_at_once_and_nothing_is_lost(address, schema):
    """They make the schema at once as well."""
    command = [sys.executable, "-W", "error", "-c", _WRITER, address, schema]
    writers = [
        subprocess.Popen([*command, str(worker)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for worker in range(1, 5)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "opened\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    numbers = []
    for writer in writers:
        said, _ = writer.communicate(timeout=100)
        assert writer.returncode == 0
        own = json.loads(said)
        assert own == sorted(own)
        numbers += own
    assert sorted(numbers) == list(range(1, 4 * (50 * 3 + 10) + 1))
    store = PostgresStore(address, schema=schema)
    assert store.open(FINGERPRINT, DIM).seq == len(numbers)
    assert store.check() == []
    summary = {each.namespace: (each.entries, each.counters.misses) for each in store.summary()}
    assert summary["main"] == (4 * (100 - 10), 200)
    assert summary["shared"][0] + summary.get("main")[0] >= 360
    assert {name: summary[name][1] for name in summary if name.startswith("own")} == {
        f"own {n}": 50 for n in range(1, 5)
    }
    store.close()
