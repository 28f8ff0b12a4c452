"""`mneme demo`: it shows what it says, from real hits, and fails when anything is answered wrongly."""

import json
import sys

import pytest

from mneme import SemanticCache
from mneme.cli.demo import _models as models, _questions as questions
from mneme.cli.demo._play import NAMESPACE, Play, normal
from mneme.cli.demo._screens import Silent
from mneme.cli.demo._tally import percentile
from mneme.testing import HashEmbedder

QUICK = ("demo", "--quick", "--model", "slow", "--slow-seconds", "0")


# --- the whole, with the real embedder -------------------------------------------------------------------------------


def test_the_quick_demo_passes_and_leaves_a_sound_cache(process, tmp_path):
    ran = process(*QUICK, "--file", "demo.db", "--json")
    assert (ran.code, ran.err) == (0, "")
    told = ran.document
    assert (told["passed"], told["failures"]) == (True, [])
    first, again = told["first_run"]["layers"], told["second_run"]["layers"]
    assert min(first[layer]["count"] for layer in ("exact", "semantic", "miss")) > 0
    assert again["miss"]["count"] == told["second_run"]["model_calls"] == 0
    assert told["eight_callers"] == {"model_calls": 1, "answers": 8}
    assert not any(friend["hit"] for friend in told["false_friends"])
    assert told["entries"] == first["miss"]["count"] + 1  # and the one that eight callers asked for
    with SemanticCache(tmp_path / "demo.db") as cache:
        assert cache.check() == []
        stored = {entry.query for entry in cache.entries(limit=1000)}
        stats = cache.stats(NAMESPACE)
    # What was shown as matched is what is stored, and what was shown is what was counted.
    assert {asked["matched"] for asked in told["questions"] if asked["matched"]} <= stored
    assert stats.hits_semantic == first["semantic"]["count"] + again["semantic"]["count"]
    # Of the eight callers one computes; the others are answered by its flight, which counts as an exact hit.
    assert stats.hits_exact == first["exact"]["count"] + again["exact"]["count"] + 7


@pytest.mark.parametrize("length", [["--quick"], []], ids=["quick", "full"])
def test_false_friends_are_similar_ones_below_the_threshold_and_equal_ones_elsewhere(process, length):
    told = process("demo", *length, "--model", "slow", "--slow-seconds", "0", "--json").document
    assert told["passed"]
    below = [friend for friend in told["false_friends"] if not friend["namespace"] and not friend["scope"]]
    assert below
    assert all(0.4 < friend["similarity"] < told["similarity_threshold"] for friend in below)
    equal = [friend for friend in told["false_friends"] if friend["namespace"] and friend["similarity"] > 0.999]
    assert equal
    assert all(normal(friend["query"]) == normal(friend["nearest"]) for friend in equal)


def test_the_demo_fails_when_a_false_friend_is_answered(process):
    ran = process(*QUICK, "--threshold", "0.35")
    assert ran.code == 1
    assert "FAILED: the false friend 'What is the capital of Australia?' was answered" in ran.out
    assert "PASSED" not in ran.out
    ran = process(*QUICK, "--threshold", "0.35", "--json")
    assert ran.code == 1
    assert ran.document["passed"] is False
    assert ran.document["failures"]


def test_the_demo_without_a_terminal_is_a_line_for_each_question(process):
    ran = process(*QUICK)
    assert ran.code == 0
    assert "\x1b" not in ran.out
    assert "a function that waits 0 s stands in for a language model" in ran.out
    asked, friends = questions.load(quick=True)
    lines = [line for line in ran.out.splitlines() if f"/{len(asked)}  " in line]
    assert len(lines) == 2 * len(asked)
    assert f"{len(friends)} of {len(friends)} false friends were kept apart" in ran.out


def test_the_file_of_the_demo_must_be_new(mneme, filled):
    before = filled.read_bytes()
    ran = mneme("demo", "--file", filled)
    assert (ran.code, ran.out) == (3, "")
    assert "exists already" in ran.err
    assert filled.read_bytes() == before


# --- it can fail -----------------------------------------------------------------------------------------------------


class Nowhere(Silent):
    """Nobody watches."""


def test_a_question_answered_with_another_meaning_is_wrong(cache_path):
    asked = [questions.Question("How do I open it?", 0), questions.Question("How do I peel it?", 1)]
    model = models.SlowFunction(0, "a test", wait=lambda seconds: None)
    play = Play(cache_path, HashEmbedder(), model, asked, threshold=0.3, screen=Nowhere())
    with play.open() as cache:
        tally = play.ask_all(cache, "")
    assert [one.outcome for one in tally.asked] == ["miss", "semantic"]
    assert [one.query for one in tally.wrong] == ["How do I peel it?"]


def test_the_time_saved_is_what_the_model_took(cache_path):
    asked = [questions.Question("Is it open?", 0), questions.Question("is it  OPEN?", 0)]
    waits = []
    model = models.SlowFunction(0.25, "a test", wait=waits.append)
    play = Play(cache_path, HashEmbedder(), model, asked, threshold=0.9, screen=Nowhere())
    with play.open() as cache:
        tally = play.ask_all(cache, "")
        [entry] = cache.entries()
    assert waits == [0.25]
    assert play.model_calls == 1
    assert [one.outcome for one in tally.asked] == ["miss", "exact"]
    assert tally.saved == entry.compute_seconds > 0


# --- its parts -------------------------------------------------------------------------------------------------------


def test_the_questions_are_many_and_each_has_several_wordings_and_a_repeat():
    asked, friends = questions.load(quick=False)
    assert len(asked) >= 120
    by_meaning = {}
    for question in asked:
        by_meaning.setdefault(question.meaning, []).append(question.text)
    assert len(by_meaning) == 30
    for wordings in by_meaning.values():
        different = {normal(wording) for wording in wordings}
        assert 3 <= len(different) < len(wordings)
    assert {friend.like for friend in friends} <= by_meaning.keys()
    # A false friend that is asked where the others are must not be one of them.
    texts = {normal(question.text) for question in asked}
    assert not [f.query for f in friends if not f.namespace and not f.scope and normal(f.query) in texts]


def test_the_questions_come_in_the_same_order_every_time():
    assert questions.load(quick=False) == questions.load(quick=False)
    quick, friends = questions.load(quick=True)
    assert len(quick) < 50
    assert len(friends) >= 5


def test_without_a_language_model_a_slow_function_says_what_it_is(monkeypatch):
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    model = models.choose("auto", seconds_each=1.0, slow_seconds=0.5)
    assert model.description == (
        "no language model is installed: a function that waits 0.5 s stands in for a language model"
    )
    assert model.name == "slow-function"


def test_a_language_model_asked_for_by_name_must_be_there(mneme, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    monkeypatch.setattr("mneme.embedders.LocalEmbedder", HashEmbedder)
    ran = mneme("demo", "--model", "smollm", "--file", tmp_path / "demo.db", "--json")
    assert (ran.code, ran.out) == (3, "")
    assert "make demo" in json.loads(ran.err)["error"]["message"]
    assert not (tmp_path / "demo.db").exists()


@pytest.mark.parametrize(
    ("values", "per_cent", "expected"),
    [([], 50, None), ([3.0], 95, 3.0), ([2.0, 1.0], 50, 1.0), ([float(n) for n in range(1, 101)], 95, 95.0)],
)
def test_percentiles(values, per_cent, expected):
    assert percentile(values, per_cent) == expected
