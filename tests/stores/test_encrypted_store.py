"""What an encrypted store shows of what it holds, what it takes for true, and how its keys change."""

import functools
import itertools
import logging
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, strategies as st

from mneme.errors import DecryptionError, EmbedderMismatchError
from mneme.ports import ScrubbingStore, SearchingStore, Selection, Store, SwappingStore
from mneme.stores import (
    AsyncEncryptedStore,
    AsyncPostgresStore,
    EncryptedStore,
    KeyRing,
    MemoryStore,
    PostgresStore,
    SQLiteStore,
)
from mneme.stores._encrypted_cipher import KeyCipher, NameCipher, TextCipher, UnauthenticError
from mneme.stores._encrypted_keys import derived
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record, a_vector
from stores.blocking import Blocking

RING = KeyRing.generate("one")
_places = itertools.count()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache.db"


def opened(store, ring=RING, fingerprint=FINGERPRINT, dim=DIM):
    sealed = EncryptedStore(store, ring)
    sealed.open(fingerprint, dim)
    return sealed


@pytest.fixture
def store(path):
    with closing(opened(SQLiteStore(path))) as store:
        yield store


class closing:  # noqa: N801 - reads like contextlib's
    def __init__(self, store):
        self.store = store

    def __enter__(self):
        return self.store

    def __exit__(self, *_):
        self.store.close()


SECRET = {
    "namespace": "XSECRETnamespace",
    "scope": '"XSECRETscope"',
    "query": "XSECRETquery",
    "payload": b"XSECRETpayload",
    "codec": "XSECRETcodec",
    "metadata": '{"XSECRETmetadata": 1}',
    "tags": ("XSECRETtag",),
}


# --- what whoever holds the file sees --------------------------------------------------------------------------------


def test_no_file_holds_any_text_any_vector_or_any_hash_of_them(path):
    record = a_record(1, **SECRET)
    with closing(opened(SQLiteStore(path))) as store:
        store.write([record])
        while_open = [file.read_bytes() for file in path.parent.iterdir()]
        store.delete(Selection(tags=["XSECRETtag"]))
        store.write([record])
    held = b"".join([*while_open, path.read_bytes()])
    assert FINGERPRINT.encode() in held  # these are the bytes that there are to look through
    for form in ("utf-8", "utf-16-le"):
        assert "XSECRET".encode(form) not in held
    assert record.vector.tobytes()[:8] not in held
    assert record.key not in held
    assert record.partition not in held


def test_a_plain_store_would_show_all_of_it(path):
    record = a_record(1, **SECRET)
    with closing(SQLiteStore(path)) as store:
        store.open(FINGERPRINT, DIM)
        store.write([record])
        held = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert held.count(b"XSECRET") >= len(SECRET)
    assert record.vector.tobytes()[:8] in held
    assert record.key in held
    assert record.partition in held


def test_the_same_entry_is_never_written_the_same_twice():
    store = opened(MemoryStore())
    nonces, payloads = set(), set()
    for _ in range(200):
        store.write([a_record(1)])
        [stored] = store.encrypted.scan(Selection())
        nonces.add(stored.codec)
        payloads.add(stored.payload)
    assert len(nonces) == len(payloads) == 200


def test_equal_names_stay_equal_and_differ_from_ring_to_ring():
    rings = [RING, RING.with_key("two"), KeyRing.generate("one")]
    stores = [opened(MemoryStore(), ring) for ring in rings]
    for store in stores:
        store.write([a_record(1, **SECRET), a_record(2, **SECRET)])
    shown = [store.encrypted.scan(Selection()) for store in stores]
    for name in ("namespace", "partition", "tags"):
        assert len({getattr(record, name) for record in shown[0]}) == 1
    assert shown[0][0].key == shown[1][0].key  # a new key changes no name, so entries are found as before
    for name in ("key", "namespace", "partition", "tags"):
        assert getattr(shown[0][0], name) != getattr(shown[2][0], name)


