"""`get`, `inspect` and `stats`: looking into a file."""

import base64
import sys

import pytest

from mneme import SemanticCache
from mneme.testing import HashEmbedder

HASH = ("--embedder", "mneme.testing:HashEmbedder")
PARIS = "What is the capital of France?"


# --- get -------------------------------------------------------------------------------------------------------------


def test_get_shows_the_answer_and_where_it_came_from(mneme, filled):
    ran = mneme("get", filled, PARIS, *HASH)
    assert ran.code == 0
    facts = dict(line.split(": ", 1) for line in ran.out.splitlines())
    assert facts["response"] == "Paris"
    assert facts["layer"] == "exact"
    assert facts["similarity"] == "1.000"
    assert facts["matched"] == PARIS
    assert facts["metadata"] == '{"by": "a person"}'


def test_get_answers_what_is_similar_enough(mneme, filled):
    hit = mneme("get", filled, "What is the capital city of France?", "--threshold", "0.7", "--json", *HASH).document
    assert hit["hit"]["response"] == "Paris"
    assert hit["hit"]["layer"] == "semantic"
    assert 0.7 <= hit["hit"]["similarity"] < 1


def test_a_miss_exits_with_1(mneme, filled):
    ran = mneme("get", filled, "How tall are giraffes?", *HASH)
    assert (ran.code, ran.out, ran.err) == (1, "miss: nothing stored answers this\n", "")
    ran = mneme("get", filled, "How tall are giraffes?", "--json", *HASH)
    assert (ran.code, ran.document) == (1, {"hit": None})


def test_get_asks_in_a_namespace_and_a_scope(mneme, filled):
    logo = ("The logo, please", "--namespace", "shop", "--json", *HASH)
    assert mneme("get", filled, *logo).code == 1
    hit = mneme("get", filled, *logo, "--scope", '{"size": "small"}').document["hit"]
    assert hit["response_type"] == "base64"
    assert base64.b64decode(hit["response"]) == b"\x89PNG"


def test_get_needs_no_embedder_for_an_equal_query(mneme, filled):
    assert mneme("get", filled, f"  {PARIS.upper()}", "--embedder", "none").code == 0
    assert mneme("get", filled, "capital of France", "--embedder", "none").code == 1


def test_raw_is_the_response_byte_for_byte(filled, process, environment, tmp_path):
    assert process("get", filled, PARIS, "--raw", "--embedder", "none").out == "Paris"
    import subprocess

    logo = ["get", filled, "The logo, please", "--namespace", "shop", "--scope", '{"size": "small"}', "--raw"]
    command = [sys.executable, "-m", "mneme", *map(str, logo), "--embedder", "none"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout == b"\x89PNG"


def test_explain_shows_every_candidate_and_its_verdict(mneme, filled):
    ran = mneme("get", filled, "What is the capital city of France?", "--explain", "--threshold", "0.7", *HASH)
    assert ran.code == 0
    assert ran.out.startswith("hit on the semantic layer: a stored query is similar enough\n")
    assert ran.out.splitlines()[-1].split("\t")[2:] == ["accepted", PARIS]
    ran = mneme("get", filled, "Giraffes", "--explain", "--json", *HASH)
    assert ran.code == 1
    assert ran.document["explanation"]["reason"] == "no_match"
    assert [one["reason"] for one in ran.document["explanation"]["candidates"]] == ["below_threshold"]


def test_explain_says_which_guard_refused_an_entry_and_why(mneme, filled):
    ran = mneme("get", filled, "What is not the capital of France?", "--explain", "--threshold", "0.3", *HASH)
    assert "miss: the entry that would answer is for a question that needs another answer" in ran.out
    assert "negation: only one of them is negated: not" in ran.out
    assert "guarded" in ran.out


def test_explain_counts_as_no_lookup(mneme, filled):
    mneme("get", filled, "Giraffes", "--explain", *HASH)
    assert mneme("stats", filled, "--json").document["total"]["misses"] == 0
    mneme("get", filled, "Giraffes", *HASH)
    assert mneme("stats", filled, "--json").document["total"]["misses"] == 1


def test_asking_does_not_bind_a_file_without_vectors_to_an_embedder(mneme, cache_path):
    mneme("put", cache_path, "q", "r", "--embedder", "none")
    assert mneme("get", cache_path, "q", *HASH).code == 0
    assert mneme("stats", cache_path, "--json").document["embedder_fingerprint"] is None


def test_a_file_of_another_embedder_is_refused_with_the_remedy(mneme, filled):
    with SemanticCache(filled) as cache:
        before = cache.stats()
    ran = mneme("get", filled, "anything", "--embedder", "embedders_of_this_test:other")
    assert ran.code == 2  # there is no such module
    sys.modules["embedders_of_this_test"] = module = type(sys)("embedders_of_this_test")
    module.other = HashEmbedder(dim=32)
    try:
        ran = mneme("get", filled, "anything", "--embedder", "embedders_of_this_test:other")
    finally:
        del sys.modules["embedders_of_this_test"]
    assert (ran.code, ran.out) == (3, "")
    assert "dim=64" in ran.err
    assert "dim=32" in ran.err
    assert "--embedder module:attribute" in ran.err
    with SemanticCache(filled) as cache:
        assert cache.stats() == before


# --- inspect ---------------------------------------------------------------------------------------------------------


def test_inspect_lists_every_entry(mneme, filled):
    lines = [line.split("\t") for line in mneme("inspect", filled).out.splitlines()]
    assert lines[0] == ["id", "namespace", "query", "response", "tags", "age"]
    assert [line[:5] for line in lines[1:]] == [
        ["1", "default", PARIS, "Paris", "geography"],
        ["2", "shop", "Where is my order?", '{"state": "on its way", "days": 2}', ""],
        ["3", "shop", "The logo, please", "<4 bytes>", ""],
    ]


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (["--namespace", "shop"], [2, 3]),
        (["--tag", "geography"], [1]),
        (["--tag", "geography", "--tag", "nothing"], [1]),
        (["--contains", "ORDER"], [2]),
        (["--namespace", "shop", "--contains", "logo"], [3]),
        (["--after", "2"], [3]),
        (["--namespace", "nobody"], []),
    ],
)
def test_inspect_filters(mneme, filled, filters, ids):
    document = mneme("inspect", filled, *filters, "--json").document
    assert [entry["entry_id"] for entry in document["entries"]] == ids


