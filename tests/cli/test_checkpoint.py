"""`export` and `import`: a whole cache in one archive, through files, pipes and servers."""

import json
import subprocess
import sys

import pytest

from mneme import SemanticCache, SQLiteStore
from mneme.ports import Selection
from mneme.testing import HashEmbedder

HASH = ("--embedder", "mneme.testing:HashEmbedder")


def contents(path):
    store = SQLiteStore(path)
    store.open(None, None)
    try:
        found = store.scan(Selection(), limit=100, vectors=True)
        return {record.key: (record.query, record.payload, record.vector.tobytes()) for record in found}
    finally:
        store.close()


def test_a_cache_goes_into_an_archive_and_out_again(mneme, filled, tmp_path):
    archive, copy = tmp_path / "a.mneme", tmp_path / "copy.db"
    ran = mneme("export", filled, archive)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("wrote 3 entries, ")
    ran = mneme("import", archive, copy)
    assert (ran.code, ran.out) == (0, f"{copy} holds 3 entries now\n")
    assert contents(copy) == contents(filled)
    with SemanticCache(copy, HashEmbedder()) as cache:
        assert cache.get("What is the capital of France?").response == "Paris"


def test_both_say_in_json_what_they_did(mneme, filled, tmp_path):
    archive, copy = tmp_path / "a.mneme", tmp_path / "copy.db"
    said = mneme("export", filled, archive, "--json").document
    assert said == {
        "archive": str(archive),
        "entries": 3,
        "namespaces": ["default", "shop"],
        "bytes": archive.stat().st_size,
    }
    said = mneme("import", archive, copy, "--json").document
    assert said == {
        "cache": str(copy),
        "entries": 3,
        "namespaces": ["default", "shop"],
        "embedder_fingerprint": HashEmbedder().fingerprint,
    }


def test_archives_go_through_pipes(environment, filled, tmp_path):
    command = [sys.executable, "-m", "mneme"]
    options = {"env": environment, "cwd": tmp_path, "stderr": subprocess.PIPE}
    with subprocess.Popen([*command, "export", filled, "-"], stdout=subprocess.PIPE, **options) as export:
        done = subprocess.run(
            [*command, "import", "-", "copy.db", "--json"],
            stdin=export.stdout,
            stdout=subprocess.PIPE,
            check=True,
            **options,
        )
        assert export.stderr.read().startswith(b"wrote 3 entries")
        assert export.wait() == 0
    assert json.loads(done.stdout)["entries"] == 3
    assert contents(tmp_path / "copy.db") == contents(filled)


def test_a_reader_that_goes_away_ends_the_export(environment, filled, tmp_path):
    with SemanticCache(filled, HashEmbedder()) as cache:
        cache.put_many([(f"q {number}", bytes(range(256)) * 40) for number in range(200)])
    command = [sys.executable, "-m", "mneme", "export", str(filled), "-"]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as export:
        export.stdout.close()
        assert export.wait() == 141
        assert export.stderr.read() == b""


def test_namespaces_are_chosen_and_caches_merged(mneme, filled, tmp_path):
    archive, copy = tmp_path / "a.mneme", tmp_path / "copy.db"
    mneme("export", filled, archive, "--namespace", "shop")
    assert mneme("import", archive, copy, "--json").document["entries"] == 2
    mneme("export", filled, archive)
    ran = mneme("import", archive, copy)
    assert ran.code == 3
    assert "there is a file" in ran.err
    said = mneme("import", archive, copy, "--merge", "--namespace", "default", "--namespace", "shop", "--json").document
    assert said["entries"] == 3
    assert contents(copy) == contents(filled)


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"PK" + data])
def test_a_damaged_archive_is_refused_and_no_file_is_made(mneme, filled, tmp_path, damage):
    archive, copy = tmp_path / "a.mneme", tmp_path / "copy.db"
    mneme("export", filled, archive)
    archive.write_bytes(damage(archive.read_bytes()))
    ran = mneme("import", archive, copy, "--json")
    assert (ran.code, ran.out) == (3, "")
    assert json.loads(ran.err)["error"]["type"] == "CheckpointError"
    assert not copy.exists()


