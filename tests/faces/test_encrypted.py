"""A cache over an encrypted store is a cache like any other, that leaves nothing readable anywhere."""

import sqlite3

import pytest

from mneme import DecryptionError, EmbedderMismatchError, EncryptedStore, KeyRing, MemoryStore, SQLiteStore
from mneme._engine import saved
from mneme.ports import Selection

RING = KeyRing.generate()


@pytest.fixture(autouse=True)
def small_is_worth_saving(monkeypatch):
    monkeypatch.setattr(saved, "_WORTH_SAVING", 10)


@pytest.fixture
def open_encrypted(open_cache, cache_path):
    def open_(ring=RING, **options):
        return open_cache(store=EncryptedStore(SQLiteStore(cache_path), ring), **options)

    return open_


def fill(cache):
    cache.put_many(
        [
            {"query": f"XSECRETq @{number * 6}", "response": f"XSECRETr {number}", "metadata": {"XSECRETm": number}}
            for number in range(20)
        ],
        namespace="XSECRETn",
        scope={"XSECRETs": 1},
        tags=["XSECRETt"],
    )


def test_damage_beneath_does_not_keep_a_store_from_being_opened_and_repaired(open_encrypted, cache_path):
    cache = open_encrypted()
    fill(cache)
    cache.close()
    with sqlite3.connect(cache_path) as connection:
        connection.execute("DELETE FROM namespaces")
    connection.close()
    store = EncryptedStore(SQLiteStore(cache_path), RING)
    store.open(None, None)
    assert store.repair(apply=True)
    assert len(store.scan(Selection())) == 20
    store.close()


WHERE = {"namespace": "XSECRETn", "scope": {"XSECRETs": 1}}


def assert_answers(cache):
    exact = cache.get("xsecretQ @6", **WHERE)
    assert (exact.layer, exact.response, exact.metadata) == ("exact", "XSECRETr 1", {"XSECRETm": 1})
    near = cache.get("other @13", similarity_threshold=0.99, **WHERE)
    assert (near.layer, near.response, near.query) == ("semantic", "XSECRETr 2", "XSECRETq @12")
    assert cache.get("xsecretQ @6", namespace="other") is None
    assert [entry.response for entry in cache.entries(tags=["XSECRETt"], limit=2)] == ["XSECRETr 0", "XSECRETr 1"]
    assert cache.list_namespaces() == ["XSECRETn"]
    assert cache.stats("XSECRETn").entries == 20


def test_it_answers_on_both_layers_now_and_when_it_is_opened_again(open_encrypted, cache_path):
    cache = open_encrypted()
    fill(cache)
    assert_answers(cache)
    assert cache.check() == []
    cache.compact()
    assert not cache_path.with_name("cache.db-index").exists()  # it would hold the vectors in the clear
    cache.close()
    cache = open_encrypted(index_options={"path": cache_path.with_name("mine")})
    assert_answers(cache)
    assert cache.health().store_backend == "encrypted sqlite"
    cache.close()
    assert [file.name for file in cache_path.parent.iterdir()] == ["cache.db"]
    assert b"SECRET" not in cache_path.read_bytes()


def test_two_caches_at_one_file_follow_each_other(open_encrypted):
    one, other = open_encrypted(stale_check_interval=0.0), open_encrypted(stale_check_interval=0.0)
    fill(one)
    assert_answers(other)
    other.invalidate(tags=["XSECRETt"])
    assert one.get("xsecretQ @6", **WHERE) is None


def test_forgetting_rewrites_the_file_beneath(open_encrypted, cache_path):
    cache = open_encrypted()
    fill(cache)
    [stored] = cache._core.store._port.encrypted.read([1])
    done = cache.forget(where={"XSECRETm": 0}, namespace="XSECRETn")
    assert (done.entries, done.clean) == (1, True)
    held = b"".join(file.read_bytes() for file in cache_path.parent.iterdir())
    assert stored.key not in held
    assert stored.codec[:60].encode() not in held


def test_a_keyless_or_wrong_cache_is_refused(face, open_encrypted, cache_path, compass):
    cache = open_encrypted()
    fill(cache)
    cache.close()
    with pytest.raises(EmbedderMismatchError, match="encrypted"):
        face.open(cache_path, compass)
    with pytest.raises(DecryptionError):
        face.open(store=EncryptedStore(SQLiteStore(cache_path), KeyRing.generate()), embedder=compass)
    with face.open(cache_path) as bare:  # no embedder: it can count, and read nothing
        assert bare.stats().entries == 20
        assert "SECRET" not in repr(bare.entries())


def test_what_needs_the_vectors_in_the_clear_is_refused(face, compass):
    with pytest.raises(TypeError, match="searches by itself"):
        face.open(store=EncryptedStore(MemoryStore(), RING), embedder=compass, index_backend="store")
    with pytest.raises(ValueError, match="mmap-shared"):
        face.open(store=EncryptedStore(MemoryStore(), RING), embedder=compass, multi_process_mode="mmap-shared")


def test_keys_are_changed_while_the_cache_is_open(open_cache, cache_path):
    store = EncryptedStore(SQLiteStore(cache_path), RING)
    cache = open_cache(store=store)
    fill(cache)
    cache.close()
    newer = EncryptedStore(SQLiteStore(cache_path), RING.with_key("2"))
    cache = open_cache(store=newer)
    assert_answers(cache)
    assert newer.rotate(batch=6) == 20
    assert newer.keys_in_use() == {"2": 20}
    assert_answers(cache)


@pytest.mark.parametrize("with_keys", [True, False])
def test_rows_are_repaired_with_the_keys_or_without(open_encrypted, face, cache_path, with_keys):
    cache = open_encrypted()
    fill(cache)
    cache.close()
    connection = sqlite3.connect(cache_path)
    connection.execute("DELETE FROM facts WHERE id = 1")
    connection.execute("UPDATE entries SET seq = 0 WHERE id = 2")
    connection.execute("UPDATE entries SET key = x'00' WHERE id = 20")
    connection.commit()
    connection.close()
    with open_encrypted() if with_keys else face.open(cache_path) as opened:
        report = opened.repair(apply=True)
        assert report.sound
        assert sum(repair.lost for repair in report.repairs) == 1
    assert b"SECRET" not in cache_path.with_name("cache.db-broken.jsonl").read_bytes()
    cache = open_encrypted()
    assert cache.check() == []
    assert cache.stats().entries == 19
    assert cache.get("xsecretQ @6", **WHERE).response == "XSECRETr 1"
