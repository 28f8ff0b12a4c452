"""Whatever happens between two requests of a verb, it has happened whole or not at all, and everyone agrees on that."""

import itertools

import pytest

from mneme import DynamoDBStore, StoreBackendError
from mneme.ports import Counters, Selection, Usage
from mneme.stores import _dynamodb_contents, _dynamodb_journal, _dynamodb_statements
from mneme.stores._dynamodb_statements import Layout, as_key
from mneme.stores._twin import finished
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record, a_vector
from stores.dynamodb_clients import Killed, Meddling, Stingy, broken, busy, raising
from stores.dynamodb_tables import credentials, new_prefix, tables  # noqa: F401 -- fixtures

pytestmark = pytest.mark.timeout(400)  # moto answers some hundred requests a second, if nothing else is going on

LONG = bytes(range(256)) * 40


@pytest.fixture
def client(tables):  # noqa: F811 -- the fixture
    return tables


def new_table(client):
    """A table of its own for every round, so that all that is in it can be looked at."""
    table = new_prefix()
    client.create_table(**Layout(table, "mneme").create_table())
    return table


def opened(client, table, *, retry_seconds=60):
    store = DynamoDBStore(table, client=client, retry_seconds=retry_seconds)
    store.open(FINGERPRINT, DIM)
    return store


def state(store):
    """Everything that can be seen of it."""
    records = store.scan(Selection(), vectors=True)
    block = store.vectors()
    return (
        [(*record._replace(vector=None), record.vector is None or tuple(record.vector)) for record in records],
        store.changes(0),
        store.summary(),
        store.marked(),
        (block.ids.tolist(), block.partitions, block.vectors.tolist()),
    )


def filled(client, table):
    store = opened(client, table)
    store.write([a_record(n, tags=(f"t{n % 2}",)) for n in range(6)] + [a_record(6, payload=LONG)])
    store.record(Usage({1: 5000.0}, {"main": Counters(misses=1)}))
    return store


def differences(store, other):
    """In what their directories differ, brought up to date."""
    journals = store._store._journal, other._store._journal
    for journal in journals:
        finished(journal.sync())
    return journals[0]._directory.differences(journals[1]._directory)


def replacing_and_adding(store):
    store.write([a_record(n, payload=b"new", vector=a_vector(n + 50)) for n in (0, 6, 7)] + [a_record(8, payload=LONG)])


VERBS = {
    "write": replacing_and_adding,
    "delete": lambda store: store.delete(Selection(tags=["t0"])),
    "delete all": lambda store: store.delete(Selection()),
    "record": lambda store: store.record(Usage({2: 7000.0}, {"main": Counters(hits_exact=2)})),
    "mark": lambda store: store.mark("here"),
    "compact": lambda store: store.compact(),
}


@pytest.fixture
def snapshots(monkeypatch):
    """A snapshot after every commit, several pages for everything, and runs of items even for small batches."""
    monkeypatch.setattr(_dynamodb_journal, "CHECKPOINT", 1)
    monkeypatch.setattr(_dynamodb_statements, "PIECE", 800)
    monkeypatch.setattr(_dynamodb_contents, "_RUN", 0)


@pytest.fixture(params=[*VERBS, "write, with snapshots"])
def verb(request):
    verb, _, snapshots = request.param.partition(", with ")
    if snapshots:
        request.getfixturevalue("snapshots")
    return verb


@pytest.mark.parametrize("after", [False, True], ids=["before", "afterwards"])
def test_a_writer_that_dies_at_any_request_leaves_all_or_nothing(client, verb, after):
    expected = states(client, verb)
    seen = []
    for number in itertools.count(1):
        table = new_table(client)
        witness = filled(client, table)
        victim = Meddling(client)
        store = opened(victim, table)
        died = False
        with victim.at(number, raising(Killed()), after=after):
            try:
                VERBS[verb](store)
            except Killed:
                died = True
        found = state(witness)
        assert found in expected
        seen.append(expected.index(found))
        heir = opened(client, table)
        assert differences(heir, witness) == []
        assert differences(store, witness) == []  # as if it had been interrupted, not killed
        if found == expected[0]:
            VERBS[verb](heir)
        assert heir.check() == []
        heir.compact()
        assert garbage(client, heir) == set()
        assert state(witness) == expected[1]
        assert heir.check() == []
        for each in (store, witness, heir):
            each.close()
        client.delete_table(TableName=table)
        if not died:
            break
    assert number > 1
    assert seen == sorted(seen)  # from one request on it has happened
    assert seen[-1] == expected.index(expected[1])


def states(client, *verbs):
    """What is there before these verbs, and after each."""
    table = new_table(client)
    store = filled(client, table)
    found = [state(store)]
    for verb in verbs:
        VERBS[verb](store)
        found.append(state(store))
    store.close()
    client.delete_table(TableName=table)
    return found


def garbage(client, store):
    """Keys of items in its table that a fresh look finds no use for."""
    pages = client.get_paginator("scan").paginate(TableName=store.table, ConsistentRead=True)
    keys = {as_key(item) for page in pages for item in page["Items"]}
    layout, journal = Layout(store.table, store.prefix), store._store._journal
    head, entries = journal._head, journal.look(lambda directory: list(directory.after(0)))
    used = {layout.head, *(layout.logged(n) for n in range(head.upto + 1, head.commit + 1))}
    used.update(layout.paged(head.snapshot, head.pages))
    for entry in entries:
        used.add(layout.data(entry.name, entry.number))
        used.update(layout.parts(entry.name, entry.number, entry.parts))
    return keys - used


