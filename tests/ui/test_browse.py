"""Reading on until a page is full, and what one types into a form."""

import pytest

from mneme import SemanticCache
from mneme.ui._browse import Filter, as_scope, as_seconds, query_string, read
from mneme.ui._words import typed


@pytest.fixture
def cache():
    with SemanticCache(":memory:") as cache:
        cache.put_many([(f"question {i}", "even" if i % 2 == 0 else "odd") for i in range(1, 1201)])
        yield cache


def pages(cache, wanted, **options):
    after, found = 0, []
    while True:
        page = read(cache, wanted, after=after, now=0.0, **options)
        found.append([entry.entry_id for entry in page.entries])
        if page.next_after is None:
            return found
        after = page.next_after


def test_every_entry_is_on_one_page_exactly(cache):
    found = pages(cache, Filter(answer="even"), limit=250)
    assert [len(page) for page in found] == [250, 250, 100]
    assert sum(found, []) == list(range(2, 1201, 2))  # noqa: RUF017 - short lists


def test_a_page_ends_early_when_too_many_were_looked_at(cache):
    first = read(cache, Filter(text="question 1100"), after=0, limit=5, now=0.0, budget=500)
    assert (first.entries, first.next_after, first.read) == ([], 500, 500)
    assert [page for page in pages(cache, Filter(text="question 1100"), limit=5, budget=500) if page] == [[1100]]


def test_a_last_page_that_is_full_is_the_last():
    with SemanticCache(":memory:") as cache:
        cache.put_many([(f"question {i}", "x") for i in range(500)])  # as many as are read at once
        assert read(cache, Filter(), after=0, limit=500, now=0.0).next_after is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("", None), ("90", 90), ("1.5h", 5400), ("1h30m", 5400), ("2D", 172_800)]
)
def test_times_are_read(text, seconds):
    assert as_seconds(text) == seconds


@pytest.mark.parametrize("text", ["soon", "1x", "-1", "nan", "inf", "h", "1h30"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match="no time"):
        as_seconds(text)


def test_scopes_are_read():
    assert as_scope("  ") is None
    assert as_scope("a text") == "a text"
    assert as_scope(' {"model": "m"}') == {"model": "m"}
    with pytest.raises(ValueError, match="begins like JSON"):
        as_scope("{model}")
    with pytest.raises(ValueError, match="begins like JSON"):
        as_scope('{"a":' * 100_000)


@pytest.mark.parametrize(
    "scope", [None, "a text", "  padded ", '{"not": "a mapping"}', "{", '"', {"model": "m", "n": 1}, "ü"]
)
def test_a_scope_in_a_link_is_read_as_what_it_was(scope):
    assert as_scope(typed(scope)) == scope


def test_links_leave_out_what_is_empty():
    assert query_string(a="", b=None, c="ü&", d=0) == "?c=%C3%BC%26&d=0"
    assert query_string() == ""
