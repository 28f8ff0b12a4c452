"""What is forgotten leaves no byte in any file: not its texts, not its vector, not the hash of its query."""

import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from faces.adapter import Compass, direction
from mneme import Forgotten, MemoryStore, SemanticCache, SQLiteStore
from mneme._engine import saved
from mneme._rules.keys import key_of, normalize_query, partition_of
from mneme.errors import StoreBackendError
from mneme.indexes import _hnsw_partition
from mneme.ports import ScrubbingStore
from mneme.stores import sqlite
from mneme.testing import Faults, FlakyStore

SECRETS = ("query", "response", "metadata", "tag", "replaced")
PATIENT = 60.0


@pytest.fixture(autouse=True)
def small_is_worth_saving(monkeypatch):
    monkeypatch.setattr(saved, "_WORTH_SAVING", 10)


@pytest.fixture(autouse=True)
def deleting_overwrites_nothing(monkeypatch):
    """Some builds of SQLite (Debian's) overwrite what is deleted by themselves; others do not."""
    connect = sqlite.connect
    monkeypatch.setattr(sqlite, "connect", lambda *given: connect(*given, "secure_delete = OFF"))


def fill(cache, *, others=40):
    """Entries of user 42 that say so everywhere, among others; one of them has replaced another answer."""
    cache.put_many([(f"question @{number}.5", f"answer {number}" * 40) for number in range(others)])
    personal = {"metadata": {"user_id": 42, "note": secret("metadata")}, "tags": ["user-42", secret("tag")]}
    for number in range(10):
        cache.put(f"{secret('query')} {number} @{200 + number}", secret("replaced") * 50, **personal)
        cache.put(
            f"{secret('query')} {number} @{200 + number}", secret("response") * (1 + 2000 * (number == 3)), **personal
        )


def secret(what):
    return f"XMARKER{what}Z"


def everywhere(path):
    """The bytes of every file of the cache."""
    return {beside.name: beside.read_bytes() for beside in path.parent.iterdir() if beside.is_file()}


def traces(path):
    """Which secrets are found, in which file."""
    needles = {what: [secret(what).encode(form) for form in ("utf-8", "utf-16-le")] for what in SECRETS}
    needles["vector"] = [direction(200 + number).tobytes() for number in range(10)]
    needles["vector"] += [(direction(200 + number) * 127).round().astype("i1").tobytes() for number in range(10)]
    partition = partition_of("default", "")
    needles["key"] = [key_of(partition, normalize_query(f"{secret('query')} {n} @{200 + n}")) for n in range(10)]
    return {
        f"{what} in {name}"
        for name, held in everywhere(path).items()
        for what, forms in needles.items()
        if any(form in held for form in forms)
    }


@pytest.mark.parametrize(
    "selected", [{"where": {"user_id": 42}}, {"tags": ["user-42"]}, {"where": {"user_id": 42}, "namespace": "default"}]
)
def test_nothing_is_left_in_any_file_while_the_cache_is_open_nor_when_it_was_closed(open_cache, cache_path, selected):
    cache = open_cache(cache_path)
    fill(cache)
    cache.compact()  # so that the saved index holds them too
    before = {trace.split(" in ")[0] for trace in traces(cache_path)}
    assert before == {*SECRETS, "vector", "key"} - {"replaced"}
    fill(cache)
    assert "replaced in cache.db-wal" in traces(cache_path)
    done = cache.forget(**selected)
    assert done == Forgotten(10, ())
    assert done.clean
    assert traces(cache_path) == set()
    assert cache.get(f"{secret('query')} 1 @201", similarity_threshold=0.99) is None
    assert cache.get("other @12.5", similarity_threshold=0.9999).response == "answer 12" * 40
    cache.close()
    assert traces(cache_path) == set()
    again = open_cache(cache_path)
    assert again.stats().entries == 40
    assert again.get("another @12.5", similarity_threshold=0.9999).response == "answer 12" * 40


def test_a_graph_and_its_saved_form_let_go_of_the_vectors_too(open_cache, cache_path, monkeypatch):
    monkeypatch.setattr(_hnsw_partition, "SMALL", 8)
    cache = open_cache(cache_path, index_backend="hnsw")
    fill(cache)
    assert cache.invalidate(tags=["user-42"]) == 10
    assert cache.stats().index_tombstone_count > 0
    cache.compact()
    assert "vector in cache.db-index" in traces(cache_path)  # nodes of a graph are passed over, not taken out
    assert cache.forget(tags=["user-42"]).clean
    assert cache.stats().index_tombstone_count == 0
    cache.close()
    assert (cache_path.parent / "cache.db-index").exists()
    assert traces(cache_path) == set()


