"""What can be read of a damaged file is copied into a new one, and the damaged one is left as it is."""

import random
import sqlite3
import stat
import struct

import numpy as np
import pytest

from mneme import SemanticCache
from mneme.errors import CorruptCacheError, StoreBackendError
from mneme.ports import Counters, Selection, Usage
from mneme.stores import SQLiteStore, salvage
from mneme.testing import HashEmbedder
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record

COUNT = 400
PAGE = 4096


@pytest.fixture
def path(tmp_path):
    """A file of many pages, of every kind: large payloads, small ones, tags, deletions, counters."""
    path = tmp_path / "cache.db"
    store = SQLiteStore(path)
    store.open(FINGERPRINT, DIM)
    store.write([full(number) for number in range(COUNT)])
    store.delete(Selection(refs=[full(0).key]))
    store.record(Usage({}, {"main": Counters(1, 2, 3, 4, 5, 6.5, 7.5)}))
    store.close()
    return path


def full(number):
    return a_record(
        number,
        payload=b"answer %d " % number * (600 if number % 50 == 0 else 20),
        tags=("t", f"t{number % 3}"),
        metadata='{"n": 1}',
        codec="text",
        namespace="main" if number % 2 else "other",
        expires_at=9e9 if number % 5 == 0 else None,
        removable_at=9.5e9 if number % 5 == 0 else None,
        cost=0.25,
    )


def records(path):
    store = SQLiteStore(path)
    store.open(FINGERPRINT, DIM)
    try:
        assert store.check() == []
        return {record.key: record for record in store.scan(Selection(), limit=10_000, vectors=True)}, store.summary()
    finally:
        store.close()


def assert_true(found, *, times=True):
    """Every entry that was salvaged is what was stored."""
    expected = {full(number).key: full(number) for number in range(1, COUNT)}
    for key, record in found.items():
        stored = expected[key]
        assert record.vector is None or np.array_equal(record.vector, stored.vector)
        same = {"id": 0, "seq": 0, "vector": None}
        if not times:
            same |= {"created_at": 0.0, "accessed_at": 0.0, "removable_at": None}
        if record.namespace.startswith("recovered-"):
            same["namespace"] = ""
        assert record._replace(**same) == stored._replace(**same)


def test_a_sound_file_is_copied_whole(path, tmp_path):
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    done = salvage(path, tmp_path / "new.db")
    assert (done.entries, done.vectors, done.lost, done.problems) == (COUNT - 1, COUNT - 1, 0, ())
    found, summary = records(tmp_path / "new.db")
    assert len(found) == COUNT - 1
    assert_true(found)
    assert {part.namespace: part.counters for part in summary}["main"] == Counters(1, 2, 3, 4, 5, 6.5, 7.5)
    assert stat.S_IMODE((tmp_path / "new.db").stat().st_mode) == 0o600
    (tmp_path / "new.db").unlink()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("seed", range(12))
