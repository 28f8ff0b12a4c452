"""A store that is down is not asked by everybody: the breaker, on a clock moved by hand."""

import asyncio
import logging
import threading

import pytest

from mneme import CacheClosedError, CorruptCacheError, StoreBackendError
from mneme._runtime.breaker import FAILURES, FIRST_DELAY, LONGEST_DELAY, Breaker, GuardedStore, NotAskedError
from mneme._runtime.drive import complete
from mneme._runtime.seldom import EVERY, Seldom


class Port:
    """One verb, which answers or raises as it is told, and something that is no verb."""

    name = "port"

    def __init__(self):
        self.error = None
        self.calls = 0

    async def read(self, answer="an answer"):
        self.calls += 1
        if self.error is not None:
            raise self.error
        return answer

    async def close(self):
        self.calls += 1


@pytest.fixture
def port():
    return Port()


@pytest.fixture
def breaker(clock):
    return Breaker(clock)


@pytest.fixture
def store(port, breaker):
    return GuardedStore(port, breaker)


def read(store):
    return complete(store.read())


def fail(store, port, times=FAILURES, error=None):
    port.error = error or StoreBackendError("connection refused")
    for _ in range(times):
        with pytest.raises(type(port.error), match=str(port.error)):
            read(store)


def test_calls_and_names_pass_while_all_is_well(store, port):
    assert [read(store) for _ in range(3)] == ["an answer"] * 3
    assert complete(store.read("another")) == "another"
    assert store.name == "port"
    assert not hasattr(store, "marked")


def test_after_some_failures_in_a_row_nothing_is_asked_and_the_error_says_why(store, port, clock, breaker):
    fail(store, port)
    assert breaker.is_open
    clock.advance(0.25)
    with pytest.raises(
        NotAskedError, match=r"has failed for 0\.2 s, and is tried again in 0\.8 s; its last error was: connection"
    ) as caught:
        read(store)
    assert isinstance(caught.value, StoreBackendError)
    assert port.calls == FAILURES


def test_one_failure_less_does_not_open_it_and_a_success_begins_the_count_anew(store, port, breaker):
    for _ in range(3):
        fail(store, port, FAILURES - 1)
        port.error = None
        assert read(store) == "an answer"
    assert not breaker.is_open


def test_after_the_delay_one_try_closes_it_if_it_succeeds(store, port, clock, breaker, caplog):
    fail(store, port)
    clock.advance(FIRST_DELAY)
    port.error = None
    with caplog.at_level(logging.WARNING, "mneme"):
        assert read(store) == "an answer"
    assert not breaker.is_open
    assert "the store answers again, after 1.0 s" in caplog.text
    fail(store, port, FAILURES - 1)
    assert not breaker.is_open


def test_the_delay_doubles_with_every_try_that_fails_up_to_a_limit(store, port, clock, breaker):
    fail(store, port)
    delay, waits = FIRST_DELAY, []
    for _ in range(8):
        clock.advance(delay * 0.99)
        with pytest.raises(NotAskedError):
            read(store)
        clock.advance(delay * 0.02)
        fail(store, port, 1)
        waits.append(delay)
        delay = min(2 * delay, LONGEST_DELAY)
    assert waits[-2:] == [LONGEST_DELAY] * 2
    port.error = None
    clock.advance(LONGEST_DELAY)
    assert read(store) == "an answer"
    fail(store, port)  # and the next outage begins with the first delay
    clock.advance(FIRST_DELAY)
    port.error = None
    assert read(store) == "an answer"


@pytest.mark.parametrize("error", [CorruptCacheError("damaged"), ValueError("wrong"), CacheClosedError("closed")])
def test_other_errors_do_not_open_it(store, port, breaker, error):
    fail(store, port, 3 * FAILURES, error)
    assert not breaker.is_open


def test_an_answer_closes_it_even_if_it_is_an_error(store, port, clock, breaker):
    fail(store, port)
    clock.advance(FIRST_DELAY)
    fail(store, port, 1, CorruptCacheError("damaged"))
    assert not breaker.is_open


@pytest.mark.parametrize("error", [CacheClosedError("closed"), RuntimeError("a bug"), KeyboardInterrupt("now")])
def test_a_try_that_tells_nothing_makes_room_for_the_next(store, port, clock, breaker, error):
    fail(store, port)
    clock.advance(FIRST_DELAY)
    fail(store, port, 1, error)
    assert breaker.is_open
    port.error = None
    assert read(store) == "an answer"


def test_closing_is_never_refused(store, port):
    fail(store, port)
    complete(store.close())
    assert port.calls == FAILURES + 1


async def test_while_one_tries_all_others_fail_at_once(clock):
    entered, gate = asyncio.Event(), asyncio.Event()

    class Waiting(Port):
        async def read(self, answer="an answer"):
            if self.error is None:
                entered.set()
                await gate.wait()
            return await super().read(answer)

    port = Waiting()
    store = GuardedStore(port, Breaker(clock))
    port.error = StoreBackendError("connection refused")
    for _ in range(FAILURES):
        with pytest.raises(StoreBackendError):
            await store.read()
    port.error = None
    clock.advance(FIRST_DELAY)
    trying = asyncio.ensure_future(store.read())
    await entered.wait()
    for _ in range(3):
        with pytest.raises(NotAskedError):
            await store.read()
    gate.set()
    assert await trying == "an answer"
    assert await store.read() == "an answer"


async def test_a_try_that_is_cancelled_makes_room_for_the_next(clock):
    class Waiting(Port):
        async def read(self, answer="an answer"):
            if self.error is None:
                await asyncio.Event().wait()
            return await super().read(answer)

    port, breaker = Waiting(), Breaker(clock)
    store = GuardedStore(port, breaker)
    port.error = StoreBackendError("connection refused")
    for _ in range(FAILURES):
        with pytest.raises(StoreBackendError):
            await store.read()
    port.error = None
    clock.advance(FIRST_DELAY)
    trying = asyncio.ensure_future(store.read())
    await asyncio.sleep(0)
    trying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trying
    port.error = StoreBackendError("still down")
    with pytest.raises(StoreBackendError, match="still down"):
        await store.read()


def test_of_many_threads_one_tries(clock):
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        breaker.failed(StoreBackendError("down"), trying=False)
    clock.advance(FIRST_DELAY)
    together, tries = threading.Barrier(8), []

    def call():
        together.wait(60)
        try:
            tries.append(breaker.enter())
        except NotAskedError:
            tries.append(None)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(tries, key=str) == [None] * 7 + [True]


# --- warnings --------------------------------------------------------------------------------------------------------


def test_of_a_kind_one_warning_is_told_and_the_rest_are_counted(clock):
    seldom = Seldom()
    assert [seldom.untold("a", clock.now()) for _ in range(4)] == [0, None, None, None]
    assert seldom.untold("b", clock.now()) == 0
    clock.advance(EVERY)
    assert [seldom.untold("a", clock.now()) for _ in range(2)] == [3, None]
    clock.set(1.0)  # set back: it is told rather than kept back for years
    assert seldom.untold("a", clock.now()) == 1
