"""The showcase as a visitor walks it, in a real browser, with a real language model behind it."""

import re

from playwright.sync_api import expect

import showcase


def test_playing_the_prepared_questions_fills_the_dashboard(showcased, page, examine):
    address, state = showcased
    state.tour.pause = 0.0
    page.goto(address)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Remember what it")
    examine()
    page.get_by_role("button", name=re.compile("Play")).click()
    expect(page.get_by_role("status").filter(has_text="Asking question")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Play"))).to_be_visible(timeout=90_000)
    expect(page.locator(".figure.semantic strong")).not_to_have_text("0")
    expect(page.locator("table.latest")).to_contain_text("≈")
    page.evaluate("scrollTo(0, 0)")
    examine("showcase-dashboard", ("light", "dark"))
    page.get_by_label("Threshold").fill("0.75")
    expect(page.locator("#what-if")).to_contain_text("At 0.75:")
    expect(page.locator("#what-if")).to_contain_text("guarded")
    expect(page.locator("#what-if table")).to_contain_text("Why is the sea blue?")
    examine("showcase-threshold", full=True)
    page.get_by_role("button", name="Use this threshold from now on").click()
    expect(page.locator("#what-if")).to_contain_text("At 0.75 (now):")
    assert state.cache.similarity_threshold == 0.75


def test_a_question_on_the_dashboard_is_answered_below_it(showcased, page):
    page.goto(showcased[0])
    page.get_by_label("Ask something").fill("What is the capital of France?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#answer")).to_contain_text("Paris")
    expect(page.locator("#answer .badge")).to_have_text("miss")
    page.get_by_label("Ask something").fill("Which city is the capital of France?")
    page.get_by_label("Ask something").press("Enter")
    expect(page.locator("#answer .badge")).to_have_text("semantic")
    expect(page.locator("table.latest tbody tr")).to_have_count(2)
    page.get_by_label("Ask something").fill("left over")
    page.get_by_role("button", name="Why is the sky blue?").click()
    expect(page.locator("#answer .badge")).to_have_text("miss")
    page.get_by_role("button", name="What makes the sky blue?").click()
    expect(page.locator("#answer .badge")).to_have_text("semantic")


def test_both_sides_answer_and_what_the_cache_did_is_explained(showcased, page, examine):
    page.goto(f"{showcased[0]}/try")
    examine()
    page.get_by_role("button", name="How long does the train take from Paris to London?", exact=True).click()
    expect(page.locator("#with-side .badge")).to_have_text("miss: the model")
    expect(page.locator("#without-side .badge")).to_have_text("model")
    said = page.locator("#with-text").inner_text()
    page.get_by_role("button", name="≈ How long does it take to get from Paris to London by train?").click()
    expect(page.locator("#with-side .badge")).to_have_text("semantic")
    expect(page.locator("#with-text")).to_have_text(said)
    expect(page.locator("#steps table")).to_contain_text("answers")
    expect(page.locator("[aria-busy]")).to_have_count(0)
    examine("showcase-try", full=True)
    page.get_by_role("button", name="≠ How long does the train take from London to Paris?").click()
    expect(page.locator("#steps table")).to_contain_text("direction")
    expect(page.locator("#steps")).to_contain_text("the model was asked")
    expect(page.locator("[aria-busy]")).to_have_count(0)
    examine()


def test_on_a_phone_an_answer_comes_into_view(showcased, page):
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{showcased[0]}/try")
    page.get_by_role("button", name="What is the capital of France?", exact=True).click()
    expect(page.locator("#without-side")).to_be_in_viewport()
    expect(page.locator("[aria-busy]")).to_have_count(0)


def test_an_answer_is_seen_to_grow(showcased, page):
    page.goto(f"{showcased[0]}/try")
    page.evaluate("""() => {
        window.lengths = new Set();
        new MutationObserver(() => {
            const text = document.getElementById("without-text");
            if (text) window.lengths.add(text.textContent.length);
        }).observe(document.getElementById("results"), {childList: true, subtree: true, characterData: true});
    }""")
    page.get_by_label("Your question").fill("Why is the sky blue?")
    page.get_by_role("button", name="Ask both").click()
    expect(page.locator("#steps li").first).to_be_visible()
    expect(page.locator("[aria-busy]")).to_have_count(0)
    assert page.evaluate("window.lengths.size") > 3


