"""Whatever happens between two requests of a verb, it has happened whole or not at all, and everyone agrees on that."""

import itertools

import pytest

from mneme import DynamoDBStore, StoreBackendError
from mneme.ports import Counters, Selection, Usage
from mneme.stores import _dynamodb_contents, _dynamodb_journal, _dynamodb_statements
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record, a_vector
from stores.dynamodb_clients import Killed, Meddling, Stingy, broken, busy, raising
from stores.dynamodb_tables import TABLE, client_of, credentials, new_prefix, place  # noqa: F401 -- fixtures

LONG = bytes(range(256)) * 64


@pytest.fixture
def client(place):  # noqa: F811 -- the fixture
    client = client_of(place["endpoint_url"])
    maker = DynamoDBStore(**place)
    maker.open(None, None)  # makes the table
    maker.close()
    yield client
    client.close()


def opened(client, prefix, *, fingerprint=FINGERPRINT, dim=DIM, retry_seconds=60):
    store = DynamoDBStore(TABLE, prefix=prefix, client=client, retry_seconds=retry_seconds)
    store.open(fingerprint, dim)
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


def filled(client, prefix):
    store = opened(client, prefix)
    store.write([a_record(n, tags=(f"t{n % 2}",)) for n in range(6)] + [a_record(6, payload=LONG)])
    store.record(Usage({1: 5000.0}, {"main": Counters(misses=1)}))
    return store


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


@pytest.fixture(params=[None, 1], ids=["", "snapshots"])
def snapshots(request, monkeypatch):
    """A snapshot when it is due, or after every commit; and no request spared for small batches and short logs."""
    if request.param is not None:
        monkeypatch.setattr(_dynamodb_journal, "CHECKPOINT", request.param)
        monkeypatch.setattr(_dynamodb_statements, "PIECE", 400)  # several pages for everything
        monkeypatch.setattr(_dynamodb_contents, "_RUN", 0)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "afterwards"])
def test_a_writer_that_dies_at_any_request_leaves_all_or_nothing(client, snapshots, verb, after):
    seen = set()
    for number in itertools.count(1):
        prefix = new_prefix()
        filled(client, prefix).close()
        victim = Meddling(client)
        store, witness = opened(victim, prefix), opened(client, prefix)
        before = state(witness)
        with victim.at(number, raising(Killed()), after=after):
            try:
                VERBS[verb](store)
            except Killed:
                died = True
            else:
                died = False
        found = state(witness)
        heir = opened(client, prefix)
        assert state(heir) == found
        assert state(store) == found  # as if it had been interrupted, not killed
        done = opened(client, prefix)
        if found == before and verb != "compact":
            seen.add("nothing")
            VERBS[verb](done)
            found = state(done)
        else:
            seen.add("all")
        for each in (store, witness, heir, done):
            assert each.check() == []
            assert state(each) == found
        done.compact()
        assert garbage(client, done) == set()
        assert state(witness) == state(store) == found
        for each in (store, witness, heir, done):
            each.close()
        if not died:
            break
    assert number > 1
    assert "all" in seen
    expected = expected_state(client, verb)
    assert normalised(found) == normalised(expected)


def expected_state(client, verb):
    store = filled(client, new_prefix())
    VERBS[verb](store)
    expected = state(store)
    store.close()
    return expected


def normalised(found):
    return found[:4]


def garbage(client, store):
    """Keys of items that a fresh look finds no use for."""
    pages = client.get_paginator("scan").paginate(TableName=TABLE, ConsistentRead=True)
    keys = {(item["pk"]["S"], item["sk"]["S"]) for page in pages for item in page["Items"]}
    layout = _dynamodb_statements.Layout(TABLE, store.prefix)
    journal = store._store._journal
    head, entries = journal._head, journal.look(lambda directory: list(directory.after(0)))
    used = {layout.head, *(layout.logged(n) for n in range(head.upto + 1, head.commit + 1))}
    used.update(layout.paged(head.snapshot, head.pages))
    for entry in entries:
        used.add(layout.data(entry.name, entry.number))
        used.update(layout.parts(entry.name, entry.number, entry.parts))
    return {key for key in keys if key[0].startswith(f"{store.prefix}#")} - used