def test_what_is_read_of_a_file_with_damaged_pages_is_true(path, tmp_path, seed):
    held = bytearray(path.read_bytes())
    chance = random.Random(seed)
    pages = range(1, len(held) // PAGE)
    for page in chance.sample(pages, 6):
        if seed % 3 == 0:
            held[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
        elif seed % 3 == 1:
            held[page * PAGE : (page + 1) * PAGE] = chance.randbytes(PAGE)
        else:
            held[page * PAGE : page * PAGE + 16] = b"\xff" * 16
    path.write_bytes(held)
    done = salvage(path, tmp_path / "new.db")
    assert path.read_bytes() == held
    assert done.problems
    found, _ = records(tmp_path / "new.db")
    assert len(found) == done.entries
    assert sum(record.vector is not None for record in found.values()) == done.vectors
    assert done.entries + done.lost <= COUNT
    assert_true(found, times=False)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cache.db", "new.db"]


def test_a_page_of_answers_costs_the_answers_on_it_and_no_more(path, tmp_path):
    connection = sqlite3.connect(path)
    connection.row_factory = None
    [(root,)] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'entries'").fetchall()
    connection.close()
    held = bytearray(path.read_bytes())
    interior = held[(root - 1) * PAGE : root * PAGE]
    assert interior[0] == 5  # an interior page of a table
    [cell] = struct.unpack_from(">H", interior, 12)
    [leaf] = struct.unpack_from(">I", interior, cell)
    held[(leaf - 1) * PAGE : leaf * PAGE] = bytes(PAGE)
    path.write_bytes(held)
    done = salvage(path, tmp_path / "new.db")
    assert COUNT - 40 < done.entries < COUNT - 1
    assert done.entries + done.lost == COUNT - 1
    assert done.problems == ("The table entries cannot be read in places.",)
    assert_true(records(tmp_path / "new.db")[0])


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
def test_a_file_that_was_cut_off_gives_what_is_before_the_cut(path, tmp_path, share):
    held = path.read_bytes()
    path.write_bytes(held[: int(len(held) * share)])
    done = salvage(path, tmp_path / "new.db")
    assert done.problems
    found, _ = records(tmp_path / "new.db")
    assert len(found) == done.entries
    assert_true(found, times=False)


@pytest.mark.parametrize(
    ("statement", "entries", "vectors"),
    [
        ("DELETE FROM meta", COUNT - 1, 0),
        ("DELETE FROM facts", COUNT - 1, COUNT - 1),
        ("DELETE FROM vectors WHERE id % 2", COUNT - 1, COUNT // 2),
        ("UPDATE vectors SET vector = zeroblob(32) WHERE id < 12", COUNT - 1, COUNT - 11),
        ("DELETE FROM partitions", 0, 0),
        ("UPDATE entries SET metadata = '[1' WHERE id < 12", COUNT - 11, COUNT - 11),
        ("UPDATE entries SET tags = '[1' WHERE id < 12", COUNT - 11, COUNT - 11),
        ("UPDATE entries SET query = CAST(x'ff00' AS TEXT) WHERE id < 12", COUNT - 11, COUNT - 11),
        ("UPDATE entries SET payload = 'text' WHERE id < 12", COUNT - 11, COUNT - 11),
        ("UPDATE entries SET key = x'00' WHERE id = 2", COUNT - 2, COUNT - 2),
    ],
)
def test_rows_that_make_no_sense_are_left_behind_and_all_others_kept(path, tmp_path, statement, entries, vectors):
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    done = salvage(path, tmp_path / "new.db")
    if statement == "DELETE FROM meta":
        assert "left behind" in done.problems[0]
        store = SQLiteStore(tmp_path / "new.db")
        assert store.open(None, None).fingerprint is None
        store.close()
    assert (done.entries, done.vectors) == (entries, vectors)
    assert done.lost == COUNT - 1 - entries


def test_a_cache_of_which_the_partitions_are_lost_finds_them_by_its_keys(tmp_path):
    path, embedder = tmp_path / "cache.db", HashEmbedder()
    with SemanticCache(path, embedder) as cache:
        cache.put("plain", "1")
        cache.put("tenant's", "2", namespace="tenant")
        cache.put("scoped", "3", scope="s")
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM partitions")
    connection.commit()
    connection.close()
    assert salvage(path, tmp_path / "new.db").entries == 2
    with SemanticCache(tmp_path / "new.db", embedder) as cache:
        assert cache.get("plain").response == "1"
        assert cache.get("tenant's", namespace="tenant").response == "2"


def test_what_is_in_the_log_alone_is_salvaged_too(path, tmp_path):
    store = SQLiteStore(path)
    store.open(FINGERPRINT, DIM)
    try:
        store.write([full(COUNT)])
        done = salvage(path, tmp_path / "new.db")
    finally:
        store.close()
    assert done.entries == COUNT


def test_a_file_without_a_first_page_is_refused_and_nothing_is_left(path, tmp_path):
    for header in (b"\0" * 100, b"", b"SQLite format 3\0" + b"\xff" * 84):
        path.write_bytes(header + path.read_bytes()[100:] if header else b"")
        with pytest.raises(CorruptCacheError, match="nothing can be read"):
            salvage(path, tmp_path / "new.db")
        assert [file.name for file in tmp_path.iterdir()] == ["cache.db"]


def test_a_target_that_is_there_already_is_left_alone(path, tmp_path):
    (tmp_path / "new.db").write_bytes(b"mine")
    with pytest.raises(ValueError, match="already"):
        salvage(path, tmp_path / "new.db")
    assert (tmp_path / "new.db").read_bytes() == b"mine"


def test_a_missing_file_is_an_error_and_makes_none(tmp_path):
    with pytest.raises(StoreBackendError, match="missing"):
        salvage(tmp_path / "missing.db", tmp_path / "new.db")
    assert list(tmp_path.iterdir()) == []
