"""The inspector, walked as a person would, in a real browser."""

import re

import pytest

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder
from mneme.ui import inspector

HOSTILE = '"></textarea></pre><script>document.title = "owned"</script><img src=x onerror="document.title=\'owned\'">'


@pytest.fixture
def cache(cache_path):
    """What a small shop has remembered, and what somebody hostile got it to remember."""
    with SemanticCache(cache_path, LocalEmbedder()) as cache:
        for query, answer, tag in (
            ("What is the capital of France?", "Paris", "geography"),
            ("Which city is the seat of France's government?", "Paris", "geography"),
            ("What is the capital of Italy?", "Rome", "geography"),
            ("How high is Mount Everest?", "8,849 metres", "geography"),
            ("How fast is light in a vacuum?", "299,792,458 metres per second", "physics"),
        ):
            cache.get_or_compute(query, lambda _, answer=answer: answer, tags=[tag], cost=0.002)
        order = {"state": "on its way", "days": 2, "parcels": [{"id": 7, "kilograms": 1.25}]}
        cache.put("Where is my order?", order, namespace="shop", ttl="1h", scope={"user": 42, "language": "en"})
        cache.put("The logo, please", b"\x89PNG\r\n\x1a\n", namespace="shop", scope={"size": "small"})
        for query in ("What is the capital of France?", "what's the capital city of France", "How tall is Everest?"):
            cache.get(query)
        yield cache


@pytest.fixture
def hostile(cache):
    cache.put(HOSTILE, HOSTILE, namespace=HOSTILE, scope=HOSTILE, tags=[HOSTILE], metadata={HOSTILE: HOSTILE})
    cache.put(f"{HOSTILE} in JSON", {HOSTILE: [HOSTILE]}, scope={HOSTILE: HOSTILE})
    return cache


@pytest.fixture
def go(serve, page, cache):
    """Open a page of the inspector by its path."""
    address = serve(inspector(cache, writable=True))

    def to(path: str) -> None:
        page.goto(address + path)

    return to


def test_every_page_is_accessible_and_fits_a_phone(go, examine):
    pictured = {"/": "ui-overview", "/entries": "ui-entries", "/entries/6": "ui-entry"}
    pictured["/explain?query=what+is+france%27s+capital&namespace=default"] = "ui-explain"
    for path in (
        *pictured,
        *(
            "/similar",
            "/similar?query=french+cities",
            "/similar?query=x&scope=none",
            "/explain",
            "/check",
            "/check?run=1",
        ),
        *("/entries?text=nothing", "/namespace?name=default", "/entries/1/remove", "/remove?tag=geography"),
    ):
        go(path)
        examine(pictured.get(path, ""), ("light", "phone") if path == "/entries" else ("light",))


def test_a_list_of_long_texts_leaves_room_for_its_numbers(go, cache, examine):
    scope = {"instruction": "Answer in one or two short sentences, please.", "model": "SmolLM2-135M-Instruct"}
    cache.put_many([(f"How long does it take to count to {n}?", "A while. " * 40) for n in range(12)], scope=scope)
    go("/entries")
    examine()


def test_pages_of_trouble_are_accessible_too(go, watched, examine):
    watched.expect("status of 4")
    watched.expect("status 4")
    for path in ("/nowhere", "/entries/999", "/entries?older=soon"):
        go(path)
        examine()


def test_from_the_overview_to_an_entry_and_what_is_near_it(go, page):
    go("/")
    page.get_by_role("link", name="default").click()
    page.get_by_role("link", name="Its entries").click()
    page.get_by_role("link", name="What is the capital of France?").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Entry 1"
    nearest = page.get_by_role("row").nth(1)
    assert "the same" in nearest.inner_text()
    nearest.get_by_role("link").click()
    assert "seat of France's government" in page.locator("pre").first.inner_text()


def test_typing_filters_the_list_as_one_types(go, page):
    go("/entries")
    assert page.get_by_role("row").count() == 8
    page.get_by_label("Query contains").press_sequentially("capital")
    page.wait_for_url(re.compile("text=capital"))
    page.get_by_text("2 entries shown").wait_for()
    assert page.get_by_role("row").count() == 3
    page.get_by_label("Query contains").fill("")
    page.get_by_label("Namespace").select_option("shop")
    page.get_by_text("2 entries shown").wait_for()
    page.go_back()
    page.get_by_text("entries shown").wait_for()
    assert "namespace=shop" not in page.url


