"""What the SQLite store does with files: its own, other people's, damaged ones and newer ones."""

import os
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from mneme.errors import CorruptCacheError, EmbedderMismatchError, SchemaMigrationError, StoreBackendError
from mneme.ports import Selection
from mneme.stores import SQLiteStore, _sqlite_schema as schema
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record
from stores.sqlite_files import filled, refused

# --- files of ours ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_every_file_is_readable_by_its_owner_only_whatever_the_umask(tmp_path, umask):
    old = os.umask(umask)
    try:
        store = SQLiteStore(tmp_path / "cache.db")
        store.open(FINGERPRINT, DIM)
        store.write([a_record(1)])
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(["cache.db", "cache.db-wal", "cache.db-shm"], 0o600)
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["cache.db"]


def test_the_constructor_touches_nothing(tmp_path):
    store = SQLiteStore(tmp_path / "missing" / "cache.db")
    assert store.path == str(tmp_path / "missing" / "cache.db")
    store.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "options", "error"),
    [
        (b"cache.db", {}, TypeError),
        (None, {}, TypeError),
        ("", {}, ValueError),
        ("a\0b", {}, ValueError),
        (":memory:", {}, ValueError),
        ("x", {"durability": "none"}, ValueError),
        ("x", {"busy_timeout": -1}, ValueError),
        ("x", {"busy_timeout": float("nan")}, ValueError),
        ("x", {"busy_timeout": "5"}, TypeError),
        ("x", {"busy_timeout": True}, TypeError),
    ],
)
def test_bad_arguments_are_refused_by_the_constructor(path, options, error):
    with pytest.raises(error):
        SQLiteStore(path, **options)


@pytest.mark.parametrize("name", ["with space.db", "?mode=ro", "100%25.db", "#hash", "\u00e9\u4e16.db", "a'b\".db"])
def test_any_file_name_will_do(tmp_path, name):
    filled(tmp_path / name, 3)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_existing_empty_file_is_a_new_cache(tmp_path):
    (tmp_path / "cache.db").touch()
    filled(tmp_path / "cache.db")
    store = SQLiteStore(tmp_path / "cache.db")
    assert store.open(None, None).seq == 50
    store.close()


def test_the_file_says_whose_it_is(tmp_path):
    header = filled(tmp_path / "cache.db").read_bytes()[:100]
    assert header[68:72] == b"mnem"
    assert int.from_bytes(header[60:64], "big") == len(schema.MIGRATIONS)


@pytest.mark.parametrize(("durability", "level"), [("normal", 1), ("full", 2)])
def test_durability_is_how_sqlite_waits_for_the_disk(tmp_path, durability, level):
    store = SQLiteStore(tmp_path / "cache.db", durability=durability)
    store.open(None, None)
    assert store._writer.execute("PRAGMA synchronous").fetchone() == (level,)
    assert store._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_compacting_gives_space_back(tmp_path):
    store = SQLiteStore(filled(tmp_path / "cache.db", 1000))
    store.open(None, None)
    before = store._bytes()
    store.delete(Selection(created_before=1900.0))
    freed = store.compact()
    assert freed > 0
    assert store._bytes() < before / 2
    assert store.check() == []
    store.close()


# --- files that are not ours, damaged, or newer ----------------------------------------------------------------------


def other_database(path, *, wal=False, application_id=0):
    connection = sqlite3.connect(path)
    if wal:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA application_id = {application_id}")
    connection.execute("CREATE TABLE entries (id INTEGER)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("just some notes\n" * 100),
        lambda path: path.write_text("short"),
        lambda path: path.write_bytes(b"\0" * 8192),
        lambda path: path.write_bytes(b"SQLite format 3\0"),
        lambda path: path.write_bytes(b"SQLite format 3\0" + b"\0" * 84),
        other_database,
        lambda path: other_database(path, wal=True),
        lambda path: other_database(path, application_id=0x12345678),
    ],
)
def test_a_foreign_file_is_refused_untouched(tmp_path, make):
    make(tmp_path / "cache.db")
    os.utime(tmp_path / "cache.db", (1, 1))
    refused(tmp_path / "cache.db", CorruptCacheError, "not a mneme cache")


def test_a_directory_and_a_pipe_are_refused(tmp_path):
    (tmp_path / "directory").mkdir()
    refused(tmp_path / "directory", CorruptCacheError, "not a regular file")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", CorruptCacheError, "not a regular file")


def test_our_mark_without_our_tables_is_refused_untouched(tmp_path):
    other_database(tmp_path / "cache.db", application_id=schema.APPLICATION_ID)
    refused(tmp_path / "cache.db", CorruptCacheError)