def test_sizes_and_times_are_seen_as_they_are():
    store = opened(MemoryStore())
    store.write([a_record(1, expires_at=5.0, removable_at=6.0, compute_seconds=7.0, cost=8.0)])
    [stored] = store.encrypted.scan(Selection(), vectors=True)
    assert (stored.created_at, stored.accessed_at, stored.removable_at) == (1001.0, 2001.0, 6.0)
    assert (stored.query, stored.metadata, stored.scope, stored.vector) == ("", "", "", None)
    assert (stored.compute_seconds, stored.cost) == (0.0, 0.0)
    [found] = store.scan(Selection())
    assert (found.compute_seconds, found.cost) == (7.0, 8.0)
    assert len(stored.payload) == len(b"answer 1question 1")


def test_what_the_store_beneath_can_do_besides_is_offered_where_it_needs_no_text(path):
    assert isinstance(opened(MemoryStore()), Store)
    sealed = EncryptedStore(SQLiteStore(path), RING)
    assert sealed.path == str(path)
    assert sealed.name == "encrypted sqlite"
    assert hasattr(sealed, "scrub")
    assert isinstance(SQLiteStore(path), ScrubbingStore)
    for verb in ("marked", "mark", "similar", "prepare_search", "swap"):
        assert not hasattr(sealed, verb)
    assert not isinstance(sealed, SearchingStore)


# --- the wrong keys --------------------------------------------------------------------------------------------------


def everything(path):
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


@pytest.mark.parametrize("bound", [True, False])
def test_another_ring_is_refused_and_nothing_is_altered(path, bound):
    identity = (FINGERPRINT, DIM) if bound else (None, None)
    with closing(opened(SQLiteStore(path), RING, *identity)) as store:
        store.write([a_record(1, vector=None)])
    before = everything(path)
    other = EncryptedStore(SQLiteStore(path), KeyRing.generate("one"))
    with pytest.raises(DecryptionError, match="another key ring"):
        other.open(*identity)
    other.close()
    assert everything(path) == before
    with closing(opened(SQLiteStore(path), RING, *identity)) as store:
        assert store.read([a_record(1).key])[0].query == "question 1"


def test_a_ring_without_the_key_of_an_entry_says_which_is_missing(path):
    both = RING.with_key("two")
    with closing(opened(SQLiteStore(path), RING)) as store:
        store.write([a_record(number) for number in range(20)])
    with closing(opened(SQLiteStore(path), both)) as store:
        store.write([a_record(100)])
        assert store.keys_in_use() == {"one": 20, "two": 1}
    newer = both.without("one")
    store = EncryptedStore(SQLiteStore(path), newer)
    with pytest.raises(DecryptionError, match="'one', which is not in the key ring \\('two'\\)"):
        store.open(FINGERPRINT, DIM)
    store.close()


def test_a_key_that_is_missing_for_one_entry_is_an_error_where_that_is_read():
    inner, both = MemoryStore(), RING.with_key("two")
    opened(inner, both).write([a_record(1)])
    older = EncryptedStore(inner, RING)
    with pytest.raises(DecryptionError, match="'two'"):
        older.open(FINGERPRINT, DIM)
    with pytest.raises(DecryptionError, match="'two'"):
        older.read([a_record(1).key])
    assert any("cannot be decrypted" in problem for problem in older.check())


@pytest.mark.parametrize("bound", [True, False])
def test_a_store_that_is_not_encrypted_is_refused(path, bound):
    identity = (FINGERPRINT, DIM) if bound else (None, None)
    with closing(SQLiteStore(path)) as plain:
        plain.open(*identity)
        plain.write([a_record(1, vector=None)])
    before = everything(path)
    store = EncryptedStore(SQLiteStore(path), RING)
    with pytest.raises(DecryptionError, match=r"not encrypted|or not at all"):
        store.open(*identity)
    store.close()
    assert everything(path) == before


def test_an_encrypted_store_is_refused_by_whoever_has_no_keys(path):
    with closing(opened(SQLiteStore(path))) as store:
        store.write([a_record(1)])
    plain = SQLiteStore(path)
    with pytest.raises(EmbedderMismatchError, match="mneme-encrypted"):
        plain.open(FINGERPRINT, DIM)
    plain.close()


# --- entries that were changed ---------------------------------------------------------------------------------------


def flipped(value, position):
    if isinstance(value, bytes):
        return value[:position] + bytes([value[position] ^ 1]) + value[position + 1 :]
    raw = value[position]
    return value[:position] + ("B" if raw == "A" else "A") + value[position + 1 :]


