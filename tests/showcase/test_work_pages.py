"""The pages of RAG, translation, deduplication, memory and calibration: every action, with a script and without."""

import html
import json
import re

import pytest

from showcase.pages import calibration, rag
from showcase.work.passages import Shelf
from showcase.work.questions import Pool, written

HOSTILE = "<script>alert(1)</script> & <b>bold</b>?"
TIMES = "\N{MULTIPLICATION SIGN}"
FRAGMENT = {"hx-request": "true"}
DOCUMENTS = {
    "keys": "# Keys\n\nTo change the encryption key, add a new key to the ring and then remove the old one from it.\n",
    "space": "# Space\n\nWhen the cache is full, the entries that were used longest ago are evicted before others.\n",
    "time": "# Time\n\nAn entry that has a time to live is invisible from the very moment at which it has expired.\n",
    "hosts": "# Hosts\n\nSeveral processes of one host may share a file and see at once what any of them writes.\n",
}


@pytest.fixture(scope="module")
def small_shelf(local):
    return Shelf(DOCUMENTS, local)


@pytest.fixture(scope="module")
def pool(remembered):
    return Pool(written(), remembered)


@pytest.fixture(autouse=True)
def quick(monkeypatch, small_shelf, pool):
    """A small library, and the questions embedded once for all tests."""
    monkeypatch.setattr(rag.Shelf, "of_this_project", lambda embedder: small_shelf)
    monkeypatch.setattr(calibration, "Pool", lambda questions, embedder: pool)


def post(site, path, **fields):
    return site.post(path, data=fields, headers=FRAGMENT)


def another_visitor(site):
    site.cookies.clear()


