"""What the inspector shows, what it refuses, and that looking changes nothing."""

import hashlib
import html
import re

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from mneme import EncryptedStore, KeyRing, MemoryStore, SemanticCache, SQLiteStore, StoreBackendError
from mneme.testing import FakeClock, HashEmbedder
from mneme.ui import Frame, Link, inspector

HOSTILE = "\"'><script>alert(1)</script></pre></textarea>{{ 7301 * 7 }}<img src=x onerror=alert(2)>"
LOOKS = (
    *("/", "/entries", "/entries?text=capital&answer=par&state=live&kind=text&older=0&younger=9999d&tag=geography"),
    *("/entries?state=expired", "/entries?after=1&limit=1", "/entries/1", "/entries/2", "/entries/1/raw"),
    *(
        "/similar",
        "/similar?query=capital+of+France&k=3",
        "/similar?query=order&namespace=shop&scope=%7B%22u%22%3A1%7D",
    ),
    *("/explain?query=What+is+the+capital+of+France%3F", "/explain?query=capital+of+Spain&threshold=0.1"),
    *("/namespace?name=default", "/check", "/check?run=1", "/entries/99", "/nowhere", "/explain?query=+&scope=%7B"),
)


@pytest.fixture
def filled(cache_path):
    """A file with entries of two namespaces, one of them expired, which has been asked things."""
    clock = FakeClock(1_700_000_000.0)
    with SemanticCache(cache_path, HashEmbedder(), clock=clock) as cache:
        cache.put("What is the capital of France?", "Paris", tags=["geography"], metadata={"by": "a person"})
        cache.put("Which city is the capital of France?", "Paris", tags=["geography"], ttl="1h")
        cache.put("Where is my order?", {"state": "on its way"}, namespace="shop", scope={"u": 1})
        cache.put("The logo, please", b"\x89PNG", namespace="shop")
        for query in ("What is the capital of France?", "what is the capital of france", "something else"):
            cache.get(query)
    return cache_path


@pytest.fixture
def cache(filled):
    with SemanticCache(filled, HashEmbedder()) as cache:
        yield cache


