"""Archives of encrypted stores: in the clear through the store, sealed from beneath it."""

import io

import pytest

from checkpoints.archives import records
from mneme import CheckpointError, EncryptedStore, KeyRing, MemoryStore, SemanticCache
from mneme._rules.archive_entries import SEALED
from mneme.ports import Selection
from mneme.stores import _encrypted_seal
from mneme.testing import HashEmbedder

RING = KeyRing.generate("one")
SECRETS = [b"elm street", b"user_id", b"tag of a user", b"tenant"]


def archive_of(store):
    stream = io.BytesIO()
    with SemanticCache(store=store) as cache:
        assert cache.dumps(stream).entries == 1
    return stream.getvalue()


@pytest.fixture
def beneath():
    """A store with an encrypted entry in it."""
    store = MemoryStore()
    encrypted = EncryptedStore(store, RING)
    encrypted.open(HashEmbedder().fingerprint, HashEmbedder().dim)
    with SemanticCache(store=Kept(encrypted), embedder=HashEmbedder()) as cache:
        cache.put("Where?", "17 elm street", namespace="tenant", metadata={"user_id": 4}, tags=["tag of a user"])
    return store


class Kept:
    """A store that its cache does not close."""

    def __init__(self, held):
        self._held = held
        self.name = held.name
        for verb in [
            "open",
            "read",
            "write",
            "delete",
            "record",
            "scan",
            "vectors",
            "changes",
            "summary",
            "check",
            "compact",
        ]:
            setattr(self, verb, getattr(held, verb))

    def close(self):
        pass


def test_from_beneath_an_archive_stays_sealed_and_can_be_opened_with_the_ring(beneath):
    assert SEALED == _encrypted_seal.SEALED
    sealed = archive_of(beneath)
    assert not [secret for secret in SECRETS if secret in sealed]
    store = MemoryStore()
    with SemanticCache.loads(io.BytesIO(sealed), store=Kept(store)):
        pass
    with SemanticCache(store=EncryptedStore(store, RING), embedder=HashEmbedder()) as cache:
        hit = cache.get("where?", namespace="tenant")
        assert (hit.response, hit.metadata) == ("17 elm street", {"user_id": 4})
        assert cache.check() == []


def test_through_the_store_an_archive_is_in_the_clear_and_can_be_encrypted_anew(beneath):
    plain = archive_of(EncryptedStore(beneath, RING))
    store = MemoryStore()
    with SemanticCache.loads(
        io.BytesIO(plain), store=EncryptedStore(store, KeyRing.generate("two")), embedder=HashEmbedder()
    ) as cache:
        assert cache.get("where?", namespace="tenant").response == "17 elm street"
        [kept] = store.scan(Selection(), vectors=True)
        assert not [secret for secret in SECRETS if secret in repr(kept).encode()]


def test_an_entry_that_says_it_is_sealed_and_is_not_is_refused():
    store = MemoryStore()
    store.open("hash", 8)
    store.write([records(1)[0]._replace(codec="sealed:x")])
    with SemanticCache(store=store) as cache, pytest.raises(CheckpointError, match="partition of another"):
        cache.dumps(io.BytesIO())