def test_what_was_typed_last_is_what_is_listed(go, page):
    """A large cache takes its time: what was asked for before is given up."""
    go("/entries")
    held = []
    page.route(re.compile(r"text=cap&"), lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks what it is given
    with page.expect_request(re.compile(r"text=cap&")):
        page.get_by_label("Query contains").fill("cap")
    page.get_by_label("Query contains").fill("capital of Italy")
    page.get_by_text("1 entry shown").wait_for()
    assert len(held) == 1


def test_what_cannot_be_looked_for_is_said_in_place_of_the_list(go, page, watched):
    watched.expect("400")
    go("/entries")
    page.get_by_text("More filters").click()
    page.get_by_label("Older than").press_sequentially("soon")
    page.get_by_role("alert").wait_for()
    assert "'soon' is no time" in page.get_by_role("alert").inner_text()
    page.get_by_label("Older than").fill("0")
    page.get_by_text("7 entries shown").wait_for()
    assert page.get_by_role("heading", level=1).inner_text() == "Entries"


def test_filtering_works_without_scripts(serve, browser, cache):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(serve(inspector(cache)) + "/entries")
    page.get_by_label("Query contains").fill("capital")
    page.get_by_role("button", name="Show").click()
    assert page.get_by_role("row").count() == 3
    assert not page.get_by_role("button", name="colours").is_visible()
    context.close()


def test_explaining_says_why(go, page):
    go("/explain")
    page.get_by_label("Query").fill("How high is Mount Everest in 1990?")
    page.get_by_role("button", name="Explain").click()
    verdict = page.get_by_role("region", name="Verdict")
    assert "miss" in verdict.inner_text()
    assert page.get_by_text("another question").first.is_visible()
    page.get_by_label("Query").fill("what is the CAPITAL of france?")
    page.get_by_role("button", name="Explain").click()
    assert "An equal query is stored" in verdict.inner_text()


def test_removing_an_entry_takes_two_steps(go, page, cache):
    go("/entries/5")
    page.get_by_role("link", name="Remove…").click()
    page.get_by_role("link", name="Keep it").click()
    assert cache.get("How fast is light in a vacuum?") is not None
    page.get_by_role("link", name="Remove…").click()
    page.get_by_role("button", name="Remove it").click()
    assert page.get_by_role("status").inner_text() == "Removed: 1."
    assert cache.get("How fast is light in a vacuum?", similarity_threshold=0.99) is None


def test_what_was_removed_meanwhile_is_said_to_be_gone(go, page, cache, watched):
    watched.expect("404")
    go("/entries/5/remove")
    cache.delete("How fast is light in a vacuum?")
    page.get_by_role("button", name="Remove it").click()
    assert "There is no entry 5" in page.get_by_role("alert").inner_text()


def test_a_token_opens_the_pages_once_and_then_the_cookie_does(serve, page, cache, watched, examine):
    watched.expect("401")
    address = serve(inspector(cache, token="the-token-of-a-test", writable=True))  # noqa: S106 - made up
    page.goto(address)
    assert page.get_by_role("heading", level=1).inner_text() == "Not yours to see"
    examine()
    page.goto(f"{address}/?token=the-token-of-a-test")
    assert page.url == f"{address}/"
    page.get_by_role("link", name="Entries").first.click()
    page.get_by_role("link", name="How fast is light").click()
    page.get_by_role("link", name="Remove…").click()
    page.get_by_role("button", name="Remove it").click()  # the browser says where the form comes from
    assert "Removed" in page.get_by_role("status").inner_text()
    assert page.evaluate("document.cookie") == ""


def test_stored_markup_is_text_everywhere(go, page, hostile, examine):
    go("/")
    hostile_links = page.get_by_role("link", name="document.title")
    assert hostile_links.count()
    paths = [
        *("/", "/entries", "/similar?query=script", "/explain?query=script&threshold=0.01", "/entries/8", "/entries/9"),
        *("/entries/8/remove", "/entries?tag=%22%3E%3Cscript%3E&text=%22%3E%3Cscript%3Edocument.title%3D1"),
    ]
    paths += page.evaluate("[...document.querySelectorAll('main a')].map(a => a.getAttribute('href'))")
    for path in paths:
        go(path)
        assert page.title().endswith("· mneme")
        assert page.locator("main script, main img").count() == 0
    go("/entries/8")
    assert page.locator("pre.stored").first.inner_text() == HOSTILE
    examine()