def test_inspect_pages_through_a_file(mneme, filled):
    first = mneme("inspect", filled, "--limit", 2, "--json").document
    assert ([entry["entry_id"] for entry in first["entries"]], first["next_after"]) == ([1, 2], 2)
    second = mneme("inspect", filled, "--limit", 2, "--after", first["next_after"], "--json").document
    assert ([entry["entry_id"] for entry in second["entries"]], second["next_after"]) == ([3], None)


def test_inspect_shows_one_entry_in_full(mneme, filled):
    entry = mneme("inspect", filled, "--id", 2, "--json").document["entry"]
    assert entry["query"] == "Where is my order?"
    assert entry["response"] == {"state": "on its way", "days": 2}
    assert entry["response_type"] == "json"
    assert entry["expires_at"] == entry["created_at"] + 3600
    assert "query: Where is my order?" in mneme("inspect", filled, "--id", 2).out
    ran = mneme("inspect", filled, "--id", 9)
    assert (ran.code, ran.out) == (1, "no entry 9\n")
    assert mneme("inspect", filled, "--id", 9, "--json").document == {"entry": None}


def test_inspect_searches_by_meaning(mneme, filled):
    hits = mneme("inspect", filled, "--similar", "capital of France", "--json", *HASH).document["hits"]
    assert [hit["query"] for hit in hits] == [PARIS]  # the only one in that namespace and scope
    small = ("--namespace", "shop", "--scope", '{"size": "small"}')
    ran = mneme("inspect", filled, "--similar", "logo", *small, *HASH)
    assert ran.out.splitlines()[1].split("\t")[2] == "The logo, please"
    assert "nothing to compare with" in mneme("inspect", filled, "--similar", "x", "--scope", "other", *HASH).out


def test_control_characters_are_shown_and_never_sent(mneme, cache_path):
    with SemanticCache(cache_path) as cache:
        cache.put("dangerous", "\x1b[2Jgone\x07 \x9b31m \u202e")
    for arguments in (["inspect"], ["inspect", "--id", "1"], ["get", "dangerous", "--embedder", "none"]):
        out = mneme(arguments[0], cache_path, *arguments[1:]).out
        assert r"\x1b[2Jgone\x07 \x9b31m \u202e" in out
        assert "\x1b" not in out


# --- stats -----------------------------------------------------------------------------------------------------------


def test_stats_counts_by_namespace(mneme, filled):
    mneme("get", filled, PARIS, *HASH)
    mneme("get", filled, "Giraffes", "--namespace", "shop", *HASH)
    document = mneme("stats", filled, "--json").document
    assert document["total"]["entries"] == 3
    assert document["total"]["hits_exact"] == document["total"]["misses"] == 1
    assert document["namespaces"]["shop"]["entries"] == 2
    assert document["namespaces"]["shop"]["misses"] == 1
    assert document["embedder_fingerprint"] == HashEmbedder().fingerprint
    assert document["bytes"] == filled.stat().st_size
    lines = mneme("stats", filled).out.splitlines()
    assert [line.split("\t")[:2] for line in lines[-3:]] == [["default", "1"], ["shop", "2"], ["all", "3"]]
    assert mneme("stats", filled, "--namespace", "shop", "--json").document["total"]["entries"] == 2
