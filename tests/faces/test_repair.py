"""What `check` finds is put right without losing an entry that can be kept; unless told to, nothing is altered."""

import json
import sqlite3
import stat

import numpy as np
import pytest

from mneme import MemoryStore, SemanticCache
from mneme._engine import saved
from mneme.indexes import _hnsw_partition
from mneme.ports import RepairingStore
from mneme.stores import SQLiteStore

COUNT = 20


@pytest.fixture(autouse=True)
def small_is_worth_saving(monkeypatch):
    monkeypatch.setattr(saved, "_WORTH_SAVING", 10)


def fill(cache):
    cache.put_many([(f"question @{number * 6}", f"answer {number}") for number in range(COUNT)], tags=["a", "b"])
    cache.put("scoped", "s", scope={"user": 1})
    cache.put("tenant's", "t", namespace="tenant", tags=["c"])
    cache.put("question @0", "answer 0", tags=["a", "b"])  # replaced: its number is above its id
    cache.delete("question @6")


def files(path):
    return {file.name: file.read_bytes() for file in path.parent.iterdir() if not file.name.endswith("-shm")}


def damage(path, *statements):
    connection = sqlite3.connect(path)
    for statement in statements:
        assert connection.execute(statement).rowcount >= 1, statement
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


# What is done to the file, what is said of it, how many entries are moved out and how many keep no vector.
DAMAGES = {
    "a key": ("UPDATE entries SET key = x'00' WHERE id = 3", "key that is not 32 bytes", 1, 1),
    "a low number": ("UPDATE entries SET seq = 0 WHERE id = 3", "too low, or occur twice", 0, 0),
    "a number twice": (
        "UPDATE entries SET seq = (SELECT id FROM entries WHERE seq = id LIMIT 1) WHERE seq > id",
        "too low, or occur twice",
        0,
        0,
    ),
    "a number of a deletion": (
        "UPDATE entries SET seq = (SELECT seq FROM tombstones) WHERE id = 3",
        "too low, or occur twice",
        0,
        0,
    ),
    "alive and deleted": ("INSERT INTO tombstones VALUES (999, 3, x'00')", "both alive and deleted", 0, 0),
    "an early deletion": ("INSERT INTO tombstones VALUES (998, 999, x'00')", "come before what they deleted", 0, 0),
    "no facts": ("DELETE FROM facts WHERE id IN (3, 22)", "2 entries have no row of facts", 0, 0),
    "no facts at all": ("DELETE FROM facts", "no row of facts", 0, 0),
    "no entry": ("DELETE FROM entries WHERE id = 3", "have no entry", 1, 1),
    "another partition": ("UPDATE facts SET partition_id = 2 WHERE id = 3", "facts disagree", 0, 0),
    "another namespace": ("UPDATE facts SET namespace_id = 2 WHERE id = 3", "facts disagree", 0, 0),
    "no partitions": ("DELETE FROM partitions", "partition that is missing", 1, 1),
    "no namespaces": ("DELETE FROM namespaces", "namespace that is missing", 0, 0),
    "no default namespace": ("DELETE FROM namespaces WHERE name = 'default'", "namespace that is missing", 0, 0),
    "a vector too many": (
        "INSERT INTO vectors VALUES (999, 1, (SELECT vector FROM vectors LIMIT 1))",
        "1 vectors have no entry",
        0,
        0,
    ),
    "a vector's partition": ("UPDATE vectors SET partition_id = 3 WHERE id = 3", "vectors disagree", 0, 0),
    "a short vector": ("UPDATE vectors SET vector = x'00000000' WHERE id = 3", "do not have the dimension", 0, 1),
    "a zero vector": ("UPDATE vectors SET vector = zeroblob(128) WHERE id = 3", "not of unit length", 0, 1),
    "another dimension": ("UPDATE meta SET dim = 9", "says that vectors have dimension 9", 0, 0),
    "tags that are no list": ("UPDATE entries SET tags = 'nonsense' WHERE id = 3", "tags that are no list", 0, 0),
    "no tags in an entry": ("UPDATE entries SET tags = '' WHERE id = 3", "not in both", 0, 0),
    "no tags in the table": ("DELETE FROM tags WHERE entry_id = 3", "not in both", 0, 0),
    "a tag too many": ("INSERT INTO tags VALUES ('x', 4)", "not in both", 0, 0),
    "a tag of nothing": ("INSERT INTO tags VALUES ('x', 999)", "not in both", 0, 0),
}
ANSWERS = {f"question @{number * 6}": f"answer {number}" for number in range(COUNT) if number != 1}