def test_an_archive_is_checked_without_making_anything(mneme, filled, tmp_path):
    archive = tmp_path / "a.mneme"
    mneme("export", filled, archive)
    before = sorted(tmp_path.iterdir())
    ran = mneme("import", archive, "--check")
    assert (ran.code, ran.out) == (0, f"sound: 3 entries of {HashEmbedder().fingerprint}\n")
    assert mneme("import", archive, "--check", "--json").document["namespaces"] == {"default": 1, "shop": 2}
    archive.write_bytes(archive.read_bytes()[:-1])
    ran = mneme("import", archive, "--check")
    assert (ran.code, "cut off" in ran.out) == (1, True)
    said = mneme("import", archive, "--check", "--json")
    assert (said.code, said.document["sound"]) == (1, False)
    assert mneme("import", archive, tmp_path / "new.db", "--check").code == 2
    assert sorted(tmp_path.iterdir()) == before


def test_limits_can_be_set(mneme, filled, tmp_path):
    archive, copy = tmp_path / "a.mneme", tmp_path / "copy.db"
    mneme("export", filled, archive)
    assert "max_archive_bytes=50" in mneme("import", archive, copy, "--max-bytes", "50").err
    assert "max_query_bytes=10" in mneme("import", archive, copy, "--max-entry-bytes", "10").err
    assert not copy.exists()
    assert mneme("import", archive, copy, "--max-entry-bytes", "10000000").code == 0


def test_a_missing_archive_is_told_of(mneme, tmp_path):
    ran = mneme("import", tmp_path / "none.mneme", tmp_path / "copy.db")
    assert (ran.code, ran.out) == (3, "")
    assert "cannot be read" in ran.err
    assert list(tmp_path.iterdir()) == []


def look_around(mneme, server, prefix):
    """What reads a cache reads one on a server too, and makes none where there is none."""
    stats = mneme("stats", server, "--prefix", prefix, "--json").document
    assert (stats["total"]["entries"], stats["bytes"]) == (3, None)
    assert "hunter2" not in mneme("stats", server, "--prefix", prefix).out
    listed = mneme("inspect", server, "--prefix", prefix, "--limit", "2", "--json").document
    assert [entry["query"] for entry in listed["entries"]] == ["What is the capital of France?", "Where is my order?"]
    assert mneme("inspect", server, "--prefix", prefix, "--id", "1", "--json").document["entry"]["response"] == "Paris"
    similar = ("inspect", server, "--prefix", prefix, "--similar", "capital of France", *HASH, "--json")
    assert mneme(*similar).document["hits"][0]["response"] == "Paris"
    got = mneme("get", server, "What is the capital of France?", "--prefix", prefix, "--embedder", "none", "--json")
    assert got.document["hit"]["response"] == "Paris"
    assert mneme("check", server, "--prefix", prefix, "--json").document == {
        "sound": True,
        "entries": 3,
        "problems": [],
    }
    for reading in (["stats"], ["inspect"], ["check"], ["get", "q"]):
        ran = mneme(reading[0], server, *reading[1:], "--prefix", "nobody_was_here")
        assert (ran.code, ran.out) == (3, "")
        assert "there is no cache" in ran.err


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", ["redis", "postgres", "dynamodb"])
def test_servers_are_named_by_their_address(mneme, filled, server_of, monkeypatch, kind):
    from mneme import DynamoDBStore
    from stores.dynamodb_tables import CREDENTIALS, REGION

    server, prefix, tmp_path = server_of(kind), "moved_by_command", filled.parent
    if kind == "dynamodb":
        for name, value in (CREDENTIALS | {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", server)
        maker = DynamoDBStore("moved-by-command", prefix="other", create_table=True)
        maker.open(None, None)
        maker.close()
        server = "dynamodb://moved-by-command"
    there, back = tmp_path / "there.mneme", tmp_path / "back.mneme"
    for _ in range(2):  # the first time made nothing that the second finds
        ran = mneme("export", server, back, "--prefix", "nobody_was_here")
        assert (ran.code, ran.out) == (3, "")
        assert "there is no cache" in ran.err
    mneme("export", filled, there)
    assert mneme("import", there, server, "--prefix", prefix, "--json").document["entries"] == 3
    assert mneme("import", there, server, "--prefix", prefix).code == 3  # it holds entries now
    look_around(mneme, server, prefix)
    assert mneme("export", server, back, "--prefix", prefix, "--json").document["entries"] == 3
    mneme("import", back, tmp_path / "copy.db")
    assert contents(tmp_path / "copy.db") == contents(filled)
