"""From blocking to asynchronous and back: overlap, errors, cancellation, and no thread left behind."""

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import mneme
from mneme.embedders import as_embedder, to_async_embedder, to_sync_embedder
from mneme.errors import CacheClosedError
from mneme.ports import AsyncEmbedder, Embedder
from mneme.testing import AsyncTwin, FailingEmbedder, HashEmbedder, SlowEmbedder

TEXT = "how do I reset my password"


class Single:
    """An embedder without batches."""

    dim = 2
    fingerprint = "single"

    def embed(self, text):
        return np.array([len(text), 1.0], dtype=np.float32)


class AsyncSingle(Single):
    async def embed(self, text):
        return Single.embed(self, text)


def mneme_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("mneme-embedder")]


# --- blocking to asynchronous ----------------------------------------------------------------------------------------


async def test_a_blocking_embedder_becomes_asynchronous_with_the_same_vectors():
    inner = HashEmbedder()
    embedder = to_async_embedder(inner)
    assert isinstance(embedder, AsyncEmbedder)
    assert (embedder.dim, embedder.fingerprint) == (inner.dim, inner.fingerprint)
    np.testing.assert_array_equal(await embedder.embed(TEXT), inner.embed(TEXT))
    np.testing.assert_array_equal(await embedder.embed_many([TEXT, "x"]), inner.embed_many([TEXT, "x"]))
    embedder.close()


async def test_batches_are_offered_only_where_the_inner_embedder_has_them():
    offloaded, portal = to_async_embedder(Single()), to_sync_embedder(AsyncSingle())
    assert not hasattr(offloaded, "embed_many")
    assert not hasattr(portal, "embed_many")
    assert (await offloaded.embed("abc")).tolist() == [3.0, 1.0]
    assert portal.embed("abc").tolist() == [3.0, 1.0]
    offloaded.close()
    portal.close()


async def test_sixteen_tasks_are_in_the_embedder_at_once_while_the_loop_runs_on():
    gate = threading.Event()
    slow = SlowEmbedder(HashEmbedder(), gate)
    embedder = to_async_embedder(slow)
    tasks = [asyncio.create_task(embedder.embed(f"text {number}")) for number in range(16)]
    await asyncio.get_running_loop().run_in_executor(None, slow.wait_for_calls, 16)
    gate.set()
    assert len(await asyncio.gather(*tasks)) == 16
    embedder.close()


async def test_no_more_calls_run_at_once_than_there_are_workers():
    gate = threading.Event()
    slow = SlowEmbedder(HashEmbedder(), gate)
    embedder = to_async_embedder(slow, max_workers=2)
    tasks = [asyncio.create_task(embedder.embed(f"text {number}")) for number in range(5)]
    await asyncio.get_running_loop().run_in_executor(None, slow.wait_for_calls, 2)
    assert (slow.calls, len(mneme_threads())) == (2, 2)
    gate.set()
    await asyncio.gather(*tasks)
    assert slow.calls == 5
    embedder.close()


async def test_threads_start_with_the_first_call_and_end_with_close():
    embedder = to_async_embedder(HashEmbedder())
    assert mneme_threads() == []
    await embedder.embed(TEXT)
    assert len(mneme_threads()) == 1
    embedder.close()
    embedder.close()
    assert mneme_threads() == []
    with pytest.raises(CacheClosedError, match="was closed"):
        await embedder.embed(TEXT)


async def test_a_forgotten_pool_ends_when_it_is_garbage():
    embedder = to_async_embedder(HashEmbedder())
    await embedder.embed(TEXT)
    (thread,) = mneme_threads()
    del embedder
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()


async def test_errors_of_the_blocking_embedder_come_through():
    embedder = to_async_embedder(FailingEmbedder(HashEmbedder(), {1}, error=ConnectionError("gone")))
    with pytest.raises(ConnectionError, match="gone"):
        await embedder.embed(TEXT)
    assert (await embedder.embed(TEXT)).shape == (64,)
    embedder.close()


