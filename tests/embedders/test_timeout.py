"""An embedder that hangs costs its caller so many seconds, and nobody else anything."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import mneme
from mneme.embedders import timeout, to_async_embedder, with_timeout
from mneme.ports import AsyncEmbedder, Embedder
from mneme.testing import AsyncTwin, FailingEmbedder, HashEmbedder

TEXT = "how do I reset my password"
SOON = 0.02


class Hanging:
    """Hangs on the texts that it is told to, until released."""

    dim = 64
    fingerprint = "hanging"

    def __init__(self):
        self.release = threading.Event()
        self.came_back = threading.Semaphore(0)
        self.calls = 0
        self.inner = HashEmbedder()

    def embed(self, text):
        self.calls += 1
        if text.startswith("hang"):
            self.release.wait(60)
            self.came_back.release()
        return self.inner.embed(text)


def test_an_embedder_in_time_gives_its_vectors():
    inner = HashEmbedder()
    embedder = with_timeout(inner, 60)
    assert isinstance(embedder, Embedder)
    assert (embedder.dim, embedder.fingerprint) == (inner.dim, inner.fingerprint)
    np.testing.assert_array_equal(embedder.embed(TEXT), inner.embed(TEXT))
    np.testing.assert_array_equal(embedder.embed_many([TEXT, "x"]), inner.embed_many([TEXT, "x"]))
    assert not hasattr(with_timeout(Hanging(), 1), "embed_many")


def test_a_call_that_hangs_raises_and_later_calls_go_on():
    inner = Hanging()
    embedder = with_timeout(inner, SOON)
    with pytest.raises(TimeoutError, match=r"did not answer within 0\.02 s"):
        embedder.embed("hang")
    assert with_timeout(inner, 60).embed(TEXT).shape == (64,)
    inner.release.set()


def test_a_batch_that_hangs_raises():
    release = threading.Event()

    class HangingBatches(HashEmbedder):
        def embed_many(self, texts):
            release.wait(60)
            return super().embed_many(texts)

    with pytest.raises(TimeoutError):
        with_timeout(HangingBatches(), SOON).embed_many([TEXT])
    release.set()


def test_only_so_many_calls_are_left_behind_and_room_comes_back_with_them():
    inner = Hanging()
    embedder = with_timeout(inner, SOON)
    for number in range(timeout._MAX_STUCK):
        with pytest.raises(TimeoutError, match="did not answer"):
            embedder.embed(f"hang {number}")
    before = threading.active_count()
    for _ in range(3):
        with pytest.raises(TimeoutError, match="16 earlier calls of the embedder still hang"):
            embedder.embed(TEXT)
    assert (inner.calls, threading.active_count()) == (timeout._MAX_STUCK, before)
    inner.release.set()
    for thread in threading.enumerate():
        if thread.name == "mneme-embedder-timeout":
            thread.join(60)
    assert embedder._stuck == 0
    embedder._seconds = 60
    assert embedder.embed(TEXT).shape == (64,)


def test_errors_come_through_even_those_that_are_timeouts_themselves():
    embedder = with_timeout(FailingEmbedder(HashEmbedder(), {1}, error=TimeoutError("the socket timed out")), 60)
    with pytest.raises(TimeoutError, match="the socket timed out"):
        embedder.embed(TEXT)
    assert embedder._stuck == 0
    assert embedder.embed(TEXT).shape == (64,)


def test_a_call_left_behind_does_not_keep_the_interpreter_from_ending():
    script = f"""
import sys
sys.path.insert(0, {str(Path(mneme.__file__).parents[1])!r})
import threading
from mneme.embedders import with_timeout
from mneme.testing import HashEmbedder, SlowEmbedder
try:
    with_timeout(SlowEmbedder(HashEmbedder(), threading.Event()), 0.01).embed("x")
except TimeoutError:
    print("gave up")
"""
    command = [sys.executable, "-W", "error", "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout == "gave up\n"


async def test_an_asynchronous_embedder_in_time_gives_its_vectors():
    inner = AsyncTwin(HashEmbedder())
    embedder = with_timeout(inner, 60)
    assert isinstance(embedder, AsyncEmbedder)
    assert (embedder.dim, embedder.fingerprint) == (inner.dim, inner.fingerprint)
    np.testing.assert_array_equal(await embedder.embed(TEXT), HashEmbedder().embed(TEXT))
    np.testing.assert_array_equal(await embedder.embed_many([TEXT]), HashEmbedder().embed_many([TEXT]))


async def test_an_asynchronous_call_that_hangs_is_cancelled():
    cancelled = []

    async def gate():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    embedder = with_timeout(AsyncTwin(HashEmbedder(), gate=gate), SOON)
    with pytest.raises(TimeoutError, match=r"did not answer within 0\.02 s"):
        await embedder.embed(TEXT)
    with pytest.raises(TimeoutError):
        await embedder.embed_many([TEXT])
    assert cancelled == [True, True]


async def test_cancelling_from_outside_is_not_a_timeout():
    arrived = asyncio.Event()

    async def gate():
        arrived.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(with_timeout(AsyncTwin(HashEmbedder(), gate=gate), 60).embed(TEXT))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_blocking_embedder_offloaded_and_limited_gives_up_without_holding_the_loop():
    inner = Hanging()
    offloaded = to_async_embedder(inner)
    with pytest.raises(TimeoutError):
        await with_timeout(offloaded, SOON).embed("hang")
    assert (await offloaded.embed(TEXT)).shape == (64,)
    inner.release.set()
    offloaded.close()


@pytest.mark.parametrize(
    ("seconds", "error"),
    [(0, ValueError), (-1, ValueError), (float("nan"), ValueError), (float("inf"), ValueError), ("1", TypeError)],
)
def test_silly_seconds_are_refused(seconds, error):
    with pytest.raises(error, match="seconds"):
        with_timeout(HashEmbedder(), seconds)
