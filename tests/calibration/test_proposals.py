"""Which pairs of one's own questions are proposed for labelling."""

import asyncio
import math

import pytest

from mneme import InputTooLongError
from mneme.calibration.proposals import Proposal, pairs_to_label
from mneme.testing import AsyncTwin, HashEmbedder, ScriptedEmbedder


def at(degrees: float) -> list[float]:
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


def test_each_question_is_paired_with_the_nearest_before_it():
    embedder = ScriptedEmbedder({"a": at(0), "b": at(40), "c": at(10), "d": at(45)})
    assert pairs_to_label(["a", "b", "c", "d"], embedder) == [
        Proposal("b", "d", pytest.approx(math.cos(math.radians(5)), abs=1e-3)),
        Proposal("a", "c", pytest.approx(math.cos(math.radians(10)), abs=1e-3)),
        Proposal("a", "b", pytest.approx(math.cos(math.radians(40)), abs=1e-3)),
    ]


def test_pairs_below_the_least_similarity_are_left_out():
    embedder = ScriptedEmbedder({"a": at(0), "b": at(40), "c": at(10)})
    assert [(p.a, p.b) for p in pairs_to_label(["a", "b", "c"], embedder, least=0.9)] == [("a", "c")]
    assert pairs_to_label(["a"], embedder) == []


def test_the_pairs_lie_evenly_between_alike_and_barely_related():
    # Most are near: a plain choice of the first, or a random one, would leave the rest out.
    texts = {f"near {n}": at(n * 0.01) for n in range(300)} | {f"far {n}": at(15 + n * 10 + n * n) for n in range(9)}
    found = [p.similarity for p in pairs_to_label(texts, ScriptedEmbedder(texts), count=20)]
    assert len(found) == 20
    assert found == sorted(found, reverse=True)
    assert sum(similarity < 0.999 for similarity in found) == 9


def test_more_questions_than_are_compared_at_once_are_compared_with_all_before_them():
    texts = [f"question {n} about {n * 7919 % 1009} and {n * 104729 % 997}" for n in range(600)]
    embedder = HashEmbedder()
    vectors = embedder.embed_many(texts)
    for pair in pairs_to_label(texts, embedder, count=600, least=0):
        row = texts.index(pair.b)
        best = max(float(vectors[row] @ vectors[n]) for n in range(row))
        assert pair.similarity == pytest.approx(best, abs=1e-3)
        assert float(vectors[row] @ vectors[texts.index(pair.a)]) == pytest.approx(best, abs=1e-5)


def test_equal_and_blank_questions_count_once_and_not_at_all():
    embedder = ScriptedEmbedder({"a": at(0), "A ": at(0), "b": at(5)})
    assert len(pairs_to_label(["a", "A ", " ", "b"], embedder)) == 1


def test_all_batches_of_an_awaited_embedder_are_in_one_event_loop():
    loops = set()

    class Connected(AsyncTwin):
        async def embed_many(self, texts):
            loops.add(asyncio.get_running_loop())
            return await super().embed_many(texts)

    assert pairs_to_label([f"question {n}" for n in range(600)], Connected(HashEmbedder()))
    assert len(loops) == 1


def test_questions_that_the_embedder_refuses_are_left_out():
    class Short(HashEmbedder):
        def embed_many(self, texts):
            if any(len(text) > 40 for text in texts):
                raise InputTooLongError("too long")
            return super().embed_many(texts)

    texts = [f"how do I change order {n}" for n in range(20)]
    found = pairs_to_label([*texts[:7], "word " * 20, *texts[7:], "word " * 30], Short())
    assert len(found) == 19
    assert all("word" not in pair.b for pair in found)


def test_an_awaited_embedder_will_do():
    texts = ["How do I pay?", "How do I pay now?"]
    assert pairs_to_label(texts, AsyncTwin(HashEmbedder())) == pairs_to_label(texts, HashEmbedder())


@pytest.mark.parametrize(
    ("texts", "options", "error"),
    [
        ("one text", {}, TypeError),
        (["a"], {"count": 0}, ValueError),
        (["a"], {"count": True}, TypeError),
        (["a"], {"least": 1.5}, ValueError),
    ],
)
def test_arguments_that_do_not_hold_are_refused(texts, options, error):
    with pytest.raises(error):
        pairs_to_label(texts, HashEmbedder(), **options)