@pytest.mark.parametrize("name", DAMAGES)
def test_every_finding_is_repaired_and_nothing_is_altered_before(open_cache, face, cache_path, compass, name):
    statement, said, lost, mute = DAMAGES[name]
    with face.open(cache_path, compass, index_options={"path": None}) as cache:
        fill(cache)
        assert cache.check() == []
    damage(cache_path, statement)
    with face.open(cache_path, index_options={"path": None}) as cache:
        before = files(cache_path)
        plan = cache.repair()
        assert not plan.applied
        assert not plan.sound
        assert any(said in repair.problem for repair in plan.repairs)
        cache.close()
    assert files(cache_path)["cache.db"] == before["cache.db"]
    assert not cache_path.with_name("cache.db-broken.jsonl").exists()

    with face.open(cache_path, index_options={"path": None}) as cache:
        done = cache.repair(apply=True)
        assert done.applied
        assert [(repair.problem, repair.lost) for repair in done.repairs] == [
            (repair.problem, repair.lost) for repair in plan.repairs
        ]
        moved = sum(repair.lost for repair in done.repairs)
        assert moved == (0 if name == "no entry" else lost)
        assert done.sound, done.problems
        assert cache.repair(apply=True).repairs == ()
    cache = open_cache(cache_path, index_options={"path": None})
    assert cache.check() == []
    assert cache.stats().entries == COUNT + 1 - lost
    gone = {"question @12"} if lost and name != "no partitions" else set()
    for query, response in ANSWERS.items():
        hit = cache.get(query, similarity_threshold=0.9999)
        assert (None if hit is None else hit.response) == (None if query in gone else response)
    near = [cache.get(f"other @{n * 6 + 1}", similarity_threshold=0.999) for n in range(COUNT) if n != 1]
    assert sum(hit is None for hit in near) == (0 if name == "no partitions" else mute)
    if name != "no partitions":  # whose scope nobody can tell
        assert cache.get("scoped", scope={"user": 1}).response == "s"
    assert cache.get("tenant's", namespace="tenant").response == "t"
    if name not in {"no tags in an entry", "no partitions"} and not gone:
        assert len(cache.entries(tags=["a"])) == COUNT - 1


def test_rows_that_cannot_stay_are_kept_in_a_file_of_their_own(cache_path, compass):
    with SemanticCache(cache_path, compass) as cache:
        fill(cache)
    damage(cache_path, "UPDATE entries SET key = x'00' WHERE id = 3")
    with SemanticCache(cache_path, compass) as cache:
        cache.repair(apply=True)
        aside = cache_path.with_name("cache.db-broken.jsonl")
        assert stat.S_IMODE(aside.stat().st_mode) == 0o600
        [row] = map(json.loads, aside.read_text().splitlines())
        assert (row["query"], row["key"], row["payload"]) == (
            "question @12",
            {"base64": "AA=="},
            {"base64": "YW5zd2VyIDI="},
        )
        done = cache.forget(tags=["a"])
        assert not done.clean
        assert "broken.jsonl" in done.remains[0]
        aside.unlink()
        assert cache.forget(tags=["a"]).clean


def test_followers_read_everything_anew_after_a_repair(open_cache, cache_path):
    follower = open_cache(cache_path, stale_check_interval=0.0)
    fill(follower)
    assert follower.get("question @12").response == "answer 2"
    damage(cache_path, "UPDATE entries SET key = x'00' WHERE id = 3")
    other = open_cache(cache_path)
    assert other.repair(apply=True).sound
    assert follower.get("question @12", similarity_threshold=1.0) is None
    assert follower.get("other @19", similarity_threshold=0.999).response == "answer 3"
    assert follower.stats().entries == COUNT


def test_numbers_go_on_from_what_anybody_may_have_seen(open_cache, cache_path):
    with SemanticCache(cache_path) as cache:
        cache.put_many([(f"question {number}", "x") for number in range(10)])
    follower = SQLiteStore(cache_path)
    seen = follower.open(None, None).seq
    damage(cache_path, "UPDATE entries SET key = substr(key, 1, 31) WHERE id > 4")
    cache = open_cache(cache_path)
    cache.repair(apply=True)
    assert follower.changes(seen) is None
    cache.put("another", "y")
    [written] = [entry for entry in cache.entries() if entry.query == "another"]
    assert written.entry_id > seen
    assert follower.open(None, None).seq > seen
    assert cache.check() == []
    follower.close()