@pytest.mark.parametrize("after", [False, True], ids=["before", "afterwards"])
def test_an_opener_that_dies_at_any_request_leaves_a_store_or_none(client, after):
    for number in itertools.count(1):
        prefix = new_prefix()
        victim = Meddling(client)
        store = DynamoDBStore(TABLE, prefix=prefix, client=victim)
        died = False
        with victim.at(number, raising(Killed()), after=after):
            try:
                store.open(FINGERPRINT, DIM)
            except Killed:
                died = True
        store.close()
        heir = opened(client, prefix)
        heir.write([a_record(1)])
        assert heir.check() == []
        heir.close()
        if not died:
            break
    assert number > 2


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_whose_answer_is_lost_at_any_request_happens_once(client, snapshots, verb):
    expected = normalised(expected_state(client, verb))
    for number in itertools.count(1):
        prefix = new_prefix()
        filled(client, prefix).close()
        unlucky = Meddling(client)
        store = opened(unlucky, prefix)
        start = len(unlucky.calls)
        with unlucky.at(number, raising(broken()), after=True):
            VERBS[verb](store)
        reached = len(unlucky.calls) - start >= number
        assert normalised(state(store)) == expected
        assert store.check() == []
        store.close()
        if not reached:
            break
    assert number > 1


@pytest.mark.parametrize("other", VERBS)
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_is_overtaken_at_any_request_happens_before_or_after_the_other(client, verb, other):
    orders = []
    for first, second in ((verb, other), (other, verb)):
        store = filled(client, new_prefix())
        VERBS[first](store)
        VERBS[second](store)
        orders.append(normalised(state(store)))
        store.close()
    for number in itertools.count(1):
        prefix = new_prefix()
        filled(client, prefix).close()
        slow = Meddling(client)
        store, quick = opened(slow, prefix), opened(client, prefix)
        start = len(slow.calls)
        with slow.at(number, lambda quick=quick: VERBS[other](quick)):
            VERBS[verb](store)
        reached = len(slow.calls) - start >= number
        if reached:
            found = state(quick)
            assert state(store) == found
            assert normalised(found) in orders
            assert store.check() == quick.check() == []
        store.close()
        quick.close()
        if not reached:
            break
    assert number > 1


@pytest.mark.parametrize("verb", ["write", "delete", "delete all", "compact"])
def test_a_reader_that_is_overtaken_at_any_request_sees_one_state(client, snapshots, verb):
    looks = {
        "read by key": lambda store: [r and r._replace(vector=None) for r in store.read([a_record(n).key for n in range(9)])],
        "read one": lambda store: store.read([a_record(6).key]),
        "read by id": lambda store: store.read(list(range(1, 12))),
        "scan": lambda store: store.scan(Selection(), limit=50),
        "vectors": lambda store: (block := store.vectors(), block.ids.tolist(), block.vectors.tolist())[1:],
        "changes": lambda store: store.changes(0),
        "summary": lambda store: store.summary(),
        "check": lambda store: store.check(),
    }
    for look in looks.values():
        for number in itertools.count(1):
            prefix = new_prefix()
            filled(client, prefix).close()
            slow = Meddling(client)
            store, quick = opened(slow, prefix), opened(client, prefix)
            start = len(slow.calls)
            before = look(quick)
            with slow.at(number, lambda quick=quick: VERBS[verb](quick)):
                found = look(store)
            reached = len(slow.calls) - start >= number
            if reached:
                assert found in (before, look(quick))
                assert look(store) == look(quick)
            store.close()
            quick.close()
            if not reached:
                break


def test_an_opener_that_is_overtaken_at_any_request_agrees_with_the_other(client):
    for number in itertools.count(1):
        prefix = new_prefix()
        slow = Meddling(client)
        store, quick = DynamoDBStore(TABLE, prefix=prefix, client=slow), DynamoDBStore(TABLE, prefix=prefix, client=client)

        def other(quick=quick):
            quick.open(FINGERPRINT, DIM)
            quick.write([a_record(1)])

        with slow.at(number, other):
            store.open(FINGERPRINT, DIM)
        reached = len(slow.calls) >= number
        if reached:
            store.write([a_record(2)])
            assert [record.seq for record in store.scan(Selection())] == [1, 2]
            assert state(store) == state(quick)
            assert store.check() == []
        store.close()
        quick.close()
        if not reached:
            break
    assert number > 3


def test_batches_done_by_halves_and_busy_servers_are_tried_again(client, monkeypatch):
    monkeypatch.setattr("mneme.stores._dynamodb_requests._FIRST_PAUSE", 0.0)
    store = opened(Stingy(client), new_prefix())
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
    prefix = new_prefix()
    filled(client, prefix).close()
    throttled = Meddling(client)
    store = opened(throttled, prefix, retry_seconds=0.05)
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
