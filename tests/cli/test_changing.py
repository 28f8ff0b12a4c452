"""`put`, `check`, `vacuum`, `clear` and `forget`: changing a file, and keeping it sound."""

import io
import json
import sqlite3
import stat
import sys

import pytest

from mneme import SemanticCache
from mneme.testing import FakeClock, HashEmbedder

HASH = ("--embedder", "mneme.testing:HashEmbedder")
OTHER = ("--embedder", f"{__name__}:Other")


# --- put -------------------------------------------------------------------------------------------------------------


def test_put_makes_a_private_file_and_get_finds_it_again(mneme, cache_path):
    ran = mneme("put", cache_path, "2 + 2", "4", *HASH)
    assert (ran.code, ran.out) == (0, "stored; the file holds 1 entry now\n")
    if sys.platform != "win32":
        assert stat.S_IMODE(cache_path.stat().st_mode) == 0o600
    assert mneme("get", cache_path, "2 + 2", "--json", *HASH).document["hit"]["response"] == "4"


def test_put_stores_all_that_comes_with_an_answer(mneme, cache_path):
    options = ("--namespace", "n", "--scope", "s", "--metadata", '{"m": [1]}', "--ttl", "1h30m")
    mneme("put", cache_path, "q", "r", *options, "--tag", "a", "--tag", "b", *HASH)
    [entry] = mneme("inspect", cache_path, "--json").document["entries"]
    assert (entry["namespace"], entry["scope"], entry["metadata"]) == ("n", "s", {"m": [1]})
    assert entry["tags"] == ["a", "b"]
    assert entry["expires_at"] == pytest.approx(entry["created_at"] + 5400)


@pytest.mark.parametrize(("ttl", "seconds"), [("90", 90), ("2d", 172_800), ("inf", None)])
def test_a_ttl_is_seconds_or_a_number_with_a_unit(mneme, cache_path, ttl, seconds):
    mneme("put", cache_path, "q", "r", "--ttl", ttl, *HASH)
    [entry] = mneme("inspect", cache_path, "--json").document["entries"]
    lives = None if entry["expires_at"] is None else entry["expires_at"] - entry["created_at"]
    assert lives == (None if seconds is None else pytest.approx(seconds))


def test_put_reads_stdin_and_parses_json_when_told_to(mneme, cache_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("two\nlines\n"))
    mneme("put", cache_path, "text", "-", *HASH)
    mneme("put", cache_path, "json", '{"a": [1, null]}', "--parse", *HASH)
    found = {entry["query"]: entry["response"] for entry in mneme("inspect", cache_path, "--json").document["entries"]}
    assert found == {"text": "two\nlines", "json": {"a": [1, None]}}


def test_a_refused_answer_exits_with_1_and_stores_nothing(mneme, cache_path):
    ran = mneme("put", cache_path, "q", "[ERROR] no", *HASH)
    assert (ran.code, ran.out) == (1, "refused: the response is blank, or an error message\n")
    ran = mneme("put", cache_path, "q", " ", "--json", *HASH)
    assert (ran.code, ran.document) == (1, {"stored": 0, "refused": 1, "entries": 0})


def lines(tmp_path, items):
    source = tmp_path / "answers.jsonl"
    source.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    return source


def test_put_from_a_file_stores_every_line(mneme, cache_path, tmp_path):
    items = [{"query": f"question {n}", "response": n, "tags": ["bulk"], "namespace": f"n{n % 2}"} for n in range(600)]
    ran = mneme("put", cache_path, "--from", lines(tmp_path, items), "--ttl", "1d", "--json", *HASH)
    assert (ran.code, ran.document) == (0, {"stored": 600, "refused": 0, "entries": 600})
    entry = mneme("inspect", cache_path, "--contains", "question 599", "--json").document["entries"][0]
    assert (entry["response"], entry["tags"], entry["namespace"]) == (599, ["bulk"], "n1")
    assert entry["expires_at"] is not None


def test_put_from_stdin(process, tmp_path):
    data = '{"query": "a", "response": "b"}\n\n{"query": "c", "response": "d"}\n'
    ran = process("put", "cache.db", "--from", "-", *HASH, stdin=None, input=data)
    assert (ran.code, ran.out) == (0, "stored 2 lines; the file holds 2 entries now\n")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"query": "q"}, "line 601: has no 'response'; the 512 responses before are stored"),
        ({"query": "q", "response": 1, "tag": "t"}, "line 601: has 'tag'"),
        (["q", "r"], "line 601: not a JSON object"),
        ({"query": 5, "response": 1}, "lines 513 to 601: query must be a str"),
    ],
)
def test_a_wrong_line_is_named_and_what_was_stored_is_said(mneme, cache_path, tmp_path, bad, message):
    items = [*({"query": f"question {n}", "response": n} for n in range(600)), bad]
    ran = mneme("put", cache_path, "--from", lines(tmp_path, items), *HASH)
    assert (ran.code, ran.out) == (3, "")
    assert message in ran.err
    assert mneme("stats", cache_path, "--json").document["total"]["entries"] == 512