def text_of(page):
    """What is to be read on a page, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


# --- RAG -------------------------------------------------------------------------------------------------------------


def test_an_answer_from_documents_shows_its_sources_and_is_served_for_other_words(site, model):
    first = post(site, "/rag/ask", question="How do I change the encryption key?")
    second = post(site, "/rag/ask", question="How can I change the encryption key?")
    assert '"badge miss"' in first.text
    assert "keys.md" in first.text
    assert '"badge semantic"' in second.text
    assert "“How do I change the encryption key?”" in text_of(second)
    assert len(model.questions) == 1


def test_changing_a_passage_says_which_answers_are_gone(site):
    asked = post(site, "/rag/ask", question="How do I change the encryption key?")
    number = re.search(r'name="passage" value="(\d+)"', asked.text)[1]
    edited = post(site, "/rag/edit", passage=number, text="Ask the landlord for another key.", question="Which key?")
    assert "keys.md is version 2 now. 1 answer made from it is gone: How do I change the encryption key?" in text_of(
        edited
    )
    assert "Ask again: Which key?" in text_of(edited)
    again = post(site, "/rag/ask", question="How do I change the encryption key?")
    assert '"badge miss"' in again.text
    assert "landlord" in again.text


def test_the_library_of_one_visitor_is_not_that_of_another(site):
    post(site, "/rag/ask", question="How do I change the encryption key?")
    post(site, "/rag/edit", passage="0", text="Ask the landlord for another key.", question="")
    another_visitor(site)
    page = post(site, "/rag/ask", question="How do I change the encryption key?")
    assert '"badge miss"' in page.text
    assert "landlord" not in page.text


def test_a_model_that_is_away_is_said_and_nothing_is_kept(site, model):
    model.failure = "the model went home"
    page = post(site, "/rag/ask", question="How do I change the encryption key?")
    assert "The model went home." in text_of(page)
    assert "Nothing yet" in page.text


def test_answers_from_documents_are_forgotten_on_demand(site):
    post(site, "/rag/ask", question="How do I change the encryption key?")
    assert "Nothing yet" in post(site, "/rag/clear").text


def test_what_is_asked_of_the_documents_is_seen_on_the_dashboard(site):
    post(site, "/rag/ask", question="How do I change the encryption key?")
    assert "How do I change the encryption key?" in site.get("/dashboard/live").text


def test_moving_the_threshold_knows_what_the_documents_were_asked_before(site):
    post(site, "/rag/ask", question="How do I change the encryption key?")
    post(site, "/rag/ask", question="How can I change the encryption key?")
    assert "1 semantic" in site.get("/dashboard/threshold", headers=FRAGMENT).text


def test_a_passage_that_is_not_there_is_refused(site):
    page = post(site, "/rag/edit", passage="999", text="Something", question="")
    assert page.status_code == 400
    assert "There is no passage 999." in page.text


# --- translation -----------------------------------------------------------------------------------------------------


def test_a_translation_is_served_for_other_words_and_not_for_another_number(site):
    first = post(site, "/translation", text="You have 3 new messages", language="de")
    same = post(site, "/translation", pick="There are 3 new messages for you", language="de")
    other = post(site, "/translation", pick="You have 4 new messages", language="de")
    assert "Sie haben 3 neue Nachrichten" in first.text
    assert '"badge semantic"' in same.text
    assert "Sie haben 4 neue Nachrichten" in other.text
    assert "numbers differ: 4 / 3" in text_of(other)


def test_another_placeholder_is_kept_apart_by_a_guard_of_the_page(site):
    post(site, "/translation", text="The file {file} could not be opened", language="fr")
    page = post(site, "/translation", text="The file {filename} could not be opened", language="fr")
    assert "placeholders differ: {filename} / {file}" in text_of(page)


def test_what_the_model_translates_is_said_to_be_its_work(site, model):
    page = post(site, "/translation", text="The sky is blue", language="es")
    assert "By scripted. Small models translate badly" in text_of(page)
    assert model.questions == ["The sky is blue"]


def test_translations_are_kept_for_one_visitor_and_forgotten_on_demand(site):
    post(site, "/translation", text="Where is the station?", language="fr")
    assert "Où est la gare ?" in site.get("/translation").text
    assert "Nothing yet" in post(site, "/translation/clear").text
    post(site, "/translation", text="Where is the station?", language="fr")
    another_visitor(site)
    assert "Où est la gare ?" not in site.get("/translation").text


def test_a_translation_is_not_said_to_be_answered_by_an_entry_of_the_shared_cache(site):
    site.post("/dashboard/ask", data={"question": "Why is the sky blue?"})
    post(site, "/translation", text="Your password has been changed", language="de")
    post(site, "/translation", text="Your password was changed", language="de")
    live = site.get("/dashboard/live").text
    assert "Your password was changed" in live
    assert "\N{ALMOST EQUAL TO}" not in live
    assert "of the latest 1 questions" in site.get("/dashboard/threshold", headers=FRAGMENT).text


# --- deduplication ---------------------------------------------------------------------------------------------------


def test_the_tickets_are_sorted_when_the_page_opens(site):
    page = site.get("/deduplication")
    assert f"4{TIMES} The app crashes when I upload a photo" in text_of(page)
    assert "numbers differ: 4.2 / 4.1" in text_of(page)


def test_lines_are_sorted_at_the_threshold_asked_for_with_guards_or_without(site):
    lines = "Version 4.1 does not start\nVersion 4.2 does not start\nHello there"
    guarded = post(site, "/deduplication", lines=lines, threshold="0.8")
    without = post(site, "/deduplication", lines=lines, threshold="0.8", without="yes")
    strict = post(site, "/deduplication", lines=lines, threshold="0.99", without="yes")
    assert "kept apart by a guard" in guarded.text
    assert f"2{TIMES} Version 4.1 does not start" in text_of(without)
    assert f"2{TIMES}" not in text_of(strict)


# --- memory ----------------------------------------------------------------------------------------------------------


def test_what_users_say_is_recalled_by_meaning_and_shown_as_the_agent_sees_it(site, model):
    post(site, "/memory/talk", user="Ann")
    page = post(site, "/memory/ask", user="Ann", question="Suggest a meal to eat")
    assert '- "What the user can eat: the user is vegetarian" (heard' in text_of(page)
    assert "peanuts" not in page.text
    assert "vegetarian" in model.questions[0]


def test_a_correction_and_what_it_replaces_are_told(site):
    post(site, "/memory/say", user="Ann", said="I live in Lisbon.")
    page = post(site, "/memory/say", user="Ann", pick="I moved to Porto!", lasts="1h")
    assert "Remembered: home The user lives in Porto. In place of: The user lives in Lisbon." in text_of(page)
    assert "60 min more" in text_of(page) or "1 h more" in text_of(page)


def test_a_fact_and_a_user_are_forgotten(site):
    said = post(site, "/memory/say", user="Bob", said="I'm allergic to peanuts.")
    number = re.search(r'id="fact-(\d+)"', said.text)[1]
    assert "That fact is forgotten." in post(site, "/memory/forget", user="Bob", fact=number).text
    assert "forgotten already" in post(site, "/memory/forget", user="Bob", fact=number).text
    post(site, "/memory/say", user="Bob", said="I live in Oslo.")
    page = post(site, "/memory/forget-user", user="Bob")
    assert "Bob is forgotten: 1 fact. Nothing is left of it in any file of the cache." in text_of(page)


def test_a_user_can_be_added_and_one_that_is_not_there_is_said(site):
    assert 'user=Cleo%20%26%20Co" aria-current' in post(site, "/memory/user", user="Ann", name="Cleo & Co").text
    assert "There is no user 'Eve'." in text_of(site.get("/memory?user=Eve"))
    assert "no user 'Eve'" in text_of(post(site, "/memory/say", user="Eve", said="I live in Rome."))


def test_without_a_model_memory_works_all_the_same(site, model):
    post(site, "/memory/say", user="Ann", said="I live in Lisbon.")
    model.failure = "the model went home"
    page = post(site, "/memory/ask", user="Ann", question="Which city does the user live in?")
    assert "The model went home." in text_of(page)
    assert "The user lives in Lisbon" in page.text


def test_the_facts_of_one_visitor_are_not_those_of_another(site):
    post(site, "/memory/say", user="Ann", said="I live in Lisbon.")
    assert "Lisbon" in site.get("/memory/facts?user=Ann").text
    another_visitor(site)
    assert "Lisbon" not in site.get("/memory/facts?user=Ann").text


# --- calibration -----------------------------------------------------------------------------------------------------


def begin(site, **query):
    return site.get("/calibration", params={"begin": "yes", **query})


def pair_of(page):
    return {name: re.search(rf'name="{name}" value="(\d+)"', page.text)[1] for name in ("first", "second")}


def test_the_first_visit_waits_for_nothing_and_begins_by_a_button(site):
    page = site.get("/calibration")
    assert 'id="verdict"' not in page.text
    assert 'name="begin"' in page.text
    assert 'id="verdict"' in begin(site).text
    assert 'id="verdict"' in site.get("/calibration").text


def test_a_label_brings_the_next_pair_and_says_the_similarity_afterwards(site):
    page = begin(site)
    labelled = post(site, "/calibration/label", **pair_of(page), verdict="same")
    assert re.search(r"Same: their similarity is 0\.\d{3}\.", text_of(labelled))
    assert pair_of(labelled) != pair_of(page)
    assert "Taken back." in post(site, "/calibration/undo").text
    assert "nothing to take back" in post(site, "/calibration/undo").text
    assert pair_of(begin(site)) == pair_of(page)


def test_labels_draw_a_curve_and_the_way_of_the_threshold(site):
    begin(site)
    page = post(site, "/calibration/fill", most="20")
    assert "20 labelled as their author saw them." in page.text
    assert "What a threshold makes of your labels" in page.text
    assert "How it moved with each label" in page.text
    assert "The curve is drawn when" in post(site, "/calibration/clear").text


def test_a_promise_is_made_when_all_that_arrives_is_labelled_and_not_before(site):
    begin(site)
    assert "50 labelled hits are missing for 10%" in text_of(site.get("/calibration/promise?rate=0.1"))
    post(site, "/calibration/fill", most="500", order="arrival")
    promise = text_of(site.get("/calibration/promise?rate=0.1"))
    assert "guaranteed" in promise
    assert "at most 10% of the semantic hits are wrong, with a confidence of 95%" in promise
    assert "All of them are labelled" in begin(site, order="arrival").text


def test_labels_are_saved_as_the_commands_read_them(site):
    begin(site)
    post(site, "/calibration/fill", most="10", order="arrival")
    pairs, traffic = site.get("/calibration/pairs.jsonl"), site.get("/calibration/traffic.jsonl")
    assert pairs.headers["content-disposition"] == 'attachment; filename="pairs.jsonl"'
    assert [set(json.loads(line)) for line in pairs.text.splitlines()] == [{"a", "b", "same"}] * 10
    assert {frozenset(json.loads(line)) for line in traffic.text.splitlines()} == {frozenset({"text", "answer"})}


def test_a_skipped_pair_goes_and_one_that_is_none_is_refused(site):
    page = begin(site)
    assert pair_of(post(site, "/calibration/label", **pair_of(page), verdict="skip")) != pair_of(page)
    refused = post(site, "/calibration/label", first="0", second="0", verdict="same")
    assert (refused.status_code, "no pair to label" in refused.text) == (400, True)
    for field in ({"verdict": "perhaps"}, {"order": "sideways", "verdict": "same"}, {"rate": "0.3", "verdict": "same"}):
        assert post(site, "/calibration/label", **pair_of(page), **field).status_code == 400


def test_the_labels_of_one_visitor_are_not_those_of_another(site):
    begin(site)
    post(site, "/calibration/fill", most="10")
    another_visitor(site)
    begin(site)
    assert site.get("/calibration/pairs.jsonl").text == ""


# --- what holds for all of them --------------------------------------------------------------------------------------

FORMS = [
    ("/rag/ask", {"question": HOSTILE}),
    ("/translation", {"text": HOSTILE, "language": "de"}),
    ("/deduplication", {"lines": HOSTILE}),
    ("/memory/say", {"user": "Ann", "said": HOSTILE}),
    ("/memory/user", {"user": "Ann", "name": "<script>alert(1)</script>"}),
    ("/memory/ask", {"user": "Ann", "question": HOSTILE}),
]


@pytest.mark.parametrize(("path", "fields"), FORMS)
def test_hostile_text_is_shown_as_text_with_a_script_and_without(site, path, fields):
    for page in (post(site, path, **fields), site.post(path, data=fields)):
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;alert" in page.text


@pytest.mark.parametrize(("path", "fields"), FORMS)
def test_without_a_script_a_form_is_answered_by_a_whole_page(site, path, fields):
    page = site.post(path, data=fields)
    assert page.text.count("<h1") == 1
    assert "<html" not in post(site, path, **fields).text


@pytest.mark.parametrize(("path", "fields"), FORMS)
@pytest.mark.parametrize("typed", [(" ", "empty|no lines"), ("word " * 15_000, "at most")])
def test_nothing_and_too_much_are_answered_clearly(site, model, path, fields, typed):
    value, says = typed
    field = list(fields)[0 if len(fields) == 1 or "text" in fields else 1]
    page = site.post(path, data={**fields, field: value})
    assert page.status_code == 400
    assert re.search(says, page.text)
    assert page.text.count("<h1") == 1
    assert model.questions == []
