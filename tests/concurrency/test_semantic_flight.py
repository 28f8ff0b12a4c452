"""A paraphrase that arrives while its twin is being computed waits for that result."""

import asyncio
import random

import pytest

from concurrency.crowd import PATIENCE, AsyncGate, Gate, Waiters, outcomes, start, until
from mneme import AsyncSemanticCache, SemanticCache
from mneme.guards import Rule
from mneme.testing import ScriptedEmbedder

VECTORS = {
    "twin": [1, 0, 0],
    "paraphrase": [0.96, 0.28, 0],
    "another": [0.96, 0, 0.28],
    "cousin": [0.8, 0.6, 0],
    "stranger": [0, 0, 1],
}
SEMANTIC = {"single_flight": "semantic"}


@pytest.fixture
def cache(cache_path):
    with SemanticCache(cache_path, ScriptedEmbedder(VECTORS), similarity_threshold=0.9) as cache:
        yield cache
        assert cache._core.flights._flying == {}, "a flight that nobody landed"
        assert cache.check() == []


def never(_):
    raise AssertionError("this should not have been computed")


def computing(cache, compute, question="twin", **options):
    future = start(cache.get_or_compute, question, compute, **{**SEMANTIC, **options})
    compute.wait_for_calls(1)
    return future


# --- threads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("twins_option", ["semantic", "exact"])
def test_paraphrases_wait_for_their_twin_and_get_its_value(cache, twins_option):
    """The one that is computed need not have asked for it: it waits for nobody."""
    waiters, compute = Waiters(cache), Gate(["the answer"])
    twin = computing(cache, compute, single_flight=twins_option)
    others = [start(cache.get_or_compute, one, never, **SEMANTIC) for one in ("paraphrase", "another")]
    waiters.wait_for(twins=2)
    compute.open()
    values = outcomes([twin, *others])
    assert values == [["the answer"]] * 3
    assert len({id(value) for value in values}) == 3
    stats = cache.stats()
    assert (compute.calls, stats.entries, stats.misses, stats.hits_semantic) == (1, 1, 1, 2)


def test_a_crowd_of_one_paraphrase_waits_as_one(cache):
    waiters, compute = Waiters(cache), Gate("the answer")
    twin = computing(cache, compute)
    crowd = [start(cache.get_or_compute, "paraphrase", never, **SEMANTIC) for _ in range(8)]
    waiters.wait_for(twins=1, followers=7)
    compute.open()
    assert outcomes([twin, *crowd]) == ["the answer"] * 9
    assert cache.stats().hits_semantic == 8


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("paraphrase", {"single_flight": "exact"}),
        ("paraphrase", {"similarity_threshold": 0.97}),
        ("paraphrase", {"namespace": "elsewhere"}),
        ("paraphrase", {"scope": "another model"}),
        ("cousin", {}),
        ("stranger", {}),
    ],
)
def test_who_could_not_be_answered_by_it_does_not_wait(cache, question, options):
    compute = Gate("the answer")
    twin = computing(cache, compute)
    free = start(cache.get_or_compute, question, lambda _: "of its own", **{**SEMANTIC, **options})
    assert free.result(PATIENCE) == "of its own"
    assert not twin.done()
    compute.open()
    assert twin.result(PATIENCE) == "the answer"


def test_who_would_not_trust_it_does_not_wait(cache_path):
    doubtful = {"confidence_fn": lambda similarity, age: similarity / 2, "min_confidence": 0.49}
    embedder = ScriptedEmbedder(VECTORS)
    with SemanticCache(cache_path, embedder, similarity_threshold=0.9, **doubtful) as cache:
        compute = Gate("the answer")
        twin = computing(cache, compute)
        free = start(cache.get_or_compute, "paraphrase", lambda _: "of its own", **SEMANTIC)
        assert free.result(PATIENCE) == "of its own"
        compute.open()
        assert twin.result(PATIENCE) == "the answer"


