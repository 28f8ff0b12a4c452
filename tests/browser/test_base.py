"""The base of all pages, in a real browser."""

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route

from mneme import SemanticCache
from mneme.testing import HashEmbedder
from mneme.ui import Bar, Frame, Link, Pages, Series, bar_chart, guards, histogram_chart, inspector, line_chart, static


@pytest.fixture
def address(serve, tmp_path) -> str:
    """An application of somebody else's, with a page of all that the base has to offer."""
    (tmp_path / "parade.html").write_text(
        """{% extends "base.html" %}{% import "parts.html" as parts %}{% block title %}Parade{% endblock %}
        {% block main %}<h1>Parade</h1>{{ parts.notice("Mind this", "bad") }}
        <p>{{ parts.layer("exact") }} {{ parts.layer("semantic") }} {{ parts.layer(None) }}
        {{ parts.badge("good", "good") }} {{ parts.badge("bad", "bad") }} {{ parts.badge("muted") }}
        {{ parts.meter(0.9, "similarity") }}</p>
        <div class="figures">{{ parts.figure(7, "entries", "exact") }}{{ parts.figure("80%", "hits") }}</div>
        <button class="danger">Remove</button>
        <button hx-get="{{ at }}/now" hx-target="#now">Now</button><p id="now"></p>
        {% for chart in charts %}{{ chart }}{% endfor %}
        <script>document.title = "inline"</script>{% endblock %}""",
        encoding="utf-8",
    )
    line = Series("hits", "exact", [(0, 1), (1, 4), (2, 3)])
    charts = [
        line_chart([line], title="Over time", description="Rises and falls.", marks=[(1, "here")], x_label="s"),
        bar_chart([Bar("a", 3, "semantic"), Bar("b", 1, "miss")], title="Bars", description="Three and one."),
        histogram_chart(line, line._replace(tone="miss"), title="Two", description="Both.", width=1, x_label="x"),
    ]
    pages = Pages(tmp_path, frame=Frame("Showcase", links=(Link("Home", "{at}/"), Link("Other", "{at}/other"))))
    return serve(
        Starlette(
            routes=[
                Route("/", lambda request: pages.show(request, "parade.html", charts=charts)),
                Route("/now", lambda request: pages.show(request, "now.html")),
                Mount("/static", static()),
            ],
            middleware=guards(token=None),
        )
    )


def test_everything_the_base_offers_is_accessible_and_fits_a_phone(address, page, watched, examine, tmp_path):
    watched.expect("Content Security Policy")  # of the inline script
    page.goto(address)
    examine()
    assert page.title() == "Parade · Showcase"  # the inline script did not run


def test_htmx_puts_a_fragment_in_its_place(address, page, watched, tmp_path):
    (tmp_path / "now.html").write_text("<b>it is now</b>", encoding="utf-8")
    watched.expect("Content Security Policy")
    page.goto(address)
    page.get_by_role("button", name="Now").click()
    page.locator("#now b").wait_for()
    assert page.locator("#now").inner_text() == "it is now"


def test_the_toggle_changes_the_colours_and_they_stay(address, page, watched):
    watched.expect("Content Security Policy")
    page.emulate_media(color_scheme="light")
    page.goto(address)
    light = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.get_by_role("button", name="Use dark colours").click()
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert dark != light
    page.reload()
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == dark
    page.get_by_role("button", name="Use light colours").click()
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == light


def test_the_skip_link_is_the_first_stop_and_leads_to_the_content(address, page, watched):
    watched.expect("Content Security Policy")
    page.goto(address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_the_overview_of_a_cache(serve, page, examine, cache_path):
    with SemanticCache(cache_path, HashEmbedder()) as cache:
        cache.put("What is the capital of France?", "Paris")
        page.goto(serve(inspector(cache)))
        assert page.get_by_role("heading", level=1).inner_text() == "Overview"
        examine()


def test_what_is_wrong_with_a_page_is_found(serve, page, examine):
    """The checks themselves can fail."""
    bad = (
        '<body><img src="data:,"><div class="wide">wide</div><script src="/gone.js"></script>'
        '<main class="place"><table class="wide"><tr><td class="number"><p class="place">1 2</p></td></tr></table>'
    )
    sheet = ".wide { width: 900px; color: #999; background: #aaa } .place { width: 1px }"
    app = Starlette(
        routes=[
            Route("/", lambda request: HTMLResponse(f'{bad}<link rel="stylesheet" href="/sheet.css">')),
            Route("/sheet.css", lambda request: Response(sheet, media_type="text/css")),
        ]
    )
    page.goto(serve(app))
    with pytest.raises(AssertionError) as found:
        examine()
    for fault in (
        *("image-alt", "color-contrast", "html-has-lang", "phone: 5", "pixels wider than the screen"),
        *("a number on two lines", "a table wider than its place"),
    ):
        assert fault in str(found.value)
    assert any("gone.js" in fault for fault in page.watched.unexpected())
    page.watched.faults.clear()