@pytest.mark.parametrize("content", ["{", '{"query": "q", "response": NaN}', None])
def test_a_source_that_cannot_be_read_leaves_no_empty_cache(mneme, cache_path, tmp_path, content):
    source = tmp_path / "answers.jsonl"
    if content is not None:
        source.write_text(content, encoding="utf-8")
    assert mneme("put", cache_path, "--from", source, *HASH).code == 3
    assert not cache_path.exists()


def test_refused_lines_are_counted_and_exit_with_1(mneme, cache_path, tmp_path):
    source = lines(tmp_path, [{"query": "a", "response": "b"}, {"query": "c", "response": ""}])
    ran = mneme("put", cache_path, "--from", source, "--json", *HASH)
    assert (ran.code, ran.document) == (1, {"stored": 1, "refused": 1, "entries": 1})


# --- check -----------------------------------------------------------------------------------------------------------


def test_check_says_that_a_file_is_sound(mneme, filled):
    ran = mneme("check", filled)
    assert (ran.code, ran.out) == (0, "sound: 3 entries\n")
    assert mneme("check", filled, "--json").document == {"sound": True, "entries": 3, "problems": []}


def test_check_exits_with_1_and_names_what_it_found(mneme, filled):
    connection = sqlite3.connect(filled)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    [vectors] = [name for name in tables if "vector" in name]
    with connection:
        connection.execute(f"UPDATE {vectors} SET vector = x'00'")  # noqa: S608 - a name from the schema
    connection.close()
    ran = mneme("check", filled)
    assert ran.code == 1
    assert "found" in ran.out.splitlines()[-1]
    document = mneme("check", filled, "--json").document
    assert document["sound"] is False
    assert document["problems"]


# --- vacuum and clear ------------------------------------------------------------------------------------------------


def test_vacuum_removes_what_has_expired(mneme, cache_path):
    with SemanticCache(cache_path, clock=FakeClock(1_000.0)) as cache:  # long ago
        cache.put("old", "1", ttl=60)
        cache.put("old too", "1", ttl=60, namespace="other")
        cache.put("for ever", "1")
    assert mneme("inspect", cache_path).out.splitlines()[1].endswith("expired")
    ran = mneme("vacuum", cache_path, "--namespace", "other", "--no-compact", "--json")
    assert ran.document == {"removed": 1, "freed_bytes": 0, "entries": 2}
    ran = mneme("vacuum", cache_path)
    assert ran.out.startswith("removed 1 expired entry, gave back ")
    assert ran.out.endswith("; 1 entry left\n")


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ([], set()),
        (["--namespace", "shop"], {1}),
        (["--tag", "geography"], {2, 3}),
        (["--older-than", "1d"], {1, 2, 3}),
        (["--namespace", "shop", "--tag", "geography"], {1, 2, 3}),
    ],
)
def test_clear_removes_what_it_is_told_to(mneme, filled, filters, left):
    document = mneme("clear", filled, *filters, "--yes", "--json").document
    assert document == {"removed": 3 - len(left), "entries": len(left)}
    entries = mneme("inspect", filled, "--json").document["entries"]
    assert {entry["entry_id"] for entry in entries} == left


def test_clear_without_a_terminal_needs_to_be_told_yes(process, filled):
    ran = process("clear", filled)
    assert (ran.code, ran.out) == (2, "")
    assert "--yes" in ran.err
    assert process("check", filled).out == "sound: 3 entries\n"


# --- reembed ---------------------------------------------------------------------------------------------------------


def test_reembed_fills_a_new_file_that_belongs_to_the_new_embedder(mneme, filled, tmp_path):
    target = tmp_path / "new.db"
    ran = mneme("reembed", filled, target, *OTHER, "--json")
    assert (ran.code, ran.document["entries"], ran.document["embedded"]) == (0, 3, 3)
    assert ran.document["embedder_fingerprint"] == "mneme-testing-scripted-1"
    assert mneme("get", target, "Where is my order", "--namespace", "shop", *OTHER).code == 0
    assert mneme("get", target, "What is the capital of France?", *HASH).code == 3
    assert mneme("get", filled, "What is the capital of France?", *HASH).code == 0


def test_reembed_without_a_target_changes_the_file_over(mneme, filled):
    ran = mneme("reembed", filled, *OTHER)
    assert (ran.code, ran.out.split(";")[0]) == (0, f"{filled} holds 3 entries")
    assert mneme("get", filled, "What is the capital of France?", *HASH).code == 3
    assert mneme("get", filled, "What is the capital of France", *OTHER).code == 0
    assert mneme("check", filled).code == 0