@pytest.mark.parametrize(("threshold", "joins"), [(0.9, True), (1.0, False), (1.2, False)])
def test_with_value_contrast_the_similarity_alone_says_who_waits(cache_path, threshold, joins):
    """What is under way has no neighbours yet that could disagree with it."""
    embedder = ScriptedEmbedder(VECTORS)
    with SemanticCache(cache_path, embedder, similarity_threshold=threshold, value_contrast=True) as cache:
        waiters, compute = Waiters(cache), Gate("the answer")
        twin = computing(cache, compute)
        other = start(cache.get_or_compute, "paraphrase", never if joins else lambda _: "of its own", **SEMANTIC)
        if joins:
            waiters.wait_for(twins=1)
        else:
            assert other.result(PATIENCE) == "of its own"
        compute.open()
        assert outcomes([twin, other]) == ["the answer", "the answer" if joins else "of its own"]
        assert cache._core.flights._flying == {}


def test_who_a_guard_would_refuse_does_not_wait_but_waits_for_the_next_best_twin(cache_path):
    refusals = []

    def differs(asked, stored):
        if {asked, stored} == {"paraphrase", "another"}:
            return None
        refusals.append((asked, stored))
        return "as told"

    embedder = ScriptedEmbedder(VECTORS)
    with SemanticCache(cache_path, embedder, similarity_threshold=0.9, guards=[Rule("mine", differs)]) as cache:
        waiters, compute, other = Waiters(cache), Gate("the answer"), Gate("another answer")
        twin = computing(cache, compute)
        free = start(cache.get_or_compute, "paraphrase", other, **SEMANTIC)
        other.wait_for_calls(1)
        waiting = start(cache.get_or_compute, "another", never, **SEMANTIC)
        waiters.wait_for(twins=3)  # each met the first, and let go of it; the last waits for the second
        other.open()
        assert outcomes([free, waiting]) == ["another answer"] * 2
        assert not twin.done()
        compute.open()
        assert twin.result(PATIENCE) == "the answer"
        assert set(refusals) == {("paraphrase", "twin"), ("another", "twin")}
        assert cache._core.flights._flying == {}


def test_a_guard_that_fails_keeps_nobody_waiting(cache_path):
    def differs(asked, stored):
        raise LookupError("down")

    embedder = ScriptedEmbedder(VECTORS)
    with SemanticCache(cache_path, embedder, similarity_threshold=0.9, guards=[Rule("mine", differs)]) as cache:
        compute = Gate("the answer")
        twin = computing(cache, compute)
        free = start(cache.get_or_compute, "paraphrase", lambda _: "of its own", **SEMANTIC)
        assert free.result(PATIENCE) == "of its own"
        compute.open()
        assert twin.result(PATIENCE) == "the answer"
        assert cache._core.flights._flying == {}


