"""The dashboard: questions and how they were answered, live figures, the threshold, the tour."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

from showcase import seeds

HOSTILE = "<script>alert(1)</script> & <b>bold</b>?"
FRAGMENT = {"hx-request": "true"}


def ask(site, question):
    return site.post("/dashboard/ask", data={"question": question}, headers=FRAGMENT)


def figures(site):
    """The figures of the dashboard by what stands below them."""
    text = site.get("/dashboard/live").text
    return {name: value for value, name in re.findall(r"<strong>([^<]*)</strong><span>([^<]*)</span>", text)}


def test_a_question_is_computed_once_and_then_answered_by_its_words_and_by_its_meaning(site, model):
    assert "miss" in ask(site, "Why is the sky blue?").text
    assert '"badge exact"' in ask(site, "why is the SKY blue?").text
    assert '"badge semantic"' in ask(site, "Why does the sky look blue?").text
    assert model.questions == ["Why is the sky blue?"]
    shown = figures(site)
    assert (shown["exact"], shown["semantic"], shown["model calls"]) == ("1", "1", "1")
    assert shown["answered from memory"].startswith("67")


def test_money_saved_is_what_the_tokens_of_the_answers_would_have_cost(site):
    for _ in range(3):
        ask(site, "Why is the sky blue?")
    # 1000 tokens at 10 euros a million are a cent; two hits.
    assert figures(site)["saved, at 10 € a million tokens"] == "2.00 ct"


def test_the_latest_questions_say_what_answered_them(site):
    ask(site, "How long does the train take from Paris to London?")
    ask(site, "How long does the train take from London to Paris?")
    ask(site, "How long does it take to get from Paris to London by train?")
    live = site.get("/dashboard/live").text
    assert "≈ How long does the train take from Paris to London?" in live
    assert "guard: direction" in live


def test_without_a_script_the_answer_stands_on_the_whole_page(site):
    page = site.post("/dashboard/ask", data={"question": "Why is the sky blue?"})
    assert "<h1" in page.text
    assert "This answers: Why is the sky blue?" in page.text


def test_a_question_that_was_picked_is_the_one_that_is_asked(site, model):
    site.post("/dashboard/ask", data={"question": "left over", "pick": "Why is the sky blue?"}, headers=FRAGMENT)
    assert model.questions == ["Why is the sky blue?"]


def test_hostile_text_is_shown_as_text(site):
    for page in (ask(site, HOSTILE), site.get("/"), site.get("/dashboard/threshold?threshold=0.7")):
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;" in page.text


def test_an_empty_question_and_one_that_is_too_long_are_answered_clearly(site, model):
    assert "question is empty" in ask(site, "   ").text
    assert "at most 2,000" in ask(site, "x" * 2001).text
    assert model.questions == []


def test_an_answer_that_was_cut_off_is_shown_and_not_kept(site, model):
    model.whole = False
    assert "not kept: This answers: Why?" in ask(site, "Why?").text
    model.whole = True
    assert "badge miss" in ask(site, "Why?").text
    assert len(model.questions) == 2


def test_a_model_that_does_not_answer_is_told_of_on_every_page_until_it_does(site, model):
    model.failure = "The model at nowhere does not answer."
    assert model.failure in ask(site, "Why?").text
    assert model.failure in site.get("/").text
    model.failure = None
    assert site.post("/model/probe").status_code == 200
    assert "does not answer" not in site.get("/").text


def test_moving_the_threshold_says_what_would_have_been_served_and_changes_nothing(site, state):
    ask(site, "Why is the sky blue?")
    ask(site, "Why is the sea blue?")  # 0.757
    lower = site.get("/dashboard/threshold?threshold=0.75", headers=FRAGMENT).text
    assert "1 semantic" in lower
    assert "would have been" not in lower
    assert lower.count("Why is the sea blue?") >= 1
    assert "0 semantic" in site.get("/dashboard/threshold?threshold=0.77", headers=FRAGMENT).text
    assert state.cache.similarity_threshold == 0.85


def test_what_was_stored_later_does_not_count_as_what_would_have_been_served(site):
    ask(site, "Why is the sea blue?")
    ask(site, "Why is the sky blue?")
    said = site.get("/dashboard/threshold?threshold=0.75", headers=FRAGMENT).text
    assert "1 semantic" in said  # the second by the first, and not the first by the second
    assert "1 to the model" in said


def test_a_guard_refuses_at_any_threshold(site):
    ask(site, "How do I enable two-factor authentication?")
    ask(site, "How do I disable two-factor authentication?")
    assert "1 guarded" in site.get("/dashboard/threshold?threshold=0.6", headers=FRAGMENT).text


def test_the_threshold_that_was_set_is_the_one_that_serves(site, model):
    ask(site, "Why is the sky blue?")
    set_to = site.post("/dashboard/threshold", data={"threshold": "0.75"}, headers=FRAGMENT)
    assert "At 0.75 (now)" in set_to.text
    assert "badge semantic" in ask(site, "Why is the sea blue?").text
    assert model.questions == ["Why is the sky blue?"]


def test_a_threshold_that_is_none_is_refused(site, state):
    for nonsense in ("", "nan", "2", "-1", "much"):
        assert site.post("/dashboard/threshold", data={"threshold": nonsense}).status_code == 400
    assert state.cache.similarity_threshold == 0.85


def test_the_tour_asks_all_of_its_questions_in_the_background(site, state, model):
    state.tour.pause = 0.0
    site.post("/dashboard/tour")
    state.tour.join()
    shown = figures(site)
    asked = sum(int(shown[name]) for name in ("exact", "semantic", "model calls"))
    assert asked == len(seeds.story())
    assert len(model.questions) == int(shown["model calls"]) < asked / 2


def test_the_tour_is_stopped_in_the_middle(site, state):
    state.tour.pause = 3600.0
    site.post("/dashboard/tour")
    assert "of 43" in site.get("/dashboard/live").text
    site.post("/dashboard/tour/stop")
    assert not state.tour.running
    assert "Play 43 questions" in site.get("/dashboard/live").text


def test_a_tour_without_a_model_says_why_it_ended(site, state, model):
    model.failure = "There is no language model."
    site.post("/dashboard/tour")
    state.tour.join()
    assert "There is no language model." in site.get("/dashboard/live").text


def test_every_seeded_question_is_answered_as_its_group_says(site, model):
    for group in seeds.GROUPS:
        assert "badge miss" in ask(site, group.first).text
        for words in group.same:
            assert "badge semantic" in ask(site, words).text, words
        for other in group.other:
            assert "badge miss" in ask(site, other).text, other


def test_visitors_who_ask_the_same_at_once_share_one_answer(site, model):
    model.gate = threading.Event()
    with ThreadPoolExecutor(6) as visitors:
        asked = [visitors.submit(ask, site, "Why is the sky blue?") for _ in range(6)]
        model.gate.set()
        answers = [one.result().text for one in asked]
    assert all("This answers: Why is the sky blue?" in answer for answer in answers)
    assert len(model.questions) == 1


def test_emptying_forgets_the_answers_and_the_list(site, model):
    ask(site, "Why is the sky blue?")
    site.post("/dashboard/clear")
    assert "Why is the sky blue?" not in site.get("/dashboard/live").text
    ask(site, "Why is the sky blue?")
    assert len(model.questions) == 2
