"""Flows in the background: one at a time, so many at the most, and none after the end."""

import asyncio
import contextvars
import threading
from collections import deque

import pytest

from mneme._runtime.background import WAITING, ThreadBackground
from mneme._runtime.background_tasks import TaskBackground

PATIENCE = 30


def flow_of(function):
    async def flow():
        function()

    return flow


def wait_for(background):
    while (thread := background._thread) is not None:
        thread.join(PATIENCE)


def test_a_thread_runs_flows_in_order_and_is_gone_when_there_are_none():
    background, done = ThreadBackground(), []
    for round_ in range(3):
        for number in range(5):
            assert background.take(flow_of(lambda value=(round_, number): done.append(value)))
        wait_for(background)
    assert done == [(round_, number) for round_ in range(3) for number in range(5)]


def test_a_thread_takes_no_more_than_can_wait():
    background, begun, gate, done = ThreadBackground(), threading.Event(), threading.Event(), []

    def hold():
        begun.set()
        assert gate.wait(PATIENCE)

    assert background.take(flow_of(hold))
    assert begun.wait(PATIENCE)
    taken = [background.take(flow_of(lambda: done.append(1))) for _ in range(WAITING + 3)]
    assert taken == [True] * WAITING + [False] * 3
    gate.set()
    wait_for(background)
    assert len(done) == WAITING


def test_a_flow_sees_the_context_variables_of_whoever_asked_for_it():
    variable, seen = contextvars.ContextVar("variable", default="nobody"), []
    background = ThreadBackground()
    for name in ("first", "second"):
        variable.set(name)
        background.take(flow_of(lambda: seen.append(variable.get())))
    wait_for(background)
    assert seen == ["first", "second"]


def test_a_function_that_wants_to_end_the_thread_ends_no_more_than_its_flow(caplog):
    background, done = ThreadBackground(), []

    def leave():
        raise SystemExit

    background.take(flow_of(leave))
    wait_for(background)
    assert "SystemExit" in caplog.text
    assert background.take(flow_of(lambda: done.append(1)))
    wait_for(background)
    assert done == [1]


async def end(background):
    await background.end()


def test_the_end_waits_for_the_thread_and_lets_go_of_what_waits():
    background, begun, gate, done = ThreadBackground(), threading.Event(), threading.Event(), []

    def hold():
        begun.set()
        assert gate.wait(PATIENCE)
        done.append("held")

    background.take(flow_of(hold))
    background.take(flow_of(lambda: done.append("never")))
    assert begun.wait(PATIENCE)

    class Opening(deque):
        """Opens the gate when what waits was let go of."""

        def clear(self):
            super().clear()
            gate.set()

    background._waiting = Opening(background._waiting)
    asyncio.run(end(background))
    assert done == ["held"]
    assert not background.take(flow_of(lambda: done.append("late")))
    asyncio.run(end(background))


def test_a_flow_may_end_the_background_that_it_runs_in():
    background, done = ThreadBackground(), []

    async def flow():
        await background.end()
        done.append(1)

    background.take(flow)
    wait_for(background)
    assert done == [1]


async def test_a_task_runs_flows_in_order_and_takes_no_more_than_can_wait():
    background, done = TaskBackground(), []
    taken = [background.take(flow_of(lambda number=number: done.append(number))) for number in range(WAITING + 2)]
    assert taken == [True] * WAITING + [False] * 2
    await asyncio.wait([background._task])
    assert done == list(range(WAITING))
    assert background._task is None


async def test_the_end_cancels_the_flow_that_runs():
    background, begun, cancelled = TaskBackground(), asyncio.Event(), []

    async def hold():
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    background.take(hold)
    await begun.wait()
    await background.end()
    assert cancelled == [1]
    assert not background.take(hold)
    await background.end()


def test_a_loop_that_was_closed_holds_up_no_other():
    background, done = TaskBackground(), []

    async def take(flow):
        assert background.take(flow)
        if background._waiting:
            await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(take(lambda: asyncio.Event().wait()))
    left = background._task
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(left)
    loop.close()

    async def again():
        assert background.take(flow_of(lambda: done.append(1)))
        await asyncio.wait([background._task])

    asyncio.run(again())
    assert done == [1]


async def test_a_flow_on_the_loop_sees_the_context_variables_of_whoever_asked_for_it():
    variable, seen = contextvars.ContextVar("variable", default="nobody"), []
    background = TaskBackground()
    for name in ("first", "second"):
        variable.set(name)
        background.take(flow_of(lambda: seen.append(variable.get())))
    variable.set("somebody else")
    await background._task
    assert seen == ["first", "second"]
