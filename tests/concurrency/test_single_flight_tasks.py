"""Of the tasks that want the same computation at the same time, one computes."""

import asyncio

import pytest

from concurrency.crowd import PATIENCE, AsyncGate, Gate, Waiters, until
from mneme import AsyncSemanticCache
from mneme.testing import AsyncTwin, HashEmbedder, ScriptedEmbedder

QUESTION = "What is the capital of France?"


def opened(path, embedder=None, **options):
    return AsyncSemanticCache(path, HashEmbedder() if embedder is None else embedder, **options)


async def ask(cache, compute, number, question=QUESTION, **options):
    """So many tasks that ask, of which the first is computing and the others wait for it."""
    waiters = Waiters(cache)
    tasks = [asyncio.ensure_future(cache.get_or_compute(question, compute, **options))]
    await until(lambda: compute.calls)
    tasks += [asyncio.ensure_future(cache.get_or_compute(question, compute, **options)) for _ in range(number - 1)]
    await until(lambda: waiters.followers >= number - 1)
    return tasks


async def outcomes(tasks):
    return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)


@pytest.mark.parametrize("make_gate", [AsyncGate, Gate], ids=["coroutine function", "plain function"])
async def test_sixteen_tasks_compute_once(cache_path, make_gate):
    async with opened(cache_path) as cache:
        compute = make_gate({"city": "Paris"})
        tasks = await ask(cache, compute, 16)
        compute.open()
        assert await outcomes(tasks) == [{"city": "Paris"}] * 16
        assert compute.calls == 1
        stats = await cache.stats()
        assert (stats.misses, stats.hits_exact, stats.entries) == (1, 15, 1)


async def test_what_the_waiters_get_may_be_changed(cache_path):
    async with opened(cache_path) as cache:
        compute = AsyncGate({"cities": ["Paris"]})
        tasks = await ask(cache, compute, 5)
        compute.open()
        for value in await outcomes(tasks):
            assert value == {"cities": ["Paris"]}
            value["cities"].append("Lyon")
        assert (await cache.get(QUESTION)).response == {"cities": ["Paris"]}


async def test_a_failure_reaches_every_waiter_and_is_forgotten(cache_path):
    async with opened(cache_path) as cache:
        error = LookupError("the model is down")
        compute = AsyncGate(error)
        tasks = await ask(cache, compute, 16)
        compute.open()
        assert await outcomes(tasks) == [error] * 16
        assert compute.calls == 1
        assert (await cache.stats()).entries == 0
        assert await cache.get_or_compute(QUESTION, lambda _: "Paris") == "Paris"


async def test_when_the_leader_is_cancelled_exactly_one_waiter_takes_over(cache_path):
    async with opened(cache_path) as cache:
        cancelled, taken_over = AsyncGate("never"), AsyncGate("Paris")
        waiters = Waiters(cache)
        leader = asyncio.ensure_future(cache.get_or_compute(QUESTION, cancelled))
        await until(lambda: cancelled.calls)
        others = [asyncio.ensure_future(cache.get_or_compute(QUESTION, taken_over)) for _ in range(8)]
        await until(lambda: waiters.followers == 8)
        leader.cancel()
        await until(lambda: waiters.followers == 15)
        taken_over.open()
        assert await outcomes(others) == ["Paris"] * 8
        assert leader.cancelled()
        assert (cancelled.calls, taken_over.calls) == (1, 1)
        assert cache._core.flights._flying == {}


async def test_leader_after_leader_may_be_cancelled(cache_path):
    async with opened(cache_path) as cache:
        leaders = []

        async def compute(question):
            leaders.append(asyncio.current_task())
            if len(leaders) < 5:
                await asyncio.Event().wait()  # for ever
            return "Paris"

        tasks = [asyncio.ensure_future(cache.get_or_compute(QUESTION, compute)) for _ in range(5)]
        for number in range(1, 5):
            await until(lambda number=number: len(leaders) == number)
            leaders[-1].cancel()
        values = await outcomes(tasks)
        assert values.count("Paris") == 1
        assert sum(isinstance(value, asyncio.CancelledError) for value in values) == 4