def test_vectors_do_not_stay_in_the_memory_of_an_exact_index_either(open_cache, cache_path):
    cache = open_cache(cache_path)
    fill(cache)
    fill(cache)
    assert cache.invalidate(tags=["user-42"]) == 10
    assert cache.stats().index_tombstone_count > 0
    assert cache.forget(where={"user_id": 42}) == Forgotten(0, ())
    assert cache.stats().index_tombstone_count == 0
    assert cache.get("other @12.5", similarity_threshold=0.9999).response == "answer 12" * 40


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not tell which files are mapped")
def test_a_namespace_that_is_forgotten_whole_does_not_stay_in_the_file_that_the_index_was_opened_from(
    open_cache, cache_path
):
    cache = open_cache(cache_path)
    fill(cache)
    cache.put_many([(f"question @{number}.5", "answer") for number in range(20)], namespace="tenant")
    cache.close()
    again = open_cache(cache_path)
    assert again.get("other @12.5", similarity_threshold=0.9999, namespace="tenant").response == "answer"
    mapped = f"{cache_path}-index"
    assert mapped in Path("/proc/self/maps").read_text()
    assert again.forget(namespace="tenant") == Forgotten(20, ())
    assert f"{mapped} (deleted)" not in Path("/proc/self/maps").read_text()
    assert again.get("other @12.5", similarity_threshold=0.9999).response == "answer 12" * 40


def test_what_was_removed_before_goes_too_even_if_nothing_is_left_to_remove(open_cache, cache_path):
    cache = open_cache(cache_path)
    fill(cache)
    assert cache.invalidate(tags=["user-42"]) == 10
    assert traces(cache_path) != set()
    assert cache.forget(where={"user_id": 42}) == Forgotten(0, ())
    assert traces(cache_path) == set()


def test_a_cache_without_an_embedder_forgets_the_saved_index_as_well(face, open_cache, cache_path):
    cache = open_cache(cache_path)
    fill(cache)
    cache.close()
    unfinished = cache_path.with_name("cache.db-index.0123abcd.new")
    unfinished.write_bytes(direction(200).tobytes())
    other = cache_path.with_name("cache.db-index.backup")
    other.write_bytes(b"not ours")
    assert "vector in cache.db-index" in traces(cache_path)
    with face.open(cache_path) as bare:
        assert bare.forget(tags=["user-42"]) == Forgotten(10, ())
    assert traces(cache_path) == set()
    assert not unfinished.exists()
    assert other.exists()


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"n": 1}, {"one", "float"}),
        ({"n": (1, "1")}, {"one", "float", "text"}),
        ({"n": True}, {"true"}),
        ({"n": None}, {"null"}),
        ({"n": [1, {"a": 2}]}, {"nested"}),
        ({"n": [True, {"a": 2}]}, set()),
        ({"n": 1, "m": "x"}, {"float"}),
        ({"absent": None}, set()),
    ],
)
def test_where_compares_json_values_by_type_and_value(cache, where, found):
    values = {"one": 1, "float": 1.0, "text": "1", "true": True, "null": None, "nested": [1, {"a": 2}]}
    for query, value in values.items():
        cache.put(query, "r", metadata={"n": value, "m": "x" if query == "float" else "y"})
    cache.put("bare", "r")
    assert cache.forget(where=where).entries == len(found)
    assert {entry.query for entry in cache.entries()} == {*values, "bare"} - found


def test_all_that_is_given_must_hold(cache):
    for query, namespace, scope, tag in [
        ("a", "n", "s", "t"),
        ("b", "n", "s", "u"),
        ("c", "n", None, "t"),
        ("d", "m", "s", "t"),
    ]:
        cache.put(query, "r", namespace=namespace, scope=scope, tags=[tag], metadata={"x": 1})
    assert cache.forget(namespace="n", scope="s", tags=["t"], where={"x": 1}).entries == 1
    assert {entry.query for entry in cache.entries()} == {"b", "c", "d"}
    assert cache.forget(namespace="n").entries == 2


def test_more_than_a_page_is_forgotten(cache):
    cache.put_many([{"query": f"q{n}", "response": "r", "metadata": {"odd": n % 2}} for n in range(2100)])
    assert cache.forget(where={"odd": 1}).entries == 1050
    assert cache.stats().entries == 1050


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, ValueError),
        ({"where": {}}, ValueError),
        ({"where": [1]}, TypeError),
        ({"where": {1: 2}}, TypeError),
        ({"where": {"a": {1, 2}}}, TypeError),
        ({"where": {"a": float("nan")}}, ValueError),
        ({"tags": "t"}, TypeError),
        ({"namespace": " "}, ValueError),
        ({"tags": ["t"], "timeout": -1}, ValueError),
        ({"tags": ["t"], "timeout": "1"}, TypeError),
    ],
)
def test_bad_arguments_are_refused_and_nothing_is_removed(cache, given, error):
    cache.put("q", "r", tags=["t"], metadata={"a": 1})
    with pytest.raises(error):
        cache.forget(**given)
    assert cache.stats().entries == 1


# --- others at the same file -----------------------------------------------------------------------------------------


def test_a_reader_of_an_earlier_state_is_reported_and_the_next_call_finishes(open_cache, cache_path):
    cache = open_cache(cache_path)
    fill(cache)
    reader = sqlite3.connect(cache_path, isolation_level=None)
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entries").fetchone()
        done = cache.forget(where={"user_id": 42}, timeout=0.05)
        assert (done.entries, done.clean) == (10, False)
        [sentence] = done.remains
        assert str(cache_path) in sentence
        assert "reading" in sentence
        assert "forget again" in sentence
        assert traces(cache_path) != set()
    finally:
        reader.close()
    assert cache.forget(where={"user_id": 42}) == Forgotten(0, ())
    assert traces(cache_path) == set()


