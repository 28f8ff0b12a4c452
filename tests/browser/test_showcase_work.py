"""The pages on which work is done, as a visitor walks them: in a real browser, with both real models."""

import json
import re

from playwright.sync_api import expect


def test_documentation_answers_in_other_words_until_a_passage_is_rewritten(showcased, page, examine):
    page.goto(f"{showcased[0]}/rag")
    examine()
    answer = page.get_by_role("region", name="Answer")
    page.get_by_role("button", name="When is an expired entry removed?", exact=True).click()
    expect(answer.locator(".badge")).to_have_text("miss")
    expect(answer).to_contain_text("Small models answer badly")
    said = answer.locator(".said").inner_text()
    page.get_by_role("button", name="≈ When are expired entries removed?").click()
    expect(answer.locator(".badge")).to_have_text("semantic")
    assert answer.locator(".said").inner_text() == said
    source = page.locator("details.source").first
    document = source.locator(".badge").inner_text()
    source.locator("summary").click()
    examine("showcase-rag", ("light",), full=True)
    source.get_by_role("textbox").fill("Expired entries are removed by the janitor on Tuesdays, and at no other time.")
    source.get_by_role("button").click()
    expect(page.locator(".notice.good")).to_contain_text(f"{document} is version 2 now. 1 answer made from it is gone")
    examine()
    page.get_by_role("button", name="Ask again").click()
    expect(answer.locator(".badge")).to_have_text("miss")
    expect(page.locator("details.source textarea").filter(has_text="janitor")).to_have_count(1)


def test_a_message_is_translated_once_and_its_likes_are_kept_apart(showcased, page, examine):
    page.goto(f"{showcased[0]}/translation")
    examine()
    done = page.get_by_role("region", name="Translation")
    page.get_by_role("button", name="The file {file} could not be opened", exact=True).click()
    expect(done).to_contain_text("Die Datei {file} konnte nicht geöffnet werden")
    page.get_by_role("button", name="≈ The file {file} cannot be opened").click()
    expect(done.locator(".badge")).to_have_text("semantic")
    page.get_by_role("button", name="≠ The file {filename} could not be opened").click()
    expect(done).to_contain_text("Die Datei {filename} konnte nicht geöffnet werden")
    expect(page.locator("td[data-label=Because]")).to_contain_text("placeholders differ")
    examine("showcase-translation", ("light",), full=True)
    page.get_by_label("Into").select_option("French")
    page.get_by_label("English").fill("The sky is blue")
    page.get_by_role("button", name="Translate", exact=True).click()
    expect(done).to_contain_text("Small models translate badly")
    expect(done.locator(".said")).to_have_attribute("lang", "fr")


def test_on_a_phone_what_was_asked_for_comes_into_view(showcased, page):
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{showcased[0]}/translation")
    page.get_by_role("button", name="Your password has been changed").click()
    expect(page.get_by_role("region", name="Translation")).to_be_in_viewport()


def test_tickets_are_grouped_anew_as_the_threshold_moves(showcased, page, examine):
    page.goto(f"{showcased[0]}/deduplication")
    new = page.locator(".figure.miss strong")
    expect(page.locator(".group").first).to_contain_text("The app crashes when I upload a photo")
    examine("showcase-deduplication", ("light",), full=True)
    before = int(new.inner_text())
    page.get_by_label("Threshold").fill("0.95")
    expect(page.locator("#threshold-value")).to_have_text("0.95")
    expect(new).not_to_have_text(str(before))
    assert int(new.inner_text()) > before
    page.get_by_label("Threshold").fill("0.8")
    expect(new).to_have_text(str(before))
    page.get_by_label("without guards").check()
    expect(page.locator(".notice.bad")).to_contain_text("Without guards")
    expect(page.locator(".group").filter(has_text="Version 4.1 does not start")).to_contain_text("Version 4.2")
    page.get_by_label("A text in each line").fill("<b>One</b>\n<b>One</b>\nSomething else")
    page.get_by_role("button", name="Find what is the same").click()
    expect(page.locator(".group").first).to_contain_text("<b>One</b>")
    expect(page.locator(".group")).to_have_count(2)


