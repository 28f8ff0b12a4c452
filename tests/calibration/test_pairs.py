"""`find_threshold` and the curve: what they say of similarities that the tests write down."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from mneme import CalibrationError, EmbedderDimensionError
from mneme.calibration.pairs import GRID, RESOLUTION, ScoredPairs, best_threshold, curve
from mneme.testing import AsyncTwin, HashEmbedder, ScriptedEmbedder
from mneme.tools.calibrate import CalibrationResult, find_threshold, precision_recall_curve


def at(*cosines):
    """Pairs with these cosines between them, and an embedder that sees to it."""
    vectors, pairs = {}, []
    for number, cosine in enumerate(cosines):
        left, right = f"left {number}", f"right {number}"
        vectors[left] = (1.0, 0.0)
        vectors[right] = (cosine, math.sqrt(1 - cosine * cosine))
        pairs.append((left, right))
    return pairs, vectors


PAIRS, VECTORS = at(0.95, 0.9, 0.85, 0.25, 0.88, 0.7, 0.3, 0.2)
SAME, DIFFERENT = PAIRS[:4], PAIRS[4:]


@pytest.fixture
def embedder():
    return ScriptedEmbedder(VECTORS)


def found(embedder, **options):
    return find_threshold(SAME, DIFFERENT, embedder, **options)


def test_the_threshold_with_the_best_f1_is_found_with_its_figures(embedder):
    result = found(embedder)
    assert result.threshold == 0.85  # three of four are above, and one distractor
    assert (result.precision, result.recall) == (0.75, 0.75)
    assert result.f1 == pytest.approx(0.75)
    assert (result.paraphrases, result.distractors) == (4, 4)
    assert result.embedder_fingerprint == embedder.fingerprint


@pytest.mark.parametrize(
    ("options", "threshold"),
    [
        ({"target_metric": "precision"}, 0.9),  # perfect, and of those the one that finds most
        ({"target_metric": "recall"}, 0.25),
        ({"min_precision": 0.9}, 0.9),
        ({"target_metric": "recall", "min_precision": 0.7}, 0.85),
        ({"target_metric": "precision", "min_recall": 0.9}, 0.25),
        ({"min_precision": 1.0, "min_recall": 0.5}, 0.9),
        ({"grid": [0.5, 0.8, 0.99]}, 0.8),
        ({"grid": (t for t in (0.99, 0.8, 0.8, 0.5))}, 0.8),
    ],
)
def test_the_target_and_the_least_figures_decide(embedder, options, threshold):
    assert found(embedder, **options).threshold == threshold


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"min_precision": 1.0, "min_recall": 0.75}, r"recall is 0\.5000 at the most, at 0\.9"),
        ({"min_precision": 1.0, "grid": [0.5, 0.8]}, r"a precision of 1\.0; the most is 0\.7500, at 0\.8"),
        ({"min_recall": 1.0, "grid": [0.7]}, r"a recall of 1\.0; the most is 0\.7500, at 0\.7"),
        ({"grid": [0.99]}, "no pair reaches any threshold of the grid"),
    ],
)
def test_a_target_out_of_reach_is_an_error_that_says_how_near_one_comes(embedder, options, says):
    with pytest.raises(CalibrationError, match=says):
        found(embedder, **options)


def test_the_curve_has_a_point_for_every_threshold_in_rising_order(embedder):
    points = precision_recall_curve(SAME, DIFFERENT, embedder)
    assert [point.threshold for point in points] == list(GRID)
    assert points == found(embedder).pr_curve
    first, last = points[0], points[-1]
    assert (first.precision, first.recall) == (0.5, 1.0)
    assert (last.precision, last.recall, last.f1) == (1.0, 0.0, 0.0)


def test_a_pair_right_at_the_threshold_is_above_it_as_it_is_in_a_cache(embedder):
    [point] = precision_recall_curve(SAME, DIFFERENT, embedder, grid=[0.88])
    assert point.precision == pytest.approx(2 / 3)


def test_texts_are_embedded_in_batches_and_each_once():
    embedder = HashEmbedder()
    pairs = [(f"text {number % 300}", f"text {number}") for number in range(600)]
    find_threshold(pairs, [("a", "b"), ("a", "c")], embedder)
    assert embedder.calls == 3
    assert len(embedder.texts) == len(set(embedder.texts)) == 603


def test_progress_is_told_up_to_the_end(embedder):
    told = []
    find_threshold(SAME, DIFFERENT, embedder, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (16, 16)


def test_an_async_embedder_gives_the_same(embedder):
    assert found(AsyncTwin(embedder)) == found(embedder)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_coarser_vectors_have_nearly_the_same_curve(dtype):
    words = [
        "the",
        "quick",
        "brown",
        "fox",
        "jumps",
        "over",
        "a",
        "lazy",
        "dog",
        "while",
        "nobody",
        "looks",
        "at",
        "it",
    ]
    same = [(" ".join(words[n : n + 6]), " ".join(words[n : n + 5])) for n in range(8)]
    different = [(" ".join(words[n : n + 3]), " ".join(words[n + 4 : n + 7])) for n in range(7)]
    exact = precision_recall_curve(same, different, HashEmbedder())
    coarse = precision_recall_curve(same, different, HashEmbedder(), vector_dtype=dtype)
    assert np.mean([abs(a.recall - b.recall) for a, b in zip(exact, coarse, strict=True)]) < 0.01


@pytest.mark.parametrize(
    ("arguments", "options", "error", "says"),
    [
        (([], DIFFERENT), {}, ValueError, "paraphrase_pairs is empty"),
        ((SAME, []), {}, ValueError, "distractor_pairs is empty"),
        ((["ab"], DIFFERENT), {}, TypeError, r"paraphrase_pairs\[0\] must be a pair of texts, not 'ab'"),
        ((SAME, [("a", "b"), ("a", "b", "c")]), {}, TypeError, r"distractor_pairs\[1\]"),
        ((SAME, [("a", 1)]), {}, TypeError, "holds 1, which is no text"),
        ((SAME, [("a", " ")]), {}, ValueError, "empty text"),
        ((SAME, DIFFERENT), {"target_metric": "auc"}, ValueError, "f1, precision, recall, got 'auc'"),
        ((SAME, DIFFERENT), {"min_precision": 1.5}, ValueError, "min_precision must be from 0 to 1, got 1.5"),
        ((SAME, DIFFERENT), {"min_recall": "0.5"}, TypeError, "min_recall must be a number"),
        ((SAME, DIFFERENT), {"grid": []}, ValueError, "grid is empty"),
        ((SAME, DIFFERENT), {"grid": [0.5, math.nan]}, ValueError, "grid must be from 0 to 1, got nan"),
        ((SAME, DIFFERENT), {"grid": [True]}, TypeError, "grid must be a number"),
        ((SAME, DIFFERENT), {"vector_dtype": "int4"}, ValueError, "float32, float16, int8, got 'int4'"),
    ],
)
def test_what_does_not_hold_is_refused_before_anything_is_embedded(embedder, arguments, options, error, says):
    with pytest.raises(error, match=says):
        find_threshold(*arguments, embedder, **options)
    assert embedder.calls == 0


def test_vectors_that_are_none_are_refused():
    with pytest.raises(ValueError, match="is zero"):
        found(ScriptedEmbedder(VECTORS | {"left 0": (0.0, 0.0)}))
    with pytest.raises(EmbedderDimensionError, match=r"\(16, 2\)"):
        found(Longer())


class Longer:
    """Says 2 and gives 3."""

    dim, fingerprint = 2, "longer"

    def embed(self, text):
        return np.ones(3, np.float32)


cosines = st.lists(st.floats(-1, 1), min_size=1, max_size=30)


@given(cosines, cosines, st.sets(st.floats(0, 1), min_size=1, max_size=10), st.sampled_from(["f1", "precision"]))
def test_no_threshold_of_the_grid_does_better(same, different, grid, target):
    scored = ScoredPairs(np.array(same), np.array(different), "f")
    grid = sorted(grid)

    def figures(threshold):
        true = sum(s >= threshold - RESOLUTION for s in same)
        false = sum(s >= threshold - RESOLUTION for s in different)
        if not true + false:
            return None
        precision, recall = true / (true + false), true / len(same)
        return {"precision": precision, "f1": 2 * precision * recall / (precision + recall) if true else 0.0}[target]

    reachable = [value for value in map(figures, grid) if value is not None]
    try:
        result = best_threshold(scored, grid, target, None, None)
    except CalibrationError:
        assert not reachable
        return
    assert isinstance(result, CalibrationResult)
    assert result.threshold in grid
    assert getattr(result, target) == pytest.approx(max(reachable))
    recalls = [point.recall for point in curve(scored, grid)]
    assert recalls == sorted(recalls, reverse=True)