CHANGES = {
    "payload": lambda record: {"payload": flipped(record.payload, 0)},
    "end of the payload": lambda record: {"payload": flipped(record.payload, len(record.payload) - 1)},
    "shorter payload": lambda record: {"payload": record.payload[:-1]},
    "longer payload": lambda record: {"payload": record.payload + b"x"},
    "no payload": lambda record: {"payload": b""},
    "codec": lambda record: {"codec": "text"},
    "no base64": lambda record: {"codec": record.codec[:-1]},
    "nonce": lambda record: {"codec": flipped(record.codec, 20)},
    "end of the codec": lambda record: {"codec": flipped(record.codec, len(record.codec) - 10)},
    "empty codec": lambda record: {"codec": "sealed:"},
    "version": lambda record: {"codec": "sealed:" + "Ag" + record.codec[9:]},
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_entry_that_was_changed_counts_as_absent(change, caplog):
    store = opened(MemoryStore())
    written = store.write([a_record(number) for number in range(12)])
    [stored] = store.encrypted.read([written[10].id])
    store.encrypted.swap([stored._replace(**{"payload": stored.payload, **CHANGES[change](stored)})])
    with caplog.at_level(logging.WARNING, "mneme"):
        assert store.read([a_record(10).key, written[10].id, a_record(11).key])[:2] == [None, None]
    assert "counts as absent" in caplog.text
    assert [record.query for record in store.scan(Selection())] == [f"question {n}" for n in range(12) if n != 10]
    assert store.vectors().ids.tolist() == [one.id for one in written if one.id != written[10].id]
    assert store.check() == ["1 entries cannot be decrypted: they were changed, or sealed by other keys."]
    store.write([a_record(10)])
    assert store.check() == []


def test_entries_cannot_change_places(path):
    with closing(opened(SQLiteStore(path))) as store:
        first, second = store.write([a_record(1), a_record(2)])
    connection = sqlite3.connect(path)
    [(one,), (two,)] = connection.execute("SELECT payload FROM entries ORDER BY id").fetchall()
    connection.execute("UPDATE entries SET payload = ? WHERE id = ?", (two, first.id))
    connection.execute("UPDATE entries SET payload = ? WHERE id = ?", (one, second.id))
    connection.commit()
    connection.close()
    store = EncryptedStore(SQLiteStore(path), RING)
    with pytest.raises(DecryptionError):
        store.open(FINGERPRINT, DIM)
    store.close()


def test_an_entry_under_the_key_of_another_is_not_believed():
    store = opened(MemoryStore())
    store.write([a_record(1), a_record(2)])
    first, second = store.encrypted.scan(Selection())
    store.encrypted.write([first._replace(key=second.key)])
    assert store.read([a_record(2).key]) == [None]
    assert store.read([a_record(1).key])[0].query == "question 1"


def test_times_that_were_changed_make_no_entry_younger():
    store = opened(MemoryStore())
    store.write([a_record(1, expires_at=5.0, removable_at=6.0)])
    [stored] = store.encrypted.scan(Selection())
    store.encrypted.write([stored._replace(created_at=1e9, expires_at=None, removable_at=None)])
    [found] = store.scan(Selection())
    assert (found.created_at, found.expires_at, found.removable_at) == (1001.0, 5.0, 6.0)


def test_rows_written_without_the_keys_are_not_served(caplog):
    store = opened(MemoryStore())
    store.write([a_record(1)])
    store.encrypted.write([a_record(2, vector=None), a_record(3, namespace="main", vector=None)])
    assert [record.query for record in store.scan(Selection())] == ["question 1"]
    assert [part.namespace for part in store.summary()] == ["main"]
    assert len(store.check()) == 2


def test_a_page_of_a_scan_is_full_although_entries_are_passed_over():
    store = opened(MemoryStore())
    store.write([a_record(number) for number in range(30)])
    bad = [record._replace(payload=b"bad") for record in store.encrypted.scan(Selection())[1:20]]
    store.encrypted.swap(bad)
    assert [record.query for record in store.scan(Selection(), limit=5)] == [
        f"question {number}" for number in (0, 20, 21, 22, 23)
    ]
    assert len(store.vectors(limit=5).ids) == 5
    assert store.scan(Selection(), limit=0) == []
    assert len(store.vectors(limit=0).ids) == 0


@given(st.data())
def test_whatever_is_stored_comes_back_and_whatever_bit_is_changed_it_does_not(data):
    store = opened(MemoryStore())
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    record = a_record(
        1,
        namespace=data.draw(text),
        scope=data.draw(text),
        query=data.draw(text),
        payload=data.draw(st.binary(max_size=50)),
        codec=data.draw(text),
        metadata=data.draw(text),
        tags=tuple(data.draw(st.lists(text, max_size=3))),
        expires_at=data.draw(st.none() | st.floats(allow_nan=False)),
        vector=data.draw(st.sampled_from([None, a_vector(5)])),
    )
    store.write([record])
    [found] = store.read([record.key], vectors=True)
    assert found._replace(vector=None) == record._replace(id=found.id, seq=found.seq, vector=None)
    assert (found.vector is None) == (record.vector is None)
    assert found.vector is None or np.array_equal(found.vector, record.vector)
    [stored] = store.encrypted.scan(Selection())
    name = data.draw(st.sampled_from(["key", "payload"] if stored.payload else ["key"]))
    value = getattr(stored, name)
    bit = data.draw(st.integers(0, 8 * len(value) - 1))
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    assert store._sealing._seal.unseal(stored._replace(**{name: bytes(changed)}), vectors=True) is None


# --- changing keys ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [MemoryStore, lambda: Plain(MemoryStore())])
def test_rotation_leaves_entries_as_they_were_under_the_newest_key(make):
    inner = make()
    opened(inner).write([a_record(number, tags=("t",), metadata='{"a": 1}') for number in range(25)])
    store = opened(inner, RING.with_key("two"))
    store.write([a_record(100)])
    before, told = store.scan(Selection(), vectors=True), []
    changes = store.changes(0)
    assert store.keys_in_use() == {"one": 25, "two": 1}
    assert store.rotate(batch=10, progress=told.append) == 25
    assert told == [10, 20, 25]
    assert store.keys_in_use() == {"two": 26}
    after = store.scan(Selection(), vectors=True)
    assert [r._replace(seq=0, vector=None) for r in after] == [r._replace(seq=0, vector=None) for r in before]
    assert all(np.array_equal(a.vector, b.vector) for a, b in zip(after, before, strict=True))
    if not isinstance(inner, Plain):
        assert store.changes(0) == changes  # nothing happened that followers would have to hear of
    assert store.rotate() == 0
    assert store.check() == []


class AsyncMemory:
    """A `MemoryStore` whose verbs are awaited."""

    name = "memory"

    def __init__(self):
        self.inner = MemoryStore()


def _awaited(name):
    async def verb(self, *args, **kwargs):
        return getattr(self.inner, name)(*args, **kwargs)

    return verb


for each in (
    *("open", "read", "write", "delete", "record", "scan", "vectors", "changes", "summary", "check", "compact"),
    *("close", "swap"),
):
    setattr(AsyncMemory, each, _awaited(each))


class Plain:
    """A store without `swap`."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        if name == "swap":
            raise AttributeError(name)
        return getattr(self._inner, name)


def test_when_rotation_is_done_the_older_key_can_leave(path):
    with closing(opened(SQLiteStore(path))) as store:
        store.write([a_record(number) for number in range(30)])
    both = RING.with_key("two")
    with closing(opened(SQLiteStore(path), both)) as store:
        assert store.rotate(batch=7) == 30
    with closing(opened(SQLiteStore(path), both.without("one"))) as store:
        assert len(store.scan(Selection())) == 30
        assert store.check() == []


def test_what_is_replaced_while_keys_are_changed_keeps_what_was_written(path):
    with closing(opened(SQLiteStore(path))) as store:
        store.write([a_record(number) for number in range(10)])
    both = RING.with_key("two")
    writer = opened(SQLiteStore(path), RING)
    store = opened(SQLiteStore(path), both)
    swap, done = store.encrypted.swap, []

    def meanwhile(records):
        if done:
            return swap(records)
        done.append(True)
        writer.write([a_record(3, payload=b"newer")])
        writer.delete(Selection(refs=[a_record(4).key]))
        return swap(records)

    store.encrypted.swap = meanwhile  # before it is called for the first time
    try:
        assert store.rotate() == 8
        assert store.read([a_record(3).key])[0].payload == b"newer"
        assert store.read([a_record(4).key]) == [None]
        assert store.keys_in_use() == {"one": 1, "two": 8}
        assert store.rotate() == 1
        assert store.check() == []
    finally:
        writer.close()
        store.close()


ROTATOR = """
import os, signal, sys
from mneme.stores import EncryptedStore, KeyRing, SQLiteStore

store = EncryptedStore(SQLiteStore(sys.argv[1]), KeyRing.from_json(sys.argv[2]))
store.open(None, None)
store.rotate(batch=10, progress=lambda done: os.kill(os.getpid(), signal.SIGKILL) if done >= int(sys.argv[3]) else None)
"""


@pytest.mark.parametrize("moment", [10, 30, 60])
def test_a_rotation_that_is_killed_is_finished_by_the_next(path, moment):
    both = RING.with_key("two")
    with closing(opened(SQLiteStore(path))) as store:
        store.write([a_record(number) for number in range(75)])
        before = store.scan(Selection())
    done = subprocess.run(
        [sys.executable, "-c", ROTATOR, str(path), both.to_json(), str(moment)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    with closing(opened(SQLiteStore(path), both)) as store:
        assert store.keys_in_use() == {"two": moment, "one": 75 - moment}
        assert store.scan(Selection()) == before
        assert store.check() == []
        assert store.rotate() == 75 - moment
        assert store.keys_in_use() == {"two": 75}
        assert store.scan(Selection()) == before


async def test_the_async_store_rotates_too():
    inner = AsyncMemory()
    store = AsyncEncryptedStore(inner, RING)
    await store.open(FINGERPRINT, DIM)
    await store.write([a_record(number) for number in range(5)])
    newer = AsyncEncryptedStore(inner, RING.with_key("two"))
    await newer.open(FINGERPRINT, DIM)
    assert await newer.rotate(batch=2) == 5
    assert await newer.keys_in_use() == {"two": 5}
    assert [record.query for record in await newer.scan(Selection())] == [f"question {n}" for n in range(5)]
    await newer.close()


@pytest.mark.parametrize(("batch", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_batch_is_a_whole_number_of_entries(batch, error):
    with pytest.raises(error, match="batch"):
        opened(MemoryStore()).rotate(batch=batch)


# --- swap ------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "sqlite", "postgres", "async postgres"])
def swapping(request, path, server_of) -> Iterator[Store]:
    schema = f"swap_{request.param.replace(' ', '_')}_{next(_places)}"
    makers = {
        "memory": MemoryStore,
        "sqlite": lambda: SQLiteStore(path),
        "postgres": lambda: PostgresStore(server_of("postgres"), schema=schema),
        "async postgres": lambda: BlockingSwapping(lambda: AsyncPostgresStore(server_of("postgres"), schema=schema)),
    }
    store = makers[request.param]()
    store.open(FINGERPRINT, DIM)
    yield store
    assert store.check() == []
    store.close()


class BlockingSwapping(Blocking):
    swap = functools.partialmethod(Blocking._verb, "swap")


def test_swap_exchanges_what_is_unchanged_and_tells_nobody(swapping):
    assert isinstance(swapping, SwappingStore)
    swapping.write([a_record(number, tags=("t",)) for number in range(3)])
    first, second, third = swapping.scan(Selection(), vectors=True)
    swapping.write([a_record(1, payload=b"newer")])
    before, changes = swapping.scan(Selection(), vectors=True), swapping.changes(0)
    other = {"query": "o\0ther", "payload": b"other!", "codec": "c", "metadata": "{}"}
    given_ = [record._replace(**other, tags=(), created_at=0.0, vector=None) for record in (first, second, third)]
    assert swapping.swap([*given_, first._replace(id=999)]) == [True, False, True, False]
    assert swapping.changes(0) == changes
    after = swapping.scan(Selection(), vectors=True)
    expected = [before[0]._replace(**other), before[1], before[2]._replace(**other)]
    assert [r._replace(vector=None) for r in after] == [r._replace(vector=None) for r in expected]
    assert all(np.array_equal(a.vector, b.vector) for a, b in zip(after, before, strict=True))
    [part] = swapping.summary()
    assert part.payload_bytes == 2 * len(b"o\0therother!{}") + len(b"newerquestion 1")
    assert swapping.swap([]) == []


# --- key rings -------------------------------------------------------------------------------------------------------


def test_a_ring_comes_back_from_its_text_and_shows_no_key():
    ring = RING.with_key("two").with_key("three", b"k" * 32)
    again = KeyRing.from_json(ring.to_json())
    assert again.names == ("one", "two", "three")
    assert again.newest == "three"
    assert again.to_json() == ring.to_json()
    assert repr(ring) == "<KeyRing one, two, three>"
    assert ring.without("two").names == ("one", "three")


@pytest.mark.parametrize(
    ("keys", "lookup", "error"),
    [
        ({}, b"l" * 32, ValueError),
        ([("a", b"k" * 32)], b"l" * 32, TypeError),
        ({"a": b"k" * 31}, b"l" * 32, ValueError),
        ({"a": "k" * 32}, b"l" * 32, TypeError),
        ({1: b"k" * 32}, b"l" * 32, TypeError),
        ({"": b"k" * 32}, b"l" * 32, ValueError),
        ({"\u00e9": b"k" * 32}, b"l" * 32, ValueError),
        ({"a" * 65: b"k" * 32}, b"l" * 32, ValueError),
        ({"a": b"k" * 32}, b"k" * 32, ValueError),
        ({"a": b"k" * 32, "b": b"k" * 32}, b"l" * 32, ValueError),
        ({"a": b"k" * 32}, b"", ValueError),
    ],
)
def test_a_ring_that_would_not_hold_is_refused(keys, lookup, error):
    with pytest.raises(error) as caught:
        KeyRing(keys, lookup=lookup)
    assert "kkkk" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"keys": [], "lookup": ""}', '{"keys": {"a": "?"}, "lookup": "?"}', 7]
)
def test_a_text_that_is_no_ring_is_refused_without_quoting_it(text):
    with pytest.raises(ValueError, match="no key ring"):
        KeyRing.from_json(text)


def test_names_in_a_ring_are_changed_one_at_a_time():
    with pytest.raises(ValueError, match="already"):
        RING.with_key("one")
    with pytest.raises(ValueError, match="there is no key"):
        RING.without("two")
    with pytest.raises(ValueError, match="at least one"):
        RING.without("one")


def test_arguments_of_another_kind_are_refused():
    with pytest.raises(TypeError, match="KeyRing"):
        EncryptedStore(MemoryStore(), b"k" * 32)
    with pytest.raises(TypeError, match="store"):
        EncryptedStore({}, RING)
    with pytest.raises(TypeError, match="KeyRing"):
        AsyncEncryptedStore(AsyncMemory(), "k")


# --- ciphers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "text", "bound", "expected"),
    [
        (b"\1" * 32, b"XAES-256-GCM", b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (
            b"\3" * 32,
            b"XAES-256-GCM",
            b"c2sp.org/XAES-256-GCM",
            "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
        ),
    ],
)
def test_texts_are_encrypted_as_the_specification_says(key, text, bound, expected):
    """The vectors of https://c2sp.org/XAES-256-GCM: one key whose derivation carries no bit over, and one that does."""
    nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX"
    cipher = TextCipher(key)
    assert cipher.encrypt(text, bound, nonce) == (nonce, bytes.fromhex(expected))
    assert cipher.decrypt(nonce, bytes.fromhex(expected), bound) == text
    with pytest.raises(UnauthenticError):
        cipher.decrypt(nonce, bytes.fromhex(expected), bound + b"x")


def test_bytes_are_derived_as_rfc_5869_expands_them():
    """Its test case 1."""
    secret = bytes.fromhex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")
    made = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    assert derived(secret, bytes.fromhex("f0f1f2f3f4f5f6f7f8f9"), 42).hex() == made


@given(st.binary(min_size=32, max_size=32), st.text(max_size=30))
def test_keys_and_names_come_back(key, name):
    keys, names = KeyCipher(bytes(range(64))), NameCipher(bytes(range(64)))
    assert keys.decrypt(keys.encrypt(key)) == key
    assert keys.encrypt(key) != key
    raw = name.encode("utf-8", "surrogatepass")
    assert names.decrypt(names.encrypt(raw)) == raw
    with pytest.raises(UnauthenticError):
        names.decrypt(names.encrypt(raw)[:-1] + b"?" if names.encrypt(raw)[-1:] != b"?" else b"")