def test_a_stress_run_is_watched_and_stopped(showcased, page, examine):
    page.goto(f"{showcased[0]}/stress")
    examine()
    page.get_by_label("Requests", exact=True).fill("20000")
    page.get_by_label("The stand-in waits, ms").fill("300")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#stress-live svg")).to_have_count(2, timeout=30_000)
    expect(page.get_by_role("status")).to_contain_text(
        re.compile(r"[3-9]\d\d of 20,000|\d,\d{3} of 20,000"), timeout=60_000
    )
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_contain_text("stopped")
    expect(page.locator(".figure").filter(has_text="wrong answers").locator("strong")).to_have_text("0")
    examine("showcase-stress", full=True)


def test_two_tenants_are_told_different_things_and_one_is_forgotten(showcased, page, examine):
    page.goto(f"{showcased[0]}/tenants")
    examine()
    for question in ("What does the premium plan cost?", "When is the office closed?", "How much is the premium plan?"):
        page.get_by_role("button", name=question).click()
        expect(page.locator("h2.asked")).to_contain_text(question)
    page.get_by_role("button", name="me: How many days of holiday do I have left?").click()
    expect(page.get_by_role("region", name="Acme")).to_contain_text("Anna has 12 days")
    expect(page.get_by_role("region", name="Globex")).to_contain_text("Carla has 20 days")
    expect(page.get_by_role("region", name="Globex")).not_to_contain_text("Anna")
    page.get_by_role("region", name="Acme").locator("summary").first.click()
    expect(page.get_by_role("region", name="Acme")).to_contain_text("only anna")
    examine("showcase-tenants", full=True)
    page.get_by_role("button", name="Forget Globex").click()
    expect(page.get_by_role("heading", name="Globex is forgotten")).to_be_visible()
    assert {text.strip() for text in page.locator("td[data-label=After]").all_inner_texts()} == {"0"}
    examine("showcase-forgotten", full=True)


def test_the_inspector_lies_behind_the_same_navigation(showcased, page, examine):
    address, state = showcased
    state.cache.put("What is stored?", "This.")
    page.goto(address)
    page.get_by_role("link", name="Inspector").click()
    expect(page.get_by_role("link", name="Inspector")).to_have_attribute("aria-current", "page")
    examine()
    page.get_by_role("link", name="Tenants").click()
    expect(page).to_have_url(f"{address}/tenants")


def test_everything_works_without_a_script(showcased, browser):
    address, _ = showcased
    context = browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(address)
        page.get_by_label("Ask something").fill("What is the capital of France?")
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.locator("#answer")).to_contain_text("Paris")
        page.goto(f"{address}/try")
        page.get_by_role("button", name="What is the capital of France?", exact=True).click()
        expect(page.locator("#with-side .badge")).to_have_text("exact")
        page.goto(f"{address}/tenants")
        page.get_by_role("button", name="What does the premium plan cost?").click()
        expect(page.get_by_role("region", name="Globex")).to_contain_text("35 €")
        page.goto(f"{address}/stress")
        page.get_by_label("Requests", exact=True).fill("10")
        page.get_by_label("The stand-in waits, ms").fill("0")
        page.get_by_role("button", name="Run").click()
        expect(page.get_by_role("status")).to_contain_text("of 10 requests")
    finally:
        context.close()


def test_a_model_that_is_down_is_told_of_on_every_page(serve, embedder, page, examine):
    made = showcase.app(showcase.Settings(embedder=embedder, endpoint="http://127.0.0.1:9/v1"))
    address = serve(made, lifespan="on")
    page.goto(f"{address}/try")
    page.get_by_role("button", name="Why is the sky blue?", exact=True).click()
    expect(page.locator("#with-side [role=alert]")).to_contain_text("does not answer")
    expect(page.locator("#without-side [role=alert]")).to_contain_text("does not answer")
    page.goto(address)
    expect(page.get_by_role("alert")).to_contain_text("The model at http://127.0.0.1:9/v1 does not answer")
    examine()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
