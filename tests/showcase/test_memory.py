"""Facts of users: recalled by meaning, corrected, forgotten, and never another user's."""

import pytest

from mneme import SemanticCache, StoreBackendError
from mneme.testing import FakeClock
from showcase.work.asking import Reply
from showcase.work.facts import facts_in
from showcase.work.inputs import BadInputError
from showcase.work.memory import MOST_FACTS, MOST_USERS, TALK, Memory, ago


class Echo:
    name = "echo"

    def ask(self, instruction, text):
        return Reply(text)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cache(remembered, clock, tmp_path):
    with SemanticCache(tmp_path / "memory.db", remembered, clock=clock) as cache:
        yield cache


@pytest.fixture
def memory(cache, remembered, clock):
    memory = Memory(cache, "memory-one", Echo(), remembered, now=clock.now)
    for user, sentences in TALK.items():
        for said in sentences:
            memory.hear(user, said)
            clock.advance(60)
    return memory


def statements(memory, user):
    return [fact.statement for fact in memory.facts(user)]


def test_facts_are_recalled_by_what_they_are_about(memory):
    recalled = memory.recall("Ann", "Suggest a meal to eat")
    assert recalled[0].statement == "What the user can eat: the user is vegetarian"
    assert recalled[0].used
    assert memory.recall("Ann", "What is the dog called?")[0].statement == "The user has a pet named Rex"


def test_a_correction_takes_the_place_of_what_it_corrects(memory):
    assert "The user lives in Porto" in statements(memory, "Ann")
    assert "The user lives in Lisbon" not in statements(memory, "Ann")
    heard = memory.hear("Bob", "I moved to Bergen.")
    assert heard.corrected == ("The user lives in Oslo",)


def test_the_same_in_other_letters_is_no_correction_of_itself(memory):
    heard = memory.hear("Bob", "I live in OSLO.")
    assert heard.corrected == ()
    assert [said for said in statements(memory, "Bob") if "lives in" in said] == ["The user lives in OSLO"]


def test_a_correction_that_cannot_be_kept_corrects_nothing(memory, cache, monkeypatch):
    before = statements(memory, "Bob")

    def fail(*_, **__):
        raise StoreBackendError("the disk is full")

    monkeypatch.setattr(cache, "put", fail)
    with pytest.raises(StoreBackendError):
        memory.hear("Bob", "I moved to Bergen.")
    assert statements(memory, "Bob") == before


def test_no_question_finds_a_fact_of_another_user(memory):
    asked = "What can the user not eat, and what is the user allergic to?"
    assert memory.recall("Bob", asked)[0].statement.endswith("allergic to peanuts")
    assert not any("peanuts" in one.statement for one in memory.recall("Ann", asked, k=50))


def test_a_fact_expires_and_is_not_recalled_any_more(memory, clock):
    memory.hear("Bob", "I'm in a hurry.", "30s")
    assert "Today the user is in a hurry" in [one.statement for one in memory.recall("Bob", "Is the user in a hurry?")]
    clock.advance(31)
    assert not any("hurry" in one.statement for one in memory.recall("Bob", "Is the user in a hurry?"))
    [fact] = [fact for fact in memory.facts("Bob") if "hurry" in fact.statement]
    assert fact.seconds_left < 0


def test_what_a_fact_is_about_says_how_long_it_is_kept(memory, clock):
    clock.advance(2 * 86400)
    recalled = [one.statement for one in memory.recall("Ann", "How does the user feel today?", k=50)]
    assert not any("tired" in one for one in recalled)
    assert "The user lives in Porto" in recalled


def test_the_agent_sees_what_is_near_enough_as_quotations_and_nothing_else(memory):
    recalled = memory.recall("Ann", "Suggest a meal to eat")
    prompt = memory.prompt("Suggest a meal to eat", recalled)
    assert '- "What the user can eat: the user is vegetarian" (heard' in prompt
    for one in recalled:
        assert (one.statement in prompt) == one.used == (one.similarity >= 0.25)
    assert memory.answer("Suggest a meal to eat", recalled).text == prompt
    assert "- nothing" in memory.prompt("What?", ())


def test_a_single_fact_is_forgotten(memory):
    [fact] = [fact for fact in memory.facts("Bob") if fact.kind == "diet"]
    assert memory.forget_fact("Bob", fact.entry_id)
    assert not memory.forget_fact("Bob", fact.entry_id)
    assert len(memory.facts("Bob")) == 2


def test_a_fact_of_another_user_is_not_forgotten_by_its_number(memory):
    [fact] = [fact for fact in memory.facts("Bob") if fact.kind == "diet"]
    assert not memory.forget_fact("Ann", fact.entry_id)
    assert fact.statement in statements(memory, "Bob")


def test_a_forgotten_user_is_in_no_file_any_more_and_the_others_stay(memory, tmp_path):
    done = memory.forget_user("Bob")
    assert (done.entries, done.clean) == (3, True)
    assert memory.facts("Bob") == ()
    assert memory.facts("Ann")
    assert not [file for file in tmp_path.iterdir() if b"peanuts" in file.read_bytes()]


def test_what_no_pattern_knows_is_kept_as_it_was_said():
    [fact] = facts_in("My favourite colour is green")
    assert (fact.kind, fact.value, fact.ttl) == ("note", "My favourite colour is green", None)


def test_one_sentence_may_hold_several_facts():
    assert [(fact.kind, fact.value) for fact in facts_in("I live in New York with my cat Tom, and I'm ill.")] == [
        ("home", "New York"),
        ("pet", "Tom"),
        ("mood", "ill"),
    ]


@pytest.mark.parametrize(
    ("user", "said", "lasts", "says"),
    [
        ("Eve", "I live in Rome", "", "no user"),
        ("Ann", " ", "", "empty"),
        ("Ann", "x" * 201, "", "shorten"),
        ("Ann", "I live in Rome", "1y", "no time to remember"),
        ("Ann", "\N{GRINNING FACE}", "", "cannot be remembered"),
    ],
)
def test_what_cannot_be_remembered_is_refused_and_changes_nothing(memory, user, said, lasts, says):
    before = statements(memory, "Ann")
    with pytest.raises(BadInputError, match=says):
        memory.hear(user, said, lasts)
    assert statements(memory, "Ann") == before


def test_a_memory_that_is_full_says_so(memory):
    for number in range(MOST_FACTS - len(memory.facts("Bob"))):
        memory.hear("Bob", f"My number {number} is a number")
    with pytest.raises(BadInputError, match="forget some"):
        memory.hear("Bob", "One more thing")


def test_users_are_added_up_to_a_number(memory):
    assert memory.add_user("  Cleo  Smith ") == "Cleo Smith"
    with pytest.raises(BadInputError, match="already"):
        memory.add_user("cleo smith")
    for number in range(MOST_USERS - 3):
        memory.add_user(f"User {number}")
    with pytest.raises(BadInputError, match="the most here"):
        memory.add_user("One more")


def test_two_people_who_try_it_out_have_users_of_their_own(memory, cache, remembered, clock):
    other = Memory(cache, "memory-other", None, remembered, now=clock.now)
    assert other.facts("Ann") == ()
    assert other.answer("What?", ()) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s ago"), (300, "5 min ago"), (7200, "2 h ago"), (3 * 86400, "3 days ago")]
)
def test_times_are_said_for_people(seconds, text):
    assert ago(seconds) == text