def test_a_reader_that_ends_in_time_is_waited_for(open_cache, cache_path):
    cache = open_cache(cache_path)
    fill(cache)
    reader = sqlite3.connect(cache_path, isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM entries").fetchone()
    ending = threading.Timer(0.2, reader.close)
    ending.start()
    try:
        assert cache.forget(where={"user_id": 42}, timeout=PATIENT).clean
    finally:
        ending.join()
    assert traces(cache_path) == set()


def test_a_writer_that_does_not_end_is_reported(open_cache, cache_path):
    cache = open_cache(store=SQLiteStore(cache_path, busy_timeout=0.05))
    fill(cache)
    assert cache.invalidate(tags=["user-42"]) == 10
    writer = sqlite3.connect(cache_path, isolation_level=None)
    try:
        writer.execute("BEGIN IMMEDIATE")
        done = cache.forget(namespace="nobody's", timeout=0.05)
    except StoreBackendError:
        done = None  # it could not even look
    finally:
        writer.close()
    assert done is None or "writing" in done.remains[0]
    assert cache.forget(tags=["user-42"]).clean
    assert traces(cache_path) == set()


def test_another_cache_does_not_save_what_was_forgotten(open_cache, cache_path, face):
    with face.open(cache_path, Compass(), stale_check_interval=3600.0) as other:
        fill(other)
        cache = open_cache(cache_path)
        assert cache.forget(tags=["user-42"]).entries == 10
        other.compact()  # has not looked for news for long, and would save what it has
        assert traces(cache_path) == set()
    assert traces(cache_path) == set()


def test_a_cache_that_follows_hears_of_it_as_of_any_deletion(open_cache, cache_path):
    follower = open_cache(cache_path, stale_check_interval=0.0)
    cache = open_cache(cache_path)
    fill(cache)
    query = f"{secret('query')} 1 @201"
    assert follower.get(query) is not None
    cache.forget(where={"user_id": 42})
    assert follower.get(query) is None
    assert follower.lookup("x @201", k=1)[0].response.startswith("answer")


# --- other stores ----------------------------------------------------------------------------------------------------


def test_a_store_that_cannot_tell_what_is_left_says_so(open_cache):
    class Plain(MemoryStore):
        scrub = property(lambda self: (_ for _ in ()).throw(AttributeError("scrub")))

    cache = open_cache(store=Plain())
    cache.put("q", "r", tags=["t"])
    done = cache.forget(tags=["t"])
    assert (done.entries, done.clean) == (1, False)
    assert "logs, replicas and backups" in done.remains[0]


def test_a_store_that_fails_after_the_removal_is_reported_not_raised(open_cache):
    faults = Faults(lambda _, name: name == "store.scrub")
    cache = open_cache(store=FlakyStore(MemoryStore(), faults))
    cache.put("q", "r", tags=["t"])
    done = cache.forget(tags=["t"])
    assert (done.entries, done.clean) == (1, False)
    assert "forget again" in done.remains[0]
    faults.arm(())
    assert cache.forget(tags=["t"]) == Forgotten(0, ())


def test_both_local_stores_can_overwrite_what_is_left(cache_path):
    assert isinstance(SQLiteStore(cache_path), ScrubbingStore)
    assert isinstance(MemoryStore(), ScrubbingStore)


# --- killed half-way -------------------------------------------------------------------------------------------------

VICTIM = """
import os, signal, sys
from mneme import SemanticCache
from mneme.stores import _sqlite_scrub, sqlite
from faces.adapter import Compass

where = sys.argv[2]
connect = sqlite.connect
sqlite.connect = lambda *given: connect(*given, "secure_delete = OFF")

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

if where == "before the pages":
    _sqlite_scrub.scrubbed = die
    sqlite.scrubbed = die
elif where == "before the log":
    original, calls = _sqlite_scrub._wait_until, []
    def wait(*args):
        calls.append(args)
        if len(calls) == 3:
            die()
        original(*args)
    _sqlite_scrub._wait_until = wait
else:
    from mneme._engine import forget
    forget._empty_index = die
cache = SemanticCache(sys.argv[1], Compass())
cache.forget(where={"user_id": 42})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("where", ["before the index", "before the pages", "before the log"])
def test_what_a_killed_process_left_is_finished_by_the_next(cache_path, compass, where, tmp_path_factory):
    with SemanticCache(cache_path, compass) as cache:
        fill(cache)
    script = tmp_path_factory.mktemp("victim") / "victim.py"
    script.write_text(VICTIM)
    done = subprocess.run(
        [sys.executable, str(script), str(cache_path), where],
        env={"PYTHONPATH": ":".join(sys.path)},
        check=False,
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert traces(cache_path) != set()
    with SemanticCache(cache_path, compass) as cache:
        assert cache.forget(where={"user_id": 42}) == Forgotten(0, ())
        assert traces(cache_path) == set()
        assert cache.check() == []
