"""A cache whose file nobody can read without the keys, and how the keys are changed while it is kept."""

from pathlib import Path

from mneme import DecryptionError, EncryptedStore, KeyRing, SemanticCache, SQLiteStore
from mneme.embedders import LocalEmbedder

PATH = Path("answers.db")
KEYS = Path("keys.json")  # here a file, so that the example runs; at work a secret manager


def open_store() -> EncryptedStore:
    """The store, with the keys as they are kept now."""
    return EncryptedStore(SQLiteStore(PATH), KeyRing.from_json(KEYS.read_text()))


def main() -> None:
    """Encrypt, look at the file, change the keys."""
    KEYS.touch(mode=0o600)
    KEYS.write_text(KeyRing.generate("2026-01").to_json())
    embedder = LocalEmbedder()
    with SemanticCache(embedder=embedder, store=open_store()) as cache:
        cache.put("Where is my order?", "It went to 17 Elm Street.", metadata={"user_id": 42})
        print("answer:     ", cache.get("Where's my order?").response)
    print("in the file:", b"Elm Street" in PATH.read_bytes())

    KEYS.write_text(KeyRing.from_json(KEYS.read_text()).with_key("2026-02").to_json())
    store = open_store()
    with SemanticCache(embedder=embedder, store=store) as cache:
        print("rotated:    ", store.rotate(), "entries, now under", store.keys_in_use())
        cache.compact()
    KEYS.write_text(KeyRing.from_json(KEYS.read_text()).without("2026-01").to_json())

    with SemanticCache(embedder=embedder, store=open_store()) as cache:
        print("answer:     ", cache.get("Where's my order?").response)
    try:
        SemanticCache(embedder=embedder, store=EncryptedStore(SQLiteStore(PATH), KeyRing.generate()))
    except DecryptionError as error:
        print("other keys: ", error)


if __name__ == "__main__":
    main()
