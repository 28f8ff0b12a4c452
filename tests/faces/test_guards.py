"""Guards on both faces: what they refuse, whom they are asked about, and what it is when one fails."""

import asyncio
import threading

import pytest

from faces.adapter import Compass, Events
from mneme import AsyncSemanticCache, SemanticCache, guards
from mneme.guards import DEFAULT_GUARDS, NEGATION, Rule, Uncertain
from mneme.testing import ScriptedEmbedder

VECTORS = {
    "Is the pool open?": [1, 0, 0],
    "is the  POOL open?": [1, 0, 0],
    "Is the pool not open?": [0.99, 0.14, 0],
    "The pool, is it open?": [0.98, 0.2, 0],
    "May one swim?": [0.9, 0.436, 0],
    "something else": [0, 0, 1],
}
OPEN, CLOSED, AGAIN, SWIM = "Is the pool open?", "Is the pool not open?", "The pool, is it open?", "May one swim?"


class Watcher:
    """A guard that remembers what it was asked, and refuses what it was told to."""

    def __init__(self, name="watcher", refuses=(), below=None, *, slow=False):
        self.name = name
        self.refuses = refuses
        self.asked = []
        self.threads = set()
        if below is not None:
            self.below = below
        self.slow = slow

    def check(self, asked, stored, /, *, similarity, response):
        self.asked.append((asked, stored, round(similarity, 2), response))
        self.threads.add(threading.current_thread())
        if stored in self.refuses:
            return "as told"
        return None


class AsyncWatcher(Watcher):
    async def check(self, asked, stored, /, *, similarity=1.0, response=None):
        await asyncio.sleep(0)
        return Watcher.check(self, asked, stored, similarity=similarity, response=response)


@pytest.fixture
def open_(open_cache):
    def open_(**options):
        options.setdefault("guards", DEFAULT_GUARDS)
        return open_cache(embedder=ScriptedEmbedder(VECTORS), **options)

    return open_


# --- what is asked, and of what --------------------------------------------------------------------------------------


def test_a_question_that_denies_the_stored_one_is_a_miss_and_says_why(open_, events):
    cache = open_()
    cache.put(OPEN, "yes")
    events.clear()
    assert cache.get(CLOSED) is None
    assert events == [
        (
            "guard_refusal",
            {
                "namespace": "default",
                "guard": "negation",
                "reason": "only one of them is negated: not",
                "entry_id": 1,
            },
        ),
        ("miss", {"namespace": "default", "reason": "guarded"}),
    ]
    assert cache.get(AGAIN).response == "yes"
    assert cache.stats().misses == 1


def test_without_guards_it_is_served(open_):
    cache = open_(guards=())
    cache.put(OPEN, "yes")
    assert cache.get(CLOSED).response == "yes"


def test_guards_are_on_unless_the_cache_is_told_otherwise():
    with SemanticCache(":memory:", ScriptedEmbedder(VECTORS)) as cache:
        cache.put(OPEN, "yes")
        assert cache.get(CLOSED) is None
        assert cache._core.options.guards == DEFAULT_GUARDS


async def test_they_are_on_the_async_face_too():
    async with AsyncSemanticCache(":memory:", ScriptedEmbedder(VECTORS)) as cache:
        await cache.put(OPEN, "yes")
        assert await cache.get(CLOSED) is None
        assert await cache.get(AGAIN) is not None


def test_the_next_candidate_answers_when_a_nearer_one_is_refused(open_, events):
    watcher = Watcher(refuses={OPEN, AGAIN})
    cache = open_(guards=[watcher])
    cache.put_many([(OPEN, "yes"), (AGAIN, "aye"), (SWIM, "one may")])
    events.clear()
    assert cache.get(CLOSED, similarity_threshold=0.8).response == "one may"
    assert [fields["entry_id"] for fields in events.of("guard_refusal")] == [2, 1]
    assert [stored for _, stored, *_ in watcher.asked] == [AGAIN, OPEN, SWIM]