def test_facts_are_said_recalled_expire_and_are_forgotten(showcased, page, examine):
    page.goto(f"{showcased[0]}/memory")
    examine()
    page.get_by_role("button", name="Let Ann and Bob say everything").click()
    expect(page.locator("#facts")).to_contain_text("The user lives in Porto")
    expect(page.locator("#facts")).not_to_contain_text("Lisbon")
    page.get_by_role("button", name="Suggest a meal to eat").click()
    expect(page.get_by_label("Prompt")).to_contain_text("vegetarian")
    expect(page.get_by_label("Prompt")).not_to_contain_text("peanuts")
    expect(page.get_by_text("What it makes of that")).to_be_visible()
    examine("showcase-memory", ("light",), full=True)
    page.get_by_role("button", name="Forget: The user lives in Porto").click()
    expect(page.locator(".notice.good")).to_contain_text("That fact is forgotten.")
    expect(page.locator("#facts")).not_to_contain_text("Porto")
    page.get_by_role("link", name="Bob").click()
    expect(page.locator("#facts")).to_contain_text("peanuts")
    page.get_by_role("button", name="Forget Bob").click()
    expect(page.locator(".notice.good")).to_contain_text("Nothing is left of them in any file of the cache.")
    examine()


def test_pairs_are_labelled_by_keys_and_the_threshold_and_its_promise_move(showcased, page, examine):
    page.goto(f"{showcased[0]}/calibration")
    pair = page.locator("ul.pair")
    expect(pair).to_be_visible()
    first = pair.inner_text()
    page.keyboard.press("s")  # keys press nothing before they are switched on
    page.get_by_label("Use keys").check()
    expect(pair).to_have_text(re.compile(re.escape(first.split("\n")[0])))
    page.keyboard.press("d")
    expect(page.locator(".told")).to_contain_text("Different: their similarity is 0.")
    page.keyboard.press("s")
    expect(page.locator(".told")).to_contain_text("Same: their similarity is 0.")
    expect(page.get_by_role("img", name="What a threshold makes of your labels")).to_be_visible()
    page.keyboard.press("u")
    expect(page.locator(".told")).to_contain_text("Taken back.")
    page.get_by_role("button", name="50", exact=True).click()
    expect(page.locator(".told")).to_contain_text("50 labelled")
    expect(page.get_by_role("img", name="How it moved with each label")).to_be_visible()
    expect(page.locator(".told-promise")).to_contain_text("none yet")
    examine("showcase-labelling", ("light",), full=True)
    page.get_by_role("link", name="Questions as they arrive").click()
    page.get_by_role("button", name="all", exact=True).click()
    expect(page.get_by_role("heading", name="All of them are labelled")).to_be_visible()
    expect(page.locator(".told-promise .badge")).to_have_text("guaranteed")
    examine()
    page.get_by_label("At most so many").select_option("5%")
    expect(page.locator(".told-promise")).to_contain_text("labelled hits are missing for 5%")
    with page.expect_download() as download:
        page.get_by_role("link", name="pairs.jsonl").click()
    lines = download.value.path().read_text(encoding="utf-8").splitlines()
    assert set(json.loads(lines[0])) == {"a", "b", "same"}


def test_the_pages_work_without_javascript(showcased, browser):
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.goto(f"{showcased[0]}/calibration")
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("button", name="Same").click()
    expect(page.locator(".told")).to_contain_text("Same: their similarity is")
    expect(page.locator(".told-promise")).to_contain_text("none yet")
    page.goto(f"{showcased[0]}/deduplication")
    page.get_by_label("without guards").check()
    page.get_by_role("button", name="Find what is the same").click()
    expect(page.locator(".notice.bad")).to_contain_text("Without guards")
    page.goto(f"{showcased[0]}/memory")
    page.get_by_role("button", name="I moved to Porto!").click()
    expect(page.locator("#facts")).to_contain_text("The user lives in Porto")
    page.goto(f"{showcased[0]}/translation")
    page.get_by_role("button", name="You have 3 new messages").click()
    expect(page.get_by_role("region", name="Translation")).to_contain_text("Sie haben 3 neue Nachrichten")
    context.close()


def test_what_cannot_be_read_is_said_on_the_page_that_asked(showcased, page):
    page.goto(f"{showcased[0]}/rag")
    page.get_by_label("Your question").fill("\N{GRINNING FACE}")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("The question cannot be looked up")
