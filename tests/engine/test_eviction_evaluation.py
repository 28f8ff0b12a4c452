"""What `evaluation/eviction.py` measures is what a cache does."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from mneme import SemanticCache
from mneme.testing import HashEmbedder

SCRIPT = Path(__file__).parents[2] / "evaluation" / "eviction.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("eviction_evaluation", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("policy", ["lru", "sieve", "gdsf"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_cache_comes_to_the_same(script, policy, seed, clock):
    requests, costs, sizes = script.made(seed, keys=60, requests=500, skew=0.9)
    costs = np.round(costs * 64) / 64 + 1 / 64  # sums without rounding
    sizes = sizes % 400 + 13
    expected = script.replayed(requests, costs, sizes, 15, policy)
    with SemanticCache(
        ":memory:", HashEmbedder(), max_entries=15, eviction=policy, similarity_threshold=1.0, clock=clock
    ) as cache:
        for key in requests.tolist():
            clock.advance(1)
            query = f"question {key:03d}"
            if cache.get(query) is None:
                cache.put(query, "x" * (int(sizes[key]) - len(query)), cost=float(costs[key]))
        stats = cache.stats()
        held = sum(len(entry.query) + len(entry.response) for entry in cache.entries())
    assert stats.hits_exact / len(requests) == expected.hit_rate
    assert stats.cost_saved / float(costs[requests].sum()) == pytest.approx(expected.cost_saved, abs=1e-12)
    assert held / (15 * float(sizes.mean())) == pytest.approx(expected.bytes_held, abs=1e-12)
    assert 0.2 < expected.hit_rate < 0.9


def test_the_table_has_a_row_for_each_capacity_and_policy(script):
    def measure(seed, share, policy):
        return script.Outcome(share, share + (policy != "lru") * 0.01 * (seed + 1), 1.0)

    rows = list(script.table(measure, 2))[2:]
    assert len(rows) == 3 * len(script.POLICIES)
    assert rows[0] == "| 5% | lru | 5.0 ± 0.0 | 5.0 ± 0.0 |  | 100.0 ± 0.0 |"
    assert rows[1] == "| 5% | sieve | 5.0 ± 0.0 | 6.5 ± 6.4 | 1.5 ± 6.4 | 100.0 ± 0.0 |"


def test_the_streams_are_as_uneven_as_they_are_said_to_be(script):
    requests, costs, sizes = script.made(5, keys=1000, requests=20_000, skew=1.0)
    often = np.sort(np.bincount(requests, minlength=1000))[::-1]
    assert 0.1 < often[0] / 20_000 < 0.17  # 1 / H(1000) is 0.134
    assert 1.3 < np.log(costs).std() < 1.7
    assert sizes.min() > 0