async def test_a_cancelled_waiter_disturbs_nobody(cache_path):
    async with opened(cache_path) as cache:
        compute = AsyncGate("Paris")
        tasks = await ask(cache, compute, 6)
        for task in tasks[1:4]:
            task.cancel()
        await until(lambda: all(task.done() for task in tasks[1:4]))
        assert all(task.cancelled() for task in tasks[1:4])
        compute.open()
        assert await outcomes([tasks[0], *tasks[4:]]) == ["Paris"] * 3
        assert compute.calls == 1


async def test_a_leader_that_is_cancelled_while_it_looks_leaves_the_looking_to_a_waiter(cache_path):
    gate = AsyncGate()
    embedder = AsyncTwin(HashEmbedder(), gate=gate)
    async with opened(cache_path, embedder) as cache:
        waiters = Waiters(cache)
        leader = asyncio.ensure_future(cache.get_or_compute(QUESTION, lambda _: "never"))
        await until(lambda: gate.calls)
        other = asyncio.ensure_future(cache.get_or_compute(QUESTION, lambda _: "Paris"))
        await until(lambda: waiters.followers)
        leader.cancel()
        gate.open()
        assert await outcomes([other]) == ["Paris"]


async def test_different_questions_do_not_wait_for_each_other(cache_path):
    async with opened(cache_path) as cache:
        compute = AsyncGate("Paris")
        held = asyncio.ensure_future(cache.get_or_compute(QUESTION, compute))
        await until(lambda: compute.calls)
        for options in ({"namespace": "elsewhere"}, {"scope": "another model"}, {"scope": {"model": 2}}):
            free = cache.get_or_compute(QUESTION, lambda _: "Madrid", **options)
            assert await asyncio.wait_for(free, PATIENCE) == "Madrid"
        assert not held.done()
        compute.open()
        assert await held == "Paris"


# --- computations that ask the cache themselves ----------------------------------------------------------------------


async def test_a_computation_may_ask_its_own_question(cache_path):
    async with opened(cache_path) as cache:
        depth = []

        async def compute(question):
            depth.append(question)
            return "bottom" if len(depth) == 3 else await cache.get_or_compute(question, compute) + "!"

        assert await asyncio.wait_for(cache.get_or_compute(QUESTION, compute), PATIENCE) == "bottom!!"


async def test_a_computation_may_spawn_tasks_that_ask_its_question_and_others(cache_path):
    async with opened(cache_path) as cache:

        async def inner(question):
            return f"inner {question}"

        async def compute(question):
            asked = [question, "another question", question, "a third question"]
            return await asyncio.gather(*(cache.get_or_compute(one, inner) for one in asked))

        value = await asyncio.wait_for(cache.get_or_compute(QUESTION, compute), PATIENCE)
        assert value == [f"inner {one}" for one in (QUESTION, "another question", QUESTION, "a third question")]
        assert (await cache.stats()).entries == 3


async def test_a_plain_function_in_a_thread_belongs_to_its_computation(cache_path):
    """It may ask the same question of the same cache, through the loop that waits for it."""
    async with opened(cache_path) as cache:
        loop = asyncio.get_running_loop()

        def compute(question):
            inner = cache.get_or_compute(question, lambda _: "inner")
            return asyncio.run_coroutine_threadsafe(inner, loop).result(PATIENCE) + " and outer"

        assert await asyncio.wait_for(cache.get_or_compute("other", compute), PATIENCE) == "inner and outer"


