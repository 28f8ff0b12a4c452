"""What the inspector removes, when it may."""

import pytest

from mneme import SemanticCache
from mneme.testing import HashEmbedder


@pytest.fixture
def cache(cache_path):
    with SemanticCache(cache_path, HashEmbedder()) as cache:
        cache.put("What is the capital of France?", "Paris", tags=["geography"])
        cache.put("What is the capital of Italy?", "Rome", tags=["geography"], namespace="shop")
        cache.put("Where is my order?", "on its way", namespace="shop", scope={"user": 1})
        yield cache


def ids(cache):
    return [entry.entry_id for entry in cache.entries()]


def test_asking_removes_nothing(cache, asking):
    client = asking(cache, writable=True)
    assert "Where is my order?" in client.get("/entries/3/remove").text
    assert "What is the capital of Italy?" in client.get("/remove?tag=geography").text
    assert client.get("/remove?tag=nothing").status_code == 200
    assert ids(cache) == [1, 2, 3]


def test_one_entry_is_removed_whatever_its_scope(cache, asking):
    client = asking(cache, writable=True)
    answer = client.post("/entries/3/remove")
    assert (answer.status_code, answer.headers["location"]) == (303, "/entries?removed=1")
    assert ids(cache) == [1, 2]
    assert client.post("/entries/3/remove").status_code == 404


def test_an_entry_under_another_normalisation_is_removed_too(cache_path, asking):
    with SemanticCache(cache_path, normalize=str.upper) as cache:
        cache.put("shout", "it")
    with SemanticCache(cache_path) as cache:
        assert not cache.delete("shout")
        assert asking(cache, writable=True).post("/entries/1/remove").headers["location"] == "/entries?removed=1"
        assert ids(cache) == []


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("tag=geography", [3]),
        ("namespace=shop", [1]),
        ("namespace=shop&tag=geography", [1, 3]),
        ("tag=none", [1, 2, 3]),
    ],
)
def test_many_are_removed_by_namespace_and_tag(cache, asking, query, left):
    answer = asking(cache, writable=True).post(f"/remove?{query}")
    assert answer.headers["location"] == f"/entries?removed={3 - len(left)}"
    assert ids(cache) == left


def test_a_trace_can_be_removed_too(cache, cache_path, asking):
    answer = asking(cache, writable=True).post("/remove?namespace=shop&trace=none")
    assert answer.headers["location"] == "/entries?removed=2&clean=1"
    assert b"order" not in cache_path.read_bytes()


def test_traces_that_remain_are_named(cache, asking, monkeypatch):
    from mneme import Forgotten

    monkeypatch.setattr(SemanticCache, "forget", lambda self, **wanted: Forgotten(2, ("the log of <another> process",)))
    page = asking(cache, writable=True).post("/remove?tag=geography&trace=none")
    assert "the log of &lt;another&gt; process" in page.text


def test_nothing_chosen_removes_nothing(cache, asking):
    client = asking(cache, writable=True)
    assert client.get("/remove").status_code == 400
    assert client.post("/remove").status_code == 400
    assert client.post("/remove?trace=none").status_code == 400
    assert ids(cache) == [1, 2, 3]


def test_what_a_page_of_somebody_else_asks_for_removes_nothing(cache, asking):
    client = asking(cache, writable=True)
    for origin in ("http://example.org", "null", "http://127.0.0.1:1"):
        assert client.post("/entries/1/remove", headers={"origin": origin}).status_code == 403
        assert client.post("/remove?namespace=shop", headers={"origin": origin}).status_code == 403
    assert client.post("/entries/1/remove", headers={"host": "rebound.example.org"}).status_code == 400
    assert ids(cache) == [1, 2, 3]
