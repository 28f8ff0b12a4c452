"""What the evaluation of certificates simulates is what a cache does."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from mneme import SemanticCache
from mneme.guards import DEFAULT_GUARDS
from mneme.testing import HashEmbedder

SOURCE = Path(__file__).parents[2] / "evaluation" / "certificate_stream.py"


@pytest.fixture(scope="module")
def simulation():
    spec = importlib.util.spec_from_file_location("certificate_stream", SOURCE)
    module = sys.modules["certificate_stream"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["certificate_stream"]


DAYS = ("on monday", "on tuesday", "in 2023", "in 2024", "never", "before noon", "after noon", "soon")
VERBS = ("open the account", "close the account", "move the account", "open the shop")


@pytest.fixture(scope="module")
def data():
    """Texts whose answers are their verb and, for some, their day; so that some near ones are wrong."""
    rng = np.random.default_rng(4)
    texts, answers = [], []
    for _ in range(240):
        verb, day = VERBS[rng.integers(4)], DAYS[rng.integers(8)]
        filler = "".join(chr(97 + int(letter)) for letter in rng.integers(0, 26, 3))
        texts.append(f"can you {verb} {day} for {filler}")
        answers.append(VERBS.index(verb) * 8 + (DAYS.index(day) if "20" in day else 0))
    return texts, np.array(answers)


@pytest.mark.parametrize("contrast", [False, True])
@pytest.mark.parametrize("guards", [(), DEFAULT_GUARDS], ids=["unguarded", "guarded"])
@pytest.mark.parametrize("threshold", [0.75, 0.85, 0.95, 1.1])
def test_a_simulated_cache_does_what_a_real_one_does(simulation, data, contrast, guards, threshold):
    if threshold > 1 and not contrast:
        threshold = 0.9
    texts, answers = data
    vectors = HashEmbedder().embed_many(texts)
    order = np.random.default_rng(1).permutation(len(texts))[:200]
    rule = simulation.Rule(
        "",
        contrast=contrast,
        guarded=lambda asked, stored: any(
            guard.check(texts[asked], texts[stored], similarity=0.9, response=None) for guard in guards
        ),
    )
    near = simulation.neighbours(vectors, len(texts))
    found = simulation.replay(simulation.stream_of(order, answers, near), threshold, rule)

    real = []
    options = {"similarity_threshold": threshold, "value_contrast": contrast, "guards": guards}
    with SemanticCache(":memory:", HashEmbedder(), **options) as cache:
        for row in order:
            hit = cache.get(texts[row], embedding=vectors[row])
            if hit is None:
                cache.put(texts[row], int(answers[row]), embedding=vectors[row])
            real.append(0 if hit is None else 1 if hit.response == answers[row] else 2)
    assert found.tolist() == real
    assert len(set(real)) > 1