def test_reembed_says_what_it_did_and_refuses_a_target_that_is_something_else(mneme, filled, tmp_path):
    target = tmp_path / "new.db"
    ran = mneme("reembed", filled, target, *OTHER)
    assert ran.out.startswith(f"{target} holds 3 entries; made 3 vectors in ")
    assert mneme("put", target, "its own", "answer", *OTHER).code == 0
    ran = mneme("reembed", filled, target, *OTHER)
    assert (ran.code, ran.out) == (3, "")
    assert "written to since" in ran.err


def test_reembed_needs_an_embedder(mneme, filled, tmp_path):
    assert mneme("reembed", filled, tmp_path / "new.db", "--embedder", "none").code == 2
    assert not (tmp_path / "new.db").exists()


class Other(HashEmbedder):
    """Another model of the same dimension."""

    def __init__(self):
        super().__init__()
        self.fingerprint = "mneme-testing-scripted-1"

    def _vector(self, text):
        return super()._vector(text)[::-1].copy()


# --- forget ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        (["--namespace", "shop"], {1}),
        (["--tag", "geography"], {2, 3}),
        (["--where", "by=a person"], {2, 3}),
        (["--where", 'by="a person"', "--tag", "geography"], {2, 3}),
        (["--where", "by=nobody"], {1, 2, 3}),
        (["--namespace", "shop", "--scope", '{"size": "small"}'], {1, 2}),
    ],
)
def test_forget_removes_what_it_is_told_to_without_a_trace(mneme, filled, filters, left):
    document = mneme("forget", filled, *filters, "--yes", "--json").document
    assert document == {"removed": 3 - len(left), "clean": True, "remains": [], "entries": len(left)}
    entries = mneme("inspect", filled, "--json").document["entries"]
    assert {entry["entry_id"] for entry in entries} == left
    assert (b"Paris" in filled.read_bytes()) == (1 in left)


def test_forget_takes_a_number_for_the_number_and_for_the_text(mneme, cache_path):
    with SemanticCache(cache_path) as cache:
        for query, user in [("number", 42), ("text", "42"), ("other", 7), ("list", [42])]:
            cache.put(query, "r", metadata={"user_id": user})
    ran = mneme("forget", cache_path, "--where", "user_id=42", "--yes")
    assert (ran.code, ran.out) == (0, "removed 2 entries without a trace; 2 entries left\n")
    assert mneme("forget", cache_path, "--where", "user_id=[42]", "--yes").out.startswith("removed 1 entry")


def test_forget_exits_with_1_and_says_how_to_finish_when_traces_remain(mneme, filled):
    reader = sqlite3.connect(filled, isolation_level=None)
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM entries").fetchone()
        ran = mneme("forget", filled, "--tag", "geography", "--timeout", "0", "--yes")
    finally:
        reader.close()
    assert ran.code == 1
    assert "forget again" in ran.out
    assert ran.out.endswith("removed 1 entry, but traces remain; 2 entries left\n")
    assert mneme("forget", filled, "--tag", "geography", "--yes").code == 0


# --- check --repair and --salvage ------------------------------------------------------------------------------------


def test_check_repair_says_what_it_would_do_and_does_it_when_told_to(mneme, filled):
    assert mneme("check", filled, "--repair").out == "sound\n"
    connection = sqlite3.connect(filled)
    connection.execute("DELETE FROM facts WHERE id = 1")
    connection.execute("UPDATE entries SET key = x'00' WHERE id = 2")
    connection.commit()
    connection.close()
    ran = mneme("check", filled, "--repair")
    assert ran.code == 1
    assert "1 entries have no row of facts. they get one" in ran.out
    assert "(1 entry moved out)" in ran.out
    assert ran.out.endswith("would be repaired; pass --apply to do it\n")
    assert mneme("check", filled).code == 1
    ran = mneme("check", filled, "--repair", "--apply", "--json")
    assert (ran.code, ran.document["sound"], ran.document["applied"], ran.document["problems"]) == (0, True, True, [])
    assert {"problem", "remedy", "lost", "possible"} == set(ran.document["repairs"][0])
    assert mneme("check", filled).out == "sound: 2 entries\n"


def test_check_salvage_makes_a_new_file_of_what_can_be_read(mneme, filled, tmp_path):
    ran = mneme("check", filled, "--salvage", tmp_path / "new.db")
    assert (ran.code, ran.out) == (0, f"{tmp_path / 'new.db'} holds 3 entries; 0 could not be read\n")
    assert mneme("check", filled, "--salvage", tmp_path / "new.db").code == 2
    connection = sqlite3.connect(filled)
    connection.execute("UPDATE entries SET key = x'00' WHERE id = 2")
    connection.execute("DELETE FROM vectors WHERE id = 1")
    connection.commit()
    connection.close()
    ran = mneme("check", filled, "--salvage", tmp_path / "newer.db", "--json")
    assert (ran.code, ran.document) == (1, {"entries": 2, "vectors": 1, "lost": 1, "problems": []})
    filled.write_bytes(b"\0" * 4096)
    ran = mneme("check", filled, "--salvage", tmp_path / "newest.db")
    assert (ran.code, ran.out) == (3, "")
    assert "first page" in ran.err
