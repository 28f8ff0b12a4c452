"""The fakes of `mneme.testing`: what other tests rely on."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

import mneme
from mneme.ports import AsyncEmbedder, Clock, Embedder
from mneme.testing import AsyncTwin, FailingEmbedder, FakeClock, HashEmbedder, ScriptedEmbedder, SlowEmbedder


@given(st.text(), st.integers(2, 200))
def test_hash_vectors_have_unit_length_whatever_the_text(text, dim):
    vector = HashEmbedder(dim).embed(text)
    assert (vector.dtype, vector.shape) == (np.float32, (dim,))
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_array_equal(vector, HashEmbedder(dim).embed(text))


def test_hash_vectors_are_similar_for_similar_texts():
    embed = HashEmbedder().embed
    near = embed("how do I reset my password") @ embed("how can I reset my password")
    far = embed("how do I reset my password") @ embed("weather in Paris tomorrow")
    assert near > 0.7
    assert far < 0.4


def test_hash_vectors_are_the_same_in_every_process():
    assert HashEmbedder(4).embed("hello").tolist() == pytest.approx([0.0, 0.3665084, -0.3665084, -0.8551861], abs=1e-6)


def test_scripted_vectors_come_back_as_they_were_written_even_if_they_are_useless():
    embedder = ScriptedEmbedder({"a": [3.0, 4.0], "nan": [float("nan"), 0.0], "long": [1.0, 2.0, 3.0]}, 2)
    assert embedder.embed("a").tolist() == [3.0, 4.0]
    assert np.isnan(embedder.embed("nan")).any()
    assert len(embedder.embed("long")) == 3
    assert embedder.embed_many(["a", "nan"]).shape == (2, 2)
    embedder.embed("a")[:] = 0
    assert embedder.embed("a").tolist() == [3.0, 4.0]


def test_a_text_that_is_not_in_the_script_is_named():
    with pytest.raises(LookupError, match=r"no vector was written down for 'b'; there are vectors for \['a'\]"):
        ScriptedEmbedder({"a": [1.0]}).embed("b")
    with pytest.raises(ValueError, match="pass dim="):
        ScriptedEmbedder({})


def test_calls_are_counted_and_a_batch_is_one():
    embedder = HashEmbedder()
    embedder.embed("a")
    embedder.embed_many(["b", "c"])
    assert (embedder.calls, embedder.texts) == (2, ["a", "b", "c"])
    embedder.wait_for_calls(2)
    with pytest.raises(TimeoutError, match="for 3 calls of the embedder, saw 2"):
        embedder.wait_for_calls(3, patience=0.01)


def test_a_slow_embedder_waits_for_its_gate():
    gate = threading.Event()
    slow = SlowEmbedder(HashEmbedder(), gate)
    found = []
    thread = threading.Thread(target=lambda: found.append(slow.embed("a")))
    thread.start()
    slow.wait_for_calls(1)
    assert slow.inner.calls == 0
    gate.set()
    thread.join()
    assert found[0].shape == (64,)
    opened = []
    assert SlowEmbedder(HashEmbedder(), lambda: opened.append(True)).embed_many(["a"]).shape == (1, 64)
    assert opened == [True]


@pytest.mark.parametrize("failures", [{2}, [2], lambda number: number == 2])
def test_a_failing_embedder_fails_on_the_calls_it_was_told(failures):
    embedder = FailingEmbedder(HashEmbedder(), failures)
    embedder.embed("a")
    with pytest.raises(RuntimeError, match="as the test told it to"):
        embedder.embed("b")
    embedder.embed("c")
    assert (embedder.calls, embedder.inner.calls) == (3, 2)


async def test_the_async_twin_awaits_its_gate():
    arrived, gate = asyncio.Event(), asyncio.Event()

    async def wait():
        arrived.set()
        await gate.wait()

    twin = AsyncTwin(HashEmbedder(), gate=wait)
    task = asyncio.create_task(twin.embed("a"))
    await arrived.wait()
    assert (twin.arrived, twin.inner.calls) == (1, 0)
    gate.set()
    assert (await task).shape == (64,)
    assert (await twin.embed_many(["a", "b"])).shape == (2, 64)


def test_fakes_keep_to_their_protocols():
    inner = HashEmbedder()
    for fake in (inner, ScriptedEmbedder({"a": [1.0]}), SlowEmbedder(inner, list), FailingEmbedder(inner, ())):
        assert isinstance(fake, Embedder)
    assert isinstance(AsyncTwin(inner), AsyncEmbedder)


def test_the_fake_clock_stands_still_until_it_is_moved():
    clock = FakeClock(100.0)
    now: Clock = clock
    assert (now.now(), now.now()) == (100.0, 100.0)
    clock.advance(2.5)
    assert clock.now() == 102.5
    clock.set(50.0)
    assert clock.now() == 50.0
    with pytest.raises(ValueError, match=r"not -1; to go back, use set\(\)"):
        clock.advance(-1)
    assert FakeClock().now() == 1_000_000_000.0


def test_the_fakes_need_no_pytest():
    source = str(Path(mneme.__file__).parents[1])
    program = f"""
import sys
sys.path.insert(0, {source!r})
sys.modules["pytest"] = sys.modules["hypothesis"] = None
from mneme.testing import FakeClock, HashEmbedder
print(HashEmbedder().embed("x").shape)
"""
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "(64,)\n"