def test_a_truncated_file_is_refused_untouched(tmp_path):
    path = filled(tmp_path / "cache.db")
    os.truncate(path, path.stat().st_size - 4096)
    refused(path, CorruptCacheError, "bytes are there")
    os.truncate(path, 50)
    refused(path, CorruptCacheError)


def test_a_damaged_first_page_is_refused_untouched(tmp_path):
    path = filled(tmp_path / "cache.db")
    content = bytearray(path.read_bytes())
    content[100:400] = b"\xff" * 300  # the root of the table of tables
    path.write_bytes(content)
    refused(path, CorruptCacheError, "damaged")


def test_damage_further_inside_is_met_by_check_and_by_reads(tmp_path):
    path = filled(tmp_path / "cache.db", 1000)
    content = bytearray(path.read_bytes())
    for page in range(40, len(content) // 4096, 3):
        content[page * 4096 : page * 4096 + 200] = b"\xa5" * 200
    path.write_bytes(content)
    store = SQLiteStore(path)
    store.open(FINGERPRINT, DIM)
    assert path.read_bytes() == content
    assert store.check()
    with pytest.raises(CorruptCacheError, match="damaged"):
        store.read(list(range(1, 1001)))
    with pytest.raises(CorruptCacheError, match="damaged"):
        store.delete(Selection())
    store.close()


def test_another_embedders_file_is_refused_untouched(tmp_path):
    path = filled(tmp_path / "cache.db")
    refused(path, EmbedderMismatchError, "another", fingerprint="another")
    refused(path, EmbedderMismatchError, "dim 9", dim=DIM + 1)


def crashed(path):
    """What a process leaves that died with everything still in the log."""
    store = SQLiteStore(path)
    store.open(FINGERPRINT, DIM)
    store._writer.execute("PRAGMA wal_autocheckpoint = 0")
    store.write([a_record(1)])
    copy = path.parent / "crashed"
    copy.mkdir()
    for suffix in ("", "-wal", "-shm"):
        shutil.copy(f"{path}{suffix}", copy / f"cache.db{suffix}")
    store.close()
    return copy / "cache.db"


def test_a_log_that_was_left_behind_is_neither_lost_nor_touched_by_a_refusal(tmp_path):
    path = crashed(tmp_path / "cache.db")
    names = {path.name for path in path.parent.iterdir()}
    content = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    store = SQLiteStore(path)
    with pytest.raises(EmbedderMismatchError):
        store.open("another", DIM)
    store.close()
    assert (path.read_bytes(), Path(f"{path}-wal").read_bytes()) == content
    assert {path.name for path in path.parent.iterdir()} == names
    store = SQLiteStore(path)
    store.open(FINGERPRINT, DIM)
    assert len(store.scan(Selection())) == 1
    assert store.check() == []
    store.close()


def test_a_newer_file_is_refused_untouched(tmp_path):
    path = filled(tmp_path / "cache.db")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    refused(path, SchemaMigrationError, "version 99")


NEXT = ("ALTER TABLE entries ADD COLUMN extra TEXT NOT NULL DEFAULT 'new'", "CREATE TABLE more (id INTEGER)")


def test_migrations_run_in_order_and_keep_what_is_there(tmp_path, monkeypatch):
    path = filled(tmp_path / "cache.db")
    more = (*schema.MIGRATIONS, NEXT, ("INSERT INTO more SELECT id FROM entries WHERE extra = 'new'",))
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", more)
        store = SQLiteStore(path)
        assert store.open(FINGERPRINT, DIM).schema_version == len(more)
        assert store._writer.execute("SELECT count(*) FROM more").fetchone() == (50,)
        assert len(store.scan(Selection())) == 50
        assert store.check() == []
        assert store.open(FINGERPRINT, DIM).schema_version == len(more)
        store.close()
        fresh = SQLiteStore(tmp_path / "fresh.db")
        assert fresh.open(None, None).schema_version == len(more)
        fresh.close()
    refused(path, SchemaMigrationError, f"version {len(more)}")


def test_a_migration_that_fails_leaves_the_old_version(tmp_path, monkeypatch):
    path = filled(tmp_path / "cache.db")
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, NEXT, ("INSERT INTO missing VALUES (1)",)))
        store = SQLiteStore(path)
        with pytest.raises(StoreBackendError, match="missing"):
            store.open(FINGERPRINT, DIM)
        store.close()
    store = SQLiteStore(path)
    assert store.open(FINGERPRINT, DIM).schema_version == len(schema.MIGRATIONS)
    assert store.check() == []
    store.close()
