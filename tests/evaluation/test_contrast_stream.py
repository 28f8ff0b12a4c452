"""What the evaluation simulates is what a cache does."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from mneme import SemanticCache, ValueContrast

SOURCE = Path(__file__).parents[2] / "evaluation" / "contrast_stream.py"
DIM = 5


@pytest.fixture(scope="module")
def stream():
    spec = importlib.util.spec_from_file_location("contrast_stream", SOURCE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


class Given:
    """Stands where an embedder must stand: every vector is given."""

    dim = DIM
    fingerprint = "given"

    def embed(self, text):
        raise AssertionError(text)


def requests(count):
    """Vectors in overlapping clusters, and to which each belongs."""
    random = np.random.default_rng(3)
    centres = random.standard_normal((12, DIM))
    answers = random.integers(0, len(centres), count)
    rows = (centres[answers] + 0.7 * random.standard_normal((count, DIM))).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), answers


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 0.85},
        {"threshold": 0.95, "contrast": True},
        {"threshold": 1.1, "contrast": True, "floor": 0.3, "least": 0.8},
        {"threshold": 1.0, "contrast": True, "unique": True},
        {"threshold": 0.85, "alias": 0.75},
        {"threshold": 1.0, "contrast": True, "alias": 0.8, "everything": True},
    ],
)
def test_the_simulation_decides_as_a_real_cache_does(stream, options):
    rule = stream.Rule(**options)
    rows, answers = requests(500)
    run = stream.simulate(rows @ rows.T, answers, rule)
    contrast = ValueContrast(floor=rule.floor, least_similarity=rule.least) if rule.contrast else False
    hit, wrong = [], []
    with SemanticCache(
        ":memory:",
        Given(),
        similarity_threshold=rule.threshold,
        value_contrast=contrast,
        alias_threshold=rule.alias,
        guards=(),
    ) as cache:
        for number, (row, answer) in enumerate(zip(rows, answers.tolist(), strict=True)):
            found = cache.get(f"request {number}", embedding=row)
            hit.append(found is not None)
            wrong.append(found is not None and found.response[0] != answer)
            if found is None or rule.everything:
                cache.put(f"request {number}", [answer, number if rule.unique else 0], embedding=row)
        entries, vectors = cache.stats().entries, cache._core.index._port.size()
    assert (run.hit.tolist(), run.wrong.tolist()) == (hit, wrong)
    assert (run.vectors, run.vectors + run.aliases) == (vectors, entries)
    assert 50 < sum(hit) < 450
    assert sum(wrong) > 0