@pytest.mark.parametrize("after", [False, True], ids=["before", "afterwards"])
def test_an_opener_that_dies_at_any_request_leaves_a_store_or_none(client, after):
    for number in itertools.count(1):
        table = new_table(client)
        victim = Meddling(client)
        store = DynamoDBStore(table, client=victim)
        died = False
        with victim.at(number, raising(Killed()), after=after):
            try:
                store.open(FINGERPRINT, DIM)
            except Killed:
                died = True
        store.close()
        heir = opened(client, table)
        heir.write([a_record(1)])
        assert heir.check() == []
        heir.close()
        client.delete_table(TableName=table)
        if not died:
            break
    assert number > 2


def test_a_verb_whose_answer_is_lost_at_any_request_happens_once(client, verb):
    expected = states(client, verb)[-1]
    for number in itertools.count(1):
        table = new_table(client)
        filled(client, table).close()
        unlucky = Meddling(client)
        store = opened(unlucky, table)
        start = len(unlucky.calls)
        with unlucky.at(number, raising(broken()), after=True):
            VERBS[verb](store)
        reached = len(unlucky.calls) - start >= number
        assert state(store) == expected
        assert store.check() == []
        store.close()
        client.delete_table(TableName=table)
        if not reached:
            break
    assert number > 1


@pytest.mark.parametrize("other", ["write", "delete all", "compact"])
@pytest.mark.parametrize("verb", ["write", "delete", "compact"])
def test_a_verb_that_is_overtaken_at_any_request_happens_before_or_after_the_other(client, snapshots, verb, other):
    orders = [states(client, verb, other)[-1], states(client, other, verb)[-1]]
    for number in itertools.count(1):
        table = new_table(client)
        quick = filled(client, table)
        slow = Meddling(client)
        store = opened(slow, table)
        start = len(slow.calls)
        with slow.at(number, lambda quick=quick: VERBS[other](quick)):
            VERBS[verb](store)
        reached = len(slow.calls) - start >= number
        if reached:
            assert state(quick) in orders
            assert differences(store, quick) == []
            assert store.check() == []
        store.close()
        quick.close()
        client.delete_table(TableName=table)
        if not reached:
            break
    assert number > 1


LOOKS = {
    "read": lambda store: [r and r._replace(vector=None) for r in store.read([a_record(n).key for n in range(9)])],
    "read one": lambda store: store.read([a_record(6).key]),
    "read by id": lambda store: store.read(list(range(1, 12))),
    "scan": lambda store: store.scan(Selection(), limit=50),
    "vectors": lambda store: [part.tolist() for part in store.vectors()[::2]],
    "changes": lambda store: store.changes(0),
    "check": lambda store: store.check(),
    "open": lambda store: (store.open(FINGERPRINT, DIM), store.changes(0))[1],
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("verb", ["write", "delete all"])
def test_a_reader_that_is_overtaken_at_any_request_sees_one_state(client, snapshots, look, verb):
    for number in itertools.count(1):
        table = new_table(client)
        quick = filled(client, table)
        slow = Meddling(client)
        store = opened(slow, table)
        start = len(slow.calls)
        before = LOOKS[look](quick)
        with slow.at(number, lambda quick=quick: VERBS[verb](quick)):
            found = LOOKS[look](store)
        reached = len(slow.calls) - start >= number
        assert found in (before, LOOKS[look](quick))
        assert differences(store, quick) == []
        store.close()
        quick.close()
        client.delete_table(TableName=table)
        if not reached:
            break


def test_an_opener_that_is_overtaken_at_any_request_agrees_with_the_other(client):
    for number in itertools.count(1):
        table = new_table(client)
        slow = Meddling(client)
        store, quick = DynamoDBStore(table, client=slow), DynamoDBStore(table, client=client)

        def other(quick=quick):
            quick.open(FINGERPRINT, DIM)
            quick.write([a_record(1)])

        with slow.at(number, other):
            store.open(FINGERPRINT, DIM)
        reached = len(slow.calls) >= number
        if reached:
            store.write([a_record(2)])
            assert [record.seq for record in store.scan(Selection())] == [1, 2]
            assert differences(store, quick) == []
            assert store.check() == []
        store.close()
        quick.close()
        client.delete_table(TableName=table)
        if not reached:
            break
    assert number > 3


def test_batches_done_by_halves_and_busy_servers_are_tried_again(client, monkeypatch):
    monkeypatch.setattr("mneme.stores._dynamodb_requests._FIRST_PAUSE", 0.0)
    store = opened(Stingy(client), new_table(client))
    store.write([a_record(n, payload=LONG if n % 10 == 0 else b"short") for n in range(120)])
    found = store.read([a_record(n).key for n in range(120)], vectors=True)
    assert [record.payload for record in found] == [LONG if n % 10 == 0 else b"short" for n in range(120)]
    assert len(store.delete(Selection(refs=[a_record(n).key for n in range(100)]))) == 100
    assert store.check() == []
    store.close()


@pytest.mark.parametrize(
    "error",
    [
        busy("any"),
        busy("any", "ThrottlingException"),
        busy("any", "InternalServerError"),
        busy("any", "RequestLimitExceeded"),
    ],
    ids=lambda error: error.response["Error"]["Code"],
)
def test_a_server_that_stays_busy_is_given_up(client, error):
    table = new_table(client)
    filled(client, table).close()
    throttled = Meddling(client)
    store = opened(throttled, table, retry_seconds=0.05)
    before = state(store)
    throttled.before = lambda *_: raising(error)()
    for verb in VERBS.values():
        with pytest.raises(StoreBackendError, match="slow down"):
            verb(store)
    with pytest.raises(StoreBackendError, match="slow down"):
        store.read([1])
    throttled.before = lambda *_: None
    assert state(store) == before
    assert store.check() == []
    store.close()