@pytest.mark.parametrize(
    ("fate", "expected"),
    [
        (LookupError("the model is down"), LookupError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        ("[ERROR] no answer", str),
        (object(), object),
    ],
    ids=["fails", "is killed", "is refused", "cannot be stored"],
)
def test_a_paraphrase_whose_twin_came_to_nothing_computes_by_itself(cache, fate, expected):
    waiters, compute = Waiters(cache), Gate(fate)
    twin = computing(cache, compute)
    others = [start(cache.get_or_compute, "paraphrase", lambda _: "of its own", **SEMANTIC) for _ in range(3)]
    waiters.wait_for(twins=1, followers=2)
    compute.open()
    assert isinstance(outcomes([twin])[0], expected)
    assert outcomes(others) == ["of its own"] * 3
    assert cache.get("paraphrase").query == "paraphrase"


def test_a_computation_may_ask_for_a_paraphrase_of_its_own_question(cache):
    def rephrase(_):
        return cache.get_or_compute("paraphrase", lambda _: "inner", **SEMANTIC) + " and outer"

    assert start(cache.get_or_compute, "twin", rephrase, **SEMANTIC).result(PATIENCE) == "inner and outer"


def test_a_paraphrase_does_not_wait_for_a_twin_that_waits_for_it(cache):
    """The twin's computation asks for the paraphrase, which somebody else asks for at the same moment."""
    inside = Gate()

    def rephrase(_):
        inside()
        return cache.get_or_compute("paraphrase", lambda _: "inner", **SEMANTIC) + " and outer"

    waiters = Waiters(cache)
    twin = start(cache.get_or_compute, "twin", rephrase, **SEMANTIC)
    inside.wait_for_calls(1)
    # First it waits for its twin ...
    other = start(cache.get_or_compute, "paraphrase", never, **SEMANTIC)
    waiters.wait_for(twins=1)
    # ... whose computation must then not wait for it, and computes the paraphrase itself.
    inside.open()
    assert outcomes([twin, other]) == ["inner and outer", "inner"]


def test_a_twin_that_is_already_waited_for_may_still_be_asked_for(cache):
    """The other order: the paraphrase is being computed when the twin's computation asks for it."""
    asked = Gate("inner")
    waiters = Waiters(cache)
    other = computing(cache, asked, "paraphrase")

    def rephrase(_):
        return cache.get_or_compute("paraphrase", never, **SEMANTIC) + " and outer"

    twin = start(cache.get_or_compute, "twin", rephrase)
    waiters.wait_for(followers=1)
    asked.open()
    assert outcomes([other, twin]) == ["inner", "inner and outer"]


@pytest.mark.parametrize("seed", range(5))
def test_any_number_of_paraphrases_at_once_come_to_an_end(cache_path, seed):
    """Chains of near and nearer ones, some failing, some asking for others: nobody may wait in a circle."""
    draw = random.Random(seed)
    names = [f"question {n}" for n in range(24)]
    embedder = ScriptedEmbedder({name: [1, 0.1 * draw.random(), 0.1 * draw.random()] for name in names})
    with SemanticCache(cache_path, embedder, similarity_threshold=0.996) as cache:

        def compute(depth):
            def run(question):
                if draw.random() < 0.2:
                    raise LookupError("down")
                if depth and draw.random() < 0.6:
                    return cache.get_or_compute(draw.choice(names), compute(depth - 1), **SEMANTIC)
                return f"answer to {question}" if draw.random() < 0.8 else ""

            return run

        futures = [start(cache.get_or_compute, draw.choice(names), compute(3), **SEMANTIC) for _ in range(60)]
        for future in futures:
            assert isinstance(future.exception(PATIENCE), LookupError | None)
        assert cache._core.flights._flying == {}
        assert cache.check() == []


# --- tasks -----------------------------------------------------------------------------------------------------------


def opened(path, **options):
    return AsyncSemanticCache(path, ScriptedEmbedder(VECTORS), similarity_threshold=0.9, **options)


async def gathered(*tasks):
    return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)


def begin(cache, question, compute, **options):
    return asyncio.ensure_future(cache.get_or_compute(question, compute, **{**SEMANTIC, **options}))


async def test_tasks_wait_for_their_twin_and_get_its_value(cache_path):
    async with opened(cache_path) as cache:
        waiters, compute = Waiters(cache), AsyncGate(["the answer"])
        twin = begin(cache, "twin", compute)
        await until(lambda: compute.calls)
        others = [begin(cache, one, never) for one in ("paraphrase", "another", "paraphrase")]
        await until(lambda: (waiters.twins, waiters.followers) == (2, 1))
        compute.open()
        values = await gathered(twin, *others)
        assert values == [["the answer"]] * 4
        assert len({id(value) for value in values}) == 4
        stats = await cache.stats()
        assert (compute.calls, stats.entries, stats.hits_semantic) == (1, 1, 3)


@pytest.mark.parametrize("fate", [LookupError("down"), "[ERROR] no answer", "cancelled"])
async def test_a_task_whose_twin_came_to_nothing_computes_by_itself(cache_path, fate):
    async with opened(cache_path) as cache:
        waiters, compute = Waiters(cache), AsyncGate(fate)
        twin = begin(cache, "twin", compute)
        await until(lambda: compute.calls)
        other = begin(cache, "paraphrase", lambda _: "of its own")
        await until(lambda: waiters.twins)
        if fate == "cancelled":
            twin.cancel()
        compute.open()
        assert (await gathered(twin, other))[1] == "of its own"