async def test_a_cancelled_task_stops_waiting_and_the_embedder_goes_on():
    gate = threading.Event()
    slow = SlowEmbedder(HashEmbedder(), gate)
    embedder = to_async_embedder(slow, max_workers=1)
    task = asyncio.create_task(embedder.embed(TEXT))
    await asyncio.get_running_loop().run_in_executor(None, slow.wait_for_calls, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not gate.is_set()
    gate.set()
    assert (await embedder.embed(TEXT)).shape == (64,)
    embedder.close()


async def test_a_task_cancelled_before_its_turn_never_calls_the_embedder():
    gate = threading.Event()
    slow = SlowEmbedder(HashEmbedder(), gate)
    embedder = to_async_embedder(slow, max_workers=1)
    first = asyncio.create_task(embedder.embed("first"))
    await asyncio.get_running_loop().run_in_executor(None, slow.wait_for_calls, 1)
    second = asyncio.create_task(embedder.embed("second"))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    gate.set()
    await first
    embedder.close()
    assert slow.texts == ["first"]


async def test_context_variables_reach_the_embedder():
    request = contextvars.ContextVar("request")
    request.set("r-1")
    embedder = to_async_embedder(as_embedder(lambda _: [float(request.get() == "r-1")], fingerprint="x"))
    assert (await embedder.embed(TEXT)).tolist() == [1.0]
    embedder.close()


if hasattr(os, "fork"):

    def test_a_forked_child_makes_threads_of_its_own():
        script = """
import asyncio, os, warnings
warnings.simplefilter("ignore")  # newer Pythons warn of forking with threads, which is the point here
from mneme.embedders import to_async_embedder, to_sync_embedder
from mneme.testing import AsyncTwin, HashEmbedder
offloaded, portal = to_async_embedder(HashEmbedder()), to_sync_embedder(AsyncTwin(HashEmbedder()))
def use():
    return asyncio.run(offloaded.embed("x")).shape == portal.embed("x").shape == (64,)
assert use()
child = os.fork()
if child == 0:
    good = use()
    offloaded.close()
    portal.close()
    os._exit(0 if good else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert use()
print("child", status)
"""
        assert run(script) == "child 0\n"


@pytest.mark.parametrize(("workers", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_silly_number_of_workers_is_refused(workers, error):
    with pytest.raises(error, match="max_workers"):
        to_async_embedder(HashEmbedder(), max_workers=workers)


def test_what_is_of_the_right_kind_already_is_refused():
    with pytest.raises(TypeError, match="asynchronous already"):
        to_async_embedder(AsyncTwin(HashEmbedder()))
    with pytest.raises(TypeError, match="blocks already"):
        to_sync_embedder(HashEmbedder())


@pytest.mark.parametrize("convert", [to_async_embedder, to_sync_embedder])
@pytest.mark.parametrize("rubbish", [None, len, HashEmbedder])
def test_what_is_no_embedder_is_refused(convert, rubbish):
    with pytest.raises(TypeError, match=r"is not an embedder.*as_embedder\(\) makes one"):
        convert(rubbish)


# --- asynchronous to blocking ----------------------------------------------------------------------------------------


def test_an_asynchronous_embedder_becomes_blocking_with_the_same_vectors():
    inner = HashEmbedder()
    embedder = to_sync_embedder(AsyncTwin(inner))
    assert isinstance(embedder, Embedder)
    assert (embedder.dim, embedder.fingerprint) == (inner.dim, inner.fingerprint)
    np.testing.assert_array_equal(embedder.embed(TEXT), inner.embed(TEXT))
    np.testing.assert_array_equal(embedder.embed_many([TEXT, "x"]), inner.embed_many([TEXT, "x"]))
    embedder.close()


async def test_it_works_inside_a_running_loop():
    embedder = to_sync_embedder(AsyncTwin(HashEmbedder(), gate=lambda: asyncio.sleep(0)))
    assert embedder.embed(TEXT).shape == (64,)
    embedder.close()


def test_all_calls_run_on_one_loop():
    loops = set()

    async def gate():
        loops.add(asyncio.get_running_loop())

    embedder = to_sync_embedder(AsyncTwin(HashEmbedder(), gate=gate))
    threads = [threading.Thread(target=embedder.embed, args=(TEXT,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    embedder.embed(TEXT)
    assert len(loops) == 1
    embedder.close()


def test_calls_of_several_threads_overlap():
    together = threading.Barrier(4)
    waiting = []

    async def gate():
        """Open for all when the fourth has come."""
        mine = asyncio.get_running_loop().create_future()
        waiting.append(mine)
        if len(waiting) == 4:
            for future in waiting:
                future.set_result(None)
        await asyncio.wait_for(mine, 60)

    def work():
        together.wait(60)
        assert embedder.embed(TEXT).shape == (64,)
        done.append(True)

    done = []
    embedder = to_sync_embedder(AsyncTwin(HashEmbedder(), gate=gate))
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [True] * 4
    embedder.close()


def test_the_thread_starts_with_the_first_call_and_ends_with_close():
    embedder = to_sync_embedder(AsyncTwin(HashEmbedder()))
    assert mneme_threads() == []
    embedder.embed(TEXT)
    assert len(mneme_threads()) == 1
    embedder.close()
    embedder.close()
    assert mneme_threads() == []
    with pytest.raises(CacheClosedError, match="was closed"):
        embedder.embed(TEXT)


def test_a_forgotten_loop_ends_when_it_is_garbage():
    embedder = to_sync_embedder(AsyncTwin(HashEmbedder()))
    embedder.embed(TEXT)
    assert len(mneme_threads()) == 1
    del embedder
    gc.collect()
    assert mneme_threads() == []


def test_a_forgotten_loop_does_not_keep_the_interpreter_from_ending():
    script = """
from mneme.embedders import to_sync_embedder
from mneme.testing import AsyncTwin, HashEmbedder
embedder = to_sync_embedder(AsyncTwin(HashEmbedder()))
print(embedder.embed("x").shape)
"""
    assert run(script) == "(64,)\n"


def test_closing_cancels_what_runs_and_tells_its_caller():
    arrived = threading.Event()
    cancelled = []

    async def gate():
        arrived.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    def work():
        try:
            embedder.embed(TEXT)
        except CacheClosedError as error:
            told.append(str(error))

    told = []
    embedder = to_sync_embedder(AsyncTwin(HashEmbedder(), gate=gate))
    thread = threading.Thread(target=work)
    thread.start()
    assert arrived.wait(60)
    embedder.close()
    thread.join()
    assert told == ["the embedder was closed while it was at work"]
    assert cancelled == [True]


def test_errors_of_the_asynchronous_embedder_come_through():
    embedder = to_sync_embedder(AsyncTwin(FailingEmbedder(HashEmbedder(), {1}, error=ConnectionError("gone"))))
    with pytest.raises(ConnectionError, match="gone"):
        embedder.embed(TEXT)
    assert embedder.embed(TEXT).shape == (64,)
    embedder.close()


def test_an_embedder_that_calls_its_own_wrapper_is_told_instead_of_waiting_for_ever():
    async def gate():
        embedder.embed("again")

    embedder = to_sync_embedder(AsyncTwin(HashEmbedder(), gate=gate))
    with pytest.raises(RuntimeError, match="would wait for itself"):
        embedder.embed(TEXT)
    embedder.close()


async def test_there_and_back_again():
    back = to_sync_embedder(there := to_async_embedder(HashEmbedder()))
    np.testing.assert_array_equal(back.embed(TEXT), HashEmbedder().embed(TEXT))
    back.close()
    there.close()


def run(script):
    source = str(Path(mneme.__file__).parents[1])
    command = [sys.executable, "-W", "error", "-c", f"import sys; sys.path.insert(0, {source!r})\n{script}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