def test_more_candidates_are_fetched_when_all_of_the_first_are_refused(open_cache, events):
    watcher = Watcher(refuses={f"a @{n / 8}" for n in range(20)})
    cache = open_cache(guards=[watcher])
    cache.put_many([(f"a @{n / 8}", n) for n in range(20)] + [("b @9", "far")])
    assert cache.get("c @0").response == "far"
    assert len(watcher.asked) == 21
    assert len(events.of("guard_refusal")) == 20


def test_a_guard_is_told_both_questions_as_they_were_put_the_similarity_and_the_answer(open_):
    watcher = Watcher()
    cache = open_(guards=[watcher])
    cache.put(OPEN, {"open": True})
    assert cache.get(AGAIN).response == {"open": True}
    assert watcher.asked == [(AGAIN, OPEN, 0.98, {"open": True})]


def test_an_equal_question_is_never_shown_to_a_guard(open_, make_store):
    watcher = Watcher(refuses={OPEN})
    cache = open_(guards=[watcher], store=make_store())
    cache.put(OPEN, "yes")
    assert cache.get("is the  POOL open?").layer == "exact"
    assert [hit.layer for hit in cache.get_many([OPEN, "is the  POOL open?"])] == ["exact", "exact"]
    assert watcher.asked == []


def test_what_would_not_answer_anyway_is_not_shown_to_a_guard(open_, clock):
    watcher = Watcher()
    cache = open_(guards=[watcher], validator=lambda response: response != "bad")
    cache.put(OPEN, "yes", ttl=5)
    cache.put(SWIM, "far")
    clock.advance(5)
    assert cache.get(AGAIN, similarity_threshold=0.97) is None
    assert watcher.asked == []


def test_get_many_asks_the_guards_for_each_question(open_, events):
    cache = open_()
    cache.put(OPEN, "yes")
    hits = cache.get_many([CLOSED, AGAIN, "something else"])
    assert [hit and hit.response for hit in hits] == [None, "yes", None]
    assert [fields["reason"] for fields in events.of("miss")] == ["guarded", "no_match"]


def test_value_contrast_is_guarded_as_well(open_, events):
    watcher = Watcher(refuses={AGAIN})
    cache = open_(guards=(NEGATION, watcher), value_contrast=True, similarity_threshold=0.5)
    cache.put_many([(OPEN, "yes"), (AGAIN, "yes")])
    assert cache.get(CLOSED) is None
    assert cache.get(SWIM).query == OPEN
    assert [fields["guard"] for fields in events.of("guard_refusal")] == ["negation", "negation", "watcher"]


def test_a_memoized_function_is_called_for_what_a_guard_refuses():
    with SemanticCache(":memory:", ScriptedEmbedder(VECTORS)) as cache:

        @cache.memoize(scope="answers")
        def answered(question):
            return f"answer to {question}"

        assert answered(OPEN) == answered(AGAIN) == f"answer to {OPEN}"
        assert answered(CLOSED) == f"answer to {CLOSED}"


def test_lookup_is_not_guarded(open_):
    cache = open_()
    cache.put(OPEN, "yes")
    assert [hit.response for hit in cache.lookup(CLOSED)] == ["yes"]


def test_get_or_compute_computes_what_a_guard_refuses_and_stores_it_beside(open_, events):
    cache = open_()
    assert cache.get_or_compute(OPEN, lambda _: "yes") == "yes"
    assert cache.get_or_compute(CLOSED, lambda _: "no") == "no"
    assert [fields["reason"] for fields in events.of("miss")] == ["no_match", "guarded"]
    assert (cache.get(OPEN).response, cache.get(CLOSED).response) == ("yes", "no")
    assert cache.stats().entries == 2


def test_an_expired_answer_is_guarded_as_well(open_, clock, events):
    cache = open_()

    def down(_):
        raise LookupError("down")

    options = {"ttl": 5, "stale_ttl": 60, "stale_on_error": True}
    cache.get_or_compute(OPEN, lambda _: "yes", **options)
    clock.advance(5)
    assert cache.get_or_compute(AGAIN, down, **options) == "yes"
    events.clear()
    with pytest.raises(LookupError):
        cache.get_or_compute(CLOSED, down, **options)
    assert events.of("guard_refusal") == []  # it would not have answered a get


# --- explain ---------------------------------------------------------------------------------------------------------


