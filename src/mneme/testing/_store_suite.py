"""What the parts of the store contract share: how a store is made, and records to put into it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest

from mneme.ports import Change, Record, Removed, Store, Vector

__all__ = ["DIM", "FINGERPRINT", "StoreSuite", "a_record", "a_vector", "assert_same", "history", "ids_of"]

DIM = 8
FINGERPRINT = "contract-embedder"


def history(store: Store, since: int, *, limit: int = 1000) -> list[Change]:
    """`changes`, of a store that cannot have forgotten any yet."""
    changes = store.changes(since, limit=limit)
    assert changes is not None
    return changes


def a_vector(seed: int) -> Vector:
    vector = np.random.default_rng(seed).standard_normal(DIM)
    unit: Vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def a_record(number: int, **changes: Any) -> Record:
    """A record that differs from that of another number everywhere; its partition follows from namespace and scope."""
    fields: dict[str, Any] = {
        "key": hashlib.sha256(str(number).encode()).digest(),
        "namespace": "main",
        "scope": "",
        "query": f"question {number}",
        "payload": b"answer %d" % number,
        "codec": "str",
        "metadata": "",
        "tags": (),
        "created_at": 1000.0 + number,
        "accessed_at": 2000.0 + number,
        "expires_at": None,
        "removable_at": None,
        "compute_seconds": 0.0,
        "vector": a_vector(number),
    }
    fields.update(changes)
    identity = f"{fields['namespace']}\n{fields['scope']}"
    fields.setdefault("partition", hashlib.sha256(identity.encode()).digest()[:16])
    return Record(**fields)


def assert_same(found: Record | None, stored: Record, entry_id: int, seq: int) -> None:
    """Assert that *found* is *stored* with this id and number, vector and all."""
    assert found is not None, "the record is missing"
    assert found._replace(vector=None) == stored._replace(id=entry_id, seq=seq, vector=None)
    if stored.vector is None:
        assert found.vector is None
    else:
        assert found.vector is not None, "the vector is missing"
        assert found.vector.dtype == np.float32
        assert np.array_equal(found.vector, stored.vector)


def ids_of(found: Iterable[Record | Removed | Change]) -> list[int]:
    return [each.id for each in found]


class StoreSuite:
    """Makes stores and checks each at its end."""

    durable: ClassVar[bool] = True

    def make_store(self) -> Store:
        """A store that is not open yet. For durable ones every call within one test means the same place."""
        raise NotImplementedError

    @contextlib.contextmanager
    def opened(self, fingerprint: str | None = FINGERPRINT, dim: int | None = DIM) -> Iterator[Store]:
        """A store that is open, and is checked and closed at the end."""
        store = self.make_store()
        try:
            store.open(fingerprint, dim)
            yield store
            assert store.check() == []
        finally:
            store.close()

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        with self.opened() as store:
            yield store

    @staticmethod
    def fill(store: Store) -> dict[str, int]:
        """Six entries, in order of id; their ids by a letter."""
        records = {
            "a": a_record(1, created_at=10.0, accessed_at=60.0, tags=("red",)),
            "b": a_record(2, created_at=20.0, accessed_at=50.0, tags=("red", "blue"), removable_at=100.0),
            "c": a_record(3, created_at=30.0, accessed_at=40.0, scope="s", removable_at=200.0),
            "d": a_record(4, created_at=40.0, accessed_at=40.0, namespace="other", tags=("blue",)),
            "e": a_record(5, created_at=50.0, accessed_at=20.0, namespace="other", removable_at=100.0, vector=None),
            "f": a_record(6, created_at=60.0, accessed_at=10.0, namespace="third", scope="s"),
        }
        written = store.write(list(records.values()))
        return dict(zip(records, (each.id for each in written), strict=True))