def text_of(answer) -> str:
    """What a reader sees."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text)))


# --- looking changes nothing -----------------------------------------------------------------------------------------


def state_of(cache):
    return cache.entries(), [cache.stats(name) for name in cache.list_namespaces()]


def test_looking_changes_neither_entries_nor_access_times_nor_counters(cache, asking):
    cache.get("What is the capital of France?")  # something is pending, which looking must not write either
    before = state_of(cache)
    client = asking(cache)
    for path in LOOKS * 2:
        client.get(path)
        client.head(path)
    assert state_of(cache) == before


def test_looking_leaves_the_file_as_it_was_byte_for_byte(filled, asking):
    before = hashlib.sha256(filled.read_bytes()).hexdigest(), filled.stat().st_mtime_ns
    with SemanticCache(filled, HashEmbedder()) as cache:
        client = asking(cache)
        for path in LOOKS:
            client.get(path)
    assert (hashlib.sha256(filled.read_bytes()).hexdigest(), filled.stat().st_mtime_ns) == before
    assert [path.name for path in filled.parent.iterdir()] == [filled.name]


class Counting(MemoryStore):
    """Notes which verbs of the store were called."""

    def __init__(self):
        super().__init__()
        self.called = set()

    def __getattribute__(self, name):
        if name in ("write", "delete", "record", "compact"):
            object.__getattribute__(self, "called").add(name)
        return super().__getattribute__(name)


def test_looking_asks_the_store_to_write_nothing(asking):
    store = Counting()
    with SemanticCache(embedder=HashEmbedder(), store=store) as cache:
        cache.put("What is the capital of France?", "Paris", ttl=0.000001)
        cache.put("Which city is the capital of France?", "Paris")
        assert "write" in store.called
        store.called.clear()
        client = asking(cache)
        for path in LOOKS:
            client.get(path)
        assert store.called == set()


def test_without_leave_there_is_no_request_that_removes(cache, asking):
    before = cache.entries()
    client = asking(cache)
    for path in ("/entries/1/remove", "/remove?tag=geography", "/remove?namespace=shop&trace=none", "/entries/1"):
        for method in ("POST", "DELETE", "PUT", "PATCH"):
            assert client.request(method, path).status_code in (404, 405), (method, path)
        assert "Remove" not in client.get("/entries/1").text
    assert cache.entries() == before


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_the_overview_counts_what_there_is(cache, asking):
    page = text_of(asking(cache, note="Mind this.").get("/"))
    assert "4 entries" in page
    assert "67% of lookups were hits" in page
    assert "Mind this." in page
    assert "read only" in page


def test_entries_are_listed_in_pages(cache, asking):
    client = asking(cache)
    first = client.get("/entries?limit=3")
    assert "3 entries shown" in text_of(first)
    [onward] = re.findall(r'href="([^"]*after=[^"]*)"', first.text)
    second = client.get(html.unescape(onward))
    assert "The logo, please" in second.text
    assert "What is the capital" not in second.text
    assert "after=" not in second.text
    assert "Next page" not in client.get("/entries?limit=4").text


def test_links_to_other_pages_say_only_what_was_asked_for(asking):
    with SemanticCache(":memory:") as cache:
        cache.put_many([(f"question {i}", "x") for i in range(60)])
        client = asking(cache)
        assert re.findall(r'role="button"[^>]*href="([^"]*)"', client.get("/entries").text) == ["/entries?after=25"]
        second = client.get("/entries?after=25&text=QUESTION&state=&kind=").text
        assert [html.unescape(link) for link in re.findall(r'role="button"[^>]*href="([^"]*)"', second)] == [
            "/entries?after=50&text=QUESTION",
            "/entries?text=QUESTION",
        ]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", [1, 2, 3, 4]),
        ("namespace=shop", [3, 4]),
        ("namespace=nobody's", []),
        ("tag=geography", [1, 2]),
        ("text=CAPITAL", [1, 2]),
        ("answer=ON+its", [3]),
        ("kind=bytes", [4]),
        ("kind=json", [3]),
        ("kind=codec", []),
        ("state=expired", [2]),
        ("state=live", [1, 3, 4]),
        ("older=1d", [1, 2, 3, 4]),
        ("younger=1h30m", []),
        ("tag=geography&state=live&namespace=default&text=france", [1]),
    ],
)
def test_filters_narrow_the_list(cache, asking, query, ids):
    page = asking(cache).get(f"/entries?{query}").text
    assert [int(found) for found in re.findall(r'href="/entries/(\d+)"', page)] == ids


@pytest.mark.parametrize(
    "query",
    [
        "after=-1",
        "after=x",
        "after=99999999999999999999",
        "limit=0",
        "limit=201",
        "state=?",
        "kind=?",
        "older=soon",
        "younger=nan",
    ],
)
def test_what_cannot_be_looked_for_is_said(cache, asking, query):
    answer = asking(cache).get(f"/entries?{query}")
    assert answer.status_code == 400
    assert "not" in text_of(answer) or "no time" in text_of(answer)


def test_an_entry_is_shown_in_full_with_what_is_near_it(cache, asking):
    page = text_of(asking(cache).get("/entries/1"))
    for said in ("What is the capital of France?", "Paris", "geography", '"by": "a person"', "2023-11-14 22:13:20 UTC"):
        assert said in page
    assert "Which city is the capital of France?" not in page  # it has expired, so nothing is near it
    cache.put("Which town is the capital of France?", "Paris")
    assert "Which town is the capital of France? the same" in text_of(asking(cache).get("/entries/1"))
    assert '"state": "on its way"' in text_of(asking(cache).get("/entries/3"))
    assert "4 bytes: 89 50 4e 47" in text_of(asking(cache).get("/entries/4"))


def test_an_answer_can_be_had_as_a_file_and_never_as_a_page(cache, asking):
    cache.put("markup", HOSTILE)
    client = asking(cache)
    order = b'{\n  "state": "on its way"\n}'
    for entry_id, content, name in ((4, b"\x89PNG", "bin"), (3, order, "json"), (5, HOSTILE.encode(), "txt")):
        answer = client.get(f"/entries/{entry_id}/raw")
        assert answer.content == content
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == f'attachment; filename="entry-{entry_id}.{name}"'
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_similar_entries_come_with_their_similarity(cache, asking):
    page = text_of(asking(cache).get("/similar?query=What+is+the+capital+of+France%3F"))
    assert re.search(r"1\.000 exact What is the capital of France\? Paris", page)
    other_scope = text_of(asking(cache).get("/similar?query=Where+is+my+order%3F&namespace=shop"))
    assert "Where is my order? {" not in other_scope


def test_a_query_is_explained(cache, asking):
    client = asking(cache)
    assert "exact An equal query is stored" in text_of(client.get("/explain?query=what+is+the+CAPITAL+of+france%3F"))
    page = text_of(client.get("/explain?query=What+is+the+capital+of+Germany%3F&threshold=0.1"))
    assert "miss The entry" in page
    assert "another question" in page


def test_checking_reads_everything_only_when_it_is_asked_to(cache, asking, monkeypatch):
    read = []
    monkeypatch.setattr(SemanticCache, "check", lambda self: read.append(1) or ["row 7 is <b>odd</b>"])
    client = asking(cache)
    client.get("/check")
    assert read == []
    page = client.get("/check?run=1").text
    assert "row 7 is &lt;b&gt;odd&lt;/b&gt;" in page


def test_in_another_application_its_links_stand_below_the_others(cache):
    frame = Frame("Showcase", home="/", links=(Link("Dashboard", "/"), Link("Inspector", "/inside/")))
    app = Starlette(routes=[Mount("/inside", inspector(cache, frame=frame))])
    page = TestClient(app, base_url="http://localhost").get("/inside/entries").text
    assert 'href="/inside/" aria-current="page"' in page
    assert 'href="/inside/entries" aria-current="page"' in page
    assert 'href="/inside/entries/1"' in page
    assert not re.findall(r'(?:href|src|action|hx-get)="/(?!inside|")', page)


def test_without_an_embedder_one_is_told_what_that_means(filled, asking):
    with SemanticCache(filled) as cache:
        for path in ("/similar", "/explain?query=capital", "/entries/1"):
            assert "no embedder here" in text_of(asking(cache).get(path))


def test_an_encrypted_cache_says_that_it_is_and_what_is_missing(cache_path, asking):
    ring = KeyRing.generate("2026")
    with SemanticCache(embedder=HashEmbedder(), store=EncryptedStore(SQLiteStore(cache_path), ring)) as cache:
        cache.put("What is the capital of France?", "Paris")
        assert "Paris" in asking(cache).get("/entries/1").text
    with SemanticCache(cache_path) as cache:
        for path in ("/entries", "/entries/1", "/similar", "/explain"):
            page = text_of(asking(cache).get(path))
            assert "This cache is encrypted, and it was opened without its keys" in page
            assert "no embedder here" not in page


# --- stored text is hostile ------------------------------------------------------------------------------------------


def test_no_stored_or_typed_text_becomes_markup(asking):
    with SemanticCache(":memory:", HashEmbedder()) as cache:
        common = {"namespace": HOSTILE, "scope": {HOSTILE: HOSTILE}, "tags": [HOSTILE], "metadata": {HOSTILE: HOSTILE}}
        cache.put(HOSTILE, HOSTILE, **common)
        cache.put(f"{HOSTILE} 2", {HOSTILE: [HOSTILE]}, **common)
        cache.put(f"{HOSTILE} 3", HOSTILE.encode(), **common)
        client = asking(cache, writable=True, note=HOSTILE)
        scope = {"namespace": HOSTILE, "scope": f'{{"{HOSTILE}": 1}}', "query": HOSTILE, "tag": HOSTILE}
        plain = {"namespace": HOSTILE, "query": HOSTILE, "tag": HOSTILE, "text": HOSTILE, "name": HOSTILE}
        paths = (
            "/",
            "/entries",
            "/entries/1",
            "/entries/2",
            "/entries/3",
            "/similar",
            "/explain",
            "/namespace",
            "/check",
        )
        for path in (
            *paths,
            "/entries/1/remove",
            "/remove",
            "/entries?after=<script>",
            f"/entries?kind={HOSTILE}",
            "/<script>",
        ):
            for fields in ({}, plain, scope, {"threshold": "<script>", "k": "<script>", "removed": "<script>"} | plain):
                page = client.get(path, params=fields).text if "?" not in path else client.get(path).text
                assert page.count("<script") == 2, path  # those of the base
                assert "<img" not in page
                assert "51107" not in page  # no template was made of it


def test_text_that_utf_8_cannot_carry_is_shown_as_an_escape(asking):
    with SemanticCache(":memory:", HashEmbedder()) as cache:
        cache.put("half a pair", ["other \udc4d half"], metadata={"k\ud83d": "\ud83d"})
        client = asking(cache, writable=True)
        for path in ("/entries", "/entries/1", "/entries/1/raw", "/entries/1/remove"):
            assert client.get(path).status_code == 200
        assert "other \\udc4d half" in client.get("/entries/1").text


def test_a_very_long_answer_is_shown_in_part(asking):
    with SemanticCache(":memory:", HashEmbedder()) as cache:
        cache.put("long", "x" * 1_000_000, namespace="n" * 500, metadata={"m": "y" * 10_000})
        client = asking(cache)
        assert len(client.get("/entries/1").text) < 200_000
        assert len(client.get("/entries").text) < 40_000
        assert len(client.get("/entries/1/raw").content) == 1_000_000


class Arrays:
    """A codec for what JSON cannot hold, and what compares element by element."""

    name = "arrays"

    def encode(self, value):
        return value.tobytes()

    def decode(self, payload):
        return np.frombuffer(payload)


def test_what_a_codec_made_is_shown_as_python_would(cache_path, asking):
    with SemanticCache(cache_path, HashEmbedder(), codec=Arrays()) as cache:
        cache.put("What is the capital of France?", np.array([1.5, 2.5]))
        cache.put("Which city is the capital of France?", np.array([1.5, 2.5]))
        client = asking(cache, writable=True)
        for path in LOOKS:
            assert client.get(path).status_code in (200, 400, 404)
        assert "array([1.5, 2.5])" in text_of(client.get("/entries/1"))
        assert client.get("/entries/1/raw").content == b"array([1.5, 2.5])"
        assert "array([1.5, 2.5])" in text_of(client.get("/entries"))
    with SemanticCache(cache_path, HashEmbedder()) as cache:
        page = text_of(asking(cache).get("/entries/1"))
        assert "codec:arrays" in page
        assert "16 bytes: 00 00" in page
        assert "It cannot be looked for" in page


# --- trouble ---------------------------------------------------------------------------------------------------------


def test_a_store_that_fails_makes_a_page_that_says_so(cache, asking, monkeypatch):
    def fail(self, **options):
        raise StoreBackendError("the disk is <gone>")

    monkeypatch.setattr(SemanticCache, "entries", fail)
    answer = asking(cache).get("/entries")
    assert answer.status_code == 503
    assert "the disk is &lt;gone&gt;" in answer.text


def test_a_cache_that_was_closed_makes_a_page_that_says_so(filled, asking):
    with SemanticCache(filled) as cache:
        client = asking(cache)
    assert client.get("/").status_code == 503


def test_only_a_cache_is_inspected():
    with pytest.raises(TypeError, match="not str"):
        inspector("cache.db")