def test_explain_names_the_guard_and_its_reason_and_tells_nobody(open_, events):
    cache = open_()
    cache.put(OPEN, "yes")
    events.clear()
    why = cache.explain(CLOSED)
    assert (why.layer, why.reason) == (None, "guarded")
    [candidate] = why.candidates
    assert (candidate.accepted, candidate.reason) == (False, "guarded")
    assert candidate.detail == "negation: only one of them is negated: not"
    assert events == []
    assert [candidate.detail for candidate in cache.explain(AGAIN).candidates] == [""]


def test_explain_asks_no_expensive_guard_about_what_is_not_reached(open_):
    cheap, dear = Watcher("cheap"), Watcher("dear", slow=True)
    cache = open_(guards=[cheap, dear])
    cache.put_many([(OPEN, "yes"), (SWIM, "one may")])
    why = cache.explain(AGAIN, similarity_threshold=0.8)
    assert [candidate.reason for candidate in why.candidates] == ["accepted", "not_reached"]
    assert (len(cheap.asked), len(dear.asked)) == (2, 1)


# --- guards of one's own ---------------------------------------------------------------------------------------------


def test_the_first_guard_that_refuses_is_the_one_that_is_told(open_, events):
    first, second = Watcher("first", {OPEN}), Watcher("second", {OPEN})
    cache = open_(guards=[first, second])
    cache.put(OPEN, "yes")
    assert cache.get(AGAIN) is None
    assert [fields["guard"] for fields in events.of("guard_refusal")] == ["first"]
    assert second.asked == []


@pytest.mark.parametrize("answer", [True, False, 0, ["reason"], LookupError("down")], ids=repr)
def test_a_guard_that_fails_or_talks_nonsense_has_refused(open_, events, caplog, answer):
    def differs(asked, stored):
        if isinstance(answer, Exception):
            raise answer
        return answer

    cache = open_(guards=[Rule("mine", differs)])
    cache.put(OPEN, "yes")
    assert cache.get(AGAIN) is None
    [refusal] = events.of("guard_refusal")
    assert refusal["guard"] == "mine"
    assert refusal["reason"].startswith("it failed: ")
    assert "the guard 'mine' failed" in caplog.text
    assert cache.explain(AGAIN).candidates[0].detail == f"mine: {refusal['reason']}"


def test_an_uncertain_guard_is_asked_within_its_band_alone(open_):
    watcher = Watcher(refuses={OPEN})
    cache = open_(guards=[Uncertain(watcher, below=0.95)])
    cache.put(OPEN, "yes")
    assert cache.get(AGAIN).similarity > 0.95
    assert watcher.asked == []
    assert cache.get(SWIM) is None
    assert watcher.asked == [(SWIM, OPEN, 0.9, "yes")]


def test_a_guard_may_say_by_itself_where_it_is_uncertain(open_):
    watcher = Watcher(refuses={OPEN}, below=0.95)
    cache = open_(guards=[watcher])
    cache.put(OPEN, "yes")
    assert cache.get(AGAIN) is not None
    assert cache.get(SWIM) is None


def test_ready_made_guards_and_ones_own_may_be_mixed(open_, events):
    cache = open_(guards=(NEGATION, Rule("pool", lambda asked, stored: None if "pool" in asked else "no pool")))
    cache.put(OPEN, "yes")
    assert [cache.get(question) is not None for question in (AGAIN, CLOSED, SWIM)] == [True, False, False]
    assert [fields["guard"] for fields in events.of("guard_refusal")] == ["negation", "pool"]


def test_a_guard_may_use_the_cache(open_):
    class Asking:
        name = "asking"

        def check(self, asked, stored, /, *, similarity, response):
            return None if self.seen() else "not seen"

    guard = Asking()
    cache = open_(guards=[guard])
    guard.seen = lambda: True
    if isinstance(getattr(cache, "cache", cache), SemanticCache):
        guard.seen = lambda: cache.get(OPEN) is not None
    cache.put(OPEN, "yes")
    assert cache.get(AGAIN).response == "yes"


# --- slow and awaited ones -------------------------------------------------------------------------------------------


