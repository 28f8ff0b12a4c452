"""Texts are embedded once, as long as they are remembered."""

import numpy as np
import pytest

from mneme.testing import HashEmbedder, ScriptedEmbedder
from showcase.work.remembered import Remembered


def test_the_vectors_are_the_other_embedders_and_are_computed_once():
    other = HashEmbedder()
    remembered = Remembered(other)
    first = remembered.embed_many(["one", "two", "one"])
    again = remembered.embed_many(["two", "one", "three"])
    assert other.texts == ["one", "two", "three"]
    np.testing.assert_array_equal(first[0], first[2])
    np.testing.assert_array_equal(again, HashEmbedder().embed_many(["two", "one", "three"]))
    assert (remembered.dim, remembered.fingerprint) == (other.dim, other.fingerprint)


def test_only_the_latest_are_remembered():
    other = HashEmbedder()
    remembered = Remembered(other, most=2)
    for text in ("one", "two", "three", "three", "one"):
        remembered.embed(text)
    assert other.texts == ["one", "two", "three", "one"]


def test_no_texts_have_no_vectors():
    assert Remembered(HashEmbedder()).embed_many([]).shape == (0, 64)


def test_an_embedder_without_batches_is_asked_one_by_one():
    class Single:
        dim, fingerprint = 2, "single"
        embed = ScriptedEmbedder({"a": [1, 0], "b": [0, 1]}).embed

    remembered = Remembered(Single())
    assert remembered.embed_many(["a", "b"]).shape == (2, 2)
    with pytest.raises(LookupError):
        remembered.embed("c")
