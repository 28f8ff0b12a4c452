"""Making files of the SQLite store, and watching that a refusal leaves them alone."""

import pytest

from mneme.stores import SQLiteStore
from mneme.testing._store_suite import DIM, FINGERPRINT, a_record


def filled(path, count=50):
    """A file with *count* entries, closed."""
    store = SQLiteStore(path)
    store.open(FINGERPRINT, DIM)
    store.write([a_record(number, payload=b"x" * 500, tags=("t",)) for number in range(count)])
    store.close()
    return path


def everything(directory):
    """Name, bytes and time of change of every file."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.iterdir() if path.is_file()}


def refused(path, error, match=None, *, fingerprint=FINGERPRINT, dim=DIM):
    """Opening raises, and alters nothing."""
    before = everything(path.parent)
    store = SQLiteStore(path, busy_timeout=0.05)
    with pytest.raises(error, match=match) as caught:
        store.open(fingerprint, dim)
    assert str(path) in str(caught.value)
    store.close()
    assert everything(path.parent) == before