def without_index(path, name, statement):
    """Change a table behind the back of one of its indexes."""
    connection = sqlite3.connect(path, isolation_level=None)
    row = connection.execute("SELECT * FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("DELETE FROM sqlite_master WHERE name = ?", (name,))
    connection.close()
    connection = sqlite3.connect(path, isolation_level=None)
    assert connection.execute(statement).rowcount >= 1
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", row)
    connection.close()


def test_an_index_of_sqlite_that_lacks_rows_is_built_anew(open_cache, face, cache_path, compass):
    with face.open(cache_path, compass) as cache:
        fill(cache)
    without_index(cache_path, "facts_accessed", "UPDATE facts SET accessed_at = 5 WHERE id < 9")
    cache = open_cache(cache_path)
    assert any("facts_accessed" in problem for problem in cache.check())
    assert all(repair.possible for repair in cache.repair().repairs)
    done = cache.repair(apply=True)
    assert done.sound
    assert {repair.remedy for repair in done.repairs} == {"the indexes are built anew"}
    assert cache.stats().entries == COUNT + 1


def test_damaged_pages_are_not_touched_and_the_way_out_is_named(face, cache_path, compass):
    with face.open(cache_path, compass) as cache:
        fill(cache)
        cache.put_many([(f"large @{n / 10}", "x" * 3000) for n in range(100)])
    with cache_path.open("r+b") as file:
        file.seek(cache_path.stat().st_size // 4096 // 2 * 4096)
        file.write(b"\xff" * 4096 * 3)
    with face.open(cache_path) as cache:
        before = cache_path.read_bytes()
        done = cache.repair(apply=True)
    assert not done.sound
    assert any(not repair.possible and "salvage" in repair.remedy for repair in done.repairs)
    assert cache_path.read_bytes() == before


@pytest.mark.parametrize("kind", ["numpy", "hnsw"])
@pytest.mark.parametrize("where", ["first", "middle", "last", "half"])
def test_a_damaged_saved_index_is_made_anew(open_cache, face, cache_path, compass, monkeypatch, kind, where):  # noqa: PLR0917 - fixtures
    monkeypatch.setattr(_hnsw_partition, "SMALL", 8)
    with face.open(cache_path, compass, index_backend=kind) as cache:
        fill(cache)
    index = cache_path.with_name("cache.db-index")
    held = bytearray(index.read_bytes())
    cache = open_cache(cache_path, index_backend=kind)
    assert cache.repair().repairs == ()
    cache.close()
    at = {"first": 0, "middle": 200, "last": len(held) - 1, "half": len(held) // 2}[where]
    held[at] ^= 1
    index.write_bytes(held[: len(held) // 2] if where == "half" else held)
    with face.open(cache_path) as bare:  # no embedder is needed to look, nor to remove it
        [repair] = bare.repair().repairs
        assert "saved index" in repair.problem
        assert index.exists()
        [repair] = bare.repair(apply=True).repairs
        assert not index.exists()
        assert bare.repair().repairs == ()
    cache = open_cache(cache_path, index_backend=kind)
    assert index.exists()
    assert cache.repair().repairs == ()
    assert cache.get("other @13", similarity_threshold=0.999).response == "answer 2"


def test_a_saved_index_that_was_damaged_while_the_cache_is_open_is_saved_again(open_cache, cache_path):
    cache = open_cache(cache_path, index_backend="numpy")
    fill(cache)
    cache.compact()
    index = cache_path.with_name("cache.db-index")
    index.write_bytes(index.read_bytes()[:-1])
    assert len(cache.repair(apply=True).repairs) == 1
    assert index.exists()
    assert cache.repair().repairs == ()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("INSERT INTO staged_vectors VALUES (999, 1, zeroblob(12))", "have no entry"),
        ("INSERT INTO staged_vectors VALUES (5, 1, zeroblob(12))", "said to lack one"),
        ("INSERT INTO unstaged VALUES (999)", "are not there"),
        ("UPDATE staged_vectors SET vector = x'00' WHERE id = 3", "do not have its dimension"),
    ],
)
def test_what_is_taken_in_of_another_embedder_is_made_again_if_it_is_wrong(cache_path, compass, statement, said):
    with SemanticCache(cache_path, compass) as cache:
        fill(cache)
    store = SQLiteStore(cache_path)
    store.open(None, None)
    store.begin_reembedding("next", 3)
    lacking = [entry for entry in store.unstaged() if entry.id != 5]
    store.stage(lacking, [np.float32([1, 0, 0])] * len(lacking))
    assert store.check() == []
    damage(cache_path, statement)
    assert any(said in sentence for sentence in store.check())
    assert any(said in repair.problem for repair in store.repair(apply=True))
    assert store.check() == []
    assert len(store.unstaged()) in {1, 2}
    store.close()


def test_memory_that_does_not_agree_is_filled_anew(open_cache, cache_path):
    cache = open_cache(cache_path)
    fill(cache)
    core = cache._core
    core.index._port.remove([3])
    core.counts["default"] += 5
    assert len(cache.repair().repairs) == 2
    done = cache.repair(apply=True)
    assert (len(done.repairs), done.problems) == (2, ())
    assert cache.get("other @13", similarity_threshold=0.999).response == "answer 2"


def test_a_sound_cache_has_nothing_to_repair(cache):
    cache.put("q", "r")
    for apply in (False, True):
        report = cache.repair(apply=apply)
        assert (report.applied, report.repairs, report.problems, report.sound) == (apply, (), (), True)
    with pytest.raises(TypeError, match="apply"):
        cache.repair(apply=1)


def test_stores_say_whether_they_repair(cache_path):
    assert isinstance(SQLiteStore(cache_path), RepairingStore)
    assert not isinstance(MemoryStore(), RepairingStore)