async def test_a_coroutine_guard_is_awaited_on_the_async_face():
    watcher = AsyncWatcher(refuses={OPEN})
    rule = Rule("mine", AsyncWatcher(name="inner").check)
    async with AsyncSemanticCache(":memory:", ScriptedEmbedder(VECTORS), guards=[rule, watcher]) as cache:
        await cache.put(OPEN, "yes")
        assert await cache.get(AGAIN) is None
        assert (await cache.explain(AGAIN)).candidates[0].detail == "watcher: as told"
    assert watcher.threads == {threading.main_thread()}


@pytest.mark.parametrize("slow", [True, False])
async def test_a_slow_guard_does_not_hold_up_the_loop(slow):
    watcher = Watcher(slow=slow)
    async with AsyncSemanticCache(":memory:", ScriptedEmbedder(VECTORS), guards=[watcher]) as cache:
        await cache.put(OPEN, "yes")
        assert await cache.get(AGAIN) is not None
    assert (threading.main_thread() in watcher.threads) != slow


async def test_an_uncertain_guard_gets_a_worker_thread_and_only_within_its_band():
    watcher = Watcher()
    async with AsyncSemanticCache(
        ":memory:", ScriptedEmbedder(VECTORS), guards=[Uncertain(watcher, below=0.95)]
    ) as cache:
        await cache.put(OPEN, "yes")
        assert await cache.get(AGAIN) is not None
        assert await cache.get(SWIM) is not None
    assert len(watcher.asked) == 1
    assert threading.main_thread() not in watcher.threads


@pytest.mark.parametrize(
    "guard",
    [AsyncWatcher(), Rule("mine", AsyncWatcher().check), Uncertain(AsyncWatcher(), below=0.9)],
    ids=["awaited", "rule", "uncertain"],
)
def test_the_blocking_face_refuses_a_coroutine_guard(guard):
    with pytest.raises(TypeError, match="is awaited; use it with AsyncSemanticCache"):
        SemanticCache(":memory:", Compass(), guards=[guard])


def test_an_awaitable_out_of_a_plain_function_counts_as_a_failure_on_the_blocking_face(caplog):
    async def later():
        raise AssertionError("never run")

    events = Events()
    with SemanticCache(
        ":memory:",
        ScriptedEmbedder(VECTORS),
        guards=[Rule("mine", lambda asked, stored: later())],
        metrics_hook=events,
    ) as cache:
        cache.put(OPEN, "yes")
        assert cache.get(AGAIN) is None
    assert "awaitable" in events.of("guard_refusal")[0]["reason"]


# --- bad input -------------------------------------------------------------------------------------------------------


class Nameless:
    def check(self, asked, stored, /, *, similarity, response):
        return None


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (None, TypeError, "for no guards pass ()"),
        ("numbers", TypeError, "a sequence of guards"),
        (NEGATION, TypeError, "a sequence of guards"),
        ([Watcher], TypeError, "is a class; call it"),
        ([lambda asked, stored: None], TypeError, "guards.Rule"),
        ([Nameless()], TypeError, "must have a name"),
        ([Watcher(name=3)], TypeError, "must be a str, not int"),
        ([Watcher(name=" ")], ValueError, "is empty"),
        ([Watcher(below="0.9")], TypeError, "below of the guard 'watcher' must be a similarity, not str"),
        ([NEGATION, Watcher(name="negation")], ValueError, "2 guards of the name 'negation'"),
    ],
)
def test_what_is_no_guard_is_refused_when_the_cache_is_made(open_, given, error, message):
    with pytest.raises(error) as caught:
        open_(guards=given)
    assert message in str(caught.value)


def test_a_rule_and_a_band_are_checked_when_they_are_made():
    with pytest.raises(TypeError, match="differs must be callable"):
        Rule("mine", "not a function")
    with pytest.raises(ValueError, match="below must be from 0 to 1"):
        Uncertain(NEGATION, below=1.5)
    with pytest.raises(TypeError, match=r"guards\.Rule"):
        Uncertain(lambda asked, stored: None, below=0.9)
    assert repr(Uncertain(NEGATION, below=0.9)) == "Uncertain(<guard negation>, below=0.9)"
    assert repr(Rule("mine", print)) == "Rule('mine')"
    assert isinstance(Rule("mine", print), guards.Guard)