async def test_two_computations_that_ask_for_each_others_question_both_end(cache_path):
    async with opened(cache_path) as cache:
        inside = [AsyncGate(), AsyncGate()]

        def compute(me):
            async def first_time(_):
                await inside[me]()
                return await cache.get_or_compute(f"question {1 - me}", lambda _: f"inner {1 - me}") + f", outer {me}"

            return first_time

        tasks = [asyncio.ensure_future(cache.get_or_compute(f"question {me}", compute(me))) for me in (0, 1)]
        await until(lambda: all(gate.calls for gate in inside))
        for gate in inside:
            gate.open()
        for me, value in enumerate(await outcomes(tasks)):
            assert value.endswith(f", outer {me}")


# --- loops -----------------------------------------------------------------------------------------------------------


def test_one_cache_serves_loops_one_after_the_other(cache_path):
    """Each loop is gone when the next one comes, and in each of them tasks have to wait for each other."""
    cache = opened(cache_path)

    async def work(turn):
        compute = AsyncGate(f"turn {turn}")
        tasks = await ask(cache, compute, 4, question=f"turn number {turn}")
        await asyncio.gather(*(cache.put(f"question {n} of {turn}", "answer") for n in range(8)))
        compute.open()
        assert await outcomes(tasks) == [f"turn {turn}"] * 4

    for turn in range(3):
        asyncio.run(work(turn))

    async def finish():
        assert await cache.check() == []
        assert (await cache.stats()).entries == 27
        await cache.close()

    asyncio.run(finish())


def test_a_loop_that_ends_in_the_middle_of_everything_leaves_the_cache_usable(cache_path):
    cache = opened(cache_path, max_entries=20)

    async def abandoned():
        compute = AsyncGate("never")
        await ask(cache, compute, 3)
        writes = [asyncio.ensure_future(cache.put(f"question number {n}", "answer")) for n in range(40)]
        await asyncio.wait(writes, return_when=asyncio.FIRST_COMPLETED)

    async def afterwards():
        assert await asyncio.wait_for(cache.get_or_compute(QUESTION, lambda _: "Paris"), PATIENCE) == "Paris"
        await asyncio.gather(*(cache.put(f"later {n}", "answer") for n in range(5)))
        assert await cache.check() == []
        await cache.close()

    asyncio.run(abandoned())
    asyncio.run(afterwards())


async def test_threads_with_loops_of_their_own_share_a_cache(cache_path):
    """The waiting crosses from loop to loop: one of them computes, the tasks of the other get its value."""
    async with opened(cache_path) as cache:
        compute = AsyncGate("Paris")
        waiters = Waiters(cache)

        async def elsewhere(number):
            await asyncio.gather(*(cache.put(f"question {n} of {number}", "answer") for n in range(20)))
            return await asyncio.gather(*(cache.get_or_compute(QUESTION, compute) for _ in range(4)))

        threads = [asyncio.ensure_future(asyncio.to_thread(asyncio.run, elsewhere(n))) for n in range(3)]
        await until(lambda: waiters.followers == 11)
        compute.open()
        assert await outcomes(threads) == [["Paris"] * 4] * 3
        assert compute.calls == 1
        assert await cache.check() == []
        assert (await cache.stats()).entries == 61


async def test_a_waiter_for_a_vague_hit_keeps_its_own_threshold(cache_path):
    gate = AsyncGate()
    embedder = AsyncTwin(ScriptedEmbedder({"stored": [1, 0], "asked": [0.7, 0.714]}), gate=gate)
    gate.open()
    async with opened(cache_path, embedder) as cache:
        await cache.put("stored", "a vague answer")
        gate._open = False
        waiters = Waiters(cache)
        vague = asyncio.ensure_future(cache.get_or_compute("asked", lambda _: "new", similarity_threshold=0.5))
        await until(lambda: gate.calls == 2)
        strict = asyncio.ensure_future(cache.get_or_compute("asked", lambda _: "new", similarity_threshold=0.95))
        await until(lambda: waiters.followers)
        gate.open()
        assert await outcomes([vague, strict]) == ["a vague answer", "new"]