async def test_a_cancelled_paraphrase_disturbs_neither_its_twin_nor_its_own_waiters(cache_path):
    async with opened(cache_path) as cache:
        waiters, compute = Waiters(cache), AsyncGate("the answer")
        twin = begin(cache, "twin", compute)
        await until(lambda: compute.calls)
        paraphrase = begin(cache, "paraphrase", never)
        await until(lambda: waiters.twins)
        follower = begin(cache, "paraphrase", never)
        await until(lambda: waiters.followers)
        paraphrase.cancel()
        await until(lambda: waiters.twins == 2)  # the follower leads now, and waits for the twin itself
        compute.open()
        assert await gathered(twin, follower) == ["the answer"] * 2
        assert paraphrase.cancelled()


async def test_strangers_and_those_who_ask_for_exactness_do_not_wait(cache_path):
    async with opened(cache_path) as cache:
        compute = AsyncGate("the answer")
        twin = begin(cache, "twin", compute)
        await until(lambda: compute.calls)
        for question, options in [("stranger", {}), ("paraphrase", {"single_flight": "exact"})]:
            own = begin(cache, question, lambda _: "of its own", **options)
            assert await asyncio.wait_for(own, PATIENCE) == "of its own"
        compute.open()
        assert await twin == "the answer"


@pytest.mark.parametrize("seed", range(5))
async def test_any_number_of_tasks_with_paraphrases_come_to_an_end(cache_path, seed):
    """Some are cancelled on the way as well."""
    draw = random.Random(seed)
    names = [f"question {n}" for n in range(24)]
    embedder = ScriptedEmbedder({name: [1, 0.1 * draw.random(), 0.1 * draw.random()] for name in names})
    async with AsyncSemanticCache(cache_path, embedder, similarity_threshold=0.996) as cache:

        def compute(depth):
            async def run(question):
                await asyncio.sleep(0)
                if draw.random() < 0.2:
                    raise LookupError("down")
                if depth and draw.random() < 0.6:
                    asked = [draw.choice(names) for _ in range(2)]
                    found = await asyncio.gather(
                        *(cache.get_or_compute(one, compute(depth - 1), **SEMANTIC) for one in asked),
                        return_exceptions=True,
                    )
                    return str(found)
                return f"answer to {question}" if draw.random() < 0.8 else ""

            return run

        tasks = [begin(cache, draw.choice(names), compute(3)) for _ in range(60)]
        for task in draw.sample(tasks, 15):
            await asyncio.sleep(0)
            task.cancel()
        for value in await gathered(*tasks):
            assert isinstance(value, str | LookupError | asyncio.CancelledError)
        await until(lambda: not cache._core.flights._flying)
        assert await cache.check() == []


async def test_a_task_does_not_wait_for_a_twin_that_an_awaited_guard_refuses(cache_path):
    asked = []

    async def differs(one, other):
        await asyncio.sleep(0)
        asked.append((one, other))
        return "as told" if other == "twin" else None

    async with opened(cache_path, guards=[Rule("mine", differs)]) as cache:
        compute = AsyncGate("the answer")
        twin = begin(cache, "twin", compute)
        await until(lambda: compute.calls)
        own = begin(cache, "paraphrase", lambda _: "of its own")
        assert await asyncio.wait_for(own, PATIENCE) == "of its own"
        compute.open()
        assert await twin == "the answer"
        assert asked == [("paraphrase", "twin")]
        assert cache._core.flights._flying == {}


async def test_a_task_cancelled_while_a_guard_ponders_leaves_its_twin_alone(cache_path):
    pondering = asyncio.Event()

    async def differs(one, other):
        pondering.set()
        await asyncio.Event().wait()

    async with opened(cache_path, guards=[Rule("mine", differs)]) as cache:
        compute = AsyncGate("the answer")
        twin = begin(cache, "twin", compute)
        await until(lambda: compute.calls)
        other = begin(cache, "paraphrase", never)
        await asyncio.wait_for(pondering.wait(), PATIENCE)
        other.cancel()
        await until(other.done)
        compute.open()
        assert await twin == "the answer"
        assert cache._core.flights._flying == {}
