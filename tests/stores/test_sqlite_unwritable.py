"""What the SQLite store says when its file cannot be made or written: no rights, locked, full."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mneme.errors import StoreBackendError
from mneme.ports import Selection
from mneme.stores import SQLiteStore
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record, ids_of
from stores.sqlite_files import filled, refused


@pytest.fixture
def plain_user():
    """A directory that everybody may enter, and this process without the rights of root."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o777)
    root = os.geteuid() == 0
    if root:
        os.chown(directory, 65534, 65534)
        os.seteuid(65534)
    try:
        yield directory
    finally:
        if root:
            os.seteuid(0)
        directory.chmod(0o777)
        shutil.rmtree(directory)


def test_a_missing_directory_is_named_and_not_made(tmp_path):
    store = SQLiteStore(tmp_path / "missing" / "cache.db")
    with pytest.raises(StoreBackendError, match=r"no directory .*missing.*create it"):
        store.open(None, None)
    (tmp_path / "file").touch()
    store = SQLiteStore(tmp_path / "file" / "cache.db")
    with pytest.raises(StoreBackendError, match=r"cache\.db"):
        store.open(None, None)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_read_only_directory_is_named(plain_user):
    plain_user.chmod(0o555)
    refused(plain_user / "cache.db", StoreBackendError, "Permission denied")


def test_a_read_only_file_is_named(plain_user):
    path = filled(plain_user / "cache.db")
    path.chmod(0o400)
    store = SQLiteStore(path)
    with pytest.raises(StoreBackendError, match=r"readonly.*writable"):
        store.open(FINGERPRINT, DIM)
    store.close()
    path.chmod(0o000)
    refused_store = SQLiteStore(path)
    with pytest.raises(StoreBackendError, match="Permission denied"):
        refused_store.open(FINGERPRINT, DIM)


def test_a_file_in_a_read_only_directory_is_named(plain_user):
    path = filled(plain_user / "cache.db")
    plain_user.chmod(0o555)
    refused(path, StoreBackendError, "writable")


def test_a_locked_database_is_waited_for_and_then_named(tmp_path):
    path = filled(tmp_path / "cache.db")
    store = SQLiteStore(path, busy_timeout=0.02)
    store.open(FINGERPRINT, DIM)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for call in (lambda: store.write([a_record(99)]), lambda: store.delete(Selection()), store.compact):
        with pytest.raises(StoreBackendError, match=r"cache\.db.*locked.*busy_timeout"):
            call()
    second = SQLiteStore(path, busy_timeout=0.02)
    with pytest.raises(StoreBackendError, match="locked"):
        second.open(FINGERPRINT, DIM)
    assert len(store.scan(Selection())) == 50, "readers are not blocked"
    other.execute("ROLLBACK")
    other.close()
    assert len(store.write([a_record(99)])) == 1
    assert second.open(FINGERPRINT, DIM).seq == 51
    second.close()
    store.close()


def test_a_full_store_says_so_and_goes_on_after_space_is_made(tmp_path):
    store = SQLiteStore(tmp_path / "cache.db")
    store.open(FINGERPRINT, DIM)
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count = {pages + 50}")
    written = []

    def fill():
        while True:
            written.extend(store.write([a_record(len(written) + n, payload=b"x" * 3000) for n in range(7)]))

    with pytest.raises(StoreBackendError, match=r"cache\.db.*full.*free some space"):
        fill()
    assert written
    assert len(written) % 7 == 0
    assert ids_of(store.scan(Selection())) == [each.id for each in written]
    assert store.check() == []
    store.delete(Selection(refs=[each.id for each in written[:-7]]))
    assert len(store.write([a_record(9999)])) == 1
    assert store.check() == []
    store.close()


FILL = """
import resource, signal, sys
from mneme.errors import StoreBackendError
from mneme.ports import Selection
from mneme.stores import SQLiteStore
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path, limit = sys.argv[1], int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
store = SQLiteStore(path)
written = []
try:
    store.open(FINGERPRINT, DIM)
    while True:
        written.extend(store.write([a_record(len(written) + n, payload=b"x" * 3000) for n in range(7)]))
except StoreBackendError as error:
    assert path in str(error), error
if store._writer is not None:
    assert [each.id for each in store.scan(Selection(), limit=10**6)] == [each.id for each in written]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    written.extend(store.write([a_record(10**6)]))
    assert store.check() == []
store.close()
print(len(written))
"""


@pytest.mark.parametrize("limit", [0, 4096, 20_000, 200_000, 2_000_000])
def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path, limit):
    path = tmp_path / "cache.db"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FILL, path, str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count = int(done.stdout)
    if count == 0:
        assert list(tmp_path.iterdir()) == [], "an open that fails leaves nothing"
        return
    store = SQLiteStore(path)
    store.open(FINGERPRINT, DIM)
    assert len(store.scan(Selection(), limit=10**6)) == count
    assert store.check() == []
    store.close()
