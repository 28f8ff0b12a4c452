"""Tenants: who is answered from what, what a quota evicts, and that nothing is left of a tenant that was forgotten."""

import html
import re

import pytest

from showcase.pages.tenants import COMPANY, PERSONAL
from showcase.records import TENANTS, Records
from showcase.traces import traces

FRAGMENT = {"hx-request": "true"}


def ask(site, question, about="company"):
    """What each of the four was told, and by which layer."""
    page = html.unescape(site.post("/tenants/ask", data={"question": question, "about": about}).text)
    return re.findall(r'<p class="told"><span class="badge (\w+)">\w+</span> ([^<\n]+)', page)


def test_users_of_a_tenant_share_its_answers_and_no_other_tenants(site):
    told = ask(site, "What does the premium plan cost?")
    assert told == [
        ("miss", "At Acme the premium plan costs 20 € a month."),
        ("exact", "At Acme the premium plan costs 20 € a month."),
        ("miss", "At Globex the premium plan costs 35 € a month."),
        ("exact", "At Globex the premium plan costs 35 € a month."),
    ]
    other_words = ask(site, "How much is the premium plan?")
    assert [layer for layer, _ in other_words] == ["semantic"] * 4
    assert [answer for _, answer in other_words] == [answer for _, answer in told]


def test_what_concerns_a_person_is_told_to_that_person_alone(site):
    first = ask(site, "How many days of holiday do I have left?", about="me")
    assert [layer for layer, _ in first] == ["miss"] * 4
    assert [answer.split()[0] for _, answer in first] == ["Anna", "Ben", "Carla", "Dario"]
    again = ask(site, "How many days of holiday do I have left?", about="me")
    assert [layer for layer, _ in again] == ["exact"] * 4
    assert [answer for _, answer in again] == [answer for _, answer in first]


@pytest.mark.parametrize("question", [*COMPANY, *PERSONAL])
def test_every_question_to_pick_has_an_answer_in_the_records(site, question):
    page = site.post("/tenants/ask", data={"pick": question, "question": ""}).text
    assert page.count('<p class="told">') == 4
    assert "say nothing of that" not in page


def test_what_nobody_knows_is_said_to_be_unknown(site):
    told = ask(site, "Why is the sky blue?")
    assert told[0][1] == "Acme's records say nothing of that."


def test_a_user_may_be_answered_from_the_tenants_entries_and_from_own_ones(site, state):
    ask(site, "What does the premium plan cost?")
    ask(site, "How many days of holiday do I have left?", about="me")
    page = site.get("/tenants").text
    assert page.count("May be answered from 2 entries") == 4
    assert page.count("only anna") == page.count("only dario") == 1
    assert state.cache.stats("acme").entries == 3


def test_a_quota_keeps_the_latest(site, state):
    for question in COMPANY:
        ask(site, question)
    assert state.cache.stats("globex").entries == 4
    assert state.cache.stats("acme").entries == 5  # two of the six mean the same
    assert "of a quota of 4: 1 evicted so far" in site.get("/tenants").text


def test_nothing_is_left_of_a_tenant_that_was_forgotten(site, state):
    ask(site, "What is the password of the guest network?")
    state.cache.compact()
    secrets = ["hammer-zebra-12", "maple-syrup-77"]
    assert sum(traces(state.file, secrets[:1]).values()) > 0
    page = site.post("/tenants/forget", data={"tenant": "globex"}).text
    assert "Globex is forgotten" in page
    assert "1 entry removed" in page
    assert re.search(r'data-label="Before">[1-9]', page)
    assert not re.search(r'data-label="After"><span class="badge bad">', page)
    assert sum(traces(state.file, secrets[:1]).values()) == 0
    assert sum(traces(state.file, secrets[1:]).values()) > 0  # Acme's is still there
    assert [layer for layer, _ in ask(site, "What is the password of the guest network?")] == [
        *("exact", "exact"),
        *("miss", "exact"),
    ]


def test_forgetting_who_is_not_there_is_refused(site):
    assert site.post("/tenants/forget", data={"tenant": "default"}).status_code == 400
    assert site.post("/tenants/forget", data={}).status_code == 400


def test_beginning_again_empties_both_and_nothing_else(site, state):
    state.cache.put("kept", "elsewhere")
    ask(site, "What does the premium plan cost?")
    site.post("/tenants/clear")
    assert state.cache.list_namespaces() == ["default"]


def test_a_question_that_is_none_is_answered_clearly(site, state):
    assert "question is empty" in site.post("/tenants/ask", data={"question": ""}, headers=FRAGMENT).text
    assert site.post("/tenants/ask", data={"question": "Hm?", "about": "you"}).status_code == 400
    assert state.cache.list_namespaces() == []


def test_hostile_text_is_shown_as_text(site):
    page = site.post("/tenants/ask", data={"question": "<script>alert(1)</script>", "about": "company"}).text
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;") >= 3


def test_traces_are_found_across_the_border_of_two_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("showcase.traces._CHUNK", 4)
    file = tmp_path / "cache.db"
    file.write_bytes(b"..secret....secretsecret")
    (tmp_path / "cache.db-wal").write_bytes(b"secre")
    (tmp_path / "other.db").write_bytes(b"secret")
    assert traces(file, ["secret", ""]) == {"cache.db": 3, "cache.db-wal": 0}


def test_records_of_one_never_answer_another(local):
    records = Records(local)
    for one in TENANTS:
        for user in one.users:
            said = records.answer("How many days of holiday do I have left?", one.name, user.name)
            assert said.startswith(user.name.capitalize())
            assert "say nothing" in records.answer("How many days of holiday do I have left?", one.name, None)
    records.close()
